"""What a guarded producer sends, parks and tells, in the words of the table in DESIGN.md."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError, FloodError
from streamwarden.policy.model import Effect
from streamwarden.policy.parking import parse_parked
from streamwarden.policy.stamp import Stamp
from streamwarden.producers.producer import GuardedProducer, PolicyRejected
from tests.guards import BAD, CARD, CLEAN, LARGE, SHADY, Told, event, guard_for
from tests.servers.topics import Record

Make = Callable[..., GuardedProducer]
Records = Callable[[str], list[Record]]


def ignore(*_: object) -> None:
    """A callback that is there, and that is all."""


@pytest.mark.parametrize(
    ("value", "effect"),
    [(CLEAN, Effect.ALLOW), (SHADY, Effect.WARN), (CARD, Effect.MASK)],
)
def test_what_passes_is_sent_stamped_and_told_as_by_the_client(
    make_producer: Make, records: Records, told: Told, value: bytes, effect: Effect
) -> None:
    """allow, warn and mask: one record, the callback without error, its message the record."""
    producer = make_producer()

    decision = producer.produce("payments", value, key="k", on_delivery=told)

    assert producer.flush(10) == 0
    assert decision.effect is effect
    (record,) = records("payments")
    assert record.key == b"k"
    assert record.timestamp == decision.at
    ((name, stamp),) = record.headers
    assert name == "streamwarden"
    assert Stamp.parse(stamp).effect is effect
    assert Stamp.parse(stamp).at is None
    ((error, message),) = told.reports
    assert error is None
    assert message.offset() == record.offset
    assert message.value() == record.value
    assert (record.value == value) is (effect is not Effect.MASK)


@pytest.mark.parametrize(
    ("value", "topic", "verb"),
    [(LARGE, "held.payments", "held"), (BAD, "quarantine.payments", "rejected")],
)
def test_what_is_refused_is_parked_and_told_as_a_policy_violation(
    make_producer: Make, records: Records, told: Told, value: bytes, topic: str, verb: str
) -> None:
    """Told once, after the parking write, with the caller's own topic and bytes."""
    producer = make_producer()

    decision = producer.produce("payments", value, "key", headers={"h": "x"}, on_delivery=told)

    assert not decision.passes
    assert told.reports == []
    assert len(producer) == 1
    assert producer.flush(10) == 0
    ((error, message),) = told.reports
    assert error is not None
    assert error.code() == KafkaError.POLICY_VIOLATION
    assert not error.retriable()
    assert error.str().startswith(f"streamwarden: {verb}: limits/")
    assert (message.topic(), message.key(), message.value()) == ("payments", b"key", value)
    assert message.headers() == [("h", b"x")]
    assert message.error() == error
    assert message.offset() is None
    assert records("payments") == []
    (parked,) = records(topic)
    assert (parked.key, parked.value) == (b"key", value)
    assert parked.timestamp == decision.at
    found = parse_parked(parked.headers)
    assert found is not None
    assert found.origin_topic == "payments"
    assert found.origin_offset is None


@pytest.mark.slow
def test_a_refused_event_can_be_raised_and_is_parked_and_told_all_the_same(
    make_producer: Make, records: Records, told: Told
) -> None:
    """`on_reject="raise"`: whoever catches the client's exceptions catches this one."""
    producer = make_producer(on_reject="raise")
    producer.produce("payments", CLEAN)

    with pytest.raises(KafkaException) as caught:
        producer.produce("payments", LARGE, on_delivery=told)

    assert isinstance(caught.value, PolicyRejected)
    assert caught.value.decision.effect is Effect.HOLD
    assert caught.value.args[0].code() == KafkaError.POLICY_VIOLATION
    assert "limits/over-limit" in str(caught.value)
    producer.flush(10)
    assert len(told.reports) == 1
    assert len(records("held.payments")) == 1


def test_where_parking_fails_its_own_error_is_told(
    make_producer: Make, broker: EmbeddedBroker, records: Records, told: Told
) -> None:
    """The event is nowhere, and the caller knows."""
    broker.fail_topic("quarantine.payments", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    producer = make_producer({"message.timeout.ms": 2000})

    decision = producer.produce("payments", BAD, on_delivery=told)

    assert decision.effect is Effect.REJECT
    producer.flush(10)
    ((error, message),) = told.reports
    assert error is not None
    assert error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._MSG_TIMED_OUT)
    assert message.value() == BAD
    assert records("payments") == []
    assert producer.guard.counters["dropped/parking/failed"] == 1


def test_an_unreachable_cluster_is_told_for_every_event(tmp_path: Path, told: Told) -> None:
    """Neither kind of event disappears without a word."""
    guard = guard_for(tmp_path, "payments")
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, "message.timeout.ms": 300}
    with GuardedProducer(config, guard=guard) as producer:
        started = time.monotonic()
        for value in (CLEAN, BAD, LARGE, CLEAN) * 10:
            producer.produce("payments", value, on_delivery=told)
        elapsed_s = time.monotonic() - started

        assert producer.flush(30) == 0

    assert elapsed_s < 10  # the question about time stamps waits half a second, and not each time
    assert [error and error.code() for error in told.errors] == [KafkaError._MSG_TIMED_OUT] * 40


def test_closing_tells_about_what_could_not_be_sent(tmp_path: Path, told: Told) -> None:
    """`close()` gives up after its time, and says so to each callback."""
    guard = guard_for(tmp_path, "payments")
    producer = GuardedProducer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, guard=guard)
    producer.produce("payments", CLEAN, on_delivery=told)
    producer.produce("payments", BAD, on_delivery=told)

    assert producer.close(0.3) is False

    assert sorted(error.name() for error in told.errors if error) == ["_PURGE_QUEUE"] * 2
    with pytest.raises(RuntimeError, match="closed"):
        producer.produce("payments", CLEAN)
    with pytest.raises(RuntimeError, match="closed"):
        producer.poll(0)
    assert producer.close() is True


def collect(told: list[KafkaError | None]) -> Callable[[KafkaError | None, Any], None]:
    return lambda error, _message: told.append(error)


@pytest.mark.slow
def test_thousands_of_events_are_each_in_one_place_and_told_once(
    make_producer: Make, records: Records
) -> None:
    """Delivered, held and quarantined add up, and callbacks come exactly once."""
    producer = make_producer()
    calls: dict[int, list[KafkaError | None]] = {}
    values = [CLEAN, LARGE, CARD, BAD, SHADY]

    for number in range(2000):
        told = calls.setdefault(number, [])
        producer.produce(
            "payments",
            values[number % 5],
            key=str(number),
            on_delivery=collect(told),
        )
    assert producer.flush(30) == 0

    assert all(len(told) == 1 for told in calls.values())
    refused = {number for number, (error,) in calls.items() if error is not None}
    assert refused == {number for number in range(2000) if number % 5 in (1, 3)}
    keys = [
        int(r.key or b"")
        for t in ("payments", "held.payments", "quarantine.payments")
        for r in records(t)
    ]
    assert sorted(keys) == list(range(2000))
    assert producer.guard.counters["parked/payments/held"] == 400
    assert producer.guard.counters["parked/payments/quarantined"] == 400


def test_an_incoming_stamp_is_replaced(make_producer: Make, records: Records) -> None:
    """Nobody stamps but the guard; other headers stay, in order."""
    producer = make_producer()

    producer.produce(
        "payments", CLEAN, headers=[("a", b"1"), ("streamwarden", b"mine"), ("a", b"2")]
    )
    producer.flush(10)

    (record,) = records("payments")
    assert [name for name, _ in record.headers] == ["a", "a", "streamwarden"]
    assert record.headers[2][1] != b"mine"


def test_the_callers_time_is_kept_and_the_stamp_says_when_it_was_decided(
    make_producer: Make, records: Records
) -> None:
    """A replay needs the guard's reading, which the record does not have then."""
    producer = make_producer()

    decision = producer.produce("payments", CLEAN, timestamp=1_600_000_000_000)
    producer.flush(10)

    (record,) = records("payments")
    assert record.timestamp == 1_600_000_000_000
    assert Stamp.parse(record.headers[-1][1]).at == decision.at


def test_text_is_decided_on_and_sent_as_its_bytes(make_producer: Make, records: Records) -> None:
    """As the client sends it."""
    producer = make_producer()

    producer.produce("payments", event(note="ä").decode(), "ä")
    producer.flush(10)

    (record,) = records("payments")
    assert (record.key, record.value) == ("ä".encode(), event(note="ä"))


def test_a_tombstone_passes(make_producer: Make, records: Records) -> None:
    """Rules on the value have nothing to say about it."""
    producer = make_producer()

    decision = producer.produce("payments", None, "k")
    producer.flush(10)

    assert decision.passes
    assert records("payments")[0].value is None


@pytest.mark.parametrize("topic", ["", "a b"])
def test_an_impossible_topic_is_refused_at_once(make_producer: Make, topic: str) -> None:
    """The client would take the event and fail late, or never."""
    producer = make_producer()

    with pytest.raises(ValueError, match="no topic name"):
        producer.produce(topic, CLEAN)

    assert len(producer) == 0


def test_a_nul_in_a_header_name_sends_nothing(make_producer: Make, records: Records) -> None:
    """The client would send another header than it was given."""
    producer = make_producer()

    with pytest.raises(ValueError, match="NUL"):
        producer.produce("payments", CLEAN, headers={"a\0b": b""})

    producer.flush(10)
    assert records("payments") == []


@pytest.mark.slow
def test_a_parked_event_goes_to_its_partition(make_producer: Make, records: Records) -> None:
    """The partition that the caller asked for; without one the key decides, as elsewhere."""
    producer = make_producer()

    producer.produce("payments", BAD, partition=3)
    producer.produce("payments", BAD, partition=6)  # modulo the parking topic's four
    producer.produce("payments", BAD, key="same")
    producer.produce("payments", CLEAN, key="same")
    producer.flush(10)

    parked = records("quarantine.payments")
    keyed = [record.partition for record in parked if record.key == b"same"]
    assert sorted(record.partition for record in parked if record.key is None) == [2, 3]
    assert keyed == [record.partition for record in records("payments")]


@pytest.mark.slow
def test_a_default_callback_is_told_of_refused_events_too(make_producer: Make, told: Told) -> None:
    """`on_delivery` in the configuration, as the client has it."""
    producer = make_producer({"on_delivery": told})

    producer.produce("payments", CLEAN)
    producer.produce("payments", BAD)
    producer.flush(10)

    codes = sorted(error.code() if error else 0 for error in told.errors)
    assert codes == [0, KafkaError.POLICY_VIOLATION]


def test_without_a_callback_a_refusal_is_logged(
    make_producer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """WARNING, and nothing of the event's content."""
    producer = make_producer()

    with caplog.at_level(logging.WARNING, "streamwarden"):
        producer.produce("payments", event(currency="SECRET"))
        producer.flush(10)

    assert "an event for payments was parked (reject) by limits/currency-known" in caplog.text
    assert "SECRET" not in caplog.text


def test_what_a_callback_raises_comes_from_the_callers_poll(
    make_producer: Make, told: Told
) -> None:
    """All callbacks run, whichever kind of event; `produce()` is never the one to raise."""
    producer = make_producer()

    def fails(_error: object, message: object) -> None:
        told(None, message)
        raise LookupError("mine")

    for value in [CLEAN, BAD, LARGE] * 200:
        producer.produce("payments", value, on_delivery=fails)
    with pytest.raises(LookupError, match="mine"):
        producer.flush(10)

    raised = 0
    while len(producer):
        try:
            producer.flush(10)
        except LookupError:
            raised += 1
    assert len(told.reports) == 600
    assert producer.guard.counters["dropped/callbacks/raised"] == 600


@pytest.mark.slow
def test_a_callback_may_produce(make_producer: Make, records: Records, told: Told) -> None:
    """Also a refused event's callback, and the chain ends when it does."""
    producer = make_producer()

    def again(error: KafkaError | None, message: Any) -> None:
        told(error, message)
        if len(told.reports) < 50:
            producer.produce("payments", BAD if error is None else CLEAN, on_delivery=again)

    producer.produce("payments", CLEAN, on_delivery=again)
    assert producer.flush(20) == 0

    assert len(told.reports) == 50
    assert len(records("payments")) == 25
    assert len(records("quarantine.payments")) == 25


def test_a_full_queue_is_waited_for_and_then_said(tmp_path: Path) -> None:
    """BufferError as from the client, after one deadline, whichever queue is full."""
    guard = guard_for(tmp_path, "payments")
    config = {
        "bootstrap.servers": "127.0.0.1:1",
        "log_level": 0,
        "queue.buffering.max.messages": 10,
    }
    producer = GuardedProducer(config, guard=guard, queue_full_wait_s=0.3)
    for value in (CLEAN, BAD):
        for _ in range(10):
            producer.produce("payments", value, on_delivery=ignore)
        started = time.monotonic()

        with pytest.raises(BufferError):
            producer.produce("payments", value, on_delivery=ignore)

        assert 0.25 < time.monotonic() - started < 10
    assert len(producer) == 20
    producer.purge()
    producer.close(1)


@pytest.mark.slow
def test_a_queue_that_drains_is_waited_out(make_producer: Make, records: Records) -> None:
    """Producing faster than the broker takes it needs no polls by the caller."""
    producer = make_producer({"queue.buffering.max.messages": 100}, queue_full_wait_s=10)

    for _ in range(1500):
        producer.produce("payments", CLEAN)
    producer.flush(10)

    assert len(records("payments")) == 1500


def test_many_events_without_any_poll_fill_no_queue(make_producer: Make, records: Records) -> None:
    """The client keeps what is acknowledged until it is polled; the guard polls now and then."""
    producer = make_producer({"queue.buffering.max.messages": 1000})
    reports: list[object] = []

    for _ in range(5000):
        producer.produce("payments", CLEAN, on_delivery=lambda error, _: reports.append(error))
    told_without_a_poll = len(reports)
    producer.flush(30)

    assert told_without_a_poll >= 4000  # the rest fits into the queue
    assert reports == [None] * 5000
    assert len(records("payments")) == 5000


def test_a_dropped_producer_with_unsent_events_warns(tmp_path: Path) -> None:
    """As an open file does: what is lost is at least said."""
    config = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    producer = GuardedProducer(config, guard=guard_for(tmp_path, "payments"))
    producer.produce("payments", CLEAN)
    producer.produce("payments", BAD)

    with pytest.warns(ResourceWarning, match="2 events that are not sent"):
        del producer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_produces_with_clients_of_its_own(
    make_producer: Make, records: Records
) -> None:
    """The parent's threads are not in the child: its client would take events and send nothing."""
    producer = make_producer()
    for value in (CLEAN, BAD):  # a client that connects may lock its child out, see forks.py
        producer.produce("payments", value, "before")
    assert producer.flush(30) == 0
    producer.produce("payments", CLEAN, "parent")
    producer.produce("payments", BAD, "parent")

    child = os.fork()
    if child == 0:
        try:
            pending = len(producer)
            producer.produce("payments", CLEAN, "child")
            producer.produce("payments", BAD, "child")
            left = producer.flush(30)
        except BaseException:  # noqa: BLE001 - the parent sees the status only
            os._exit(9)
        os._exit(left * 2 + pending)
    _, status = os.waitpid(child, 0)
    producer.flush(30)

    assert status == 0
    for topic in ("payments", "quarantine.payments"):
        assert sorted(r.key or b"" for r in records(topic)) == [b"before", b"child", b"parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_no_part_in_a_transaction(make_producer: Make, records: Records) -> None:
    """It can send nothing by that producer, refused events neither, and lets it go quietly."""
    producer = make_producer({"transactional.id": "t"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("payments", BAD, "parent")

    child = os.fork()
    if child == 0:
        refused = 0
        try:
            for value in (CLEAN, BAD):
                try:
                    producer.produce("payments", value, "child")
                except ConfigurationError:
                    refused += 1
            os._exit(0 if refused == 2 and producer.close() else 1)
        except BaseException:  # noqa: BLE001 - the parent sees the status only
            os._exit(9)
    _, status = os.waitpid(child, 0)
    producer.commit_transaction(30)

    assert status == 0
    assert [record.key for record in records("quarantine.payments")] == [b"parent"]


def test_a_cluster_inside_the_client_itself_parks_too(tmp_path: Path, told: Told) -> None:
    """`test.mock.num.brokers`: the producer of parked events finds that very cluster."""
    config = {"test.mock.num.brokers": 1, "log_level": 0}
    with GuardedProducer(config, guard=guard_for(tmp_path, "payments")) as producer:
        producer.produce("payments", BAD, on_delivery=told)
        producer.flush(10)
        topics = producer.list_topics(timeout=5).topics

    assert told.errors[0] is not None
    assert told.errors[0].code() == KafkaError.POLICY_VIOLATION
    assert "quarantine.payments" in topics


def test_a_record_too_large_for_the_client_is_the_callers_error(make_producer: Make) -> None:
    """As from the client: nothing is sent, and `produce()` raises."""
    producer = make_producer({"message.max.bytes": 2000})

    with pytest.raises(KafkaException) as caught:
        producer.produce("payments", event(note="x" * 5000))

    assert caught.value.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_too_large_to_park_first_cuts_the_decision(
    make_producer: Make, records: Records, told: Told
) -> None:
    """The event itself stays whole; only what is said about it gets shorter."""
    value = event(currency="XXX", note="x" * 1500)
    producer = make_producer(parking={"message.max.bytes": 2600})

    producer.produce("payments", value, on_delivery=told)
    producer.flush(10)

    assert told.errors[0] is not None
    assert told.errors[0].code() == KafkaError.POLICY_VIOLATION
    (parked,) = records("quarantine.payments")
    found = parse_parked(parked.headers)
    assert parked.value == value
    assert found is not None
    assert found.decision is not None
    assert found.decision["matches"] == []


def test_too_large_to_park_at_all_is_told(
    make_producer: Make, records: Records, told: Told
) -> None:
    """At produce there is nowhere to point to: the caller keeps the event."""
    producer = make_producer(parking={"message.max.bytes": 1500})

    producer.produce("payments", event(currency="XXX", note="x" * 1500), on_delivery=told)
    producer.flush(10)

    assert told.errors[0] is not None
    assert told.errors[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert records("quarantine.payments") == []


@pytest.mark.parametrize("settings", [{"on_reject": "explode"}, {"parking_unreachable": "stop"}])
def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigurationError):
        GuardedProducer({}, guard=guard_for(tmp_path, "payments"), **settings)


def test_facts_reach_the_rules(make_producer: Make, tmp_path: Path) -> None:
    """What the calling service knows and the event does not."""
    folder = tmp_path / "facts"
    folder.mkdir()
    (folder / "p.yaml").write_text(
        "policy: fraud\nowner: o\ntopics: [payments]\nrules:\n"
        "  - {id: score, when: facts.fraud_score > 0.9, effect: reject}\n"
    )
    from streamwarden.policy.guard import Guard

    producer = make_producer(guard=Guard.from_directory(folder))

    fine = producer.produce("payments", CLEAN, facts={"fraud_score": 0.2})
    foul = producer.produce("payments", CLEAN, facts={"fraud_score": 0.95}, on_delivery=print)
    producer.flush(10)

    assert (fine.effect, foul.effect) == (Effect.ALLOW, Effect.REJECT)


def test_a_flood_of_refused_events_stops_the_producer(
    make_producer: Make, records: Records, told: Told, tmp_path: Path
) -> None:
    """FloodError from `produce()`: the event is nowhere, and those before it are where they were."""
    producer = make_producer(guard=guard_for(tmp_path / "p", "payments", flood_events=20))
    for _ in range(9):
        producer.produce("payments", CLEAN, on_delivery=told)
    for _ in range(11):
        producer.produce("payments", BAD, on_delivery=told)

    for value in (BAD, CLEAN):
        with pytest.raises(FloodError, match="11 of the last 20 events at produce were refused"):
            producer.produce("payments", value, on_delivery=told)

    assert producer.flush(20) == 0
    assert len(told.reports) == 20
    assert len(records("payments")) == 9
    assert len(records("quarantine.payments")) == 11
    producer.guard.reset_flood()
    assert producer.produce("payments", BAD).effect == "reject"
