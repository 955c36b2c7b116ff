"""The guarded consumer for asyncio, on the broker inside the process."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from streamwarden.consumers.async_consumer import AsyncGuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError
from streamwarden.producers.async_producer import AsyncGuardedProducer
from tests.guards import BAD, CARD, CLEAN, LARGE, event, guard_for
from tests.servers.topics import Record

Send = Callable[..., None]
Committed = Callable[..., list[int]]
Records = Callable[[str], list[Record]]
Make = Callable[..., AsyncGuardedConsumer]


@pytest.fixture
def make(broker: EmbeddedBroker, tmp_path: Path) -> Make:
    """Make consumers, to be used in `async with`."""

    def make_one(config: dict[str, Any] | None = None, **settings: Any) -> AsyncGuardedConsumer:
        guard = settings.pop("guard", None) or guard_for(tmp_path / "policies", "payments")
        base = {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "g",
            "auto.offset.reset": "earliest",
            "log_level": 0,
            "fetch.wait.max.ms": 20,
        }
        return AsyncGuardedConsumer({**base, **(config or {})}, guard=guard, **settings)

    return make_one


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main, 60))


@pytest.mark.slow
def test_what_passes_is_handed_on_and_the_rest_is_parked(
    make: Make, send: Send, records: Records, committed: Committed
) -> None:
    """Masked views, decisions beside them, headers kept; offsets go past what is parked."""
    send([CLEAN, BAD, CARD, LARGE], headers=[("h", b"v")])

    async def main() -> None:
        async with make() as consumer:
            await consumer.subscribe(["payments"])
            first = await consumer.poll(30)
            assert isinstance(first, GuardedMessage)
            assert (first.value(), first.headers()) == (CLEAN, [("h", b"v")])
            (second,) = await consumer.consume(10, 30)
            assert isinstance(second, GuardedMessage)
            assert second.decision.effect == "mask"
            assert b"4111111111111111" not in second.value()
            assert await consumer.poll(0.2) is None

    run(main())
    assert [r.value for r in records("quarantine.payments")] == [BAD]
    assert [r.value for r in records("held.payments")] == [LARGE]
    assert committed()[0] == 4


def test_a_run_awaits_its_handler(make: Make, send: Send, committed: Committed) -> None:
    """One event after another; the handler may use the consumer meanwhile."""
    send([event(n=number) for number in range(20)])
    seen: list[bytes] = []

    async def main() -> int:
        async with make() as consumer:
            await consumer.subscribe(["payments"])

            @consumer.handler
            async def handle(message: GuardedMessage) -> None:
                await asyncio.sleep(0)
                assert len(await consumer.assignment()) == 2
                seen.append(message.value())

            return await consumer.run(max_messages=20)

    assert run(main()) == 20
    assert seen == [event(n=number) for number in range(20)]
    assert committed()[0] == 20


def test_a_run_without_anything_to_read_is_refused(make: Make) -> None:
    """It would wait for ever."""

    async def main() -> None:
        async with make() as consumer:
            for asked in ({}, {"until_end": True}):
                with pytest.raises(ConfigurationError, match="nothing to read"):
                    await consumer.run(print, **asked)

    run(main())


def test_calls_get_their_turn_while_a_run_waits(make: Make) -> None:
    """Also from tasks besides the handler; closing ends the run."""

    async def main() -> None:
        consumer = make()
        await consumer.subscribe(["payments"])
        running = asyncio.create_task(consumer.run(print))
        await asyncio.sleep(0)
        while not await consumer.assignment():
            await asyncio.sleep(0.01)
        await consumer.close()
        assert await running == 0

    run(main())


@pytest.mark.slow
def test_a_second_close_waits_for_the_first(make: Make, send: Send, committed: Committed) -> None:
    """Also where both wait for a run to end: it is closed once, and then it is."""
    send([CLEAN])

    async def main() -> None:
        handled = asyncio.Event()
        consumer = make()
        await consumer.subscribe(["payments"])

        def handle(_message: GuardedMessage) -> None:
            handled.set()

        running = asyncio.create_task(consumer.run(handle))
        await handled.wait()
        closing = [asyncio.create_task(consumer.close()) for _ in range(2)]
        await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
        assert committed()[0] == 1
        await asyncio.gather(*closing)
        assert await running == 1

    run(main())


@pytest.mark.slow
def test_a_run_can_follow_one_whose_handler_was_cancelled(make: Make, send: Send) -> None:
    """By what it awaited, and not by whoever runs it: the event is not done, and comes again."""
    send([CLEAN])

    async def main() -> None:
        async with make() as consumer:
            await consumer.subscribe(["payments"])

            async def handle(_message: GuardedMessage) -> None:
                raise asyncio.CancelledError

            def pass_on(_message: GuardedMessage) -> None:
                """Handled."""

            with pytest.raises(asyncio.CancelledError):
                await consumer.run(handle)
            assert await consumer.run(pass_on, max_messages=1) == 1

    run(main())


@pytest.mark.slow
def test_it_can_be_closed_after_the_producer_that_it_shares(
    make: Make, send: Send, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """It leaves its group in whichever order they are closed."""
    send([CLEAN])
    config = {"bootstrap.servers": broker.bootstrap, "log_level": 0, "transactional.id": "x"}

    async def main() -> None:
        producer = AsyncGuardedProducer(config, guard=guard_for(tmp_path / "shared", "payments"))
        consumer = make(producer=producer)
        await producer.init_transactions(30)
        await producer.begin_transaction()
        await consumer.subscribe(["payments"])
        assert isinstance(await consumer.poll(30), GuardedMessage)

        await producer.close()
        await consumer.close()

        with pytest.raises(RuntimeError, match="closed"):
            await consumer.memberid()

    run(main())


def test_a_handler_that_raises_is_tried_again_then_stops_the_run(
    make: Make, send: Send, committed: Committed
) -> None:
    """With the position before the event."""
    send([CLEAN] * 3)
    attempts: list[int] = []

    async def handle(message: GuardedMessage) -> None:
        attempts.append(message.offset())
        if message.offset() == 1:
            raise ValueError("no")

    async def main() -> None:
        async with make(handler_retries=2, handler_backoff_s=0.01) as consumer:
            await consumer.subscribe(["payments"])
            with pytest.raises(ValueError, match="no"):
                await consumer.run(handle)

    run(main())
    assert attempts == [0, 1, 1, 1]
    assert committed()[0] == 1


def test_or_the_event_is_parked(
    make: Make, send: Send, records: Records, committed: Committed
) -> None:
    """`on_handler_error="quarantine"`; the run goes on."""
    send([CLEAN] * 3)

    async def handle(message: GuardedMessage) -> None:
        if message.offset() == 1:
            raise ValueError("no")

    async def main() -> int:
        settings: dict[str, Any] = {"on_handler_error": "quarantine", "handler_retries": 0}
        async with make(**settings) as consumer:
            await consumer.subscribe(["payments"])
            return await consumer.run(handle, max_messages=3)

    assert run(main()) == 3
    assert len(records("quarantine.payments")) == 1
    assert committed()[0] == 3


def test_a_cancelled_run_cancels_the_handler_whose_event_is_not_done(
    make: Make, send: Send, committed: Committed
) -> None:
    """What was handled before is committed; nothing runs on."""
    send([CLEAN] * 3)
    seen: list[str] = []

    async def main() -> None:
        reached = asyncio.Event()

        async def handle(message: GuardedMessage) -> None:
            if message.offset() == 1:
                reached.set()
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    seen.append("cancelled")
                    raise
            seen.append("handled")

        async with make() as consumer:
            await consumer.subscribe(["payments"])
            running = asyncio.create_task(consumer.run(handle))
            await reached.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert seen == ["handled", "cancelled"]

    run(main())
    assert committed()[0] == 1


def test_a_cancelled_poll_loses_nothing(make: Make, send: Send, committed: Committed) -> None:
    """What it had read comes with the next one, or is read again."""

    async def main() -> None:
        async with make() as consumer:
            await consumer.subscribe(["payments"])
            while not await consumer.assignment():
                await consumer.poll(0.1)
            send([event(n=number) for number in range(100)])
            got: list[bytes] = []
            timeouts = itertools.cycle([0.0, 0.0005, 0.001, 0.005, 10.0])
            while len(got) < 100:
                try:
                    message = await asyncio.wait_for(consumer.poll(), next(timeouts))
                except TimeoutError:
                    continue
                assert isinstance(message, GuardedMessage)
                got.append(message.value())
            assert got == [event(n=number) for number in range(100)]

    run(main())
    assert committed()[0] == 100


def test_what_a_cancelled_poll_had_read_is_not_committed(
    make: Make, send: Send, committed: Committed
) -> None:
    """Nobody has it, so that the next member reads it."""
    send([CLEAN])

    async def main() -> None:
        async with make() as consumer:
            await consumer.subscribe(["payments"])
            core: Any = vars(consumer)["_core"]
            polling = asyncio.create_task(consumer.poll())
            while vars(core)["_reader"].assigned.get("payments", 0) is None:
                await asyncio.sleep(0)
            polling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await polling

    run(main())
    assert committed()[0] < 1


def test_the_loop_goes_on_while_a_poll_waits(make: Make) -> None:
    """However long it waits."""

    async def main() -> None:
        async with make() as consumer:
            await consumer.subscribe(["payments"])
            polling = asyncio.create_task(consumer.poll(1.0))
            turns, until = 0, time.monotonic() + 0.5
            while time.monotonic() < until:
                await asyncio.sleep(0.01)
                turns += 1
            assert turns > 5
            assert await polling is None

    run(main())


def test_callbacks_of_rebalances_may_use_the_consumer(make: Make, send: Send) -> None:
    """They are awaited where they are coroutine functions, before reading goes on."""
    send([event(n=number) for number in range(5)])

    async def main() -> None:
        consumer = make()
        revoked: list[int] = []

        async def assigned(given: Any, partitions: list[TopicPartition]) -> None:
            assert given is consumer
            await given.assign([TopicPartition(p.topic, p.partition, 3) for p in partitions])

        def gone(_given: Any, partitions: list[TopicPartition]) -> None:
            revoked.append(len(partitions))

        async with consumer:
            await consumer.subscribe(["payments"], on_assign=assigned, on_revoke=gone)
            message = await consumer.poll(30)
            assert message is not None
            assert message.value() == event(n=3)
        assert revoked == [2]

    run(main())


def test_a_handler_cannot_close_its_consumer(make: Make, send: Send) -> None:
    """It would wait for itself."""
    send([CLEAN])

    async def main() -> None:
        async with make(handler_retries=0) as consumer:
            await consumer.subscribe(["payments"])

            async def handle(_message: GuardedMessage) -> None:
                await consumer.close()

            with pytest.raises(ConfigurationError, match="cannot close"):
                await consumer.run(handle)

    run(main())


def test_a_loop_that_ends_ends_the_run(make: Make, send: Send, committed: Committed) -> None:
    """Nothing hangs on, though nobody closed anything; the event is read again."""
    send([CLEAN])

    async def main() -> None:
        reached = asyncio.Event()

        async def handle(_message: GuardedMessage) -> None:
            reached.set()
            await asyncio.sleep(3600)

        consumer = make()
        await consumer.subscribe(["payments"])
        consumers.append(consumer)
        runs.append(asyncio.create_task(consumer.run(handle)))
        await reached.wait()

    consumers: list[AsyncGuardedConsumer] = []
    runs: list[asyncio.Task[int]] = []
    run(main())

    assert runs[0].cancelled()
    vars(consumers[0])["_core"].close()
    assert committed()[0] < 1
