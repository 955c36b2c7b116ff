"""Events that wait behind a refused one of their key (`park: key`), on a real Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.errors import DeliveryError
from streamwarden.producers.quarantine import Quarantine, Selection, list_parked
from streamwarden.producers.release import ReleaseReport, discard, release
from streamwarden.producers.reviews import Signature
from tests.guards import BAD, LARGE, event, guard_for
from tests.servers.topics import ConsumeAll, MakeTopic, unique_name

from .conftest import Guarded

Make = Callable[..., Guarded]

ALICE = Signature("alice", "checked with the customer")
KEYS = {"k1": b"s" * 32}
PARKS = "park: key\n"


@pytest.fixture
def waiting(make_guarded: Make) -> Guarded:
    """One partition, and a policy with `park: key`."""
    return make_guarded(policy=PARKS, stamp_keys=KEYS)


def send(guarded: Guarded, *events: tuple[str | None, bytes]) -> None:
    producer = Producer(guarded.config)
    for key, value in events:
        producer.produce(guarded.topic, value, key, partition=0)
    assert producer.flush(30) == 0


def numbered(number: int) -> bytes:
    return event(n=number)


class Group:
    """A consumer group, member after member."""

    def __init__(self, guarded: Guarded, **settings: Any) -> None:
        self.guarded, self.settings = guarded, settings
        self.once = "transactional_id" in settings
        self.name = unique_name("g")
        self.got: list[tuple[bytes | None, bytes]] = []
        self.failing: Callable[[GuardedMessage], None] = lambda _message: None

    def handle(self, message: GuardedMessage, *_producer: object) -> None:
        self.failing(message)
        self.got.append((message.key(), message.value()))

    def run(self) -> list[tuple[bytes | None, bytes]]:
        """What a new member handles until the present end of the topic."""
        self.got = []
        config = {
            **self.guarded.config,
            "group.id": self.name,
            "auto.offset.reset": "earliest",
        }
        settings: dict[str, Any] = {"handler_backoff_s": 0.01, **self.settings}
        with GuardedConsumer(config, guard=self.guarded.guard, **settings) as consumer:
            consumer.subscribe([self.guarded.topic])
            consumer.run(self.handle, until_end=True)
        return self.got


def quarantine_of(guarded: Guarded) -> Quarantine:
    return Quarantine(guarded.config, guarded.guard, guarded.topic)


def outcomes(report: ReleaseReport) -> list[tuple[str, str]]:
    return [(each.outcome, each.why) for each in report.outcomes]


HEAD = Selection(kind="held")
MODES: dict[str, dict[str, Any]] = {"at least once": {}, "exactly once": {"transactional_id": "x"}}


@pytest.mark.parametrize("mode", MODES)
def test_later_events_of_a_held_key_wait_and_are_released_in_order(
    waiting: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll, mode: str
) -> None:
    """Over a restart; other keys go on. After the release the key is free."""
    group, to = Group(waiting, **MODES[mode]), make_topic("to")
    send(waiting, ("a", LARGE), ("b", numbered(1)), ("a", numbered(2)), (None, numbered(3)))

    assert group.run() == [(b"b", numbered(1)), (None, numbered(3))]
    send(waiting, ("a", numbered(4)), ("b", numbered(5)))
    assert group.run() == [(b"b", numbered(5))]

    listed = list_parked(quarantine_of(waiting)).events
    assert [each.kind for each in listed] == ["held", "waiting", "waiting"]
    assert f"waits behind {waiting.topic}[0]@0, an event" in listed[1].parked.message
    report = release(quarantine_of(waiting), HEAD, signatures=[ALICE], to=to)
    assert outcomes(report) == [("released", "")] * 3
    assert [record.value for record in consume_all(to)] == [LARGE, numbered(2), numbered(4)]
    send(waiting, ("a", numbered(6)))
    assert group.run() == [(b"a", numbered(6))]
    assert list_parked(quarantine_of(waiting)).events == ()


@pytest.mark.parametrize("mode", MODES)
def test_what_is_released_to_its_own_topic_passes_before_what_comes_after_it(
    waiting: Guarded, mode: str
) -> None:
    """The group that it waited for handles it in its turn, also where it had not heard of it."""
    group = Group(waiting, **MODES[mode])
    send(waiting, ("a", LARGE), ("a", numbered(1)))
    config = {**waiting.config, "group.id": group.name, "auto.offset.reset": "earliest"}
    got: list[bytes] = []

    def handle(message: GuardedMessage, *_producer: object) -> None:
        got.append(message.value())

    with GuardedConsumer(config, guard=waiting.guard, **MODES[mode]) as consumer:
        consumer.subscribe([waiting.topic])
        consumer.run(handle, until_end=True)
        report = release(quarantine_of(waiting), HEAD, signatures=[ALICE], to=waiting.topic)
        assert outcomes(report) == [("released", "")] * 2
        send(waiting, ("a", numbered(2)))
        consumer.run(handle, max_messages=3, idle_timeout_s=30)

    assert got == [LARGE, numbered(1), numbered(2)]
    assert list_parked(quarantine_of(waiting)).events == ()


def test_a_key_waits_where_its_partition_goes(make_guarded: Make) -> None:
    """To a member that is there while the one before it still runs."""
    guarded = make_guarded(2, policy=PARKS)
    send(guarded, ("a", BAD), ("a", numbered(1)))
    config = {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
    }
    with (
        GuardedConsumer(config, guard=guarded.guard) as first,
        GuardedConsumer(config, guard=guarded.guard) as second,
    ):
        first.subscribe([guarded.topic])
        deadline = time.monotonic() + 30
        while guarded.guard.counters[f"parked/{guarded.topic}/waiting"] < 1:
            assert first.poll(0.1) is None
            assert time.monotonic() < deadline
        second.subscribe([guarded.topic])
        while len(second.assignment()) != 1 or len(first.assignment()) != 1:
            assert (first.poll(0.1), second.poll(0.1)) == (None, None)
            assert time.monotonic() < deadline
        first.close()
        while len(second.assignment()) != 2:
            assert second.poll(0.1) is None
            assert time.monotonic() < deadline
        send(guarded, ("a", numbered(2)), ("b", numbered(3)))

        message = second.poll(30)

    assert message is not None
    assert message.key() == b"b"
    assert guarded.guard.counters[f"parked/{guarded.topic}/waiting"] == 2


def test_only_the_first_of_a_key_is_released_by_itself(
    waiting: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """What waits is refused, and what today's policy refuses stops those behind it."""
    group, to = Group(waiting), make_topic("to")
    send(waiting, ("a", BAD), ("a", numbered(1)), ("a", LARGE), ("a", numbered(3)))
    assert group.run() == []
    quarantine = quarantine_of(waiting)

    first = frozenset({(0, 0)})
    alone = release(quarantine, Selection(at=first, kind="waiting"), to=to)
    assert outcomes(alone) == [
        ("refused", f"it waits behind {waiting.topic}[0]@0, parked at {waiting.quarantine} 0:0")
    ]
    discarded = discard(quarantine, Selection(kind="quarantined"), signature=ALICE)
    assert outcomes(discarded) == [("discarded", "")]
    part = release(quarantine, Selection(kind="waiting", max=1), to=to)
    assert [each.outcome for each in part.outcomes] == ["released", "refused", "refused"]
    assert "1 name" in part.outcomes[1].why
    assert part.outcomes[2].why.startswith(f"it waits behind {waiting.topic}[0]@2")
    send(waiting, ("a", numbered(4)))
    assert group.run() == []
    large = Selection(at=frozenset({(0, 1)}), kind="waiting")
    rest = release(quarantine, large, signatures=[ALICE], to=to)
    assert outcomes(rest) == [("released", "")] * 3
    values = [record.value for record in consume_all(to)]
    assert values == [numbered(1), LARGE, numbered(3), numbered(4)]
    send(waiting, ("a", numbered(5)))
    assert group.run() == [(b"a", numbered(5))]


def test_a_pointer_with_a_long_key_keeps_its_place(
    make_guarded: Make, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Of an event that is too large to park not even such a key is parked, but what stands for it."""
    small, to = make_topic("small", config={"max.message.bytes": "7000"}), make_topic("to")
    guarded = make_guarded(policy=PARKS, stamp_keys=KEYS, bundle=f"held: {small}\n")
    group, key = Group(guarded), "k" * 5000
    large = event(amount=60_000, note="x" * 9000)
    send(guarded, (key, large), (key, numbered(1)), ("b", numbered(2)))

    assert group.run() == [(b"b", numbered(2))]
    first, second = list_parked(quarantine_of(guarded)).events
    report = release(quarantine_of(guarded), HEAD, signatures=[ALICE], to=to)

    assert (first.pointer, first.kind, second.kind) == (True, "held", "waiting")
    assert first.digest == second.digest
    assert {record.key for record in consume_all(small)} == {None, key.encode()}
    assert outcomes(report) == [("released", "")] * 2
    assert [record.value for record in consume_all(to)] == [large, numbered(1)]
    send(guarded, (key, numbered(3)))
    assert group.run() == [(key.encode(), numbered(3))]


@pytest.mark.parametrize("mode", MODES)
def test_events_wait_behind_what_a_handler_could_not_deal_with(waiting: Guarded, mode: str) -> None:
    """And what an undone transaction let wait does not."""
    group = Group(waiting, on_handler_error="quarantine", handler_retries=1, **MODES[mode])
    send(waiting, ("a", numbered(0)), ("b", LARGE), ("a", numbered(1)), ("c", numbered(2)))

    def fail(message: GuardedMessage) -> None:
        if message.value() == numbered(0):
            raise LookupError

    group.failing = fail

    assert group.run() == [(b"c", numbered(2))]
    listed = list_parked(quarantine_of(waiting)).events
    assert sorted((each.kind, each.parked.origin_offset) for each in listed) == [
        ("handler", 0),
        ("held", 1),
        ("waiting", 2),
    ]


def test_a_transaction_that_is_undone_lets_no_key_wait(waiting: Guarded) -> None:
    """What was noted in it is gone with it."""
    group = Group(waiting, transactional_id="x", handler_retries=0)
    send(waiting, ("a", LARGE), ("b", numbered(1)), ("a", numbered(2)))

    def fail(message: GuardedMessage) -> None:
        group.failing = lambda _message: None
        raise LookupError(str(message.key()))

    group.failing = fail
    with pytest.raises(LookupError):
        group.run()

    assert list_parked(quarantine_of(waiting)).events == ()
    assert group.run() == [(b"b", numbered(1))]
    assert len(list_parked(quarantine_of(waiting)).events) == 2


def test_the_number_of_waiting_keys_is_bounded(make_guarded: Make) -> None:
    """At the limit a consumer stops before the event, or passes keys over, as it is told."""
    stops = make_guarded(policy=PARKS, waiting_keys_max=1)
    send(stops, ("a", BAD), ("b", BAD), ("c", numbered(1)))
    group = Group(stops)

    with pytest.raises(DeliveryError, match=r"waiting_keys_max"):
        group.run()
    assert len(list_parked(quarantine_of(stops)).events) == 1
    assert stops.guard.counters["fallbacks/waiting_stopped"] == 1

    passes = make_guarded(policy=PARKS, waiting_keys_max=1, waiting_keys_full="pass")
    send(passes, ("a", BAD), ("b", BAD), ("a", numbered(1)), ("b", numbered(2)))
    assert Group(passes).run() == [(b"b", numbered(2))]
    assert passes.guard.counters["dropped/waiting/full"] == 1


def test_without_its_topic_a_consumer_stops_before_the_event(
    make_guarded: Make, tmp_path: Path
) -> None:
    """And says which topic is missing; nothing is passed over."""
    made = make_guarded()
    guarded = replace(made, guard=guard_for(tmp_path / "keys", made.topic, policy=PARKS))
    send(guarded, ("a", BAD), ("b", numbered(1)))

    with pytest.raises(DeliveryError, match=rf"waiting\.{made.topic}.*topics ensure"):
        Group(guarded).run()

    assert list_parked(quarantine_of(guarded)).events == ()
