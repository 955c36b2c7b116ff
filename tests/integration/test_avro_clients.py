"""Confluent's own Avro serializers around the guarded clients, on a real Kafka and registry."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamwarden import (
    Guard,
    GuardedConsumer,
    GuardedDeserializingConsumer,
    GuardedProducer,
    GuardedSerializingProducer,
    SchemaUnavailableError,
)
from streamwarden.policy.model import Effect
from streamwarden.producers.topics import ensure_topics
from streamwarden.schemas.framing import with_id
from streamwarden.schemas.pull import pull

from ..servers.registry import RegistryServer
from ..servers.topics import ConsumeAll, Kafka, MakeTopic

pytest.importorskip("authlib", reason="the registry client's own dependencies are not installed")

SCHEMA = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "amount", "type": "double"},
        {"name": "card", "type": ["null", "string"], "default": None},
    ],
}
POLICY = """\
policy: p
owner: o
topics: ["{topic}"]
rules:
  - {{id: big, when: value.amount > 1000.0, effect: reject}}
  - {{id: card, when: value.card != null, effect: mask,
     mask: [{{field: value.card, with: last4}}]}}
"""
CLEAN = {"id": "p-1", "amount": 5.0, "card": None}
CARD = {"id": "p-2", "amount": 6.0, "card": "4111111111111111"}
BIG = {"id": "p-3", "amount": 5000.0, "card": None}


@dataclass(frozen=True)
class Place:
    """A topic with parking topics, its policies, and a client of the registry."""

    topic: str
    policies: Path
    config: dict[str, Any]
    registry: Any

    def producer(self, guard: Guard) -> GuardedSerializingProducer:
        from confluent_kafka.schema_registry import topic_subject_name_strategy
        from confluent_kafka.schema_registry.avro import AvroSerializer

        named = {"subject.name.strategy": topic_subject_name_strategy}
        make: Any = AvroSerializer  # whose signature checkers cannot see
        serializer = make(self.registry, json.dumps(SCHEMA), conf=named)
        config = {**self.config, "linger.ms": 0, "value.serializer": serializer}
        return GuardedSerializingProducer(config, guard=guard)

    def consumer(self, guard: Guard) -> GuardedDeserializingConsumer:
        from confluent_kafka.schema_registry.avro import AvroDeserializer

        make: Any = AvroDeserializer
        config = {
            **self.config,
            "group.id": f"g-{self.topic}",
            "auto.offset.reset": "earliest",
            "value.deserializer": make(self.registry),
        }
        return GuardedDeserializingConsumer(config, guard=guard)


@pytest.fixture
def place(
    kafka: Kafka, make_topic: MakeTopic, registry: RegistryServer, tmp_path: Path
) -> Generator[Place]:
    from confluent_kafka.schema_registry import SchemaRegistryClient

    topic = make_topic("avro")
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "p.yaml").write_text(POLICY.format(topic=topic))
    config = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
    ensure_topics(config, Guard.from_directory(policies), [topic])
    with closing(SchemaRegistryClient({"url": registry.url})) as client:
        yield Place(topic, policies, config, client)


def test_objects_go_through_policy_and_back(
    place: Place, registry: RegistryServer, consume_all: ConsumeAll
) -> None:
    """Written by one serializer, judged and masked as bytes, read by the other."""
    guard = Guard.from_directory(place.policies, schemas=registry.url)
    with place.producer(guard) as producer:
        decisions = [producer.produce(place.topic, "k", value) for value in (CLEAN, CARD, BIG)]

    assert [each.effect for each in decisions] == [Effect.ALLOW, Effect.MASK, Effect.REJECT]
    assert decisions[1].to_dict()["schema"]["subject"] == f"{place.topic}-value"
    seen: list[Any] = []
    with place.consumer(guard) as consumer:
        consumer.subscribe([place.topic])
        assert consumer.run(lambda message: seen.append(message.value()), max_messages=2) == 2
    guard.close()
    assert seen == [CLEAN, {**CARD, "card": "************1111"}]
    (parked,) = consume_all(f"quarantine.{place.topic}")
    assert parked.value == decisions[2].event.value


def test_pulled_schemas_decide_as_the_registry_does(
    place: Place, registry: RegistryServer, tmp_path: Path
) -> None:
    """The same bytes, without a registry at hand."""
    online = Guard.from_directory(place.policies, schemas=registry.url)
    with place.producer(online) as producer:
        made = [producer.produce(place.topic, "k", value) for value in (CLEAN, CARD, BIG)]
    online.close()
    pull(registry.url, tmp_path / "schemas", [f"{place.topic}-value"])
    offline = Guard.from_directory(place.policies, schemas=tmp_path / "schemas")

    again = [offline.decide(topic=place.topic, value=each.event.value) for each in made]

    assert [(d.effect, d.masked_value) for d in made] == [(d.effect, d.masked_value) for d in again]


def test_a_registry_that_is_gone_is_told_to_the_caller(
    place: Place, consume_all: ConsumeAll
) -> None:
    """Nothing is sent, nothing is parked: the event is with the caller."""
    guard = Guard.from_directory(place.policies, schemas="http://127.0.0.1:9")
    with place.producer(guard) as producer:
        with pytest.raises(SchemaUnavailableError, match="cannot be reached"):
            producer.produce(place.topic, "k", CLEAN)
        assert producer.flush(10) == 0
    guard.close()

    assert consume_all(place.topic) == []
    assert consume_all(f"quarantine.{place.topic}") == []


def silent(*_: object) -> None:
    """A delivery report that nobody reads."""


@pytest.fixture
def silenced(registry: RegistryServer) -> Generator[RegistryServer]:
    """The shared registry, running again afterwards."""
    yield registry
    registry.resume()


def test_bytes_that_no_schema_reads_are_quarantined_as_they_are(
    place: Place, registry: RegistryServer, consume_all: ConsumeAll
) -> None:
    """An id that nobody gave, bytes that break off anywhere: undecodable, and none of them lost."""
    guard = Guard.from_directory(place.policies, schemas=registry.url)
    with place.producer(guard) as producer:
        whole = producer.produce(place.topic, "k", CARD).event.value
    assert whole is not None
    odd = [with_id(2_000_000_000, whole[5:]), *(whole[:end] for end in range(1, len(whole)))]
    with GuardedProducer({**place.config, "linger.ms": 0}, guard=guard) as plain:
        decisions = [plain.produce(place.topic, each, "k", on_delivery=silent) for each in odd]
    guard.close()

    assert {decision.effect for decision in decisions} == {Effect.REJECT}
    assert all(decision.undecodable for decision in decisions)
    assert [record.value for record in consume_all(f"quarantine.{place.topic}")] == odd
    assert len(consume_all(place.topic)) == 1


def test_a_silent_registry_is_waited_for_and_nothing_is_lost(
    place: Place, silenced: RegistryServer, consume_all: ConsumeAll
) -> None:
    """A producer is told within its deadline, a consumer stops before the event and goes on later."""
    guard = Guard.from_directory(place.policies, schemas=silenced.url)
    with place.producer(guard) as producer:
        made = [producer.produce(place.topic, "k", value) for value in (CLEAN, CARD, CLEAN)]
    guard.close()
    silenced.pause()

    new = Guard.from_directory(place.policies, schemas=silenced.url, schema_timeout_s=0.5)
    with GuardedProducer(place.config, guard=new) as plain:
        with pytest.raises(SchemaUnavailableError, match="did not answer within"):
            plain.produce(place.topic, made[0].event.value, "k")
        assert plain.flush(10) == 0
    new.close()
    config = {**place.config, "group.id": f"g-{place.topic}", "auto.offset.reset": "earliest"}
    seen: list[int | None] = []
    impatient = Guard.from_directory(
        place.policies, schemas=silenced.url, schema_timeout_s=0.5, schema_wait_s=0
    )
    with GuardedConsumer(config, guard=impatient) as consumer:
        consumer.subscribe([place.topic])
        with pytest.raises(SchemaUnavailableError):
            consumer.run(lambda message: seen.append(message.offset()), until_end=True)
    impatient.close()
    assert seen == []
    patient = Guard.from_directory(place.policies, schemas=silenced.url, schema_timeout_s=0.5)
    threading.Timer(2.0, silenced.resume).start()
    with GuardedConsumer(config, guard=patient) as consumer:
        consumer.subscribe([place.topic])
        consumer.run(lambda message: seen.append(message.offset()), until_end=True)
    patient.close()

    assert seen == [0, 1, 2]
    assert patient.counters["schema/waited"] >= 1
    assert consume_all(f"quarantine.{place.topic}") == []
