"""The guarded producer for asyncio, on the broker inside the process."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError
from streamwarden.policy.model import Effect
from streamwarden.producers.async_producer import AsyncGuardedProducer
from streamwarden.producers.batches import BatchStoppedError
from streamwarden.producers.refusal import PolicyRejected
from tests.guards import BAD, CARD, CLEAN, LARGE, guard_for
from tests.servers.topics import Record

Records = Callable[[str], list[Record]]
Make: TypeAlias = Callable[..., Any]


@pytest.fixture
def make(broker: EmbeddedBroker, tmp_path: Path) -> Make:
    """Make producers, to be used in `async with`."""

    def make_one(config: dict[str, Any] | None = None, **settings: Any) -> AsyncGuardedProducer:
        guard = settings.pop("guard", None) or guard_for(tmp_path / "policies", "payments")
        base = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        return AsyncGuardedProducer({**base, **(config or {})}, guard=guard, **settings)

    return make_one


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run with the loop's complaints as failures."""

    async def watched() -> Any:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
        result = await asyncio.wait_for(main, 60)
        gc.collect()
        assert complaints == []
        return result

    return asyncio.run(watched())


@asynccontextmanager
async def ticking(longest_s: float) -> AsyncGenerator[None]:
    """The loop is never blocked for longer than `longest_s` meanwhile."""
    pauses: list[float] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            pauses.append(time.monotonic() - before)

    task = asyncio.create_task(tick())
    try:
        yield
    finally:
        task.cancel()
    assert max(pauses, default=0.0) < longest_s


@pytest.mark.slow
def test_each_outcome_is_told_as_it_is(make: Make, records: Records) -> None:
    """Delivered, masked, held and rejected: decision at once, outcome by awaiting."""

    async def main() -> list[Any]:
        async with make() as producer:
            clean = await producer.produce("payments", CLEAN, b"k", headers=[("h", b"v")])
            card = await producer.produce("payments", CARD)
            large = await producer.produce("payments", LARGE)
            bad = await producer.produce("payments", BAD)
            effects = [each.decision.effect for each in (clean, card, large, bad)]
            assert effects == [Effect.ALLOW, Effect.MASK, Effect.HOLD, Effect.REJECT]
            message = await clean
            assert (message.topic(), message.key(), message.error()) == ("payments", b"k", None)
            await card
            for refused, verb in ((large, "held"), (bad, "rejected")):
                with pytest.raises(PolicyRejected, match=f"streamwarden: {verb}: ") as caught:
                    await refused
                assert caught.value.decision is refused.decision
                assert caught.value.args[0].code() == KafkaError.POLICY_VIOLATION
            assert len(producer) == 0
            return effects

    run(main())
    written = {record.key: record for record in records("payments")}
    assert [name for name, _ in written[b"k"].headers or ()] == ["h", "streamwarden"]
    assert b"4111111111111111" not in b"".join(r.value or b"" for r in records("payments"))
    assert [r.value for r in records("quarantine.payments")] == [BAD]
    assert [r.value for r in records("held.payments")] == [LARGE]


def test_on_reject_raise_waits_until_the_event_is_parked(make: Make, records: Records) -> None:
    """What is raised is true by then."""

    async def main() -> None:
        async with make(on_reject="raise") as producer:
            with pytest.raises(PolicyRejected):
                await producer.produce("payments", BAD)
            assert [r.value for r in records("quarantine.payments")] == [BAD]

    run(main())


def test_an_event_that_cannot_be_parked_is_nowhere_and_told(
    embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """The parking write's own error, and no refusal."""
    embedded_broker.create_topic("payments", 1)
    embedded_broker.create_topic("quarantine.payments", 1)
    embedded_broker.fail_topic("quarantine.payments", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    guard = guard_for(tmp_path / "p", "payments")
    config = {"bootstrap.servers": embedded_broker.bootstrap, "log_level": 0}

    async def main() -> None:
        async with AsyncGuardedProducer(config, guard=guard) as producer:
            delivery = await producer.produce("payments", BAD)
            with pytest.raises(KafkaException) as caught:
                await delivery
            assert not isinstance(caught.value, PolicyRejected)

    run(main())


def test_a_refused_event_that_nobody_awaits_is_logged(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """At WARNING by the guard, not as a failure by the loop."""

    async def main() -> None:
        async with make() as producer:
            await producer.produce("payments", BAD)
            await producer.flush()

    run(main())
    assert [r.levelname for r in caplog.records if "was parked" in r.getMessage()] == ["WARNING"]


@pytest.mark.slow
def test_tasks_share_a_producer_and_the_loop_goes_on(make: Make, records: Records) -> None:
    """Everything arrives once, each task's events of a key in their order."""

    async def send(producer: AsyncGuardedProducer, name: str) -> None:
        for number in range(1500):
            value = BAD if number % 100 == 7 else CLEAN
            await producer.produce("payments", value, f"{name}{number}", 0)

    async def main() -> None:
        async with make() as producer, ticking(5.0):
            await asyncio.gather(send(producer, "a"), send(producer, "b"))
            assert await producer.flush(30) == 0

    run(main())
    keys = [(record.key or b"").decode() for record in records("payments")]
    for name in "ab":
        own = [int(key[1:]) for key in keys if key[0] == name]
        assert own == [number for number in range(1500) if number % 100 != 7]
    assert len(records("quarantine.payments")) == 30


def test_a_full_queue_is_waited_for_without_blocking(make: Make, records: Records) -> None:
    """Room comes as events are delivered."""

    async def main() -> None:
        limits = {"queue.buffering.max.messages": 50, "linger.ms": 20}
        async with make(limits, queue_full_wait_s=30.0) as producer:
            for _ in range(500):
                await producer.produce("payments", CLEAN)

    run(main())
    assert len(records("payments")) == 500


def test_a_queue_that_stays_full_ends_in_a_buffer_error(broker: EmbeddedBroker, make: Make) -> None:
    """After its time, in which others go on; nothing is parked or sent for it."""

    async def main() -> None:
        limits = {"queue.buffering.max.messages": 5, "message.timeout.ms": 60_000}
        async with make(limits, queue_full_wait_s=0.2) as producer:
            await (await producer.produce("payments", CLEAN))
            broker.go_down()
            for _ in range(5):
                await producer.produce("payments", CLEAN)
            with pytest.raises(BufferError):
                await producer.produce("payments", CLEAN)
            assert producer.guard.counters["dropped/producer/queue_full"] == 1
            assert len(producer) == 5
            await producer.purge()
            await producer.flush(5)
            await producer.close(1)

    asyncio.run(main())


def test_a_cancelled_wait_changes_nothing_about_the_event(make: Make, records: Records) -> None:
    """Who stops waiting does not call an event back."""

    async def main() -> None:
        async with make({"linger.ms": 300}) as producer:
            delivery = await producer.produce("payments", CLEAN)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(delivery, 0.01)

    run(main())
    assert len(records("payments")) == 1


@pytest.mark.slow
def test_many_events_in_one_call(make: Make, records: Records) -> None:
    """Headers are kept; a misspelt name stops all of it before anything is sent."""

    async def main() -> None:
        async with make() as producer:
            with pytest.raises(TypeError, match="event 1 of the batch has no `vale`"):
                await producer.produce_many("payments", [CLEAN, {"vale": CLEAN}])
            found = await producer.produce_many(
                "payments", [CLEAN, {"value": CLEAN, "key": "k", "headers": {"h": b"v"}}, BAD]
            )
            assert [each.decision.passes for each in found] == [True, True, False]
            with pytest.raises(PolicyRejected):
                await found[2]
        async with make(on_reject="raise") as producer:
            with pytest.raises(BatchStoppedError, match="2 of 3 events were taken") as caught:
                await producer.produce_many("payments", [CLEAN, BAD, CLEAN])
            assert [each.decision.passes for each in caught.value.taken] == [True, False]

    run(main())
    headers = {record.key: record.headers for record in records("payments")}
    assert headers[b"k"][0] == ("h", b"v")
    assert len(records("payments")) == 3


def test_callbacks_of_the_configuration_run_on_the_loop(make: Make) -> None:
    """They may be coroutine functions."""

    async def main() -> None:
        told, here = asyncio.Event(), threading.get_ident()

        async def statistics(_text: str) -> None:
            assert threading.get_ident() == here
            told.set()

        async with make({"statistics.interval.ms": 50, "stats_cb": statistics}) as producer:
            await producer.poll(0.1)
            await asyncio.wait_for(told.wait(), 30)

    run(main())


def test_a_report_callback_is_refused(make: Make) -> None:
    """Deliveries are awaited: two ways of telling would be one too many."""
    with pytest.raises(ConfigurationError, match="`on_delivery` is not taken"):
        make({"on_delivery": print})


def test_it_belongs_to_one_loop_and_to_no_other(make: Make) -> None:
    """A loop that is gone cannot be told anything."""
    producer = make()

    async def send() -> None:
        await producer.produce("payments", CLEAN)
        await producer.flush()

    asyncio.run(send())
    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(send())


def test_closing_is_idempotent_and_final(make: Make) -> None:
    """What comes afterwards is told so."""

    async def main() -> None:
        producer = make()
        assert await producer.close()
        assert await producer.close()
        with pytest.raises(RuntimeError, match="has been closed"):
            await producer.produce("payments", CLEAN)

    run(main())


def test_a_refused_event_is_told_that_its_producer_is_closed(make: Make) -> None:
    """Nobody parks it any more: nobody may wait for that in vain."""

    async def main() -> None:
        producer = make()
        await (await producer.produce("payments", CLEAN))  # the topic is known from here on
        assert await producer.close()
        with pytest.raises(RuntimeError, match="has been closed"):
            await producer.produce("payments", BAD)
        assert len(producer) == 0

    run(main())


@pytest.mark.slow
def test_what_is_refused_while_another_task_closes_is_parked_or_told(
    make: Make, records: Records
) -> None:
    """Each Delivery that was given is settled, and there are as many parked events."""
    taken: list[Any] = []

    async def refuse(producer: AsyncGuardedProducer) -> None:
        while True:
            taken.append(await producer.produce("payments", BAD))
            await asyncio.sleep(0.01)

    async def main() -> None:
        producer = make()
        await (await producer.produce("payments", CLEAN))
        tasks = [asyncio.create_task(refuse(producer)) for _ in range(3)]
        while len(taken) < 20:
            await asyncio.sleep(0.01)
        assert await producer.close()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        told = await asyncio.gather(*taken, return_exceptions=True)
        assert {str(end) for end in ends} == {"the producer has been closed"}
        assert {type(each) for each in told} == {PolicyRejected}

    run(main())
    assert len(records("quarantine.payments")) == len(taken)


def test_a_second_close_waits_for_the_first(make: Make, records: Records) -> None:
    """What it says is true of every event."""

    async def main() -> None:
        producer = make({"linger.ms": 300})
        delivery = await producer.produce("payments", CLEAN)
        first = asyncio.create_task(producer.close())
        await asyncio.sleep(0)
        assert await producer.close()
        assert delivery.done()
        assert await first

    run(main())
    assert len(records("payments")) == 1
