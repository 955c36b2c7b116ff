"""What only a real Kafka shows of the guarded clients for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaException

from streamwarden import AsyncGuardedConsumer, AsyncGuardedProducer, GuardedMessage
from streamwarden.producers.refusal import PolicyRejected
from tests.guards import BAD, CLEAN, LARGE, event
from tests.servers.topics import ConsumeAll, MakeTopic, unique_name

from .conftest import Guarded

Make = Callable[..., Guarded]


def group_of(guarded: Guarded, **settings: Any) -> dict[str, Any]:
    return {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
        **settings,
    }


def keys_of(consume_all: ConsumeAll, *topics: str) -> list[int]:
    return sorted(int(record.key or b"") for topic in topics for record in consume_all(topic))


async def send(guarded: Guarded, count: int) -> None:
    """Events with their number as the key; of every seven one is bad and one large."""
    async with AsyncGuardedProducer(guarded.config, guard=guarded.guard) as producer:
        await producer.produce_many(
            guarded.topic,
            [
                {"value": {3: BAD, 5: LARGE}.get(n % 7, event(n=n)), "key": str(n)}
                for n in range(count)
            ],
        )


def test_everything_is_delivered_parked_handled_once(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """From two tasks into one producer, and by two members of a group out of it."""
    guarded = make_guarded(2)
    refused = [n for n in range(2000) if n % 7 in (3, 5)]
    handled: list[int] = []

    async def handle(message: GuardedMessage) -> None:
        handled.append(int(message.key()))

    async def member(config: dict[str, Any]) -> None:
        async with AsyncGuardedConsumer(config, guard=guarded.guard) as consumer:
            await consumer.subscribe([guarded.topic])
            await consumer.run(handle, idle_timeout_s=3)

    async def main() -> None:
        await send(guarded, 2000)
        config = group_of(guarded)
        await asyncio.gather(member(config), member(config))

    asyncio.run(main())
    assert keys_of(consume_all, guarded.quarantine, guarded.held) == refused
    assert sorted(set(handled)) == [n for n in range(2000) if n not in set(refused)]


def test_exactly_once_with_a_coroutine_function(
    make_guarded: Make, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """What it writes, what is parked and the offsets are one transaction, also after it raised."""
    guarded, to = make_guarded(1), make_topic("to")
    failures = iter([True, False])

    async def handle(message: GuardedMessage, producer: AsyncGuardedProducer) -> None:
        delivery = await producer.produce(to, message.value(), message.key())
        refused = await producer.produce(guarded.topic, BAD, b"9999")
        assert not refused.decision.passes
        if message.offset() == 0:
            assert (await delivery).error() is None
            with pytest.raises(PolicyRejected):
                await refused
            if next(failures):
                raise ValueError("once")

    async def main() -> int:
        await send(guarded, 2)
        config = group_of(guarded)
        async with AsyncGuardedConsumer(
            config, guard=guarded.guard, transactional_id="async", handler_backoff_s=0.01
        ) as consumer:
            await consumer.subscribe([guarded.topic])
            return await consumer.run(handle, max_messages=2)

    assert asyncio.run(main()) == 2
    assert keys_of(consume_all, to) == [0, 1]
    assert keys_of(consume_all, guarded.quarantine) == [9999, 9999]


def test_transactions_by_hand_share_a_producer_with_its_consumer(
    make_guarded: Make, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """After an abort everything is read again, and what was parked is gone."""
    guarded, to = make_guarded(1), make_topic("to")

    async def main() -> None:
        await send(guarded, 7)
        settings = {**guarded.config, "transactional.id": unique_name("tx")}
        async with (
            AsyncGuardedProducer(settings, guard=guarded.guard) as producer,
            AsyncGuardedConsumer(
                group_of(guarded, **{"enable.auto.commit": False}),
                guard=guarded.guard,
                producer=producer,
            ) as consumer,
        ):
            await consumer.subscribe([guarded.topic])
            await producer.init_transactions(30)
            for commits in (False, True):
                await producer.begin_transaction()
                for _ in range(5):
                    message = await consumer.poll(30)
                    assert message is not None
                    await producer.produce(to, message.value(), message.key())
                assert await consumer.poll(1) is None
                if commits:
                    await producer.send_offsets_to_transaction(
                        await consumer.position(await consumer.assignment()),
                        await consumer.consumer_group_metadata(),
                        30,
                    )
                    await producer.commit_transaction(30)
                else:
                    await producer.abort_transaction(30)

    asyncio.run(main())
    assert keys_of(consume_all, to) == [0, 1, 2, 4, 6]
    assert keys_of(consume_all, guarded.quarantine, guarded.held) == [3, 5]


def test_a_broker_that_is_down_is_told_by_the_delivery(make_guarded: Make) -> None:
    """Neither the loop nor the event is lost."""
    guarded = make_guarded(1)
    config = {"bootstrap.servers": "127.0.0.1:9", "log_level": 0, "message.timeout.ms": 500}

    async def main() -> None:
        producer = AsyncGuardedProducer(config, guard=guarded.guard)
        delivery = await producer.produce(guarded.topic, CLEAN)
        with pytest.raises(KafkaException, match="timed out"):
            await delivery
        await producer.close(5)

    asyncio.run(main())
