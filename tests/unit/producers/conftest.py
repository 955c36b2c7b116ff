"""A guarded producer on the broker inside the process, with the topics that it needs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streamwarden.embedded import EmbeddedBroker
from streamwarden.producers.producer import GuardedProducer
from tests.guards import Told, guard_for
from tests.servers.topics import Record, read_topic

TOPICS = ("payments", "held.payments", "quarantine.payments")


@pytest.fixture
def broker(embedded_broker: EmbeddedBroker) -> EmbeddedBroker:
    for topic in TOPICS:
        embedded_broker.create_topic(topic, 4)
    return embedded_broker


@pytest.fixture
def make_producer(
    broker: EmbeddedBroker, tmp_path: Path
) -> Generator[Callable[..., GuardedProducer]]:
    """Make guarded producers, closed at the end of the test."""
    with ExitStack() as stack:

        def make(config: dict[str, Any] | None = None, **settings: Any) -> GuardedProducer:
            guard = settings.pop("guard", None) or guard_for(tmp_path / "policies", "payments")
            base = {"bootstrap.servers": broker.bootstrap, "log_level": 0, "linger.ms": 0}
            producer = GuardedProducer({**base, **(config or {})}, guard=guard, **settings)
            return stack.enter_context(producer)

        yield make


@pytest.fixture
def records(broker: EmbeddedBroker) -> Callable[[str], list[Record]]:
    """All records of a topic."""
    return lambda topic: read_topic(broker.bootstrap, topic)


@pytest.fixture
def told() -> Told:
    return Told()
