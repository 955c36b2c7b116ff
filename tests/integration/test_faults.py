"""Faults on a real Kafka: what docs/failure-modes.md declares is what happens, and is counted."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.errors import DeliveryError, FloodError
from streamwarden.producers.producer import GuardedProducer
from tests.guards import BAD, CLEAN, LARGE, Told, guard_for
from tests.servers.kafka import StartKafka
from tests.servers.topics import (
    ConsumeAll,
    MakeTopic,
    create_topic,
    leader_of,
    read_topic,
    unique_name,
)

from .conftest import Guarded

Make = Callable[..., Guarded]
WAIT_S = 60.0

#: Parking topics that do not take an event, and the error that says so.
UNFIT = {
    "compacted": ({"cleanup.policy": "compact"}, KafkaError.INVALID_RECORD),
    "too small": ({"max.message.bytes": "100"}, KafkaError.MSG_SIZE_TOO_LARGE),
}


def test_a_slow_broker_loses_nothing_and_a_silent_one_is_told_event_by_event(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """Forwarded and parked ones alike; once it answers again, all goes on."""
    cluster = start_kafka(proxied=True)
    for topic in ("payments", "quarantine.payments", "held.payments"):
        create_topic(cluster.bootstrap, topic)
    proxy = cluster.node.proxy
    config = {"bootstrap.servers": cluster.node.proxied_bootstrap, "log_level": 0}
    parking: dict[str, Any] = {"message.timeout.ms": 3000}
    guard = guard_for(tmp_path, "payments")
    rounds: list[Counter[int]] = []

    with GuardedProducer({**config, **parking}, guard=guard, parking=parking) as producer:
        for delay_s, flowing in ((0.1, True), (0.0, False), (0.0, True)):
            proxy.delay_s, proxy.flowing = delay_s, flowing
            told = Told()
            for value in (CLEAN, BAD, LARGE):
                producer.produce("payments", value, on_delivery=told)
            assert producer.flush(WAIT_S) == 0
            proxy.flowing = True
            rounds.append(Counter(error.code() if error else 0 for error in told.errors))

    fine = Counter({0: 1, KafkaError.POLICY_VIOLATION: 2})
    assert rounds == [fine, Counter({KafkaError._MSG_TIMED_OUT: 3}), fine]
    assert guard.counters["dropped/parking/failed"] == 2
    values = [record.value for record in read_topic(cluster.bootstrap, "payments")]
    assert values.count(CLEAN) in (2, 3)  # what timed out may have been written all the same


def test_with_a_frozen_broker_produce_takes_no_longer_than_its_deadline(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """What it asks brokers about a topic counts, as does waiting for room in either queue."""
    cluster = start_kafka()
    for topic in ("payments", "quarantine.payments", "held.payments"):
        create_topic(cluster.bootstrap, topic)
    config: dict[str, Any] = {
        "bootstrap.servers": cluster.bootstrap,
        "log_level": 0,
        "queue.buffering.max.messages": 3,
    }
    producer = GuardedProducer(config, guard=guard_for(tmp_path, "payments"), queue_full_wait_s=0.3)
    cluster.node.pause()
    took: list[float] = []
    full = 0

    for value in (BAD, CLEAN) * 5:
        began = time.monotonic()
        try:
            producer.produce("payments", value, partition=0, on_delivery=Told())
        except BufferError:
            full += 1
        took.append(time.monotonic() - began)

    cluster.node.resume()
    assert full == 4
    assert min(sorted(took)[-4:]) >= 0.29
    assert max(took) < 1.0  # a second and a half, if each question had a time of its own
    assert producer.close(WAIT_S)


@pytest.mark.slow
def test_when_the_leader_moves_every_event_is_in_its_place(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """One of three nodes is killed between events, and between reading and parking."""
    cluster = start_kafka(3)
    topics = ("payments", "quarantine.payments", "held.payments")
    for topic in topics:
        create_topic(cluster.bootstrap, topic, partitions=3)
    config: dict[str, str | int | float] = {"bootstrap.servers": cluster.bootstrap, "log_level": 0}
    guard, told = guard_for(tmp_path, "payments"), Told()
    leader = leader_of(AdminClient({**config}), "payments")

    with GuardedProducer(config, guard=guard) as producer:
        for number in range(600):
            if number == 300:
                cluster.nodes[leader - 1].kill()
            value = {3: BAD, 5: LARGE}.get(number % 7, CLEAN)
            producer.produce("payments", value, str(number), on_delivery=told)
        assert producer.flush(WAIT_S) == 0

    assert {e.code() if e else 0 for e in told.errors} == {0, KafkaError.POLICY_VIOLATION}
    found = [int(r.key or b"") for topic in topics for r in read_topic(cluster.bootstrap, topic)]
    assert sorted(found) == list(range(600))


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_parking_topic_that_takes_nothing_is_told_to_each_caller(
    guarded: Guarded, make_topic: MakeTopic, tmp_path: Path, consume_all: ConsumeAll, unfit: str
) -> None:
    """At produce by the callback, with the write's own error; what passes is not held up."""
    config, code = UNFIT[unfit]
    parking = make_topic("unfit", config=config)
    guard = guard_for(tmp_path / "unfit", guarded.topic, bundle=f"quarantine: {parking}\n")
    told = Told()

    with GuardedProducer(
        guarded.config, guard=guard, parking={"message.timeout.ms": 2000}
    ) as producer:
        for value in (BAD, CLEAN, BAD):
            producer.produce(guarded.topic, value, on_delivery=told)
        assert producer.flush(WAIT_S) == 0

    by_value = Counter((m.value(), e.code() if e else 0) for e, m in told.reports)
    assert by_value == Counter({(BAD, code): 2, (CLEAN, 0): 1})
    assert guard.counters["dropped/parking/failed"] == 2
    assert [record.value for record in consume_all(guarded.topic)] == [CLEAN]


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_parking_topic_that_takes_nothing_stops_a_consumer_before_the_event(
    guarded: Guarded, make_topic: MakeTopic, tmp_path: Path, unfit: str
) -> None:
    """Nothing is passed over: with a topic that takes it, the event is parked by the next one."""
    parking = make_topic("unfit", config=UNFIT[unfit][0])
    guard = guard_for(tmp_path / "unfit", guarded.topic, bundle=f"quarantine: {parking}\n")
    producer = Producer(guarded.config)
    for value in (CLEAN, BAD, CLEAN):
        producer.produce(guarded.topic, value)
    assert producer.flush(WAIT_S) == 0
    config = _group(guarded)
    handled: list[int | None] = []

    def handle(message: GuardedMessage) -> None:
        handled.append(message.offset())

    with GuardedConsumer(config, guard=guard, parking={"message.timeout.ms": 2000}) as consumer:
        consumer.subscribe([guarded.topic])
        with pytest.raises(DeliveryError, match=r"\[0\]@1 is refused and could not be parked"):
            consumer.run(handle, until_end=True)
    with GuardedConsumer(config, guard=guarded.guard) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(handle, until_end=True)

    assert guard.counters["dropped/parking/failed"] == 1
    assert set(handled) == {0, 2}
    assert guarded.guard.counters[f"parked/{guarded.topic}/quarantined"] == 1


@pytest.mark.slow
def test_while_a_handler_hangs_another_member_handles_its_events(guarded: Guarded) -> None:
    """After `max.poll.interval.ms` the partition moves on; what the late one does is not committed."""
    producer = Producer(guarded.config)
    for number in range(5):
        producer.produce(guarded.topic, CLEAN, str(number))
    assert producer.flush(WAIT_S) == 0
    config = _group(
        guarded,
        **{"session.timeout.ms": 1000, "heartbeat.interval.ms": 200, "max.poll.interval.ms": 1500},
    )
    hangs, released = threading.Event(), threading.Event()
    late: list[int | None] = []
    handled: list[int | None] = []

    def hang(message: GuardedMessage) -> None:
        hangs.set()
        released.wait(WAIT_S)
        late.append(message.offset())

    def member() -> None:
        with GuardedConsumer(config, guard=guarded.guard) as consumer:
            consumer.subscribe([guarded.topic])
            consumer.run(hang, max_messages=1)

    def handle(message: GuardedMessage) -> None:
        handled.append(message.offset())

    thread = threading.Thread(target=member)
    thread.start()
    assert hangs.wait(WAIT_S)
    patient = {**config, "max.poll.interval.ms": 300_000}
    with GuardedConsumer(patient, guard=guarded.guard) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(handle, max_messages=5, idle_timeout_s=WAIT_S)
    released.set()
    thread.join(WAIT_S)

    assert not thread.is_alive()
    assert handled == [0, 1, 2, 3, 4]
    assert late == [0]
    with GuardedConsumer(patient, guard=guarded.guard) as consumer:
        consumer.subscribe([guarded.topic])
        assert consumer.run(handle, until_end=True) == 0  # its commit did not go back


def test_a_rule_that_fails_on_every_event_holds_them_until_it_is_a_flood(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """Each says why; then the guard stops, and the events after that are nowhere, which is told."""
    guarded = make_guarded(flood_events=50)
    told = Told()

    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        decisions = [
            producer.produce(guarded.topic, b'{"currency": "USD"}', on_delivery=told)
            for _ in range(50)
        ]
        with pytest.raises(FloodError, match="limits/over-limit"):
            producer.produce(guarded.topic, CLEAN, on_delivery=told)

    assert {match.error is None for each in decisions for match in each.matches} == {False}
    assert Counter(e.code() if e else 0 for e in told.errors) == {KafkaError.POLICY_VIOLATION: 50}
    assert len(consume_all(guarded.held)) == 50
    assert guarded.guard.counters["fallbacks/flood_stopped"] == 1


def test_a_clock_that_jumps_is_told_where_the_broker_does_not_believe_it(
    guarded: Guarded, tmp_path: Path, consume_all: ConsumeAll
) -> None:
    """Back by a day: decided, written and parked under that time. Ahead by a year: the callback."""
    now_ms = time.time_ns() // 1_000_000
    jumps = {"now": 0, "back": -86_400_000, "ahead": 365 * 86_400_000, "again": 0}
    at_ms = [now_ms]
    guard = guard_for(tmp_path / "clock", guarded.topic, clock=lambda: at_ms[0] * 1_000_000)
    outcome: dict[str, Counter[int]] = {}

    with GuardedProducer(guarded.config, guard=guard) as producer:
        for jump, by_ms in jumps.items():
            at_ms[0], told = now_ms + by_ms, Told()
            producer.produce(guarded.topic, CLEAN, on_delivery=told)
            producer.produce(guarded.topic, BAD, on_delivery=told)
            assert producer.flush(WAIT_S) == 0
            outcome[jump] = Counter(e.code() if e else 0 for e in told.errors)

    fine = Counter([0, KafkaError.POLICY_VIOLATION])
    refused = Counter({KafkaError.INVALID_TIMESTAMP: 2})
    assert outcome == {"now": fine, "back": fine, "ahead": refused, "again": fine}
    assert guard.counters["dropped/parking/failed"] == 1
    for topic in (guarded.topic, guarded.quarantine):
        times = [record.timestamp - now_ms for record in consume_all(topic)]
        assert times == [0, jumps["back"], 0]


_FULL_DISK = """
import resource, sys
from pathlib import Path
from streamwarden import Guard

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # the system refuses every write to a file
with Guard.from_url(sys.argv[1], last_known_good=sys.argv[2]) as guard:
    guard.start()
    decision = guard.decide(topic="payments", value=b'{"amount": 60000, "currency": "USD"}')
    print(decision.effect.value, dict(guard.counters))
"""


@pytest.mark.slow
def test_without_room_for_the_last_good_policy_it_is_used_all_the_same(tmp_path: Path) -> None:
    """What cannot be kept on disk is counted; decisions go on."""
    guard_for(tmp_path / "policies", "payments")
    store = tmp_path / "store"
    publish = [
        *(sys.executable, "-m", "streamwarden", "bundle", "publish", "--yes"),
        *("--policies", str(tmp_path / "policies"), "--store", f"dir:{store}"),
        *("--by", "ann", "--reason", "first"),
    ]
    subprocess.run(publish, check=True, capture_output=True)

    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, f"dir:{store}?bundle=limits", str(tmp_path / "last")],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("hold ")
    assert "'dropped/last_known_good/write_failed': 1" in done.stdout
    assert "cannot be used: file too large" in done.stderr
    assert not (tmp_path / "last").exists()


def _group(guarded: Guarded, **settings: Any) -> dict[str, Any]:
    return {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
        **settings,
    }
