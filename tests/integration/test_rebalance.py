"""Partitions that move between members of a group, by each of Kafka's protocols."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from tests.guards import BAD, CLEAN, LARGE, guard_for
from tests.servers.kafka import StartKafka
from tests.servers.topics import ConsumeAll, create_topic, unique_name

from .conftest import Guarded

Make = Callable[..., Guarded]

PROTOCOLS = {
    "eager": {"partition.assignment.strategy": "range"},
    "cooperative": {"partition.assignment.strategy": "cooperative-sticky"},
    "consumer": {"group.protocol": "consumer"},
}
_WAIT_S = 60.0


def send(guarded: Guarded, count: int) -> None:
    """Events with their number as the key; of every seven one is bad and one large."""
    producer = Producer(guarded.config)
    for number in range(count):
        value = {3: BAD, 5: LARGE}.get(number % 7, CLEAN)
        producer.produce(guarded.topic, value, str(number))
        producer.poll(0)
    assert producer.flush(30) == 0


def committed(
    config: dict[str, Any], topic: str, partitions: int, **settings: str
) -> tuple[list[int], list[int]]:
    """Committed offsets and ends of all partitions."""
    named = {name.replace("_", "."): value for name, value in settings.items()}
    client = Consumer({**config, "group.protocol": "classic", **named})
    try:
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        ends = [client.get_watermark_offsets(place, 10)[1] for place in places]
        return [place.offset for place in client.committed(places, 10)], ends
    finally:
        client.close()


class Member(threading.Thread):
    """A consumer that handles until it is stopped; what it was assigned, and what it handled."""

    def __init__(self, guarded: Guarded, config: dict[str, Any], handled: list[int]) -> None:
        super().__init__(daemon=True)
        self.guarded, self.handled, self.moves = guarded, handled, list[str]()
        # Parked writes take their time, so that some are under way whenever partitions go.
        self.consumer = GuardedConsumer(config, guard=guarded.guard, parking={"linger.ms": 100})
        self.error: BaseException | None = None

    def run(self) -> None:
        """Join the group, and leave it in good order."""
        try:
            with self.consumer:
                self.consumer.subscribe(
                    [self.guarded.topic],
                    on_assign=lambda _, parts: self.moves.append(f"+{len(parts)}"),
                    on_revoke=lambda _, parts: self.moves.append(f"-{len(parts)}"),
                    on_lost=lambda _, __: self.moves.append("lost"),
                )
                self.consumer.run(self._handle)
        except BaseException as error:
            self.error = error
            raise

    def _handle(self, message: GuardedMessage) -> None:
        self.handled.append(int(message.key()))
        time.sleep(0.001)

    def leave(self) -> None:
        """Stop, and wait for the end."""
        self.consumer.stop()
        self.join(_WAIT_S)
        assert self.error is None
        assert not self.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what has to come."""
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_handled_twice_when_members_come_and_go(
    make_guarded: Make, consume_all: ConsumeAll, protocol: str
) -> None:
    """One joins in the middle, and one leaves: each event is handled or parked, once."""
    guarded = make_guarded(4)
    send(guarded, 3000)
    config = {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
        **PROTOCOLS[protocol],
    }
    refused = {number for number in range(3000) if number % 7 in (3, 5)}
    handled: list[int] = []

    first = Member(guarded, config, handled)
    first.start()
    until(lambda: len(handled) >= 200)
    second = Member(guarded, config, handled)
    second.start()
    until(lambda: bool(second.moves) and any(move.startswith("-") for move in first.moves))
    first.leave()
    until(lambda: len(handled) >= 3000 - len(refused))
    second.leave()

    assert "lost" not in first.moves + second.moves
    assert {n: count for n, count in Counter(handled).items() if count > 1} == {}
    assert set(handled) == set(range(3000)) - refused
    parked = [
        int(record.key or b"")
        for topic in (guarded.quarantine, guarded.held)
        for record in consume_all(topic)
    ]
    assert sorted(parked) == sorted(refused)
    found, ends = committed(config, guarded.topic, 4)
    assert found == ends


def _one(consumer: GuardedConsumer) -> list[GuardedMessage]:
    """The next event, if there is one soon."""
    message = consumer.poll(0.1)
    return [message] if isinstance(message, GuardedMessage) else []


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["eager", "cooperative"])
def test_a_member_that_lost_its_partition_commits_nothing(
    make_guarded: Make, protocol: str
) -> None:
    """It was silent for too long; what it still has in hand is another member's by now."""
    guarded = make_guarded(1)
    send(guarded, 14)
    config = {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "max.poll.interval.ms": 1500,
        "session.timeout.ms": 1500,
        "heartbeat.interval.ms": 300,
        **PROTOCOLS[protocol],
    }
    told: list[str] = []
    held: list[GuardedMessage] = []
    handled: list[int] = []
    # What it parks is still under way when its partition is gone.
    slow = {"linger.ms": 20_000, "message.timeout.ms": 60_000}
    silent = GuardedConsumer(config, guard=guarded.guard, parking=slow)
    other = GuardedConsumer({**config, "max.poll.interval.ms": 60_000}, guard=guarded.guard)
    with other:
        silent.subscribe(
            [guarded.topic],
            on_revoke=lambda _, __: told.append("revoked"),
            on_lost=lambda _, __: told.append("lost"),
        )

        def has_read() -> bool:
            held.extend(_one(silent))
            return len(held) >= 4

        def is_told() -> bool:
            _one(silent)
            return bool(told)

        until(has_read)
        assert [message.offset() for message in held] == [0, 1, 2, 4]  # 3 is being parked
        other.subscribe([guarded.topic])
        other.run(lambda m: handled.append(m.offset()), max_messages=10, idle_timeout_s=_WAIT_S)
        other.commit(asynchronous=False)

        until(is_told)
        with pytest.raises(KafkaException):
            silent.commit(message=held[-1], asynchronous=False)

        assert len(told) == 1  # lost, or revoked where it was asked for before that
        assert handled == [offset for offset in range(14) if offset % 7 not in (3, 5)]
        assert committed(config, guarded.topic, 1) == ([14], [14])
        silent._reader.parking.purge(in_queue=True, in_flight=True, blocking=True)  # pyright: ignore[reportPrivateUsage]
        silent.close()
    assert committed(config, guarded.topic, 1) == ([14], [14])


#: By the new protocol brokers say how long a member may be unheard.
_SOON_UNHEARD = {
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "1500",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "300",
}


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_that_was_cut_off_commits_nothing_of_what_it_lost(
    start_kafka: StartKafka, tmp_path: Path, protocol: str
) -> None:
    """By the time that it hears of it, another one has handled and committed everything."""
    cluster = start_kafka(config=_SOON_UNHEARD, proxied=True)
    for topic in ("payments", "quarantine.payments", "held.payments"):
        create_topic(cluster.bootstrap, topic)
    direct: dict[str, Any] = {"bootstrap.servers": cluster.bootstrap, "log_level": 0}
    guarded = Guarded("payments", guard_for(tmp_path, "payments"), direct)
    send(guarded, 14)
    config: dict[str, Any] = {
        **direct,
        "group.id": "g",
        "auto.offset.reset": "earliest",
        **PROTOCOLS[protocol],
    }
    if protocol != "consumer":
        config |= {"session.timeout.ms": 1500, "heartbeat.interval.ms": 300}
    # It commits by itself, and what it parks is under way for longer than all this takes.
    parking = {"linger.ms": 20_000, "message.timeout.ms": 60_000}
    through_proxy = {**config, "bootstrap.servers": cluster.node.proxied_bootstrap}
    through_proxy["auto.commit.interval.ms"] = 60_000
    cut_off = GuardedConsumer(through_proxy, guard=guarded.guard, parking=parking)
    told: list[str] = []
    held: list[GuardedMessage] = []
    late: list[GuardedMessage] = []
    handled: list[int] = []
    cut_off.subscribe(
        ["payments"],
        on_assign=lambda _, __: told.append("assigned"),
        on_revoke=lambda _, __: told.append("revoked"),
        on_lost=lambda _, __: told.append("lost"),
    )

    def has_read() -> bool:
        held.extend(_one(cut_off))
        return len(held) >= 4

    def is_told(*what: str) -> bool:
        late.extend(_one(cut_off))
        return tuple(told[: len(what)]) == what  # several may be told at once

    until(has_read)
    cluster.node.proxy.flowing = False
    with GuardedConsumer(config, guard=guarded.guard) as other:
        other.subscribe(["payments"])
        other.run(lambda m: handled.append(m.offset()), max_messages=10, idle_timeout_s=_WAIT_S)
        cluster.node.proxy.flowing = True
        until(lambda: is_told("assigned", "lost"))  # until then it hands out what it has
        late.clear()
    # Closed when the group has settled: in the middle of a rebalance the client may never return.
    until(lambda: is_told("assigned", "lost", "assigned"))
    cut_off._reader.parking.purge(in_queue=True, in_flight=True, blocking=True)  # pyright: ignore[reportPrivateUsage]
    cut_off.close()
    found = committed(direct, "payments", 1, group_id="g")

    assert (told[:3], late) == (["assigned", "lost", "assigned"], [])
    assert [message.offset() for message in held] == [0, 1, 2, 4]
    assert handled == [offset for offset in range(14) if offset % 7 not in (3, 5)]
    assert found == ([14], [14])
