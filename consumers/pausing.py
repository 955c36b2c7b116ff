"""Which partitions are paused: those that the application wants nothing from, and all for a while."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from .assigned import Place

__all__ = ["Pausing"]


class Pausing:
    """See the module's first line. What the application paused stays so when the rest goes on."""

    __slots__ = ("_generation", "_paused")

    def __init__(self) -> None:
        self._paused: set[Place] = set()  # by the application
        self._generation = -1  # of the assignment all of which is paused

    def __bool__(self) -> bool:
        """True while all is paused."""
        return self._generation >= 0

    def all(self, client: Consumer, generation: int) -> None:
        """Read nothing, as long as the assignment is the one of that `generation`."""
        if self._generation != generation:
            self._generation = generation
            assignment = client.assignment()
            if assignment:
                client.pause(assignment)

    def over(self, client: Consumer) -> None:
        """Read again."""
        if self._generation < 0:
            return
        self._generation = -1
        wanted = [
            each for each in client.assignment() if (each.topic, each.partition) not in self._paused
        ]
        if wanted:
            client.resume(wanted)

    def pause(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """The application wants nothing from these."""
        client.pause(partitions)
        self._paused.update((each.topic, each.partition) for each in partitions)

    def resume(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """The application reads these again."""
        if self._generation < 0:
            client.resume(partitions)
        self._paused.difference_update((each.topic, each.partition) for each in partitions)

    def forget(self, places: Iterable[Place]) -> None:
        """These come anew, or go."""
        self._paused.difference_update(places)
