"""What only a real Kafka, or another process, shows of a guarded consumer: nothing gets lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.errors import DeliveryError, FloodError
from streamwarden.policy.parking import parse_parked
from streamwarden.producers.parking import POINTER_HEADER
from streamwarden.producers.topics import ensure_topics
from tests.guards import BAD, CLEAN, LARGE, event, guard_for
from tests.servers.topics import ConsumeAll, Kafka, MakeTopic, unique_name

from .conftest import Guarded

Make = Callable[..., Guarded]


def send(guarded: Guarded, count: int, *, first: int = 0, **options: Any) -> None:
    """Events `first` … with their number as the key; of every seven one is bad and one large."""
    producer = Producer({**guarded.config, **options})
    for number in range(first, first + count):
        value = {3: BAD, 5: LARGE}.get(number % 7, CLEAN)
        producer.produce(guarded.topic, value, str(number))
        producer.poll(0)
    assert producer.flush(30) == 0


def group_of(guarded: Guarded, **settings: Any) -> dict[str, Any]:
    return {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
        **settings,
    }


def ends(config: dict[str, Any], topic: str) -> tuple[list[int], list[int]]:
    """Committed offsets and ends of all partitions."""
    client = Consumer(config)
    try:
        number = len(client.list_topics(topic, timeout=10).topics[topic].partitions)
        places = [TopicPartition(topic, partition) for partition in range(number)]
        high = [client.get_watermark_offsets(place, 10)[1] for place in places]
        return [place.offset for place in client.committed(places, 10)], high
    finally:
        client.close()


def keys_of(consume_all: ConsumeAll, *topics: str) -> list[int]:
    return [int(record.key or b"") for topic in topics for record in consume_all(topic)]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_members_that_come_and_go_lose_nothing(
    make_guarded: Make, consume_all: ConsumeAll, strategy: str
) -> None:
    """Rebalances in the middle: every event is handled or parked, and commits reach the ends."""
    guarded = make_guarded(4)
    send(guarded, 4000)
    config = group_of(guarded, **{"partition.assignment.strategy": strategy})
    handled: list[int] = []

    def handle(message: GuardedMessage) -> None:
        handled.append(int(message.key()))
        time.sleep(0.0005)

    def member(stop_after: int | None) -> None:
        with GuardedConsumer(config, guard=guarded.guard) as consumer:
            consumer.subscribe([guarded.topic])
            consumer.run(handle, max_messages=stop_after, idle_timeout_s=4)

    members = [threading.Thread(target=member, args=(after,)) for after in (300, 500, None)]
    for thread in members:
        thread.start()
        time.sleep(0.4)
    for thread in members:
        thread.join(60)

    parked = keys_of(consume_all, guarded.quarantine, guarded.held)
    expected = {number for number in range(4000) if number % 7 in (3, 5)}
    assert set(parked) == expected
    assert set(handled) == set(range(4000)) - expected
    committed, high = ends(config, guarded.topic)
    assert committed == high


_CHILD = """
import sys
from pathlib import Path
from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.policy.guard import Guard

bootstrap, group, topic, policies = sys.argv[1:]
guard = Guard.from_directory(policies)
config = {
    "bootstrap.servers": bootstrap,
    "group.id": group,
    "auto.offset.reset": "earliest",
    "auto.commit.interval.ms": 20,
    "session.timeout.ms": 1000,
    "heartbeat.interval.ms": 200,
    "log_level": 0,
}
with GuardedConsumer(config, guard=guard) as consumer:
    consumer.subscribe([topic])
    consumer.run(lambda message: print(int(message.key()), flush=True), until_end=True)
"""


@pytest.mark.slow
def test_a_killed_consumer_loses_nothing(
    make_guarded: Make, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """SIGKILL again and again: what was committed was handled, or parked for good."""
    guarded = make_guarded(2)
    send(guarded, 20_000)
    guard_for(tmp_path / "again", guarded.topic)
    arguments = [
        sys.executable,
        "-c",
        _CHILD,
        guarded.config["bootstrap.servers"],
        unique_name("g"),
        guarded.topic,
        str(tmp_path / "again"),
    ]
    handled: set[int] = set()
    status: int | None = None
    for attempt in range(20):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for count, line in enumerate(child.stdout):
                handled.add(int(line))
                if attempt < 4 and count == 1500:
                    child.send_signal(signal.SIGKILL)
            status = child.wait(60)
        if status == 0:
            break

    assert status == 0
    parked = set(keys_of(consume_all, guarded.quarantine, guarded.held))
    expected = {number for number in range(20_000) if number % 7 in (3, 5)}
    assert parked == expected
    assert handled == set(range(20_000)) - expected


def test_the_end_is_reached_behind_transaction_markers(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Gaps are no events: `until_end` stops, and the commit passes what can be passed."""
    producer = Producer({**guarded.config, "transactional.id": unique_name("tx")})
    producer.init_transactions(30)
    for commits, value in ((True, CLEAN), (False, CLEAN), (True, BAD), (False, BAD), (True, LARGE)):
        producer.begin_transaction()
        producer.produce(guarded.topic, value)
        producer.flush(10)
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    config = group_of(guarded)
    handled: list[int] = []

    with GuardedConsumer(config, guard=guarded.guard) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(lambda message: handled.append(message.offset()), until_end=True)

    assert handled == [0]
    assert len(consume_all(guarded.quarantine)) == 1
    ((committed,), (end,)) = ends(config, guarded.topic)
    assert (committed, end) == (9, 10)  # the last marker has no offset that anybody can read


def test_what_is_too_large_to_park_becomes_a_pointer(
    make_topic: MakeTopic, guarded: Guarded, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """The event stays where it is, and the parked record says where that is."""
    parking = make_topic("small", config={"max.message.bytes": "3000"})
    guard = guard_for(tmp_path / "small", guarded.topic, bundle=f"quarantine: {parking}\n")
    producer = Producer(guarded.config)
    producer.produce(guarded.topic, event(currency="X", note="x" * 9000), "big", headers={"h": "1"})
    producer.produce(guarded.topic, CLEAN)
    producer.flush(10)
    config = group_of(guarded)

    with GuardedConsumer(config, guard=guard) as consumer:
        consumer.subscribe([guarded.topic])
        assert consumer.run(lambda _: None, until_end=True) == 1

    (record,) = consume_all(parking)
    headers = dict(record.headers)
    parked = parse_parked(record.headers)
    assert record.value is None
    assert record.key == b"big"
    assert "h" not in headers
    assert int(headers[POINTER_HEADER] or b"") > 9000
    assert parked is not None
    assert (parked.origin_partition, parked.origin_offset) == (0, 0)
    assert ends(config, guarded.topic)[0] == [2]


def test_a_pattern_and_a_topic_made_later_are_followed(
    make_topic: MakeTopic, guarded: Guarded
) -> None:
    """As with the client; topics without a policy pass."""
    prefix = unique_name("later")
    config = group_of(guarded, **{"topic.metadata.refresh.interval.ms": 200})
    seen: list[str] = []

    with GuardedConsumer(config, guard=guarded.guard) as consumer:
        consumer.subscribe([f"^{prefix}.*"])
        consumer.poll(0.5)
        topic = make_topic(prefix)
        producer = Producer(guarded.config)
        producer.produce(topic, b"anything")
        producer.flush(10)
        consumer.run(
            lambda message: seen.append(message.topic()), max_messages=1, idle_timeout_s=20
        )

    assert seen == [topic]


def test_a_parking_topic_that_is_missing_is_told_soon(
    make_topic: MakeTopic, kafka: Kafka, tmp_path: Path, consume_all: ConsumeAll
) -> None:
    """With the command that makes it; once it is there, reading on loses nothing."""
    topic = make_topic("payments")
    client = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
    guarded = Guarded(topic, guard_for(tmp_path / topic, topic), client)
    send(guarded, 4)  # the last of them is bad
    began = time.monotonic()

    with GuardedConsumer(group_of(guarded), guard=guarded.guard) as consumer:
        consumer.subscribe([topic])
        with pytest.raises(DeliveryError) as caught:
            consumer.run(lambda _: None, idle_timeout_s=60)
        took_s = time.monotonic() - began
        ensure_topics(client, guarded.guard, [topic])
        again = _read_until_parked(consumer, consume_all, guarded)

    assert f"{topic}[0]@3 is refused" in str(caught.value)
    assert f"there is no topic `{guarded.quarantine}`" in str(caught.value)
    assert f"streamwarden topics ensure --topic {topic}" in caught.value.remedy
    assert took_s < 25  # the client by itself waits 30 s for the topic
    assert again == 1


def test_a_run_to_the_end_tells_of_what_could_not_be_parked(
    make_topic: MakeTopic, kafka: Kafka, tmp_path: Path
) -> None:
    """Also where the last event is the one: its write fails when all was read."""
    topic = make_topic("payments")
    client = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
    guarded = Guarded(topic, guard_for(tmp_path / topic, topic), client)
    send(guarded, 4)
    config = group_of(guarded)

    with GuardedConsumer(config, guard=guarded.guard) as consumer:
        consumer.subscribe([topic])
        with pytest.raises(DeliveryError, match=r"\[0\]@3 is refused and could not be parked"):
            consumer.run(lambda _: None, until_end=True)

    assert ends(config, topic) == ([3], [4])


def _read_until_parked(consumer: GuardedConsumer, consume_all: ConsumeAll, guarded: Guarded) -> int:
    """How many events are in quarantine after reading on, however often a try fails."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            consumer.poll(0.2)
        except DeliveryError:  # the client asks for the topic once a second
            time.sleep(0.1)
        if parked := len(consume_all(guarded.quarantine)):
            return parked
    return 0


def test_a_poison_flood_stops_reading_and_goes_on_where_it_stopped(
    make_guarded: Make, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """Loudly, before quarantine is full of it; nothing is passed over, and nothing parked twice."""
    guarded = make_guarded(flood_events=100)
    producer = Producer(guarded.config)
    for number in range(1000):
        producer.produce(guarded.topic, CLEAN if number < 50 else BAD, str(number))
    for number in range(1000, 1200):
        producer.produce(guarded.topic, CLEAN, str(number))
    assert producer.flush(30) == 0
    config = group_of(guarded)
    handled: list[int] = []

    def handle(message: GuardedMessage) -> None:
        handled.append(int(message.key()))

    with GuardedConsumer(config, guard=guarded.guard) as consumer:
        consumer.subscribe([guarded.topic])
        with pytest.raises(FloodError, match="51 of the last 101 events at consume were refused"):
            consumer.run(handle, idle_timeout_s=60)
        with pytest.raises(FloodError):
            consumer.poll(10)

    assert handled == list(range(50))
    assert ends(config, guarded.topic) == ([101], [1200])
    assert sorted(keys_of(consume_all, guarded.quarantine)) == list(range(50, 101))
    assert guarded.guard.counters["fallbacks/flood_stopped"] == 1

    # Somebody looked: these events are bad indeed, and are to be parked.
    permissive = guard_for(tmp_path / "again", guarded.topic, flood="warn", flood_events=100)
    with GuardedConsumer(config, guard=permissive) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(handle, until_end=True)

    assert handled == [*range(50), *range(1000, 1200)]
    assert ends(config, guarded.topic) == ([1200], [1200])
    assert sorted(keys_of(consume_all, guarded.quarantine)) == list(range(50, 1000))
    assert permissive.counters["fallbacks/flood_warned"] == 1
