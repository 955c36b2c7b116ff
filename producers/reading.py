"""Reading a topic between fixed offsets, and to the end of it whatever gaps there are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from .codes import PARTITION_EOF, settled
from .connection import ConfigMap, reader_config

__all__ = ["BoundedReader", "Span"]

_GROUP = "streamwarden-reader"
_BATCH = 500
_SLICE_S = 0.2


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of one partition, `first` inclusive, `end` exclusive."""

    first: int
    end: int


class BoundedReader:
    """Reads committed records and leaves no trace: no group, no commits. A context manager.

    Everything ends by `deadline` (monotonic), with TimeoutError; the client's own errors are
    raised as KafkaException.
    """

    def __init__(self, config: ConfigMap, *, deadline: float) -> None:
        self.deadline = deadline
        self._client = Consumer(reader_config(config, _GROUP))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def left_s(self) -> float:
        """Seconds until the deadline. Raises TimeoutError when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for reading is over")
        return left

    def cluster_id(self) -> str:
        """What the cluster calls itself."""
        return self._client.list_topics(timeout=self.left_s()).cluster_id or ""

    def metadata(self, topic: str) -> Any | None:
        """The client's TopicMetadata; None for a topic that is not there."""
        # All topics, since naming one may create it.
        return self._client.list_topics(timeout=self.left_s()).topics.get(topic)

    def bounds(self, topic: str) -> dict[int, Span]:
        """The offsets that are there now, of each partition; {} for a topic that is not there.

        The end is the last stable offset: what an open transaction has written lies beyond.
        """
        found = self.metadata(topic)
        if found is None:
            return {}
        spans: dict[int, Span] = {}
        for number in sorted(found.partitions):
            place = TopicPartition(topic, number)
            self.left_s()
            spans[number] = Span(*settled(partial(self._bounds_of, place), self.deadline))
        return spans

    def _bounds_of(self, place: TopicPartition, timeout_s: float) -> tuple[int, int]:
        return self._client.get_watermark_offsets(place, timeout_s)

    def since(self, topic: str, spans: Mapping[int, Span], timestamp: int) -> dict[int, Span]:
        """`spans` from the first record on whose timestamp (ms) is `timestamp` or later."""
        asked = [TopicPartition(topic, number, max(timestamp, 0)) for number in spans]
        later: dict[int, Span] = {}
        for found in self._client.offsets_for_times(asked, timeout=self.left_s()):
            span = spans[found.partition]
            first = span.end if found.offset < 0 else max(found.offset, span.first)
            later[found.partition] = Span(first, span.end)
        return later

    def read(self, topic: str, spans: Mapping[int, Span]) -> Iterator[Message]:
        """Every record of `spans`, each partition in order, partitions as they come."""
        ends = {number: span.end for number, span in spans.items() if span.first < span.end}
        if not ends:
            return
        self._client.assign(
            [TopicPartition(topic, number, spans[number].first) for number in sorted(ends)]
        )
        try:
            while ends:
                for message in self._client.consume(_BATCH, min(self.left_s(), _SLICE_S)):
                    yield from self._one(message, ends)
        finally:
            self._client.unassign()

    def _one(self, message: Message, ends: dict[int, int]) -> Iterator[Message]:
        number, offset, error = message.partition(), message.offset(), message.error()
        if number is None or number not in ends:
            return
        if error is not None:
            if error.code() != PARTITION_EOF:
                raise KafkaException(error)
            del ends[number]  # behind the last record there may be markers only
            return
        assert offset is not None
        if offset < ends[number]:
            yield message
        if offset >= ends[number] - 1:
            del ends[number]
