"""Going on where earlier runs ended.

Each partition begins at the end of the latest complete run that read it and was asked the same
question. Offsets before that are not part of the run: they were judged by the policy of their time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

from streamwarden.errors import ReconcileError

from .runs import Runs
from .slices import Partition

__all__ = ["Resume"]

log = logging.getLogger("streamwarden.reconciler")

#: What may differ between a run and the one it goes on from.
_FREE = frozenset({"topics", "incremental", "since"})
#: Runs that read only a part cannot be gone on from.
_PARTIAL = ("until", "offsets", "sample")
#: Runs that are looked at, the latest first; daily ones of more than a year.
_RUNS_MAX = 500


@dataclass(frozen=True, slots=True)
class Resume:
    """Where partitions begin: `ends` by (topic, partition), each with the ids of run and topic."""

    ends: Mapping[tuple[str, int], tuple[int, str, str]]

    @classmethod
    def of(cls, folder: Path, asked: Mapping[str, Any]) -> Self:
        """What the runs in `folder` that were asked the same as `asked` have read.

        Those that cannot be read are passed over, with a warning.
        """
        ends: dict[tuple[str, int], tuple[int, str, str]] = {}
        for run in reversed(Runs(folder).list()[-_RUNS_MAX:]):
            try:
                report = run.report
            except ReconcileError as error:
                log.warning("run %s is passed over: %s", run.id, error.message)
                continue
            if report.get("complete") is not True or not _same(report.get("asked"), asked):
                continue
            for part in report.get("partitions", ()):
                place = (part["topic"], part["partition"])
                ends.setdefault(place, (part["end"], run.id, str(part.get("topic_id", ""))))
        return cls(ends)

    def cut(self, partitions: Iterable[Partition]) -> tuple[list[Partition], dict[str, str]]:
        """`partitions` without what was read, and by `topic/partition` the runs that read it.

        A partition that is new, or whose topic was made anew, is read whole; the latter is said. What retention has removed since then, and nobody has read, is told as `taken`.
        """
        found: list[Partition] = []
        base: dict[str, str] = {}
        anew: dict[str, None] = {}
        for part in partitions:
            end, run, named = self.ends.get((part.topic, part.number), (-1, "", ""))
            another = bool(named and part.topic_id) and named != part.topic_id
            if part.problem or another or not 0 <= end <= part.end:
                found.append(part)
                if not part.problem and (another or end > part.end):
                    anew[part.topic] = None
                continue
            base[f"{part.topic}/{part.number}"] = run
            first = max(end, part.start)
            found.append(replace(part, first=first, taken=part.taken or end < part.start))
        for topic in anew:
            log.warning("topic `%s` was made anew since the last run: all of it is read", topic)
        return found, base


def _same(told: Any, asked: Mapping[str, Any]) -> bool:
    """True where a run that was asked what it `told` read all of what `asked` is about."""
    if not isinstance(told, Mapping):
        return False
    then = cast("Mapping[str, Any]", told)
    if any(then.get(name) for name in _PARTIAL):
        return False
    names = {*then, *asked} - _FREE
    return all(then.get(name) == asked.get(name) for name in names)
