"""What only a real Kafka shows of a guarded producer: time stamps, transactions, limits, rights."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from streamwarden.policy.parking import parse_parked
from streamwarden.policy.stamp import Stamp
from streamwarden.producers.producer import GuardedProducer
from tests.guards import BAD, CARD, CLEAN, LARGE, Told, event, guard_for
from tests.servers.kafka import StartKafka
from tests.servers.topics import ConsumeAll, MakeTopic, create_topic, read_topic, unique_name

from .conftest import Guarded


def stamps(consume_all: ConsumeAll, topic: str) -> list[Stamp]:
    return [Stamp.parse(record.headers[-1][1]) for record in consume_all(topic)]


def test_from_the_first_event_on_the_stamp_is_constant(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """The broker is asked before the first event, so that no stamp carries what is not needed."""
    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        for _ in range(600):
            producer.produce(guarded.topic, CLEAN)

    found = {record.headers[0][1] for record in consume_all(guarded.topic)}
    (stamp,) = found
    digest = guarded.guard.bundle.digest[:12]
    assert stamp == f"1;limits@0;{digest};allow;produce".encode()


def test_where_the_broker_sets_the_time_the_stamp_says_when_it_was_decided(
    make_guarded: Callable[..., Guarded], consume_all: ConsumeAll
) -> None:
    """LogAppendTime: the record's timestamp is not the guard's reading."""
    guarded = make_guarded(config={"message.timestamp.type": "LogAppendTime"})
    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        decisions = [producer.produce(guarded.topic, CLEAN) for _ in range(3)]

    assert [stamp.at for stamp in stamps(consume_all, guarded.topic)] == [d.at for d in decisions]


def test_a_change_of_the_setting_is_seen_in_delivery_reports(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Now and then a report is looked at, also without a callback."""
    admin = AdminClient(guarded.config)
    entry = ConfigEntry(
        "message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ResourceType.TOPIC, guarded.topic, incremental_configs=[entry])
    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        for _ in range(2):  # the report on the first one tells what the broker may not have yet
            producer.produce(guarded.topic, CLEAN)
            producer.flush(10)
        admin.incremental_alter_configs([resource])[resource].result(10)
        for _ in range(3):
            for _ in range(256):
                producer.produce(guarded.topic, CLEAN)
            producer.flush(10)

    found = stamps(consume_all, guarded.topic)
    assert found[1].at is None
    assert all(stamp.at is not None for stamp in found[-100:])


def test_a_forked_child_uses_and_closes_the_producer(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """Whatever the parent's had connected to stays the parent's, who goes on."""
    other = make_topic("other")
    guard = guard_for(tmp_path / "two", guarded.topic, other)
    with GuardedProducer(guarded.config, guard=guard) as producer:
        producer.produce(guarded.topic, CLEAN, "parent")
        producer.produce(guarded.topic, BAD, "parent")
        child = os.fork()
        if child == 0:
            try:
                producer.produce(guarded.topic, BAD, "child")
                producer.produce(other, CLEAN, "child")
                closed = producer.close(30)
            except BaseException:  # noqa: BLE001 - the parent sees the status only
                os._exit(9)
            os._exit(0 if closed else 1)
        _, status = os.waitpid(child, 0)
        producer.produce(other, CLEAN, "parent")

    assert status == 0
    assert sorted(record.key or b"" for record in consume_all(other)) == [b"child", b"parent"]
    parked = consume_all(guarded.quarantine)
    assert sorted(record.key or b"" for record in parked) == [b"child", b"parent"]


def test_a_committed_transaction_has_its_parked_events(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Parked writes go through the transactional producer itself, and share its fate."""
    told = Told()
    config = {**guarded.config, "transactional.id": unique_name("tx")}
    with GuardedProducer(config, guard=guarded.guard) as producer:
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in (CLEAN, BAD, LARGE, CARD):
            producer.produce(guarded.topic, value, on_delivery=told)
        assert consume_all(guarded.topic) == []
        producer.commit_transaction(30)
        producer.flush(10)

    assert len(consume_all(guarded.topic)) == 2
    assert [r.value for r in consume_all(guarded.quarantine)] == [BAD]
    assert [r.value for r in consume_all(guarded.held)] == [LARGE]
    codes = sorted(error.code() if error else 0 for error in told.errors)
    assert codes == [0, 0, KafkaError.POLICY_VIOLATION, KafkaError.POLICY_VIOLATION]


def test_after_an_abort_the_parked_events_are_gone_too_and_that_is_told(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """What was not written when the transaction ended has the write's own error."""
    told = Told()
    config = {**guarded.config, "transactional.id": unique_name("tx"), "linger.ms": 5000}
    with GuardedProducer(config, guard=guarded.guard) as producer:
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(guarded.topic, CLEAN, on_delivery=told)
        producer.produce(guarded.topic, BAD, on_delivery=told)
        producer.abort_transaction(30)
        producer.poll(0)
        producer.begin_transaction()
        producer.produce(guarded.topic, CLEAN, "second")
        producer.commit_transaction(30)

    assert [error.name() if error else "" for error in told.errors] == ["_PURGE_QUEUE"] * 2
    assert [record.key for record in consume_all(guarded.topic)] == [b"second"]
    assert consume_all(guarded.quarantine) == []


def test_a_refused_event_outside_a_transaction_is_the_callers_error(guarded: Guarded) -> None:
    """As for any event: the client does not send outside a transaction."""
    config = {**guarded.config, "transactional.id": unique_name("tx")}
    with GuardedProducer(config, guard=guarded.guard) as producer:
        producer.init_transactions(30)
        for value in (CLEAN, BAD):
            with pytest.raises(KafkaException) as caught:
                producer.produce(guarded.topic, value)
            assert caught.value.args[0].code() == KafkaError._STATE


def test_offsets_can_be_sent_in_a_transaction(guarded: Guarded) -> None:
    """The call is the client's."""
    from streamwarden.consumers.consumer import GuardedConsumer

    config = {**guarded.config, "transactional.id": unique_name("tx")}
    group = {**guarded.config, "group.id": unique_name("g"), "auto.offset.reset": "earliest"}
    with (
        GuardedConsumer(group, guard=guarded.guard) as consumer,
        GuardedProducer(config, guard=guarded.guard) as producer,
    ):
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(guarded.topic, CLEAN)
        producer.commit_transaction(30)
        consumer.subscribe([guarded.topic])
        message = consumer.poll(20)
        assert message is not None
        producer.begin_transaction()
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
        )
        producer.commit_transaction(30)
        (place,) = consumer.committed([TopicPartition(guarded.topic, 0)], 10)

    assert place.offset == 1


def test_whatever_acks_were_configured_parked_events_are_acknowledged(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """acks=0 is for events; a parked one is told after it is written."""
    told = Told()
    config = {**guarded.config, "acks": 0, "enable.idempotence": False}
    with GuardedProducer(config, guard=guarded.guard) as producer:
        producer.produce(guarded.topic, BAD, on_delivery=told)
        while not told.reports:
            producer.poll(0.1)
        parked = consume_all(guarded.quarantine)

    assert [record.value for record in parked] == [BAD]


def test_tens_of_thousands_of_events_are_each_in_one_place(
    make_guarded: Callable[..., Guarded], consume_all: ConsumeAll
) -> None:
    """Every one of them once, in its topic, held or quarantined, as its callback said."""
    guarded = make_guarded(4)
    outcome: dict[int, list[str]] = {number: [] for number in range(30_000)}
    values = [CLEAN, CARD, CLEAN, BAD, CLEAN, LARGE, CLEAN, CLEAN]

    def told(number: int) -> Callable[[KafkaError | None, Any], None]:
        def report(error: KafkaError | None, _message: Any) -> None:
            outcome[number].append(error.str().split(":")[1].strip() if error else "delivered")

        return report

    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        for number in outcome:
            value = values[number % len(values)]
            producer.produce(guarded.topic, value, str(number), on_delivery=told(number))

    found: dict[int, list[str]] = {number: [] for number in outcome}
    places = {guarded.topic: "delivered", guarded.held: "held", guarded.quarantine: "rejected"}
    for topic, place in places.items():
        for record in consume_all(topic):
            found[int(record.key or b"")].append(place)
    assert all(len(told) == 1 for told in outcome.values())
    assert found == outcome


def test_what_the_broker_finds_too_large_to_park_is_cut_and_innocents_are_parked(
    make_topic: MakeTopic,
    guarded: Guarded,
    consume_all: ConsumeAll,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker's limit is on batches: those that only were in a batch with a large one pass.

    What is tried again is so inside the client's report, where brokers cannot be asked for partitions.
    """
    monkeypatch.setattr("streamwarden.producers.parking._METADATA_KEPT_S", 0.0)
    parking = make_topic("small", config={"max.message.bytes": "3000"})
    guard = guard_for(tmp_path / "small", guarded.topic, bundle=f"quarantine: {parking}\n")
    told = Told()
    sizes = (10, 1900, 10, *[1900] * 9, 9000)
    values = [event(currency="X", n=n, note="x" * size) for n, size in enumerate(sizes)]
    with GuardedProducer(guarded.config, guard=guard, parking={"linger.ms": 200}) as producer:
        for value in values:
            producer.produce(guarded.topic, value, partition=0, on_delivery=told)

    parked = {record.value: parse_parked(record.headers) for record in consume_all(parking)}
    assert set(parked) == set(values[:-1])
    cut = parked[values[1]]
    assert cut is not None
    assert cut.decision is not None
    assert cut.decision["matches"] == []
    errors = {message.value(): error.code() for error, message in told.reports if error}
    assert errors.pop(values[-1]) == KafkaError.MSG_SIZE_TOO_LARGE
    assert set(errors.values()) == {KafkaError.POLICY_VIOLATION}


def test_without_the_right_to_park_each_caller_is_told(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """The client raises from the second write on: that is told like the first, not raised."""
    cluster = start_kafka(users={"app": "secret"})
    for topic in ("payments", "quarantine.payments", "held.payments"):
        create_topic(cluster.bootstrap, topic)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    rights = [
        AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            "User:app",
            "*",
            AclOperation.WRITE,
            AclPermissionType.ALLOW,
        )
        for topic in ("payments", "held.payments")
    ]
    grant: Callable[..., dict[AclBinding, Future[None]]] = admin.create_acls  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    for granted in grant(rights).values():
        granted.result(10)
    config = {
        "bootstrap.servers": cluster.node.sasl_bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "app",
        "sasl.password": "secret",
        "log_level": 0,
    }
    told = Told()
    with GuardedProducer(config, guard=guard_for(tmp_path, "payments")) as producer:
        for value in (CLEAN, BAD, LARGE):
            producer.produce("payments", value, on_delivery=told)
        producer.flush(30)
        for _ in range(3):
            producer.produce("payments", BAD, on_delivery=told)
            producer.flush(30)
            time.sleep(0.1)
        by_value = {(m.value(), e.code() if e else 0) for e, m in told.reports}

    assert by_value == {
        (CLEAN, 0),
        (LARGE, KafkaError.POLICY_VIOLATION),
        (BAD, KafkaError.TOPIC_AUTHORIZATION_FAILED),
    }
    assert len(told.reports) == 6
    (said,) = {e.str() for e, m in told.reports if e is not None and m.value() == BAD}
    assert "no right to write to `quarantine.payments`" in said
    assert "`streamwarden doctor --topic payments`" in said
    assert len(read_topic(cluster.bootstrap, "held.payments")) == 1


def test_what_threads_send_while_another_closes_is_told(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Each event is taken, and then heard of, or its `produce()` raises."""
    producer = GuardedProducer(guarded.config, guard=guarded.guard)
    taken, told = [0] * 4, [0] * 4
    refused: list[str] = []

    def work(number: int) -> None:
        def report(_error: KafkaError | None, _message: object) -> None:
            told[number] += 1

        while True:
            try:
                producer.produce(
                    guarded.topic, CLEAN if taken[number] % 3 else BAD, on_delivery=report
                )
            except RuntimeError as error:
                refused.append(str(error))
                return
            taken[number] += 1

    threads = [Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 30
    while min(taken) < 50 and time.monotonic() < until:
        time.sleep(0.01)
    sent_all = producer.close(60)
    for thread in threads:
        thread.join(60)

    assert sent_all
    assert refused == ["the producer has been closed"] * 4
    assert told == taken
    bad = sum((each + 2) // 3 for each in taken)
    assert len(consume_all(guarded.quarantine)) == bad
    assert len(consume_all(guarded.topic)) == sum(taken) - bad


@pytest.mark.slow
def test_threads_share_a_producer(
    make_guarded: Callable[..., Guarded], consume_all: ConsumeAll
) -> None:
    """As the client's can be: every event in one place, every callback once."""
    guarded = make_guarded(4)
    told: dict[int, list[str]] = {number: [] for number in range(12_000)}

    def report(number: int) -> Callable[[KafkaError | None, Any], None]:
        return lambda error, _message: told[number].append("refused" if error else "delivered")

    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:

        def work(first: int) -> None:
            for number in range(first, first + 3000):
                value = BAD if number % 3 == 0 else CLEAN
                producer.produce(guarded.topic, value, str(number), on_delivery=report(number))
                if number % 100 == 0:
                    producer.poll(0)

        threads = [Thread(target=work, args=(first,)) for first in range(0, 12_000, 3000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert producer.flush(30) == 0

    refused = {number for number in told if number % 3 == 0}
    assert told == {n: ["refused" if n in refused else "delivered"] for n in told}
    assert sorted(int(r.key or b"") for r in consume_all(guarded.quarantine)) == sorted(refused)
    assert len(consume_all(guarded.topic)) == 12_000 - len(refused)
