"""What a callback of the producer may call: the client, asked the wrong thing there, ends the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from streamwarden.embedded import EmbeddedBroker
from streamwarden.producers.producer import GuardedProducer
from tests.guards import BAD, CLEAN, Told, guard_for
from tests.servers.topics import Record

Make = Callable[..., GuardedProducer]
Records = Callable[[str], list[Record]]

CALLS: dict[str, Callable[[GuardedProducer], object]] = {
    "poll": lambda producer: producer.poll(0),
    "flush": lambda producer: producer.flush(),
    "close": lambda producer: producer.close(),
    "list_topics": lambda producer: producer.list_topics(timeout=5),
    "cluster_id": lambda producer: producer.cluster_id(5),
    "init_transactions": lambda producer: producer.init_transactions(5),
    "commit_transaction": lambda producer: producer.commit_transaction(5),
    "abort_transaction": lambda producer: producer.abort_transaction(5),
}


@pytest.mark.parametrize("value", [CLEAN, BAD])
@pytest.mark.parametrize("name", CALLS)
def test_what_waits_for_the_client_is_refused_in_a_callback(
    make_producer: Make, name: str, value: bytes
) -> None:
    """The error comes from the poll that is under way, and all others are told."""
    producer, told = make_producer(), Told()

    def first(error: KafkaError | None, message: Any) -> None:
        told(error, message)
        CALLS[name](producer)

    producer.produce("payments", value, on_delivery=first)
    for _ in range(4):
        producer.produce("payments", value, on_delivery=told)
    with pytest.raises(RuntimeError, match=rf"`{name}\(\)` was called in a callback"):
        producer.flush(30)

    assert producer.flush(30) == 0
    assert len(told.reports) == 5


@pytest.mark.slow
def test_events_of_new_topics_can_be_produced_in_callbacks(
    broker: EmbeddedBroker, make_producer: Make, records: Records, tmp_path: Path
) -> None:
    """Brokers are asked nothing about them, refused ones included: they go by their keys."""
    for topic in ("others", "quarantine.others"):
        broker.create_topic(topic, 4)
    producer = make_producer(guard=guard_for(tmp_path, "payments", "others"))
    told = Told()

    def answer(_error: KafkaError | None, _message: Any) -> None:
        for value in (CLEAN, BAD):
            producer.produce("others", value, "k", 1, on_delivery=told)

    for value in (CLEAN, BAD):
        producer.produce("payments", value, "k", 1, on_delivery=answer)
    while producer.flush(30):
        pass

    assert len(records("others")) == 2
    assert len(records("quarantine.others")) == 2
    assert len(told.reports) == 4


def test_without_an_answer_about_the_first_topic_a_callback_can_use_a_second(
    make_producer: Make, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be asked is asked outside of callbacks only."""
    monkeypatch.setattr("streamwarden.producers.record_time._ASK_TIMEOUT_S", 0.0)
    monkeypatch.setattr("streamwarden.producers.record_time._SILENCE_S", 0.0)
    producer = make_producer()

    def answer(_error: KafkaError | None, _message: Any) -> None:
        producer.produce("held.payments", b"{}")

    producer.produce("payments", CLEAN, on_delivery=answer)
    while producer.flush(30):
        pass

    assert len(records("held.payments")) == 1
