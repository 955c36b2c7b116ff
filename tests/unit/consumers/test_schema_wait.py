"""A consumer whose events name schemas that nobody can give: it waits, then stops, and loses none."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.errors import SchemaUnavailableError
from streamwarden.policy.guard import Guard
from streamwarden.schemas.framing import SchemaId, with_id
from streamwarden.schemas.registry import NotFound, SchemaAnswer, Unavailable, make_schema

Make = Callable[..., GuardedConsumer]
Send = Callable[..., None]

POLICY = """\
policy: p
owner: o
topics: [payments]
rules:
  - {id: big, when: value.amount > 100, effect: reject}
"""
SCHEMA = '{"type": "record", "name": "P", "fields": [{"name": "amount", "type": "long"}]}'


class Moody:
    """Knows schema 7 while it is `up`."""

    def __init__(self) -> None:
        self.up = False
        self.asked = 0

    def schema(self, id: SchemaId) -> SchemaAnswer:  # noqa: A002
        self.asked += 1
        if not self.up:
            return Unavailable(id, "the schema registry `http://r` cannot be reached")
        return make_schema(7, "AVRO", SCHEMA) if id == 7 else NotFound(id)

    def latest(self, subject: str) -> SchemaAnswer:
        return NotFound(subject)

    def close(self) -> None:
        pass


@pytest.fixture
def source() -> Moody:
    return Moody()


@pytest.fixture
def make(make_consumer: Make, tmp_path: Path, source: Moody) -> Make:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "p.yaml").write_text(POLICY)

    def consumer(**settings: Any) -> GuardedConsumer:
        return make_consumer(guard=Guard.from_directory(folder, schemas=source, **settings))

    return consumer


def plain(number: int) -> bytes:
    return json.dumps({"amount": number}).encode()


def framed(number: int) -> bytes:
    assert 0 <= number < 64
    return with_id(7, bytes([number * 2]))


def numbers(messages: Iterable[GuardedMessage | Message]) -> list[int]:
    return [message.offset() or 0 for message in messages]


def read_batches(consumer: GuardedConsumer, count: int) -> list[int]:
    found: list[int] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += numbers(consumer.consume(10, 0.3))
    return found


def read_singly(consumer: GuardedConsumer, count: int) -> list[int]:
    found: list[int] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.3)
        found += [] if message is None else numbers([message])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("read", [read_singly, read_batches])
def test_it_waits_for_the_registry(
    make: Make, send: Send, source: Moody, read: Callable[[GuardedConsumer, int], list[int]]
) -> None:
    """Nothing is skipped, doubled or out of order, in whatever batches it is read."""
    send([plain(1), plain(2), framed(3), plain(4), framed(5), plain(6)])
    consumer = make(schema_wait_s=30)
    consumer.subscribe(["payments"])
    threading.Timer(2.0, lambda: setattr(source, "up", True)).start()

    assert read(consumer, 6) == [0, 1, 2, 3, 4, 5]
    assert source.asked < 30
    assert consumer.guard.counters["schema/waited"] == 1


@pytest.mark.parametrize("read", [read_singly, read_batches])
def test_it_stops_before_the_event(
    make: Make,
    send: Send,
    source: Moody,
    committed: Callable[..., list[int]],
    read: Callable[[GuardedConsumer, int], list[int]],
) -> None:
    """At the deadline it is told; whoever reads on gets every event, also those before it."""
    send([plain(1), plain(2), framed(3), plain(4)])
    consumer = make(schema_wait_s=0)
    consumer.subscribe(["payments"])
    found: list[int] = []

    def read_on() -> None:
        while True:
            found.extend(read(consumer, 1))

    with pytest.raises(SchemaUnavailableError, match="`http://r` cannot be reached"):
        read_on()
    source.up = True
    found += read(consumer, 4 - len(found))
    consumer.close()

    assert found == [0, 1, 2, 3]
    assert committed() == [4, -1001]


@pytest.mark.slow
def test_what_other_partitions_bring_puts_the_end_off_no_further(make: Make, send: Send) -> None:
    """It stops before the event after `schema_wait_s`, however much else could be decided."""
    send([framed(1)], 1)
    consumer = make(schema_wait_s=1.5)
    consumer.subscribe(["payments"])
    until = time.monotonic() + 20

    def read_on() -> None:
        while time.monotonic() < until:
            send([plain(2)], 0)
            consumer.poll(0.1)

    with pytest.raises(SchemaUnavailableError):
        read_on()

    assert consumer.guard.counters["schema/waited"] == 1


@pytest.mark.slow
def test_a_partition_that_is_given_again_is_waited_for_anew(
    make: Make, send: Send, source: Moody
) -> None:
    """The time that it was another member's is no waiting."""
    send([framed(1)])
    consumer = make(schema_wait_s=1.0)
    place = TopicPartition("payments", 0, 0)
    consumer.assign([place])
    counters, until = consumer.guard.counters, time.monotonic() + 20
    while not counters["schema/waited"]:
        assert consumer.poll(0.1) is None
        assert time.monotonic() < until
    consumer.unassign()
    time.sleep(1.1)

    consumer.assign([place])
    while counters["schema/waited"] < 2:
        assert consumer.poll(0.1) is None
        assert time.monotonic() < until
    source.up = True

    assert read_singly(consumer, 1) == [0]


@pytest.mark.slow
def test_run_waits_too(make: Make, send: Send, source: Moody) -> None:
    """The handler gets everything, and the group is kept meanwhile."""
    send([plain(1), framed(2), plain(3)])
    consumer = make(schema_wait_s=30)
    consumer.subscribe(["payments"])
    handled: list[int] = []
    threading.Timer(1.5, lambda: setattr(source, "up", True)).start()

    def handle(message: GuardedMessage) -> None:
        handled.append(message.offset())

    assert consumer.run(handle, max_messages=3) == 3
    assert handled == [0, 1, 2]


def test_undecodable_is_a_choice(make: Make, send: Send) -> None:
    """Who would rather park than wait says so."""
    send([framed(1), plain(2)])
    consumer = make(schema_unavailable="undecodable")
    consumer.subscribe(["payments"])

    assert read_singly(consumer, 1) == [1]
