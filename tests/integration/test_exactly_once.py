"""Exactly once on a real Kafka: what was handled, parked and committed agree, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.errors import ConfigurationError
from streamwarden.policy.parking import parse_parked
from streamwarden.producers.producer import GuardedProducer
from tests.guards import BAD, CLEAN, LARGE, event, guard_for, write_policy
from tests.servers.kafka import StartKafka
from tests.servers.topics import ConsumeAll, MakeTopic, create_topic, read_topic, unique_name

from .conftest import Guarded

Make = Callable[..., Guarded]


def send(guarded: Guarded, count: int) -> None:
    """Events with their number as the key; of every seven one is bad and one large."""
    producer = Producer(guarded.config)
    for number in range(count):
        value = {3: BAD, 5: LARGE}.get(number % 7, event(n=number))
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


def committed(config: dict[str, Any], topic: str) -> int:
    client = Consumer({k: v for k, v in config.items() if k != "group.instance.id"})
    try:
        return client.committed([TopicPartition(topic, 0)], 10)[0].offset
    finally:
        client.close()


def keys_of(consume_all: ConsumeAll, *topics: str) -> list[int]:
    return [int(record.key or b"") for topic in topics for record in consume_all(topic)]


def forward(to: str) -> Callable[[GuardedMessage, GuardedProducer], None]:
    """A handler that writes each event to another topic."""

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(to, message.value(), message.key())

    return handle


def handle_nothing(_message: GuardedMessage, _producer: GuardedProducer) -> None:
    """A handler without effects."""


def test_every_event_is_written_or_parked_once(
    make_guarded: Make, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """In batches of a moment; offsets and writes share their transactions."""
    guarded, to = make_guarded(2), make_topic("to")
    send(guarded, 3000)
    config = group_of(guarded)

    with GuardedConsumer(config, guard=guarded.guard, transactional_id="fulfilment") as consumer:
        consumer.subscribe([guarded.topic])
        count = consumer.run(forward(to), until_end=True)

    refused = [number for number in range(3000) if number % 7 in (3, 5)]
    assert count == 3000 - len(refused)
    assert sorted(keys_of(consume_all, guarded.quarantine, guarded.held)) == refused
    passed = sorted(keys_of(consume_all, to))
    assert passed == [number for number in range(3000) if number % 7 not in (3, 5)]


@pytest.mark.parametrize("let_go", [GuardedConsumer.close, GuardedConsumer.unsubscribe])
def test_a_handler_that_lets_partitions_go_commits_nothing_of_its_own_event(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll, let_go: Callable[..., None]
) -> None:
    """What it had written for that event is undone, and the next run writes it, once."""
    to, config = make_topic("to"), group_of(guarded)
    send(guarded, 7)
    seen: list[bytes] = []

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(to, message.value(), message.key())
        seen.append(message.key())
        if len(seen) == 3:
            let_go(consumer)

    with GuardedConsumer(config, guard=guarded.guard, transactional_id="x") as consumer:
        consumer.subscribe([guarded.topic])
        with suppress(RuntimeError):  # of a consumer that is closed
            consumer.run(handle, idle_timeout_s=3)
    with GuardedConsumer(config, guard=guarded.guard, transactional_id="x") as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(handle, until_end=True)

    assert sorted(keys_of(consume_all, to)) == [0, 1, 2, 4, 6]
    assert keys_of(consume_all, guarded.quarantine, guarded.held) == [3, 5]
    assert committed(config, guarded.topic) >= 7


def test_what_the_handler_may_not_send_is_parked_in_the_same_transaction(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Its producer is a guarded one."""
    send(guarded, 1)

    def handle(_message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(guarded.topic, BAD, "made")

    with GuardedConsumer(group_of(guarded), guard=guarded.guard, transactional_id="x") as consumer:
        consumer.subscribe([guarded.topic])
        assert consumer.run(handle, max_messages=1) == 1

    (parked,) = consume_all(guarded.quarantine)
    found = parse_parked(parked.headers)
    assert found is not None
    assert (parked.key, found.origin_offset) == (b"made", None)


def test_a_failing_handler_leaves_nothing_and_is_tried_again(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """What it wrote before it raised is undone, and so is what was parked meanwhile."""
    to = make_topic("to")
    send(guarded, 50)
    raised: list[int] = []

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(to, b"half", message.key())
        number = int(message.key())
        if raised.count(number) < {7: 3, 20: 1}.get(number, 0):
            raised.append(number)
            raise LookupError
        producer.produce(to, b"whole", message.key())

    config = group_of(guarded)
    with GuardedConsumer(
        config, guard=guarded.guard, transactional_id="x", handler_backoff_s=0.01
    ) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(handle, until_end=True)

    assert raised == [7, 7, 7, 20]
    passed = [number for number in range(50) if number % 7 not in (3, 5)]
    found = Counter((int(r.key or b""), r.value) for r in consume_all(to))
    assert found == Counter((n, v) for n in passed for v in (b"half", b"whole"))
    assert len(keys_of(consume_all, guarded.quarantine, guarded.held)) == 50 - len(passed)
    assert committed(config, guarded.topic) == 50


def test_a_handler_that_goes_on_failing_stops_before_the_event(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Its exception; the events before it are committed, it and the later ones are not."""
    to = make_topic("to")
    send(guarded, 10)
    config = group_of(guarded)

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(to, CLEAN, message.key())
        if message.key() == b"6":
            raise LookupError("mine")

    with GuardedConsumer(
        config,
        guard=guarded.guard,
        transactional_id="x",
        handler_retries=1,
        handler_backoff_s=0.01,
    ) as consumer:
        consumer.subscribe([guarded.topic])
        with pytest.raises(LookupError, match="mine"):
            consumer.run(handle)
        assert committed(config, guarded.topic) in (5, 6)  # 5 is parked, perhaps together with it
        consumer.run(forward(to), until_end=True)

    assert sorted(keys_of(consume_all, to)) == [0, 1, 2, 4, 6, 7, 8, 9]
    assert committed(config, guarded.topic) == 10


def test_a_handler_that_goes_on_failing_can_have_the_event_parked(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """In the transaction that commits its offset."""
    to = make_topic("to")
    send(guarded, 10)
    config = group_of(guarded)

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        if message.key() == b"6":
            raise LookupError("mine")
        producer.produce(to, CLEAN, message.key())

    with GuardedConsumer(
        config,
        guard=guarded.guard,
        transactional_id="x",
        on_handler_error="quarantine",
        handler_retries=1,
        handler_backoff_s=0.01,
    ) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(handle, until_end=True)

    kinds = {
        int(record.key or b""): parsed.kind
        for record in consume_all(guarded.quarantine)
        if (parsed := parse_parked(record.headers)) is not None
    }
    assert kinds == {3: "quarantined", 6: "handler"}
    assert sorted(keys_of(consume_all, to)) == [0, 1, 2, 4, 7, 8, 9]
    assert committed(config, guarded.topic) == 10


def test_a_record_that_the_broker_refuses_undoes_its_transaction(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """A producer that such an error leaves of no use is replaced; in the end it is raised."""
    small = make_topic("small", config={"max.message.bytes": "2000"})
    send(guarded, 6)
    config = group_of(guarded)

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        size = 9000 if message.key() == b"4" else 10
        producer.produce(small, b"x" * size, message.key())
        producer.produce(small, b"after", message.key())

    with GuardedConsumer(
        config,
        guard=guarded.guard,
        transactional_id="x",
        handler_retries=1,
        handler_backoff_s=0.01,
    ) as consumer:
        consumer.subscribe([guarded.topic])
        with pytest.raises(KafkaException, match="size too large"):
            consumer.run(handle)
        assert committed(config, guarded.topic) in (3, 4)  # 3 is parked, perhaps together with it
        consumer.run(handle_nothing, until_end=True)

    assert sorted(keys_of(consume_all, small)) == [0, 0, 1, 1, 2, 2]
    assert committed(config, guarded.topic) == 6


_CHILD = """
import sys
from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.policy.guard import Guard

bootstrap, group, topic, to, policies = sys.argv[1:]
config = {
    "bootstrap.servers": bootstrap,
    "group.id": group,
    "group.instance.id": "one",
    "auto.offset.reset": "earliest",
    "session.timeout.ms": 1000,
    "heartbeat.interval.ms": 200,
    "log_level": 0,
}
guard = Guard.from_directory(policies)
with GuardedConsumer(config, guard=guard, transactional_id="x") as consumer:
    consumer.subscribe([topic])

    def handle(message, producer):
        producer.produce(to, message.value(), message.key())
        print(message.offset(), flush=True)

    consumer.run(handle, until_end=True)
"""


@pytest.mark.slow
def test_a_killed_instance_leaves_no_event_twice(
    make_guarded: Make, make_topic: MakeTopic, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """SIGKILL in the middle of transactions, and the same instance started again."""
    guarded, to = make_guarded(2), make_topic("to")
    send(guarded, 6000)
    policies = write_policy(tmp_path / "again", guarded.topic)
    servers = guarded.config["bootstrap.servers"]
    arguments = [sys.executable, "-c", _CHILD, servers, unique_name("g"), guarded.topic, to]
    status = None
    for attempt in range(10):
        with subprocess.Popen(
            [*arguments, str(policies)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for count, _ in enumerate(child.stdout):
                if attempt < 3 and count == 700:
                    child.send_signal(signal.SIGKILL)
            status = child.wait(60)
        if status == 0:
            break

    assert status == 0
    refused = [number for number in range(6000) if number % 7 in (3, 5)]
    assert sorted(keys_of(consume_all, guarded.quarantine, guarded.held)) == refused
    passed = [number for number in range(6000) if number % 7 not in (3, 5)]
    assert sorted(keys_of(consume_all, to)) == passed


def test_a_broker_that_restarts_holds_no_transaction_up(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """The client would wait for ever for the group's coordinator, which was away (issue 5456)."""
    cluster = start_kafka(1)
    topic, to = "payments", "to"
    for name in (topic, to, "held.payments", "quarantine.payments"):
        create_topic(cluster.bootstrap, name, partitions=2)
    config = {"bootstrap.servers": cluster.bootstrap, "log_level": 0}
    producer = Producer(config)
    for number in range(1500):
        producer.produce(topic, event(n=number), str(number))
        producer.poll(0)
    assert producer.flush(30) == 0
    handled = threading.Event()

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(to, CLEAN, message.key())
        time.sleep(0.001)  # so that the broker goes in the middle
        if int(message.key()) > 300:
            handled.set()

    def restart() -> None:
        handled.wait(60)
        cluster.node.stop()
        cluster.node.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    group = {**config, "group.id": "g", "auto.offset.reset": "earliest"}
    consumer = GuardedConsumer(
        group,
        guard=guard_for(tmp_path, topic),
        transactional_id="x",
        # Longer than a broker takes to restart on a busy machine: one that gives a transaction up
        # may fence its producer, which ends the run.
        parking={"transaction.timeout.ms": 60_000},
    )
    with consumer:
        consumer.subscribe([topic])
        consumer.run(handle, until_end=True)
    restarting.join()

    # A single broker that goes down may leave copies: see docs/failure-modes.md.
    assert {int(record.key or b"") for record in read_topic(cluster.bootstrap, to)} == set(
        range(1500)
    )


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_members_that_come_and_go_leave_no_event_twice(
    make_guarded: Make, make_topic: MakeTopic, consume_all: ConsumeAll, strategy: str
) -> None:
    """A rebalance commits what was handled before the partitions go."""
    guarded, to = make_guarded(4), make_topic("to")
    send(guarded, 4000)
    config = group_of(guarded, **{"partition.assignment.strategy": strategy})
    failures: list[BaseException] = []

    def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(to, CLEAN, message.key())
        time.sleep(0.0005)

    def member(stop_after: int | None) -> None:
        try:
            with GuardedConsumer(config, guard=guarded.guard, transactional_id="x") as consumer:
                consumer.subscribe([guarded.topic])
                consumer.run(handle, max_messages=stop_after, idle_timeout_s=4)
        except BaseException as error:
            failures.append(error)
            raise

    members = [threading.Thread(target=member, args=(after,)) for after in (300, 500, None)]
    for thread in members:
        thread.start()
        time.sleep(0.4)
    for thread in members:
        thread.join(90)

    assert failures == []
    refused = [number for number in range(4000) if number % 7 in (3, 5)]
    assert sorted(keys_of(consume_all, guarded.quarantine, guarded.held)) == refused
    passed = [number for number in range(4000) if number % 7 not in (3, 5)]
    assert sorted(keys_of(consume_all, to)) == passed


def test_a_commit_of_which_nothing_was_heard_is_found_out_by_the_next_run(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Where the broker could not be asked any more when the run ended: nothing is handled again."""
    to = make_topic("to")
    silent, lost = iter([True]), iter([False, True])

    class Unheard(GuardedProducer):
        """The broker's answer to its first commit is lost, and so is the way to it after that."""

        def init_transactions(self, timeout: float = -1) -> None:
            if next(lost, False):
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            super().init_transactions(timeout)

        def commit_transaction(self, timeout: float = -1) -> None:
            super().commit_transaction(timeout)
            if next(silent, False):
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    class Unhearing(GuardedConsumer):
        _producer_class = Unheard

    send(guarded, 2)
    with Unhearing(group_of(guarded), guard=guarded.guard, transactional_id="x") as consumer:
        consumer.subscribe([guarded.topic])
        with pytest.raises(KafkaException):
            consumer.run(forward(to), until_end=True)
        send(guarded, 1)
        consumer.run(forward(to), until_end=True)

    assert keys_of(consume_all, to) == [0, 1, 0]


def test_by_hand_an_abort_reads_again_and_a_commit_has_everything(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """`producer=`: parked events, the application's own and offsets in one transaction."""
    to = make_topic("to")
    send(guarded, 7)
    config = group_of(guarded)
    writing = {**guarded.config, "transactional.id": unique_name("tx")}
    with (
        GuardedProducer(writing, guard=guarded.guard) as producer,
        GuardedConsumer(config, guard=guarded.guard, producer=producer) as consumer,
    ):
        producer.init_transactions(30)
        consumer.subscribe([guarded.topic])
        for commits in (False, True):
            producer.begin_transaction()
            seen: list[bytes] = []
            until = time.monotonic() + 20
            while len(seen) < 5 and time.monotonic() < until:
                message = consumer.poll(0.2)
                if isinstance(message, GuardedMessage):
                    seen.append(message.key())
                    producer.produce(to, CLEAN, message.key())
            assert seen == [b"0", b"1", b"2", b"4", b"6"]
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 30)
            if commits:
                producer.commit_transaction(30)
            else:
                producer.flush(10)
                producer.abort_transaction(30)

    assert len(consume_all(to)) == 5
    assert keys_of(consume_all, guarded.quarantine) == [3]
    assert keys_of(consume_all, guarded.held) == [5]
    assert committed(config, guarded.topic) == 7


def test_by_hand_an_event_is_not_parked_outside_a_transaction(guarded: Guarded) -> None:
    """It is said what to do, and the event is read again."""
    Producer(guarded.config).produce(guarded.topic, BAD)
    producer = Producer(guarded.config)
    producer.produce(guarded.topic, BAD)
    producer.flush(10)
    writing = {**guarded.config, "transactional.id": unique_name("tx")}
    with (
        GuardedProducer(writing, guard=guarded.guard) as transactional,
        GuardedConsumer(group_of(guarded), guard=guarded.guard, producer=transactional) as consumer,
    ):
        transactional.init_transactions(30)
        consumer.subscribe([guarded.topic])
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="begin_transaction"):
                consumer.poll(20)


def test_settings_that_contradict_transactions_are_refused(
    guarded: Guarded, tmp_path: Path
) -> None:
    """Not guessed."""
    config = group_of(guarded)
    guard = guard_for(tmp_path / "p", guarded.topic)
    plain = GuardedProducer(guarded.config, guard=guard)

    contradictions: list[dict[str, Any]] = [
        {"transactional_id": "x", "enable.auto.commit": True},
        {"transactional_id": "x", "isolation.level": "read_uncommitted"},
        {"transactional_id": "x", "producer": plain},
        {"producer": plain},
    ]
    for settings in contradictions:
        with pytest.raises(ConfigurationError):
            GuardedConsumer(config, guard=guard, **settings)
    plain.close()


def test_with_transactions_offsets_are_committed_nowhere_else(guarded: Guarded) -> None:
    """Neither by hand, nor by reading by hand."""
    config = group_of(guarded)
    with GuardedConsumer(config, guard=guarded.guard, transactional_id="x") as consumer:
        with pytest.raises(ConfigurationError, match="run"):
            consumer.poll(0)
        with pytest.raises(ConfigurationError, match="in the transaction"):
            consumer.commit()
        with pytest.raises(ConfigurationError, match="in the transaction"):
            consumer.store_offsets(offsets=[TopicPartition(guarded.topic, 0, 1)])
