"""A partition in memory behind the calls that reading makes, with the promises of the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamwarden.producers.codes import PARTITION_EOF

__all__ = ["FakeLog", "FakeMessage", "out_of_range"]

out_of_range = KafkaError._AUTO_OFFSET_RESET


@dataclass(slots=True)
class FakeMessage:
    """A message as the client gives it: a record, or an error at an offset."""

    at: int
    failure: KafkaError | None = None
    kind: int = 1
    name: str = "t"
    number: int = 0

    def error(self) -> KafkaError | None:
        return self.failure

    def offset(self) -> int:
        return self.at

    def topic(self) -> str:
        return self.name

    def partition(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return (self.kind, 1000 + self.at) if self.failure is None else (0, -1)

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return b"%d" % self.at

    def headers(self) -> list[tuple[str, bytes]] | None:
        return None


@dataclass
class FakeLog:
    """Records at `offsets`; `end` is the stable end, `start` where the log begins.

    Time passes only while a client waits. `script` may act before each poll: it is told how many
    came before.
    """

    offsets: Iterable[int]
    end: int
    start: int = 0
    batch: int = 3
    silent: bool = False
    now: float = 0.0
    polls: int = 0
    assigned: list[int] = field(default_factory=list[int])
    script: Callable[[FakeLog, int], FakeMessage | None] | None = None
    answers: bool = True
    _position: int = 0
    _told_end: bool = False

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def connect(self, _config: dict[str, Any]) -> FakeLog:
        return self

    def assign(self, partitions: list[TopicPartition]) -> None:
        (place,) = partitions
        self._position, self._told_end = place.offset, False
        self.assigned.append(place.offset)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        return topic, timeout

    def poll(self, timeout: float = -1) -> Any:
        self.polls += 1
        if self.script is not None:
            found = self.script(self, self.polls - 1)
            if found is not None:
                return found
        return None if self.silent else self._next(timeout)

    def _next(self, timeout: float) -> FakeMessage | None:
        if not self._told_end and not self.start <= self._position <= self.end:
            self._told_end = True
            return FakeMessage(self._position, KafkaError(out_of_range, "out of range"))
        for offset in self.offsets:
            if self._position <= offset < self.end and offset >= self.start:
                self._position = offset + 1
                return FakeMessage(offset)
        if self._told_end:
            self.now += timeout
            return None
        self._told_end = True
        return FakeMessage(self.end, KafkaError(PARTITION_EOF, "end"))

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Any]:
        assert (num_messages, timeout) == (99, 0)
        found: list[Any] = []
        while len(found) < self.batch - 1:
            before = (self._position, self._told_end)
            message = None if self.silent else self._next(0)
            if message is None:
                self._position, self._told_end = before
                break
            found.append(message)
        return found

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int] | None:
        assert partition.partition == 0
        assert not cached
        if not self.answers:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"after {timeout}"))
        return self.start, self.end

    def close(self) -> None:
        self.assigned.append(-1)
