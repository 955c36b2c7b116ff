"""Guarded consumers on the broker inside the process, and events for them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.embedded import EmbeddedBroker
from tests.guards import guard_for
from tests.servers.topics import Record, read_topic

TOPICS = ("payments", "held.payments", "quarantine.payments")


@pytest.fixture
def broker(embedded_broker: EmbeddedBroker) -> EmbeddedBroker:
    for topic in TOPICS:
        embedded_broker.create_topic(topic, 2)
    return embedded_broker


@pytest.fixture
def send(broker: EmbeddedBroker) -> Callable[..., None]:
    """Send values to `payments` without a guard, partition 0 unless said."""

    def send_all(values: Iterable[bytes | None], partition: int = 0, **options: Any) -> None:
        producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0, "linger.ms": 0})
        for number, value in enumerate(values):
            producer.produce("payments", value, str(number), partition, **options)
        assert producer.flush(10) == 0

    return send_all


@pytest.fixture
def make_consumer(
    broker: EmbeddedBroker, tmp_path: Path
) -> Generator[Callable[..., GuardedConsumer]]:
    """Make guarded consumers, closed at the end of the test."""
    with ExitStack() as stack:

        def make(config: dict[str, Any] | None = None, **settings: Any) -> GuardedConsumer:
            guard = settings.pop("guard", None) or guard_for(tmp_path / "policies", "payments")
            base = {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "g",
                "auto.offset.reset": "earliest",
                "log_level": 0,
                # An idle broker answers at once, so that the end of a partition is told soon.
                "fetch.wait.max.ms": 20,
            }
            consumer = GuardedConsumer({**base, **(config or {})}, guard=guard, **settings)
            return stack.enter_context(consumer)

        yield make


@pytest.fixture
def records(broker: EmbeddedBroker) -> Callable[[str], list[Record]]:
    """All records of a topic."""
    return lambda topic: read_topic(broker.bootstrap, topic)


@pytest.fixture
def committed(broker: EmbeddedBroker) -> Callable[..., list[int]]:
    """Committed offsets of the group on `payments`, by partition."""

    def read(group: str = "g") -> list[int]:
        from confluent_kafka import Consumer

        client = Consumer(
            {"bootstrap.servers": broker.bootstrap, "group.id": group, "log_level": 0}
        )
        try:
            places = [TopicPartition("payments", 0), TopicPartition("payments", 1)]
            return [place.offset for place in client.committed(places, 10)]
        finally:
            client.close()

    return read
