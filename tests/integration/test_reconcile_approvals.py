"""Approvals on a real Kafka: honest ones are found wherever they are recorded, others are forged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.guard import Guard
from streamwarden.producers.quarantine import Quarantine, Selection
from streamwarden.producers.release import release
from streamwarden.producers.reviews import Signature

from ..servers.topics import Kafka, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, delete_below, versions_of

ANN = (Signature("ann", "by phone"),)
CARD = "4111111111111111"
POLICY = """policy: limits
owner: team
topics: [{topic}, {other}]
rules:
  - {{id: wait, when: value.amount > 10, effect: hold}}
  - {{id: card, when: has(value.card), effect: mask, mask: [{{field: value.card, with: last4}}]}}
"""


class World:
    """Two topics, with parking topics that are like no others in the cluster."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.topic, self.other = unique_name("t"), unique_name("t")
        tag = unique_name("w")
        for name in (self.topic, self.other):
            create_topic(bootstrap, name)
            for kind in ("quarantine", "held"):
                create_topic(bootstrap, f"{kind}-{tag}.{name}")
        self.held = f"held-{tag}.{self.topic}"
        self.store = DirectoryStore(folder / "store", name="b")
        settings = f'quarantine: "quarantine-{tag}.{{topic}}"\nheld: "held-{tag}.{{topic}}"\n'
        policy = POLICY.format(topic=self.topic, other=self.other)
        (self.today,) = versions_of(self.store, make_bundle(policy, settings=settings))
        self.plant = Planter(bootstrap, self.topic, self.store)
        self.folder = folder

    def release(self, offset: int, *, to: str | None = None) -> None:
        """Let one held event go."""
        config = {"bootstrap.servers": self.bootstrap, "log_level": 0}
        quarantine = Quarantine(config, Guard(self.today), self.topic)
        report = release(quarantine, Selection(at=frozenset({(0, offset)})), signatures=ANN, to=to)
        assert report.counts == {"released": 1}

    def stamp_at(self, topic: str, offset: int) -> str:
        """The stamp of one record."""
        config = {"bootstrap.servers": self.bootstrap, "group.id": "none", "log_level": 0}
        consumer = Consumer(config)
        try:
            consumer.assign([TopicPartition(topic, 0, offset)])
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            headers: dict[str, Any] = dict(message.headers() or ())
        finally:
            consumer.close()
        stamp = headers["streamwarden"]
        assert isinstance(stamp, bytes)
        return stamp.decode()

    def found(self, topic: str) -> tuple[dict[int, str], int]:
        """Findings in `topic` by offset, and how many stamps could not be verified."""
        planter = Planter(self.bootstrap, topic, self.store)
        path = self.folder / "findings.jsonl"
        report = planter.reconcile(findings=path)
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        kinds = {line["offset"]: str(line["kind"]) for line in lines if line["topic"] == topic}
        assert len(kinds) == len(lines)
        return kinds, report.account.unverifiable


@pytest.fixture
def world(kafka: Kafka, tmp_path: Path) -> World:
    """Topics of its own."""
    return World(kafka.bootstrap, tmp_path)


def test_honest_approvals_are_told_from_others(world: World) -> None:
    """Released to the topic or another one, masked or not: none is accused. Copies and lies are."""
    plant = world.plant
    for value in ({"amount": 20}, {"amount": 30, "card": CARD}, {"amount": 40}):
        plant.guarded(world.today, value, key=b"k", partition=0)
    world.release(0)
    world.release(1)
    world.release(2, to=world.other)
    elsewhere = Planter(world.bootstrap, world.other)
    honest = world.stamp_at(world.other, 0)
    assert ";hold;" in honest
    assert ";ap=" in honest

    assert world.found(world.topic) == ({}, 0)
    assert world.found(world.other) == ({}, 0)

    copied = world.stamp_at(world.topic, 0)
    _, _, copy = plant.bypass({"amount": 500}, stamp=copied, key=b"k")
    _, _, made_up = plant.bypass({"amount": 20}, stamp=copied.rpartition("=")[0] + "=made-up")
    _, _, moved = elsewhere.bypass({"amount": 20}, stamp=copied, key=b"k")

    assert world.found(world.topic) == ({copy: "forged", made_up: "forged"}, 0)
    assert world.found(world.other) == ({moved: "forged"}, 0)


def test_what_may_have_been_recorded_is_unverifiable(world: World) -> None:
    """Where records of the held topic are gone, nothing is held against an id, and it is counted."""
    plant = world.plant
    plant.guarded(world.today, {"amount": 20}, partition=0)
    world.release(0)
    stamp = world.stamp_at(world.topic, 0)
    plant.bypass({"amount": 20}, stamp=stamp.rpartition("=")[0] + "=made-up")

    delete_below(world.bootstrap, world.held, 0, 1)

    assert world.found(world.topic) == ({}, 2)
