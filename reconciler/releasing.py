"""Releasing in bulk what a reconciliation found to be fine today.

The findings name records of the parking topics. Each of them is judged anew when it is released,
since the policy may have changed again, and recorded, so that nothing is released twice, however
often the command is called. An event that came back after being released, again and again, is not
released once more: something refuses it elsewhere, and it would go round for ever.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from streamwarden.errors import ReconcileError

from ..policy.bundle import Bundle
from ..policy.parking import Kind
from ..producers.limiting import GOING
from ..producers.quarantine import ParkedEvent, Quarantine, Selection, list_parked
from ..producers.release import ReleaseOutcome, ReleaseReport, release
from ..producers.reviews import Signature
from .findings import KINDS
from .runs import Runs, is_special, read_report

__all__ = [
    "RETURNS_MAX",
    "BulkRelease",
    "Candidates",
    "former_places",
    "histogram",
    "read_candidates",
    "release_found",
    "returns_of",
]

#: So often an event may come back before it is left to people.
RETURNS_MAX: Final = 3
#: Coordinates that one release is asked for.
_BATCH: Final = 10_000
#: Longer lines are no findings: one holds the key of an event and why it was decided.
_LINE_MAX_BYTES: Final = 16 << 20
_KINDS: Final[tuple[Kind, ...]] = ("quarantined", "held")
#: Findings that may be of parked records.
_OF_PARKED: Final = ("now-allowed", "undecidable", "misrecorded", "forged")

_Place = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Places of parked records that a reconciliation named, and the bundle that it judged by."""

    places: tuple[_Place, ...]
    bundle: str
    kind: str


@dataclass(frozen=True, slots=True)
class BulkRelease:
    """What was done, or with a dry run would be. `open` are the candidates that still wait.

    `gone` are those whose records are no longer there.
    """

    report: ReleaseReport
    open: Mapping[str, int]
    gone: int = 0


def read_candidates(source: Path, kind: str = "now-allowed") -> Candidates:
    """The places of the findings of `kind` in a file of findings, a report, or a run's folder.

    Raises ReconcileError where not all of them are there: a report alone has only examples.
    """
    if kind not in KINDS:
        raise ReconcileError(f"`{kind}` is no kind of finding", remedy=f"use {', '.join(KINDS)}")
    if kind not in _OF_PARKED:
        raise ReconcileError(
            f"`{kind}` is said of events that were delivered, and there is nothing to release",
            remedy=f"parked events are found as {', '.join(_OF_PARKED)}",
        )
    findings, report = _files(source)
    if findings is not None:
        places, bundle = _from_findings(findings, kind)
    else:
        assert report is not None  # one of the two is there
        places, bundle = _from_report(report, source, kind)
    return Candidates(tuple(places), bundle, kind)


def _files(source: Path) -> tuple[Path | None, Mapping[str, Any] | None]:
    if source.suffix == ".jsonl":
        return source, None
    if source.is_dir():
        beside = source / "findings.jsonl"
        if beside.exists():
            return beside, None
        if not (source / "report.json").exists():  # the folder of several runs
            found = Runs(source).load("latest")
            return found.findings, found.report
    report = read_report(source)
    beside = source.with_name("findings.jsonl")
    return (beside if source.is_file() and beside.exists() and "run" in report else None), report


def _from_findings(path: Path, kind: str) -> tuple[list[_Place], str]:
    if is_special(path):
        raise ReconcileError(
            f"`{path}` is no file of findings: it is no regular file",
            remedy="name what `--findings` wrote",
        )
    places: list[_Place] = []
    bundle, number = "", 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(_lines(file), 1):  # noqa: B007 - told where one fails
                said = msgspec.json.decode(line, type=dict[str, Any])
                bundle = bundle or str(said["versions"]["current"])
                if said["kind"] == kind:
                    places.append((str(said["topic"]), int(said["partition"]), int(said["offset"])))
    except OSError as error:
        raise ReconcileError(
            f"`{path}` cannot be read: {error.strerror}", remedy="name a file of findings"
        ) from None
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        if number > 1:
            raise ReconcileError(
                f"`{path}`: line {number:,} is cut or unreadable",
                remedy="name the whole file, or run the reconciliation again",
            ) from None
        raise ReconcileError(
            f"`{path}` is no file of findings", remedy="name what `--findings` wrote"
        ) from None
    return places, bundle


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of `file`; one that is too long comes in pieces."""
    while line := file.readline(_LINE_MAX_BYTES):
        yield line


def _from_report(report: Mapping[str, Any], source: Path, kind: str) -> tuple[list[_Place], str]:
    try:
        places = [
            (str(each["topic"]), int(each["partition"]), int(each["offset"]))
            for cause in report["causes"]
            if cause["kind"] == kind
            for each in cause["examples"]
        ]
        wanted, bundle = int(report["counts"].get(kind, 0)), str(report["bundle"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise ReconcileError(
            f"`{source}` is no report", remedy="name what `reconcile --json` wrote"
        ) from None
    if len(places) < wanted:
        raise ReconcileError(
            f"`{source}` names {len(places)} of {wanted} findings: a report has only examples",
            remedy="name the file of `--findings`, or the run's folder in `--runs`",
        )
    return places, bundle


def release_found(
    quarantine: Quarantine,
    candidates: Candidates,
    *,
    signatures: Sequence[Signature] = (),
    to: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    returns_max: int = RETURNS_MAX,
    most: int | None = None,
    former: Sequence[Quarantine] = (),
) -> BulkRelease:
    """Release the candidates that are parked events of the quarantine's topic, as `release` does.

    `former` are the same events where former versions parked them (see `former_places`).

    An event that came back `returns_max` times after being released is refused. With `most`, no
    more are released, whatever is refused besides. Raises QuarantineError when the topics cannot be read.
    """
    places = _Places(quarantine, former)
    events, complete = places.listed()
    there = {(event.topic, *event.place): event for event in events}
    returned = returns_of(events)
    mine = [place for place in sorted(set(candidates.places)) if place[0] in places.topics]
    known = [place for place in mine if place in there]
    closed = sum(there[place].state != "waiting" for place in known)
    waiting = [place for place in known if there[place].state == "waiting"]
    looping = {place for place in waiting if returned.get(place, 0) >= returns_max}
    wanted = [place for place in waiting if place not in looping]
    outcomes = [_looping(there[place], returned[place]) for place in sorted(looping)]
    for batch in places.batches([there[place] for place in wanted]):
        left = None if most is None else most - sum(each.outcome in GOING for each in outcomes)
        if left == 0:
            complete = False
            break
        part = release(
            places.of(batch[0].topic),
            Selection(at=frozenset(event.place for event in batch), kind=batch[0].kind, max=left),
            signatures=signatures,
            to=to,
            force=force,
            dry_run=dry_run,
        )
        outcomes += part.outcomes
        complete = complete and part.complete
    report = ReleaseReport(
        tuple(outcomes), dry_run, quarantine.guard.bundle.label, complete, closed
    )
    done = {
        (each.topic, each.partition, each.offset)
        for each in outcomes
        if each.outcome == "released" and not dry_run
    }
    open_ = dict.fromkeys(places.topics, 0)
    for place in waiting:
        open_[place[0]] += place not in done
    return BulkRelease(report, open_, len(mine) - len(known))


class _Places:
    """The parking topics of one origin: those of today, and former ones."""

    def __init__(self, quarantine: Quarantine, former: Sequence[Quarantine]) -> None:
        self._all = (quarantine, *former)
        #: By topic, the first that has it: today's naming counts where both name it.
        self._by_topic: dict[str, Quarantine] = {}
        for each in self._all:
            for kind in _KINDS:
                self._by_topic.setdefault(each.topic_of(kind), each)

    @property
    def topics(self) -> Sequence[str]:
        """Their names."""
        return tuple(self._by_topic)

    def of(self, topic: str) -> Quarantine:
        """How the events in one of them are reached."""
        return self._by_topic[topic]

    def listed(self) -> tuple[list[ParkedEvent], bool]:
        """Every event in them, and whether that is all there is. Raises QuarantineError."""
        events: list[ParkedEvent] = []
        complete = True
        for each in self._all:
            listing = list_parked(each, all_states=True)
            events += [event for event in listing.events if self.of(event.topic) is each]
            complete = complete and listing.complete
        return events, complete

    def batches(self, events: Iterable[ParkedEvent]) -> Iterator[Sequence[ParkedEvent]]:
        """`events` in portions, each of one topic and kind."""
        groups: dict[tuple[str, Kind], list[ParkedEvent]] = {}
        for event in events:
            groups.setdefault((event.topic, event.kind), []).append(event)
        order = {topic: number for number, topic in enumerate(self._by_topic)}
        for name in sorted(groups, key=lambda group: (order[group[0]], group[1])):
            for first in range(0, len(groups[name]), _BATCH):
                yield groups[name][first : first + _BATCH]


def former_places(
    quarantine: Quarantine, bundles: Iterable[Bundle], topics: Collection[str]
) -> tuple[Quarantine, ...]:
    """`quarantine` at those of `topics` where one of `bundles`, and not today's, parks its events.

    A topic that any of them holds events in is one of held events, unless it is one for all.
    """
    today = {quarantine.topic_of(kind) for kind in _KINDS}
    origin = quarantine.topic
    pairs = {(b.quarantine_topic(origin), b.held_topic(origin)): None for b in bundles}
    found: list[Quarantine] = []
    for topic in sorted(set(topics) - today):
        uses = [pair for pair in pairs if topic in pair]
        if not uses:
            continue
        if all(refused == held for refused, held in uses):
            found.append(replace(quarantine, quarantine=topic, held=topic))
        elif any(held == topic for _, held in uses):
            found.append(replace(quarantine, held=topic))
        else:
            found.append(replace(quarantine, quarantine=topic))
    return tuple(found)


def _looping(event: ParkedEvent, times: int) -> ReleaseOutcome:
    return ReleaseOutcome(
        event.topic,
        event.partition,
        event.offset,
        "refused",
        why=f"it was released and parked again {times} times; find out who refuses it,"
        " or release it by its coordinates",
        rules=event.rules,
    )


def returns_of(events: Iterable[ParkedEvent]) -> dict[_Place, int]:
    """How often each event was released and came back before it was parked here.

    Records of one event have its timestamp and key in common, whatever was masked on the way. What
    was parked before the other was released is another event that looks the same.
    """
    groups: dict[tuple[object, ...], list[ParkedEvent]] = {}
    for event in events:
        groups.setdefault(_likeness(event), []).append(event)
    returns: dict[_Place, int] = {}
    for likes in groups.values():
        if len(likes) == 1:
            continue
        released: list[tuple[int, int]] = []  # when, and how often it came back including that
        most = 0
        for event in sorted(likes, key=lambda event: event.parked_at):
            while released and released[0][0] <= event.parked_at:
                most = max(most, heapq.heappop(released)[1])
            returns[event.topic, event.partition, event.offset] = most
            at = _released_at(event)
            if at is not None:
                heapq.heappush(released, (at, most + 1))
    return returns


def _likeness(event: ParkedEvent) -> tuple[object, ...]:
    said: Any = (event.parked.decision or {}).get("event")
    told: Mapping[str, object] = cast("dict[str, object]", said) if isinstance(said, dict) else {}
    known = str(told.get("key"))
    if event.parked.origin_timestamp is None:
        return known, told.get("sha256")
    return known, event.parked.origin_timestamp


def _released_at(event: ParkedEvent) -> int | None:
    closing = event.closed_by
    return closing.at if closing is not None and closing.action == "released" else None


def histogram(bulk: BulkRelease) -> dict[str, dict[str, int]]:
    """The outcomes by what they are, by the rules that had parked, and by why they were refused."""
    counts: dict[str, dict[str, int]] = {"outcomes": {}, "rules": {}, "effects": {}, "why": {}}

    def count(table: str, name: str) -> None:
        counts[table][name] = counts[table].get(name, 0) + 1

    for each in bulk.report.outcomes:
        count("outcomes", each.outcome)
        for rule in dict.fromkeys(each.rules):
            count("rules", rule)
        if each.effect is not None:
            count("effects", each.effect)
        if each.why:
            count("why", each.why)
    return {
        table: dict(sorted(rows.items(), key=lambda row: (-row[1], row[0])))
        for table, rows in counts.items()
    }
