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
ANSWER_S = 30.0


@pytest.fixture
def broker(embedded_broker: EmbeddedBroker) -> EmbeddedBroker:
    for topic in TOPICS:
        embedded_broker.create_topic(topic, 4)
    return embedded_broker


@pytest.fixture
def make_producer(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Callable[..., GuardedProducer]]:
    """Make guarded producers, closed at the end of the test.

    What they ask the broker is answered, however busy the machine is: half a second, which callers
    are made to wait for it, may then be too short.
    """
    monkeypatch.setattr("streamwarden.producers.record_time._ASK_TIMEOUT_S", ANSWER_S)
    monkeypatch.setattr("streamwarden.producers.parking._METADATA_TIMEOUT_S", ANSWER_S)
    with ExitStack() as stack:

        def make(config: dict[str, Any] | None = None, **settings: Any) -> GuardedProducer:
            guard = settings.pop("guard", None) or guard_for(tmp_path / "policies", "payments")
            settings.setdefault("queue_full_wait_s", ANSWER_S)
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
