"""One run against another: which causes and which findings appeared, and which are gone.

A finding is `new` where the earlier run read the same record and found nothing wrong with it:
policy has changed, or the replay knows more. Findings behind the end of the earlier run are
`later`: they are news of the events. Those on other records that it did not read are `older`, and
say nothing of how drift moved. `gone` are findings whose records the later run read without finding
them, `unseen` those that it did not read: they have not moved either.

Findings are compared file against file, a line of each at a time, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from streamwarden.errors import ReconcileError

from .findings import named_rules
from .overlap import Extent, Overlap, extents
from .runs import StoredRun

__all__ = ["SORTS", "CauseChange", "FindingsChange", "compare_causes", "compare_findings", "moved"]

#: What can be said of a finding of one run or the other; `other` is one of another kind now.
SORTS: Final = ("new", "later", "other", "gone", "unseen", "older")
_EXAMPLES_MAX = 10

_Name = tuple[str, str, str, str, str]
_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class CauseChange:
    """A cause with its findings in the earlier and the later run.

    `unseen` of those `before` are on events that the later run did not read, `older` of those
    `after` on older events that the earlier one did not read. `sure` is False where a report had
    too many causes to list the one that is missing, or where it is not known which were read.
    """

    cause: Mapping[str, Any]
    before: int
    after: int
    sure: bool = True
    unseen: int = 0
    older: int = 0

    @property
    def sort(self) -> str:
        """appeared, vanished, grew, shrank or same; unseen or older, where only one run looked."""
        before, after = self.before - self.unseen, self.after - self.older
        if not before and not after:
            return "unseen" if self.unseen else "older"
        if not self.before:
            return "appeared"
        if not self.after:
            return "vanished"
        if before == after:
            return "same"
        return "grew" if after > before else "shrank"


@dataclass(slots=True)
class FindingsChange:
    """How many findings there are of each sort, by kind, and the first few of each.

    `causes` counts the unseen and the older ones by the names of causes that the reports list.
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    examples: dict[str, list[dict[str, Any]]] = field(
        default_factory=dict[str, list[dict[str, Any]]]
    )
    causes: dict[str, dict[_Name, int]] = field(default_factory=dict[str, dict[_Name, int]])

    def total(self, sort: str) -> int:
        """How many there are of one sort."""
        return sum(self.counts.get(sort, {}).values())


class _Line(msgspec.Struct):
    """As much of a finding as tells it from others."""

    kind: str
    topic: str
    partition: int
    offset: int
    drift: str | None = None


class _Behind(msgspec.Struct):
    policy: str
    rule: str


class _Stamped(msgspec.Struct):
    bundle: str = ""


class _Reason(msgspec.Struct):
    """As much of a finding as names its cause."""

    kind: str
    drift: str | None = None
    change: str = ""
    detail: str = ""
    stamped: _Stamped | None = None
    rules: list[_Behind] = []
    unknown: list[str] = []


@dataclass(slots=True)
class _Found:
    line: _Line
    raw: bytes


def compare_causes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    change: FindingsChange | None = None,
    *,
    alike: bool = True,
) -> list[CauseChange]:
    """The causes of two reports, those that grew most first.

    `change` tells which of their findings only one of them could make; without it, `alike` says
    whether both read the same events, so that there are none.
    """
    old, new = _causes(before), _causes(after)
    unseen = {} if change is None else change.causes.get("unseen", {})
    older = {} if change is None else change.causes.get("older", {})
    known = alike or change is not None
    changes = [
        CauseChange(
            new.get(name) or old[name],
            old[name]["count"] if name in old else 0,
            new[name]["count"] if name in new else 0,
            sure=known
            and not (name not in old and before.get("causes_omitted"))
            and not (name not in new and after.get("causes_omitted")),
            unseen=unseen.get(name, 0),
            older=older.get(name, 0),
        )
        for name in {**new, **old}
    ]
    return sorted(changes, key=lambda each: (-_growth(each), _name(each.cause)))


def _growth(change: CauseChange) -> int:
    return (change.after - change.older) - (change.before - change.unseen)


def moved(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    shared: Overlap,
    change: FindingsChange | None,
) -> dict[str, int] | None:
    """How findings moved from one report to the other, by kind, those that did.

    Unseen and older ones count on neither side. None where the runs have nothing in common, or
    where `change`, which tells those, is missing.
    """
    if not shared.comparable:
        return None
    then, now = dict(before["counts"]), dict(after["counts"])
    for sort, read, counts in (("unseen", shared.unseen, then), ("older", shared.older, now)):
        if not read or not any(counts.values()):
            continue
        if change is None:
            return None
        for kind, number in change.counts.get(sort, {}).items():
            counts[kind] = counts.get(kind, 0) - number
    by_kind = {kind: now.get(kind, 0) - then.get(kind, 0) for kind in {**then, **now}}
    return {kind: number for kind, number in by_kind.items() if number}


def _causes(report: Mapping[str, Any]) -> dict[_Name, Mapping[str, Any]]:
    return {_name(cause): cause for cause in report["causes"]}


def _name(cause: Mapping[str, Any]) -> _Name:
    kind, rule, change, drift, stamped = (
        str(cause.get(part) or "") for part in ("kind", "rule", "change", "drift", "stamped")
    )
    return (kind, rule, change, drift, stamped)


def compare_findings(
    before: StoredRun,
    after: StoredRun,
    sink: Callable[[str, bytes], None] | None = None,
) -> FindingsChange | None:
    """The findings of two runs by their coordinates; None where one of them kept none.

    `sink` takes the sort and the line of each finding that differs. Raises ReconcileError where a
    file cannot be read.
    """
    if before.findings is None or after.findings is None:
        return None
    change = FindingsChange()
    with ExitStack() as stack:
        old = _Groups(before.findings, stack.enter_context(before.findings.open("rb")))
        new = _Groups(after.findings, stack.enter_context(after.findings.open("rb")))
        read_before, read_after = extents(before.report), extents(after.report)
        names = {*_causes(before.report), *_causes(after.report)}
        for place in sorted({*old.starts, *new.starts}):
            then, now = read_before.get(place, _NOTHING), read_after.get(place, _NOTHING)
            for one, two in _paired(old.of(place), new.of(place)):
                sort = _sort(one, two, then, now)
                found = two or one
                if sort is None or found is None:
                    continue
                _count(change, sort, found)
                if sort in _ONE_SIDED:
                    _count_cause(change.causes.setdefault(sort, {}), found, names)
                if sink is not None:
                    sink(sort, found.raw)
    return change


_NOTHING = Extent()
#: What only one of two runs could have found.
_ONE_SIDED = frozenset({"unseen", "older"})


def _sort(one: _Found | None, two: _Found | None, then: Extent, now: Extent) -> str | None:
    if one is None:
        assert two is not None
        offset = two.line.offset
        return "new" if offset in then else "later" if offset >= then.end else "older"
    if two is None:
        return "gone" if one.line.offset in now else "unseen"
    same = (one.line.kind, one.line.drift) == (two.line.kind, two.line.drift)
    return None if same else "other"


def _count(change: FindingsChange, sort: str, found: _Found) -> None:
    kinds = change.counts.setdefault(sort, {})
    kinds[found.line.kind] = kinds.get(found.line.kind, 0) + 1
    examples = change.examples.setdefault(sort, [])
    if len(examples) < _EXAMPLES_MAX:
        line = found.line
        examples.append(
            {
                "topic": line.topic,
                "partition": line.partition,
                "offset": line.offset,
                "kind": line.kind,
            }
        )


def _count_cause(counts: dict[_Name, int], found: _Found, names: Collection[_Name]) -> None:
    """Count a finding under the name of its cause, if that is one of `names`."""
    try:
        reason = _reason(found.raw)
    except msgspec.DecodeError:  # of no cause that a report could list
        return
    sure = [f"{each.policy}/{each.rule}" for each in reason.rules]
    rules = ", ".join(named_rules(reason.kind, reason.drift, sure, reason.unknown))
    stamped = "" if reason.stamped is None else reason.stamped.bundle
    name = (reason.kind, rules, reason.change or reason.detail, reason.drift or "", stamped)
    if name in names:
        counts[name] = counts.get(name, 0) + 1


_reason = msgspec.json.Decoder(_Reason).decode


class _Groups:
    """The findings of a file by partition, each group in the order of offsets.

    Runs may have read topics in different orders: where each partition begins is found in a first
    pass, and each is then read from there.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._decode = msgspec.json.Decoder(_Line).decode
        self.starts: dict[_Place, int] = {}
        position = 0
        for raw in file:
            line = self._line(raw)
            self.starts.setdefault((line.topic, line.partition), position)
            position += len(raw)

    def of(self, place: _Place) -> Iterator[_Found]:
        """The findings of one partition."""
        if place not in self.starts:
            return
        self._file.seek(self.starts[place])
        for raw in self._file:
            line = self._line(raw)
            if (line.topic, line.partition) != place:
                return
            yield _Found(line, raw)

    def _line(self, raw: bytes) -> _Line:
        try:
            return self._decode(raw)
        except msgspec.DecodeError as error:
            raise ReconcileError(
                f"`{self._path}` has a line that is no finding: {error}",
                remedy="compare other runs, or run the reconciliation again",
            ) from None


def _paired(
    one: Iterator[_Found], two: Iterator[_Found]
) -> Iterator[tuple[_Found | None, _Found | None]]:
    """Findings side by side where they have the same offset."""
    left, right = next(one, None), next(two, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.line.offset < right.line.offset):
            yield left, None
            left = next(one, None)
        elif left is None or right.line.offset < left.line.offset:
            yield None, right
            right = next(two, None)
        else:
            yield left, right
            left, right = next(one, None), next(two, None)
