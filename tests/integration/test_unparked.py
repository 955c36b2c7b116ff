"""What is said of refused events that could not be parked: which topic is meant, and what to do."""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streamwarden import (
    AsyncGuardedConsumer,
    AsyncGuardedProducer,
    GuardedMessage,
    GuardedProducer,
)
from tests.guards import BAD, CLEAN, Told, guard_for
from tests.servers.topics import Kafka, MakeTopic, unique_name

WAIT_S = 60.0
#: In transactions the client looks for a topic as long as the transaction may last.
SHORT: dict[str, Any] = {"transaction.timeout.ms": 2000}


def missing(topic: str) -> str:
    return (
        f"an event for {topic} was refused and could not be parked: there is no topic "
        f"`quarantine.{topic}`; make it (`streamwarden topics ensure --topic {topic}`)"
    )


def unparked_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "streamwarden.unparked"]


def config_of(kafka: Kafka, **more: Any) -> dict[str, Any]:
    return {"bootstrap.servers": kafka.bootstrap, "log_level": 0, **more}


def test_a_missing_parking_topic_is_named_with_what_makes_it(
    kafka: Kafka, make_topic: MakeTopic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """To the callback, to whoever awaits the delivery, and in one line of the log each."""
    topic, told = make_topic("payments"), Told()

    with GuardedProducer(config_of(kafka), guard=guard_for(tmp_path / "a", topic)) as producer:
        for _ in range(3):
            producer.produce(topic, BAD, on_delivery=told)
        assert producer.flush(WAIT_S) == 0

    async def main() -> KafkaError:
        guard = guard_for(tmp_path / "b", topic)
        async with AsyncGuardedProducer(config_of(kafka), guard=guard) as producer:
            for _ in range(3):
                await producer.produce(topic, BAD)  # nobody waits for it
            with pytest.raises(KafkaException) as caught:
                await (await producer.produce(topic, BAD))
            error: KafkaError = caught.value.args[0]
            return error

    raised = asyncio.run(main())

    said = [(error.code(), error.str()) for error in (*told.errors, raised) if error is not None]
    assert said == [(KafkaError.UNKNOWN_TOPIC_OR_PART, missing(topic))] * 4
    assert [message.topic() for _, message in told.reports] == [topic] * 3
    assert unparked_lines(caplog) == [f"{missing(topic)}; the event is nowhere"] * 2
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_transaction_that_cannot_park_names_the_topic(
    kafka: Kafka, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """By then the client only says that the time is over."""
    topic = make_topic("payments")
    config = config_of(kafka, **SHORT, **{"transactional.id": unique_name("tx")})

    with GuardedProducer(config, guard=guard_for(tmp_path, topic)) as producer:
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
        producer.produce(topic, BAD)
        with pytest.raises(KafkaException) as caught:
            producer.commit_transaction(WAIT_S)
        error: KafkaError = caught.value.args[0]
        producer.abandon()

    assert error.txn_requires_abort()
    assert error.str().startswith("a record of the transaction was not written: an event for")
    assert f"`quarantine.{topic}`" in error.str()
    assert f"`streamwarden topics ensure --topic {topic}`" in error.str()


def test_a_run_in_transactions_says_what_undoes_them_and_nothing_else(
    kafka: Kafka, make_topic: MakeTopic, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The topic is in the line of each attempt; deliveries that nobody awaits are not told again."""
    topic, to = make_topic("payments"), make_topic("to")
    with Producer(config_of(kafka)) as raw:
        for _ in range(5):
            raw.produce(topic, CLEAN)
    reading = {"group.id": unique_name("g"), "auto.offset.reset": "earliest"}

    async def handle(_message: GuardedMessage, producer: AsyncGuardedProducer) -> None:
        await producer.produce(to, BAD)

    async def main() -> KafkaError:
        async with AsyncGuardedConsumer(
            config_of(kafka, **reading),
            guard=guard_for(tmp_path, topic, to),
            transactional_id=unique_name("tx"),
            parking=SHORT,
            handler_retries=1,
            handler_backoff_s=0.01,
        ) as consumer:
            await consumer.subscribe([topic])
            with pytest.raises(KafkaException) as caught:
                await consumer.run(handle)
            error: KafkaError = caught.value.args[0]
            return error

    with caplog.at_level(logging.WARNING):
        raised = asyncio.run(main())
        gc.collect()

    undone = [r.getMessage() for r in caplog.records if "is undone, attempt" in r.getMessage()]
    assert undone
    assert all(f"`quarantine.{to}`" in line for line in (*undone, raised.str()))
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio" or r.exc_info] == []
