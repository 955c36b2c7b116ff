"""Topics with their parking topics on a real Kafka, and a guard for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.guard import Guard
from streamwarden.producers.topics import ensure_topics
from tests.guards import guard_for
from tests.servers.topics import Kafka, MakeTopic


@dataclass(frozen=True)
class Guarded:
    """A topic of a real Kafka, its parking topics, and the guard that decides on it."""

    topic: str
    guard: Guard
    config: dict[str, Any]

    @property
    def held(self) -> str:
        return f"held.{self.topic}"

    @property
    def quarantine(self) -> str:
        return f"quarantine.{self.topic}"


@pytest.fixture
def make_guarded(kafka: Kafka, make_topic: MakeTopic, tmp_path: Path) -> Callable[..., Guarded]:
    """Make a topic with parking topics and a guard; `settings` are the guard's."""

    def make(
        partitions: int = 1,
        *,
        config: Mapping[str, str] | None = None,
        need: int = 1,
        bundle: str = "",
        policy: str = "",
        **settings: Any,
    ) -> Guarded:
        topic = make_topic("payments", partitions=partitions, config=config)
        guard = guard_for(
            tmp_path / topic, topic, need=need, bundle=bundle, policy=policy, **settings
        )
        client = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
        ensure_topics(client, guard, [topic])
        return Guarded(topic, guard, client)

    return make


@pytest.fixture
def guarded(make_guarded: Callable[..., Guarded]) -> Guarded:
    """One partition, one name needed to release."""
    return make_guarded()
