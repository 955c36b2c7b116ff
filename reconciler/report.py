"""The report of a run: what was found, and whether everything was read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .findings import DRIFT, KINDS, NOT_DRIFT
from .reading import Gap
from .slices import Partition
from .tally import Cause, Coverage, SliceReport

__all__ = ["Report"]

_CAUSES_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Report:
    """See the module's first line. `account` is the sum over all slices of `partitions`."""

    bundle: str
    digest: str
    partitions: tuple[Partition, ...]
    account: SliceReport
    seconds: float
    problems: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True where every offset of the range was got past, and none was lost before or during."""
        return not self.problems and all(
            not part.problem and not part.taken and covered.covered == part.end - part.first
            for part, covered in self.coverage()
        )

    @property
    def verdict(self) -> str:
        """drift, incomplete or clean, the first that holds."""
        if any(count for kind, count in self.counts().items() if kind not in NOT_DRIFT):
            return "drift"
        return "clean" if self.complete else "incomplete"

    def counts(self) -> dict[str, int]:
        """Findings by kind, every kind named."""
        return {
            kind: sum(counts.get(kind, 0) for counts in self.account.counts.values())
            for kind in KINDS
        }

    def counts_by_topic(self) -> Mapping[str, Mapping[str, int]]:
        """Findings by topic and kind, those that there are."""
        return self.account.counts

    def drift(self) -> dict[str, int]:
        """What today's policy says against events, whatever their finding; every kind named."""
        return {kind: self.account.drift.get(kind, 0) for kind in DRIFT}

    def exit_status(self, fail_on: Collection[str] = ()) -> int:
        """0 clean, 2 drift found, 1 incomplete without drift.

        With `fail_on`, findings of those kinds count as drift, and no others.
        """
        kinds = set(fail_on) or set(KINDS) - NOT_DRIFT
        if any(count for kind, count in self.counts().items() if kind in kinds):
            return 2
        return 0 if self.complete else 1

    def coverage(self) -> list[tuple[Partition, Coverage]]:
        """Each partition with how far it was read."""
        found = {(place.topic, place.partition): place for place in self.account.coverage}
        return [
            (part, found.get((part.topic, part.number), Coverage(part.topic, part.number, 0)))
            for part in self.partitions
        ]

    def causes(self) -> list[Cause]:
        """Why there are findings, the most frequent first."""
        return sorted(self.account.causes, key=lambda cause: (-cause.count, cause.name))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        causes = self.causes()
        said: dict[str, Any] = {
            "verdict": self.verdict,
            "complete": self.complete,
            "events": self.account.events,
            "parked": self.account.parked,
            "counts": self.counts(),
            "drift": self.drift(),
            "unverifiable": self.account.unverifiable,
            "partitions": [_partition(part, covered) for part, covered in self.coverage()],
            "causes": [_cause(cause) for cause in causes[:_CAUSES_SHOWN]],
            "bundle": self.bundle,
            "digest": self.digest,
            "seconds": round(self.seconds, 3),
        }
        if self.problems or self.account.problems:
            said["problems"] = [*self.problems, *self.account.problems]
        return said


def _partition(part: Partition, covered: Coverage) -> dict[str, Any]:
    gaps = [*covered.lost, *covered.holes]
    said: dict[str, Any] = {
        "topic": part.topic,
        "partition": part.number,
        "first": part.first,
        "end": part.end,
        "covered": covered.covered,
        "pending": part.pending,
        "gaps": [
            {"from": gap.first, "to": gap.end, "reason": gap.reason} for gap in _coalesced(gaps)
        ],
        "start": part.start,
    }
    listed = sum(gap.end - gap.first for gap in gaps)
    omitted = sum(covered.missing.values()) - listed
    if omitted:
        said["gaps_omitted"] = omitted
    if part.taken:
        said["removed"] = part.start
    if part.problem:
        said["problem"] = part.problem
    return said


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "kind": cause.kind,
        "count": cause.count,
        "rule": cause.rule or None,
        "change": cause.change,
        "drift": cause.drift or None,
        "stamped": cause.stamped or None,
        "examples": [
            {"topic": topic, "partition": partition, "offset": offset}
            for topic, partition, offset in cause.examples
        ],
    }


def _coalesced(gaps: Iterable[Gap]) -> list[Gap]:
    """`gaps` in order; what a cut between slices had divided is one again."""
    found: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.first):
        if found and found[-1].end == gap.first and found[-1].reason == gap.reason:
            found[-1] = Gap(found[-1].first, gap.end, gap.reason)
        else:
            found.append(gap)
    return found
