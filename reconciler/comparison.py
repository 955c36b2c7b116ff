"""One run against another: which causes and which findings appeared, and which are gone.

A finding is `new` where the earlier run read the same record and found nothing wrong with it:
policy has changed, or the replay knows more. Findings on records that the earlier run did not read
are `later`: they are news of the events. `gone` are findings whose records the later run read
without finding them, `unseen` those that it did not read.

Findings are compared file against file, a line of each at a time, whatever their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from streamwarden.errors import ReconcileError

from .runs import StoredRun

__all__ = ["SORTS", "CauseChange", "FindingsChange", "compare_causes", "compare_findings"]

#: What can be said of a finding of one run or the other; `other` is one of another kind now.
SORTS: Final = ("new", "later", "other", "gone", "unseen")
_EXAMPLES_MAX = 10

_Name = tuple[str, str, str, str, str]
_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class CauseChange:
    """A cause with its findings in the earlier and the later run.

    `sure` is False where a report had too many causes to list the one that is missing.
    """

    cause: Mapping[str, Any]
    before: int
    after: int
    sure: bool = True

    @property
    def sort(self) -> str:
        """appeared, vanished, grew, shrank or same."""
        if not self.before:
            return "appeared"
        if not self.after:
            return "vanished"
        if self.before == self.after:
            return "same"
        return "grew" if self.after > self.before else "shrank"


@dataclass(slots=True)
class FindingsChange:
    """How many findings there are of each sort, by kind, and the first few of each."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    examples: dict[str, list[dict[str, Any]]] = field(
        default_factory=dict[str, list[dict[str, Any]]]
    )

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


@dataclass(slots=True)
class _Found:
    line: _Line
    raw: bytes


def compare_causes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[CauseChange]:
    """The causes of two reports, those that grew most first."""
    old, new = _causes(before), _causes(after)
    changes = [
        CauseChange(
            new.get(name) or old[name],
            old[name]["count"] if name in old else 0,
            new[name]["count"] if name in new else 0,
            sure=not (name not in old and before.get("causes_omitted"))
            and not (name not in new and after.get("causes_omitted")),
        )
        for name in {**new, **old}
    ]
    return sorted(changes, key=lambda change: (change.before - change.after, _name(change.cause)))


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
        read_before, read_after = _ranges(before.report), _ranges(after.report)
        for place in sorted({*old.starts, *new.starts}):
            then, now = read_before.get(place, _NOTHING), read_after.get(place, _NOTHING)
            for one, two in _paired(old.of(place), new.of(place)):
                sort = _sort(one, two, then, now)
                found = two or one
                if sort is None or found is None:
                    continue
                _count(change, sort, found)
                if sink is not None:
                    sink(sort, found.raw)
    return change


_NOTHING = range(0)


def _ranges(report: Mapping[str, Any]) -> dict[_Place, range]:
    return {
        (part["topic"], part["partition"]): range(part["first"], part["end"])
        for part in report["partitions"]
    }


def _sort(one: _Found | None, two: _Found | None, then: range, now: range) -> str | None:
    if one is None:
        assert two is not None
        return "new" if two.line.offset in then else "later"
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
