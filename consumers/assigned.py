"""The offsets of all assigned partitions, and the way between them and the client."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from .offsets import PartitionOffsets

__all__ = ["Assigned", "Place"]

Place = tuple[str, int]


class Assigned:
    """One PartitionOffsets for each partition that events come from."""

    __slots__ = ("_places", "_stored")

    def __init__(self) -> None:
        self._places: dict[Place, PartitionOffsets] = {}
        self._stored: dict[Place, int] = {}

    def of(self, topic: str, partition: int) -> PartitionOffsets:
        """The bookkeeping of a partition, begun when it is first asked for."""
        place = topic, partition
        found = self._places.get(place)
        if found is None:
            found = self._places[place] = PartitionOffsets()
        return found

    def get(self, topic: str, partition: int) -> PartitionOffsets | None:
        """The bookkeeping of a partition that was read from, or None."""
        return self._places.get((topic, partition))

    def is_current(self, topic: str, partition: int, offsets: PartitionOffsets) -> bool:
        """False once the partition was taken away, and perhaps given again."""
        return self._places.get((topic, partition)) is offsets

    @property
    def pending(self) -> int:
        """Parked events that are not acknowledged, of all partitions."""
        return sum(offsets.pending for offsets in self._places.values())

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are somebody else's, or start anew."""
        for each in partitions:
            self._places.pop((each.topic, each.partition), None)
            self._stored.pop((each.topic, each.partition), None)

    def capped(self, given: TopicPartition) -> TopicPartition:
        """`given` as it may be committed; the application is through with all before it."""
        offsets = self.get(given.topic, given.partition)
        if offsets is None or given.offset < 0:
            return given
        return _with_offset(given, offsets.done(given.offset))

    def position(self, given: TopicPartition) -> TopicPartition:
        """A position of the client, capped, since positions are what transactions commit."""
        offsets = self.get(given.topic, given.partition)
        if offsets is None or given.offset < 0:
            return given
        return _with_offset(given, offsets.cap(given.offset))

    def frontiers(self, partitions: Iterable[TopicPartition] | None = None) -> list[TopicPartition]:
        """What may be committed now, of these partitions or of all."""
        places = (
            list(self._places)
            if partitions is None
            else [(each.topic, each.partition) for each in partitions]
        )
        found: list[TopicPartition] = []
        for topic, partition in places:
            offsets = self.get(topic, partition)
            frontier = None if offsets is None else offsets.frontier()
            if frontier is not None:
                found.append(TopicPartition(topic, partition, frontier))
        return found

    def done(self) -> list[TopicPartition]:
        """How far the application is through with each partition, parked events apart."""
        return [
            TopicPartition(*place, offsets.done_to)
            for place, offsets in self._places.items()
            if offsets.done_to is not None
        ]

    def handled(self, places: Iterable[Place]) -> list[TopicPartition]:
        """What a transaction commits that parked its events itself."""
        found: list[TopicPartition] = []
        for topic, partition in places:
            offsets = self.get(topic, partition)
            upto = None if offsets is None else offsets.handled()
            if upto is not None:
                found.append(TopicPartition(topic, partition, upto))
        return found

    def store(self, client: Consumer) -> None:
        """Let the client commit, when it does by itself, what may be committed by now."""
        changed: list[TopicPartition] = []
        for place, offsets in self._places.items():
            frontier = offsets.frontier()
            if frontier is not None and self._stored.get(place) != frontier:
                self._stored[place] = frontier
                changed.append(TopicPartition(*place, frontier))
        _store_offsets(client, changed)


def _store_offsets(client: Consumer, offsets: list[TopicPartition]) -> None:
    """Store each offset; those of partitions that are gone by now are nobody's loss."""
    if not offsets:
        return
    try:
        client.store_offsets(offsets=offsets)
    except KafkaException:
        for each in offsets:
            try:
                client.store_offsets(offsets=[each])
            except KafkaException:
                continue


def _with_offset(given: TopicPartition, offset: int) -> TopicPartition:
    if offset == given.offset:
        return given
    if given.metadata is None:  # the client takes a str or nothing
        return TopicPartition(given.topic, given.partition, offset)
    return TopicPartition(given.topic, given.partition, offset, given.metadata)
