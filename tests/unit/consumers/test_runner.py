"""Running a handler: what is handled is committed, what fails is not lost, and it ends cleanly."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.consumers.running import Failing
from streamwarden.errors import ConfigurationError
from streamwarden.policy.parking import parse_parked
from tests.guards import BAD, CARD, CLEAN, event
from tests.servers.topics import Record

Make = Callable[..., GuardedConsumer]
Send = Callable[..., None]
Records = Callable[[str], list[Record]]
Committed = Callable[..., list[int]]

NONE = -1001


def test_everything_up_to_the_end_is_handled_and_committed(
    make_consumer: Make, send: Send, records: Records, committed: Committed
) -> None:
    """`until_end=True` stops where the partitions ended; `run` gives the number handled."""
    send([CLEAN, BAD, CARD] * 20)
    send([CLEAN, BAD] * 10, partition=1)
    consumer = make_consumer()
    consumer.subscribe(["payments"])
    handled: list[GuardedMessage] = []

    count = consumer.run(handled.append, until_end=True)

    assert count == len(handled) == 50
    assert len(records("quarantine.payments")) == 30
    assert committed() == [60, 20]


@pytest.mark.parametrize("settings", [{}, {"transactional_id": "x"}])
@pytest.mark.parametrize("asked", [{}, {"until_end": True}])
def test_a_run_without_anything_to_read_is_refused(
    make_consumer: Make, settings: dict[str, str], asked: dict[str, bool]
) -> None:
    """It would wait for ever: nothing was subscribed to or assigned, or is any more."""
    consumer = make_consumer(**settings)

    with pytest.raises(ConfigurationError, match="nothing to read"):
        consumer.run(print, **asked)
    consumer.subscribe(["payments"])
    consumer.unsubscribe()
    with pytest.raises(ConfigurationError, match="nothing to read"):
        consumer.run(print, **asked)
    consumer.assign([TopicPartition("payments", 0)])
    consumer.unassign()
    with pytest.raises(ConfigurationError, match="nothing to read"):
        consumer.run(print, **asked)


@pytest.mark.parametrize("how", ["assign", "incremental_assign"])
def test_assigned_partitions_are_something_to_read(
    make_consumer: Make, send: Send, how: str
) -> None:
    """However they were assigned."""
    send([CLEAN] * 3)
    consumer = make_consumer()
    getattr(consumer, how)([TopicPartition("payments", 0, 0)])

    assert consumer.run(lambda _: None, until_end=True) == 3


def test_a_decorator_names_the_handler(make_consumer: Make, send: Send) -> None:
    """`run()` then needs no argument."""
    send([CLEAN] * 3)
    consumer = make_consumer()
    consumer.subscribe(["payments"])
    handled: list[int] = []

    @consumer.handler
    def handle(message: GuardedMessage) -> None:
        handled.append(message.offset())

    assert consumer.run(max_messages=2) == 2
    handle(consumer.poll(10))  # type: ignore[arg-type]  # it is the function still
    assert handled == [0, 1, 2]


def test_without_a_handler_there_is_nothing_to_run(make_consumer: Make) -> None:
    """And it is said how to give one."""
    with pytest.raises(ConfigurationError, match="handler"):
        make_consumer().run()


@pytest.mark.slow
def test_idleness_ends_it_when_asked(make_consumer: Make, send: Send) -> None:
    """For jobs that should not wait for ever."""
    send([CLEAN])
    consumer = make_consumer()
    consumer.subscribe(["payments"])
    started = time.monotonic()

    assert consumer.run(lambda _: None, idle_timeout_s=1.5) == 1
    assert time.monotonic() - started < 8


def test_stop_ends_it_from_another_thread(
    make_consumer: Make, send: Send, committed: Committed
) -> None:
    """After the event that is being handled, with its offset committed."""
    send([CLEAN] * 100)
    consumer = make_consumer()
    consumer.subscribe(["payments"])

    def handle(message: GuardedMessage) -> None:
        if message.offset() == 5:
            threading.Thread(target=consumer.stop).start()
            time.sleep(0.2)

    assert consumer.run(handle) == 6
    assert committed() == [6, NONE]


def test_an_interrupt_passes_and_the_event_is_not_done(
    make_consumer: Make, send: Send, committed: Committed
) -> None:
    """Ctrl-C: what was handled before is committed, the rest is read again."""
    send([CLEAN] * 10)
    consumer = make_consumer()
    consumer.subscribe(["payments"])

    def handle(message: GuardedMessage) -> None:
        if message.offset() == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consumer.run(handle)
    assert committed() == [3, NONE]

    handled: list[int] = []
    consumer.run(lambda message: handled.append(message.offset()), until_end=True)
    assert handled == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.slow
def test_a_failing_handler_is_tried_again_in_place(make_consumer: Make, send: Send) -> None:
    """Order is kept: nothing behind the event is handled before it."""
    send([CLEAN] * 5)
    consumer = make_consumer(handler_backoff_s=0.01)
    consumer.subscribe(["payments"])
    calls: list[int] = []

    def handle(message: GuardedMessage) -> None:
        calls.append(message.offset())
        if calls.count(2) < 3 and message.offset() == 2:
            raise LookupError

    assert consumer.run(handle, until_end=True) == 5
    assert calls == [0, 1, 2, 2, 2, 3, 4]
    assert consumer.guard.counters["handler/retried"] == 2


def test_a_handler_that_goes_on_failing_stops_before_the_event(
    make_consumer: Make, send: Send, committed: Committed
) -> None:
    """Its own exception, with where it happened; what was handled before is committed."""
    send([CLEAN, BAD, CLEAN, CLEAN])
    consumer = make_consumer(handler_retries=1, handler_backoff_s=0.01)
    consumer.subscribe(["payments"])

    def handle(message: GuardedMessage) -> None:
        if message.offset() == 2:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine") as caught:
        consumer.run(handle)

    assert any("payments[0]@2" in note for note in caught.value.__notes__)
    assert committed() == [2, NONE]
    handled: list[int] = []
    consumer.run(lambda message: handled.append(message.offset()), until_end=True)
    assert handled == [2, 3]


def test_a_handler_that_goes_on_failing_can_have_the_event_parked(
    make_consumer: Make, send: Send, records: Records, committed: Committed
) -> None:
    """`on_handler_error="quarantine"`: kind handler, and reading goes on."""
    send([CLEAN, event(poison=1), CLEAN])
    consumer = make_consumer(
        on_handler_error="quarantine", handler_retries=1, handler_backoff_s=0.01
    )
    consumer.subscribe(["payments"])

    def handle(message: GuardedMessage) -> None:
        if b"poison" in message.value():
            raise LookupError("4111111111111111")

    assert consumer.run(handle, until_end=True) == 3

    (parked,) = records("quarantine.payments")
    found = parse_parked(parked.headers)
    assert found is not None
    assert found.kind == "handler"
    assert (found.origin_partition, found.origin_offset) == (0, 1)
    # The topic has sensitive fields, and exceptions quote what they fail on.
    assert found.message is not None
    assert re.fullmatch(
        r"the handler raised LookupError \(test_runner\.py, line \d+\)", found.message
    )
    assert committed() == [3, NONE]


@pytest.mark.slow
def test_an_event_is_parked_as_it_came_whatever_a_handler_makes_of_it(
    make_consumer: Make, send: Send, records: Records
) -> None:
    """Value and headers alike."""
    send([CLEAN], headers=[("source", b"web"), ("source", None)])
    consumer = make_consumer(on_handler_error="quarantine", handler_retries=0)
    consumer.subscribe(["payments"])

    def handle(message: GuardedMessage) -> None:
        message.set_headers([("source", b"handler")])
        message.set_value(b"other")
        raise LookupError

    consumer.run(handle, until_end=True)

    (parked,) = records("quarantine.payments")
    assert parked.value == CLEAN
    assert parked.headers[:2] == [("source", b"web"), ("source", None)]


@pytest.mark.slow
def test_the_group_is_kept_while_a_handler_is_retried(make_consumer: Make, send: Send) -> None:
    """Paused and still polling: a pause beyond max.poll.interval.ms costs no membership."""
    send([CLEAN, CLEAN])
    lost: list[object] = []
    consumer = make_consumer(
        {
            "max.poll.interval.ms": 1000,
            "session.timeout.ms": 1000,
            "heartbeat.interval.ms": 200,
        },
        handler_retries=2,
        handler_backoff_s=1.2,
    )
    consumer.subscribe(["payments"], on_lost=lambda _, partitions: lost.append(partitions))
    calls: list[int] = []

    def handle(message: GuardedMessage) -> None:
        calls.append(message.offset())
        if len(calls) <= 2:
            raise LookupError

    assert consumer.run(handle, until_end=True) == 2
    assert calls == [0, 0, 0, 1]
    assert lost == []


def test_running_twice_at_once_is_a_mistake(make_consumer: Make, send: Send) -> None:
    """The client reads on one thread."""
    send([CLEAN])
    consumer = make_consumer(handler_retries=0)
    consumer.subscribe(["payments"])

    with pytest.raises(RuntimeError, match="running already"):
        consumer.run(lambda _: consumer.run(lambda _: None) and None)


def test_pauses_grow_up_to_a_limit() -> None:
    """Doubled each time, half of it left to chance."""
    failing = Failing("stop", retries=9, backoff_s=0.5)

    assert [failing.pause_s(n, 0.0) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert failing.pause_s(1, 1.0) == 0.25
    assert failing.pause_s(500, 0.0) == 30.0
