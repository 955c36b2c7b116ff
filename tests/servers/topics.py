"""Topics of a test's own, and reading one from end to end as plain tuples."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

__all__ = [
    "ConsumeAll",
    "Kafka",
    "MakeTopic",
    "Record",
    "create_topic",
    "leader_of",
    "read_topic",
    "unique_name",
]

TIMEOUT_S = 30.0


class Record(NamedTuple):
    """A record as it stands in the log; `timestamp` is in milliseconds."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int


class MakeTopic(Protocol):
    """The `make_topic` fixture: a new topic of the shared Kafka; its name begins with `prefix`."""

    def __call__(
        self, prefix: str = "t", *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> str: ...


class ConsumeAll(Protocol):
    """The `consume_all` fixture: `read_topic` on the shared Kafka."""

    def __call__(self, topic: str, *, isolation: str = "read_committed") -> list[Record]: ...


@dataclass(frozen=True, slots=True)
class Kafka:
    """The Kafka that a run's tests share, each with topics of its own."""

    bootstrap: str


def unique_name(prefix: str = "t") -> str:
    """A name that nothing else in this or another run has."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def create_topic(
    bootstrap: str,
    name: str,
    *,
    partitions: int = 1,
    config: Mapping[str, str] | None = None,
) -> str:
    """Make a topic, wait until each partition has a leader, and give its name back."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    topic = NewTopic(name, partitions, config=dict(config or {}))
    admin.create_topics([topic])[name].result(TIMEOUT_S)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = admin.list_topics(name, timeout=10).topics[name].partitions.values()
        if len(found) == partitions and all(p.leader >= 0 and p.error is None for p in found):
            return name
        if time.monotonic() > deadline:
            raise TimeoutError(f"topic {name} got no leaders")
        time.sleep(0.02)


def read_topic(
    bootstrap: str,
    topic: str,
    *,
    isolation: str = "read_committed",
    timeout_s: float = TIMEOUT_S,
) -> list[Record]:
    """All records from the beginning to the present end, by partition and offset.

    With read_committed, the end is before the first open transaction.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": unique_name("reader"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": isolation,
            "log_level": 0,
        }
    )
    try:
        partitions = list(consumer.list_topics(topic, timeout=timeout_s).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        return _read_until_the_end(consumer, set(partitions), timeout_s)
    finally:
        consumer.close()


def _read_until_the_end(consumer: Consumer, unfinished: set[int], timeout_s: float) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + timeout_s
    while unfinished:
        if time.monotonic() > deadline:
            raise TimeoutError(f"partitions {sorted(unfinished)} were not read to their ends")
        message = consumer.poll(0.2)
        if message is None:
            continue
        partition, offset, error = message.partition(), message.offset(), message.error()
        assert partition is not None
        assert offset is not None
        if error is None:
            headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
            stamp = message.timestamp()[1]
            record = Record(partition, offset, message.key(), message.value(), headers, stamp)
            records.append(record)
        elif error.code() == KafkaError._PARTITION_EOF:
            unfinished.discard(partition)
        else:
            raise KafkaException(error)
    return sorted(records, key=lambda record: record[:2])


def leader_of(admin: AdminClient, topic: str) -> int:
    """The node that leads partition 0, once the node that is asked has heard of it."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        partitions = admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
        if 0 in partitions and partitions[0].leader > 0:
            return partitions[0].leader
        time.sleep(0.05)
    raise AssertionError(f"no node leads `{topic}`")
