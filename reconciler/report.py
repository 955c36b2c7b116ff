"""The report of a run: what was found, and whether everything was read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamwarden._version import __version__

from ..policy.model import Mode
from .breakdown import EVENTS
from .candidate import told
from .catalogue import Catalogue, counted_by, rule_names
from .causes import Cause, most_frequent
from .decision_log import LogCheck
from .findings import DRIFT, KINDS, NOT_DRIFT, WOULD_CHANGE
from .lacking import told_lacking
from .reading import Gap
from .sampling import CONFIDENCE, METHOD, estimates
from .slices import Partition
from .tally import Coverage, SliceReport

__all__ = ["Report"]

_CAUSES_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Report:
    """See the module's first line. `account` is the sum over all slices of `partitions`.

    `catalogue` is about the rules behind findings; `started` is in milliseconds since the epoch,
    `command` how the run was called, without secrets; `asked` what it was asked for, but for
    defaults. `selected`: findings were selected by their rules. `rate` is the share of events that
    was drawn, None all. `base` are the runs that an incremental one goes on from. `current` is the
    label and digest of what a candidate was compared with. `run` is the id under which it is kept. `log_check` is the comparison with the decision log.
    `uncovered` are topics that no policy of `bundle` names, `mode` is that of the bundle.
    """

    bundle: str
    digest: str
    partitions: tuple[Partition, ...]
    account: SliceReport
    seconds: float
    problems: tuple[str, ...] = ()
    catalogue: Catalogue = field(default_factory=dict[str, Mapping[str, Any]])
    started: int = 0
    command: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict[str, Any])
    selected: bool = False
    rate: float | None = None
    base: Mapping[str, str] = field(default_factory=dict[str, str])
    current: tuple[str, str] | None = None
    run: str = ""
    log_check: LogCheck | None = None
    uncovered: tuple[str, ...] = ()
    mode: Mode = Mode.ENFORCE

    @property
    def complete(self) -> bool:
        """True where every offset of the range was got past, and none was lost before or during.

        What was only sampled is never complete.
        """
        return self.rate is None and self.all_read

    @property
    def all_read(self) -> bool:
        """True where nothing of the range is missing, whether all of it was judged or a sample."""
        return not self.problems and all(
            not part.problem and not part.taken and covered.covered == part.end - part.first
            for part, covered in self.coverage()
        )

    @property
    def missed(self) -> int:
        """Events that the decision log should tell of, and does not; none where it was not read."""
        check = self.log_check
        return 0 if check is None or check.problem else check.missed

    @property
    def verdict(self) -> str:
        """drift, incomplete or clean, the first that holds."""
        if self.missed or any(n for kind, n in self.counts().items() if kind not in NOT_DRIFT):
            return "drift"
        return "clean" if self.complete else "incomplete"

    def counts(self) -> dict[str, int]:
        """Findings by kind, every kind named."""
        kinds = KINDS if self.current is None else (*KINDS, WOULD_CHANGE)
        return {
            kind: sum(counts.get(kind, 0) for counts in self.account.counts.values())
            for kind in kinds
        }

    def counts_by_topic(self) -> Mapping[str, Mapping[str, int]]:
        """Findings by topic and kind, those that there are."""
        return self.account.counts

    def drift(self) -> dict[str, int]:
        """What today's policy says against events, whatever their finding; every kind named."""
        return {kind: self.account.drift.get(kind, 0) for kind in DRIFT}

    def days(self) -> list[dict[str, Any]]:
        """Each day that has events, or findings, in order: its date, its events, its findings.

        The date is empty for records whose timestamp is in no calendar; of very many days the
        latest are told.
        """
        return [
            {"day": day, EVENTS: row.get(EVENTS, 0), "counts": _findings(row)}
            for day, row in self.account.days.items()
        ]

    def rules(self) -> list[dict[str, Any]]:
        """Findings by rule, the most frequent first, with whose it is and what it says."""
        found = counted_by(self.account.rules, lambda name: name)
        told = [
            {
                "policy": name.partition("/")[0],
                "rule": name.partition("/")[2],
                **self.catalogue.get(name, {}),
                "counts": row,
            }
            for name, row in found.items()
        ]
        return sorted(told, key=lambda said: -sum(said["counts"].values()))

    def policies(self) -> dict[str, dict[str, int]]:
        """Findings by policy."""
        return counted_by(self.account.rules, lambda name: name.partition("/")[0])

    def owners(self) -> dict[str, dict[str, int]]:
        """Findings by the owner of the policies behind them; `""` where that is not known."""
        return counted_by(self.account.rules, lambda n: self.catalogue.get(n, {}).get("owner"))

    def rule_names(self) -> set[str]:
        """Every rule behind a finding, `policy/rule`."""
        return {name for joined in self.account.rules for name in rule_names(joined)}

    def exit_status(self, fail_on: Collection[str] = ()) -> int:
        """0 clean, 2 drift found, 1 incomplete without drift.

        With `fail_on`, findings of those kinds count as drift, and no others.
        """
        kinds = set(fail_on) or set(KINDS) - NOT_DRIFT
        if self.missed or any(count for kind, count in self.counts().items() if kind in kinds):
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
        return most_frequent(self.account.causes, len(self.account.causes))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        causes = self.causes()
        said: dict[str, Any] = {
            "v": 1,
            "verdict": self.verdict,
            "complete": self.complete,
            "events": self.account.events,
            "parked": self.account.parked,
            "counts": self.counts(),
            "drift": self.drift(),
            "unverifiable": self.account.unverifiable,
            "partitions": [_partition(part, covered) for part, covered in self.coverage()],
            "causes": [_cause(cause) for cause in causes[:_CAUSES_SHOWN]],
            "causes_omitted": self.account.causes_more + max(0, len(causes) - _CAUSES_SHOWN),
            "topics": {topic: dict(row) for topic, row in self.counts_by_topic().items()},
            "days": self.days(),
            "rules": self.rules(),
            "policies": self.policies(),
            "owners": self.owners(),
            "versions": {name: dict(row) for name, row in self.account.versions.items()},
            "bundle": self.bundle,
            "digest": self.digest,
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "asked": dict(self.asked),
            "command": self.command,
            "version": __version__,
        }
        said |= self._parts()
        lacking = told_lacking(self.account.lacking)
        if self.problems or self.account.problems or lacking:
            said["problems"] = [*self.problems, *self.account.problems, *lacking]
        return said

    def sample(self) -> dict[str, Any] | None:
        """What a sample says of the whole; None where all was judged."""
        if self.rate is None:
            return None
        drawn, population = self.account.drawn, self.account.population
        return {
            "asked": self.asked.get("sample"),
            "rate": self.rate,
            "events": population,
            "drawn": drawn,
            "all_read": self.all_read,
            "confidence": CONFIDENCE,
            "method": METHOD,
            "estimates": estimates(self.counts(), drawn, population),
        }

    def what_if(self) -> dict[str, Any] | None:
        """How a candidate's decisions differ from the current policy's; None without one."""
        if self.current is None:
            return None
        label, digest = self.current
        return {"current": label, "digest": digest, **told(self.account.changes)}

    def _parts(self) -> dict[str, Any]:
        """What is said only where it was asked for."""
        parts: dict[str, Any] = {
            "run": self.run or None,
            "left_out": dict(self.account.left_out) if self.selected else None,
            "sample": self.sample(),
            "what_if": self.what_if(),
            "decision_log": None if self.log_check is None else self.log_check.to_dict(),
            "base": dict(self.base) if self.asked.get("incremental") else None,
            "uncovered": list(self.uncovered) or None,
            "mode": None if self.mode is Mode.ENFORCE else self.mode.value,
        }
        return {name: part for name, part in parts.items() if part is not None}


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
    if part.parked:
        said["parked"] = True
    if part.topic_id:
        said["topic_id"] = part.topic_id
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
            {"topic": topic, "partition": partition, "offset": offset, "finding": said}
            for (topic, partition, offset), said in zip(cause.examples, cause.shown, strict=True)
        ],
    }


def _findings(row: Mapping[str, int]) -> dict[str, int]:
    return {kind: number for kind, number in row.items() if kind != EVENTS}


def _coalesced(gaps: Iterable[Gap]) -> list[Gap]:
    """`gaps` in order; what a cut between slices had divided is one again."""
    found: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.first):
        if found and found[-1].end == gap.first and found[-1].reason == gap.reason:
            found[-1] = Gap(found[-1].first, gap.end, gap.reason)
        else:
            found.append(gap)
    return found
