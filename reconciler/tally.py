"""What was found in a slice, and how two such accounts become one.

Merging is associative, and commutative where the slices are distinct, so engines may merge in any
grouping. Everything is bounded whatever the number of findings: examples and holes by lowest
coordinates. Of causes none is left out here; those that are too many to be held go to where the
slice keeps its findings, and are summed by `causes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .breakdown import (
    EVENTS,
    Counts,
    add_count,
    day_name,
    keep_days,
    merged_days,
    shown,
)
from .candidate import ChangeCount, Changes
from .causes import CAUSES_MAX, EXAMPLES_MAX, Cause, CauseName, joined
from .findings import Finding
from .lacking import LACKING_MAX
from .reading import Gap
from .slices import Slice

__all__ = [
    "HOLES_MAX",
    "Coverage",
    "SliceReport",
    "Tally",
    "merge",
    "merge_all",
]

#: Holes listed for a partition: with transactions of one record there is one for each of them.
HOLES_MAX = 1000
_PROBLEMS_MAX = 20

_LOST = frozenset({"retention", "unread"})


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far one partition was read: offsets got past, and the gaps in them.

    `lost` are gaps of retention and unread offsets, `holes` the first of all others; `missing`
    counts offsets by reason.
    """

    topic: str
    partition: int
    covered: int
    lost: tuple[Gap, ...] = ()
    holes: tuple[Gap, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class SliceReport:
    """The account of one slice, or of several merged.

    `parked` of the `events` are records of parking topics. `counts` are findings by topic and kind,
    `drift` is what today's policy says against events, whatever their finding. `days` has findings
    by the date of the record and kind, and its `events`. `left_out` are findings that the run was
    not asked about, by kind; `population` are the records that `drawn` ones were drawn from;
    `changes` what a candidate would change; `lacking` the ids of schemas that were not at hand, one
    more than are told.

    Only where the causes of a whole run were summed: `rules` are findings by the rules behind them,
    joined as those of causes, `versions` by the version that is stamped (see `rows`), and
    `causes_more` counts causes that were left out.
    """

    events: int = 0
    parked: int = 0
    unverifiable: int = 0
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    drift: Mapping[str, int] = field(default_factory=dict[str, int])
    causes: tuple[Cause, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    problems: tuple[str, ...] = ()
    days: Counts = field(default_factory=dict[str, Mapping[str, int]])
    rules: Counts = field(default_factory=dict[str, Mapping[str, int]])
    versions: Counts = field(default_factory=dict[str, Mapping[str, int]])
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    population: int = 0
    drawn: int = 0
    changes: Changes = field(default_factory=Changes)
    lacking: tuple[str, ...] = ()
    causes_more: int = 0

    @property
    def findings(self) -> int:
        """All of them, whatever their kind."""
        return sum(sum(row.values()) for row in self.counts.values())


class Tally:
    """Counts while a slice is replayed; `report` ends it.

    `put_away` takes causes when there are too many to be held; they are not in the report then.
    """

    def __init__(self, put_away: Callable[[Iterable[Cause]], None] | None = None) -> None:
        self._put_away = put_away
        self.events = 0
        self.parked = 0
        self.unverifiable = 0
        #: Where the replay had to stop before the end of the slice, and why.
        self.stopped: tuple[int, str] | None = None
        self._counts: dict[str, dict[str, int]] = {}
        self._drift: dict[str, int] = {}
        self.population = self.drawn = 0
        self._left_out: dict[str, int] = {}
        self._changes = ChangeCount()
        self._days: dict[str, dict[str, int]] = {}
        self._causes: dict[CauseName, tuple[int, list[Finding]]] = {}
        self._lacking: set[str] = set()

    def count_day(self, timestamp: int | None, events: int) -> None:
        """Count `events` of the date of `timestamp`."""
        if events:
            add_count(self._days, day_name(timestamp), EVENTS, events)

    def lack(self, finding: Finding) -> None:
        """Take notice of the schema that was not at hand, if it was one."""
        if finding.lacking and finding.lacking not in self._lacking:
            self._lacking = set(_lacking(self._lacking, (finding.lacking,)))

    def leave_out(self, finding: Finding) -> None:
        """Count one finding that the run was not asked about."""
        self._left_out[finding.kind] = self._left_out.get(finding.kind, 0) + 1

    def add(self, finding: Finding) -> None:
        """Count one finding; they come in the order of their coordinates."""
        if finding.what_if is not None:
            self._changes.add(day_name(finding.timestamp), finding.what_if)
        kind, stamped = finding.kind, finding.stamped
        rules = ", ".join(finding.rules)
        version = "" if stamped is None else str(stamped.get("bundle", ""))
        add_count(self._counts, finding.topic, kind)
        add_count(self._days, day_name(finding.timestamp), kind)
        if finding.drift is not None:
            self._drift[finding.drift] = self._drift.get(finding.drift, 0) + 1
        name = (kind, rules, finding.change or finding.detail, finding.drift or "", version)
        count, examples = self._causes.get(name, (0, []))
        if len(examples) < EXAMPLES_MAX:
            examples.append(finding)
        self._causes[name] = (count + 1, examples)
        if len(self._causes) >= CAUSES_MAX and self._put_away is not None:
            self._put_away(self._held())
            self._causes = {}

    def _held(self) -> Iterable[Cause]:
        return (_cause(name, *self._causes[name]) for name in sorted(self._causes))

    def report(self, piece: Slice, gaps: Iterable[Gap], problem: str) -> SliceReport:
        """The account of `piece`, read with these `gaps`."""
        lost: list[Gap] = []
        holes: list[Gap] = []
        missing: dict[str, int] = {}
        for gap in gaps:
            (lost if gap.reason in _LOST else holes).append(gap)
            missing[gap.reason] = missing.get(gap.reason, 0) + gap.end - gap.first
        covered = piece.end - piece.first - sum(missing.get(reason, 0) for reason in _LOST)
        place = f"{piece.topic}[{piece.partition}]"
        return SliceReport(
            self.events,
            self.parked,
            self.unverifiable,
            self._counts,
            self._drift,
            tuple(self._held()),
            (
                Coverage(
                    piece.topic,
                    piece.partition,
                    covered,
                    tuple(lost),
                    tuple(holes[:HOLES_MAX]),
                    missing,
                ),
            ),
            (f"{place}: {problem}",) if problem else (),
            keep_days(self._days),
            left_out=self._left_out,
            population=self.population,
            drawn=self.drawn,
            changes=self._changes.total(),
            lacking=_lacking(self._lacking, ()),
        )


def _cause(name: CauseName, count: int, found: Iterable[Finding]) -> Cause:
    places = tuple((each.topic, each.partition, each.offset) for each in found)
    return Cause(*name, count, places, tuple(shown(each) for each in found))


def merge_all(reports: Iterable[SliceReport]) -> SliceReport:
    """The account of all `reports` together."""
    merged = SliceReport()
    for report in reports:
        merged = merge(merged, report)
    return merged


def merge(one: SliceReport, other: SliceReport) -> SliceReport:
    """The account of both; neither is changed."""
    return SliceReport(
        one.events + other.events,
        one.parked + other.parked,
        one.unverifiable + other.unverifiable,
        {
            topic: _sum(one.counts.get(topic, {}), other.counts.get(topic, {}))
            for topic in sorted({*one.counts, *other.counts})
        },
        _sum(one.drift, other.drift),
        _merge_causes(one.causes, other.causes),
        _merge_coverage(one.coverage, other.coverage),
        tuple(sorted({*one.problems, *other.problems})[:_PROBLEMS_MAX]),
        merged_days(one.days, other.days),
        left_out=_sum(one.left_out, other.left_out),
        population=one.population + other.population,
        drawn=one.drawn + other.drawn,
        changes=one.changes.merged(other.changes),
        lacking=_lacking(one.lacking, other.lacking),
    )


def _lacking(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    found = sorted({*one, *other}, key=lambda name: (len(name), name))
    return tuple(found[: LACKING_MAX + 1])


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def _merge_causes(one: Iterable[Cause], other: Iterable[Cause]) -> tuple[Cause, ...]:
    merged = {cause.name: cause for cause in one}
    for cause in other:
        present = merged.get(cause.name)
        merged[cause.name] = cause if present is None else joined(present, cause)
    return tuple(merged[name] for name in sorted(merged))


def _merge_coverage(one: Iterable[Coverage], other: Iterable[Coverage]) -> tuple[Coverage, ...]:
    merged = {(place.topic, place.partition): place for place in one}
    for place in other:
        at = (place.topic, place.partition)
        present = merged.get(at, Coverage(*at, 0))
        merged[at] = Coverage(
            *at,
            present.covered + place.covered,
            tuple(sorted((*present.lost, *place.lost), key=_first)),
            tuple(sorted((*present.holes, *place.holes), key=_first)[:HOLES_MAX]),
            _sum(present.missing, place.missing),
        )
    return tuple(merged[at] for at in sorted(merged))


def _first(gap: Gap) -> int:
    return gap.first
