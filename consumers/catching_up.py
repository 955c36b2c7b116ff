"""Committing past parked events that were not acknowledged yet when the application committed.

A commit is capped at them, and goes to the broker at once. What was left out is committed when they
are acknowledged: an application that has nothing more to commit would else leave its group behind.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from confluent_kafka import TopicPartition

from .assigned import Assigned, Place
from .offsets import PartitionOffsets

__all__ = ["CatchingUp"]


@dataclass(slots=True)
class _Commit:
    """The application's last commit of a partition: what it asked for, and what was committed."""

    offsets: PartitionOffsets
    asked: int
    committed: int


class CatchingUp:
    """The commits of the application, by partition, and how far they may go by now."""

    __slots__ = ("_assigned", "_commits")

    def __init__(self, assigned: Assigned) -> None:
        self._assigned = assigned
        self._commits: dict[Place, _Commit] = {}

    def asked(self, offsets: Iterable[TopicPartition]) -> None:
        """The application commits these offsets, capped by now."""
        for each in offsets:
            place = each.topic, each.partition
            known = self._assigned.get(*place)
            if known is not None and each.offset >= 0:
                committed = known.frontier()
                self._commits[place] = _Commit(
                    known, each.offset, each.offset if committed is None else committed
                )

    def asked_for_all(self) -> None:
        """The application commits everything that it is through with."""
        self.asked(self._assigned.done())

    def due(self, partitions: Collection[TopicPartition] | None = None) -> list[TopicPartition]:
        """What is to be committed now, of these partitions or of all; it counts as committed."""
        if not self._commits:
            return []
        wanted = None if partitions is None else {(p.topic, p.partition) for p in partitions}
        found: list[TopicPartition] = []
        for place, commit in list(self._commits.items()):
            if not self._assigned.is_current(*place, commit.offsets):
                del self._commits[place]
            elif wanted is None or place in wanted:
                upto = _upto(commit)
                if upto > commit.committed:
                    commit.committed = upto
                    found.append(TopicPartition(*place, upto))
        return found


def _upto(commit: _Commit) -> int:
    """How far a commit goes by now: past what was parked since, never past what was not committed."""
    offsets = commit.offsets
    frontier = offsets.frontier()
    if frontier is None:
        return commit.committed
    return frontier if offsets.done_to == commit.asked else min(frontier, commit.asked)
