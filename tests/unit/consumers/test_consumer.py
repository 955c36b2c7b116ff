"""What a guarded consumer hands on, parks and commits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.consumers.reader import Reader
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError, DeliveryError
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Effect
from streamwarden.policy.parking import parse_parked
from streamwarden.producers.producer import GuardedProducer
from tests.guards import BAD, CARD, CLEAN, LARGE, guard_for
from tests.servers.topics import Record

Make = Callable[..., GuardedConsumer]
Send = Callable[..., None]
Records = Callable[[str], list[Record]]
Committed = Callable[..., list[int]]

NONE = -1001


def take(consumer: GuardedConsumer, count: int, timeout_s: float = 15) -> list[GuardedMessage]:
    """The next `count` events."""
    found: list[GuardedMessage] = []
    until = time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < until:
        message = consumer.poll(0.2)
        if isinstance(message, GuardedMessage):
            found.append(message)
        elif message is not None:
            raise KafkaException(message.error())
    return found


@pytest.mark.parametrize(
    ("given", "effective"), [({}, 100), ({"fetch.queue.backoff.ms": 1000}, 1000)]
)
def test_a_full_queue_is_filled_again_before_it_is_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, Any], effective: int
) -> None:
    """By its own setting the client would not fetch for a second; the caller's comes first."""
    seen: list[Any] = []

    class Watched(Reader):
        def __init__(self, config: Any, **settings: Any) -> None:
            seen.append(config)
            super().__init__(config, **settings)

    monkeypatch.setattr(GuardedConsumer, "_reader_class", Watched)
    config = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0, **given}

    with GuardedConsumer(config, guard=guard_for(tmp_path, "payments")):
        pass

    assert seen[0]["fetch.queue.backoff.ms"] == effective


def test_what_passes_is_handed_on_masked_with_its_decision(make_consumer: Make, send: Send) -> None:
    """The value is a masked view; the rest of the message is the client's."""
    send([CLEAN, CARD], headers={"h": b"1"}, timestamp=1_700_000_000_000)
    consumer = make_consumer()
    consumer.subscribe(["payments"])

    clean, card = take(consumer, 2)

    assert clean.value() == CLEAN
    assert clean.decision.effect is Effect.ALLOW
    assert card.decision.effect is Effect.MASK
    assert b"4111111111111111" not in card.value()
    assert b"************1111" in card.value()
    assert len(card) == len(card.value())
    assert (card.topic(), card.partition(), card.offset()) == ("payments", 0, 1)
    assert card.key() == b"1"
    assert card.headers() == [("h", b"1")]
    assert card.timestamp()[1] == 1_700_000_000_000
    assert card.error() is None


def test_what_is_refused_is_parked_with_where_it_was(
    make_consumer: Make, send: Send, records: Records, committed: Committed
) -> None:
    """Byte for byte, in the partition it came from; the offset goes past it."""
    send([BAD, LARGE, CLEAN], partition=1, headers={"h": b"1"})
    consumer = make_consumer()
    consumer.subscribe(["payments"])

    (message,) = take(consumer, 1)
    consumer.close()

    assert message.offset() == 2
    (quarantined,), (held,) = records("quarantine.payments"), records("held.payments")
    assert (quarantined.value, held.value) == (BAD, LARGE)
    assert (quarantined.partition, held.partition) == (1, 1)
    parked = parse_parked(quarantined.headers)
    assert parked is not None
    assert (parked.origin_partition, parked.origin_offset, parked.group) == (1, 0, "g")
    assert quarantined.headers[0] == ("h", b"1")
    assert committed() == [NONE, 3]


def test_a_batch_is_judged_message_by_message(
    make_consumer: Make, send: Send, records: Records
) -> None:
    """`consume()` gives those that pass, and loses none."""
    send([CLEAN, BAD, CLEAN, LARGE, CARD] * 100)
    consumer = make_consumer()
    consumer.subscribe(["payments"])

    found: list[Any] = []
    until = time.monotonic() + 15
    while len(found) < 300 and time.monotonic() < until:
        found += consumer.consume(64, 0.5)
    consumer.close()

    assert [m.offset() for m in found] == [n for n in range(500) if n % 5 not in (1, 3)]
    assert len(records("quarantine.payments")) == 100
    assert len(records("held.payments")) == 100


def test_messages_with_an_error_are_the_clients_own(make_consumer: Make) -> None:
    """A topic that is not there, say."""
    consumer = make_consumer({"allow.auto.create.topics": False})
    consumer.subscribe(["no-such-topic"])

    message = consumer.poll(10)

    assert isinstance(message, Message)
    error = message.error()
    assert error is not None
    assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False])
def test_ends_of_partitions_are_told_only_where_they_are_asked_for(
    make_consumer: Make, send: Send, asked: bool
) -> None:
    """The consumer itself looks for them; the application sees what it configured."""
    send([CLEAN])
    consumer = make_consumer({"enable.partition.eof": asked})
    consumer.subscribe(["payments"])

    codes = set[int]()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is not None and (error := message.error()) is not None:
            codes.add(error.code())

    assert codes == ({KafkaError._PARTITION_EOF} if asked else set())


def test_auto_commit_follows_what_was_handed_out(
    make_consumer: Make, send: Send, committed: Committed
) -> None:
    """As the client: handed out is done, parked and written is done."""
    send([CLEAN, BAD, CLEAN, BAD, BAD])
    consumer = make_consumer({"auto.commit.interval.ms": 100})
    consumer.subscribe(["payments"])

    take(consumer, 2)
    until = time.monotonic() + 10
    while committed() != [5, NONE] and time.monotonic() < until:
        consumer.poll(0.1)

    assert committed() == [5, NONE]


def test_a_commit_by_message_goes_on_past_parked_events(
    make_consumer: Make, send: Send, committed: Committed
) -> None:
    """Never stuck before what is safely parked, never past what is not done."""
    send([CLEAN, BAD, LARGE, CLEAN, CLEAN])
    consumer = make_consumer({"enable.auto.commit": False})
    consumer.subscribe(["payments"])
    first, second, _ = take(consumer, 3)

    assert consumer.commit(message=first, asynchronous=False)[0].offset == 3  # type: ignore[index]
    assert committed() == [3, NONE]
    assert consumer.commit(message=second, asynchronous=False)[0].offset == 4  # type: ignore[index]

    consumer.close()
    assert committed() == [4, NONE]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["poll", "close"])
@pytest.mark.parametrize("by_message", [True, False])
def test_a_commit_that_was_capped_is_made_good(
    make_consumer: Make, send: Send, committed: Committed, way: str, by_message: bool
) -> None:
    """Once the parked events are written; an application without new events commits no more."""
    send([CLEAN, BAD, CLEAN, BAD, LARGE])
    consumer = make_consumer({"enable.auto.commit": False}, parking={"linger.ms": 1000})
    consumer.subscribe(["payments"])
    _, last = take(consumer, 2)

    consumer.commit(message=last) if by_message else consumer.commit()
    until = time.monotonic() + 30
    while way == "poll" and committed() != [5, NONE] and time.monotonic() < until:
        consumer.poll(0.1)
    if way == "close":
        consumer.poll(0.5)  # the events behind the last one that passes are read, too
        consumer.close()

    assert committed() == [5, NONE]


@pytest.mark.slow
def test_what_is_not_committed_is_not_committed_later_either(
    make_consumer: Make, send: Send, committed: Committed, records: Records
) -> None:
    """Events that were handed out after the commit are not done, and those stored not asked for."""
    send([CLEAN, BAD, CLEAN, CLEAN, BAD])
    config = {"enable.auto.commit": False, "enable.auto.offset.store": False}
    consumer = make_consumer(config, parking={"linger.ms": 500})
    consumer.subscribe(["payments"])
    first, second, third = take(consumer, 3)

    consumer.commit(message=first)
    consumer.store_offsets(message=second)
    until = time.monotonic() + 30
    while len(records("quarantine.payments")) < 2 and time.monotonic() < until:
        consumer.poll(0.1)
    consumer.close()

    assert third.offset() == 3
    assert committed() == [1, NONE]


def test_without_a_commit_nothing_is_committed(
    make_consumer: Make, send: Send, committed: Committed
) -> None:
    """enable.auto.commit=false leaves it to the application, parked events too."""
    send([BAD, CLEAN, BAD])
    consumer = make_consumer({"enable.auto.commit": False})
    consumer.subscribe(["payments"])

    take(consumer, 1)
    consumer.close()

    assert committed() == [NONE, NONE]


@pytest.mark.parametrize("way", ["none", "offsets", "stored"])
def test_every_way_to_commit_is_capped(
    make_consumer: Make, broker: EmbeddedBroker, send: Send, committed: Committed, way: str
) -> None:
    """A parked event that cannot be written stops all of them before itself."""
    send([CLEAN, BAD, CLEAN])
    broker.fail_topic("quarantine.payments", KafkaError.LEADER_NOT_AVAILABLE)
    consumer = make_consumer({"enable.auto.commit": False})
    consumer.subscribe(["payments"])
    first, _ = take(consumer, 2)
    everything = [TopicPartition("payments", 0, 3)]

    if way == "none":
        consumer.commit()
    elif way == "offsets":
        consumer.commit(offsets=everything)
    else:
        consumer.store_offsets(offsets=everything)
        consumer.commit()

    assert first.offset() == 0
    until = time.monotonic() + 10
    while committed() == [NONE, NONE] and time.monotonic() < until:
        time.sleep(0.05)
    assert committed() == [1, NONE]
    assert [each.offset for each in consumer.position(everything)] == [1]
    consumer._reader.parking.purge(  # pyright: ignore[reportPrivateUsage]
        in_queue=True, in_flight=True, blocking=True
    )


@pytest.mark.slow
def test_where_parking_fails_reading_stops_before_the_event_and_nothing_is_lost(
    make_consumer: Make, broker: EmbeddedBroker, send: Send, records: Records, committed: Committed
) -> None:
    """DeliveryError, position back; when the topic works again, reading on parks it."""
    send([CLEAN, BAD, CLEAN])
    broker.fail_topic("quarantine.payments", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    consumer = make_consumer(parking={"message.timeout.ms": 1000})
    consumer.subscribe(["payments"])

    handed: list[int] = []

    def read_on() -> None:
        for _ in range(100):
            message = consumer.poll(0.2)
            if message is not None:
                handed.append(message.offset() or 0)

    with pytest.raises(DeliveryError, match=r"payments\[0\]@1"):
        read_on()
    assert consumer.position([TopicPartition("payments", 0)])[0].offset <= 1
    assert committed() in ([NONE, NONE], [1, NONE])
    broker.fail_topic("quarantine.payments", KafkaError.NO_ERROR)
    handed.clear()
    until = time.monotonic() + 15
    while handed != [2] and time.monotonic() < until:
        with suppress(DeliveryError):  # the client takes a moment to see that it works again
            handed += [message.offset() for message in take(consumer, 1, 1)]
    consumer.close()

    assert [record.value for record in records("quarantine.payments")] == [BAD]
    assert committed() == [3, NONE]


@pytest.mark.slow
def test_blocking_waits_for_the_parking_topic(
    make_consumer: Make, broker: EmbeddedBroker, send: Send, records: Records, committed: Committed
) -> None:
    """`parking_unreachable="block"`: no error, no commit past the event, until it is written."""
    send([BAD, CLEAN])
    broker.fail_topic("quarantine.payments", KafkaError.TOPIC_AUTHORIZATION_FAILED)
    consumer = make_consumer(parking_unreachable="block")
    consumer.subscribe(["payments"])

    take(consumer, 1)
    for _ in range(10):
        consumer.poll(0.1)
    broker.fail_topic("quarantine.payments", KafkaError.NO_ERROR)
    consumer.close()

    assert [record.value for record in records("quarantine.payments")] == [BAD]
    assert committed() == [2, NONE]


def test_callbacks_of_a_rebalance_get_the_guarded_consumer(
    make_consumer: Make, send: Send, records: Records, committed: Committed
) -> None:
    """On revoke what is parked is written and what may be is committed."""
    send([CLEAN, BAD])
    seen: list[tuple[str, object, int]] = []
    consumer = make_consumer()
    consumer.subscribe(
        ["payments"],
        on_assign=lambda c, parts: seen.append(("assign", c, len(parts))),
        on_revoke=lambda c, parts: seen.append(("revoke", c, len(parts))),
    )
    take(consumer, 1)
    consumer.poll(0.5)

    consumer.close()

    assert seen == [("assign", consumer, 2), ("revoke", consumer, 2)]
    assert committed() == [2, NONE]
    assert len(records("quarantine.payments")) == 1


def test_what_a_rebalance_callback_raises_loses_no_message(make_consumer: Make, send: Send) -> None:
    """The client's `consume()` would drop what it had taken from its queue."""
    send([CLEAN] * 50)

    def fails(_consumer: object, _partitions: object) -> None:
        raise LookupError("mine")

    consumer = make_consumer()
    consumer.subscribe(["payments"], on_assign=fails)
    found: list[Any] = []
    raised = 0
    until = time.monotonic() + 15
    while len(found) < 50 and time.monotonic() < until:
        try:
            found += consumer.consume(20, 0.5)
        except LookupError:
            raised += 1

    assert raised == 1
    assert [message.offset() for message in found] == list(range(50))


@pytest.mark.slow
def test_seeking_reads_again_and_parks_again(
    make_consumer: Make, send: Send, records: Records
) -> None:
    """As with the client; parked events are parked at least once."""
    send([CLEAN, BAD, CLEAN])
    consumer = make_consumer()
    consumer.subscribe(["payments"])
    take(consumer, 2)

    consumer.seek(TopicPartition("payments", 0, 0))
    again = take(consumer, 2)
    consumer.close()

    assert [message.offset() for message in again] == [0, 2]
    assert len(records("quarantine.payments")) in (1, 2)  # once, while the write was under way


def test_paused_partitions_give_nothing_until_resumed(make_consumer: Make, send: Send) -> None:
    """As with the client."""
    send([CLEAN, CLEAN])
    consumer = make_consumer()
    consumer.subscribe(["payments"])
    take(consumer, 1)

    consumer.pause(consumer.assignment())
    assert consumer.poll(0.5) is None
    consumer.resume(consumer.assignment())

    assert take(consumer, 1)[0].offset() == 1


def test_assigning_by_hand_works_without_a_subscription(
    make_consumer: Make, send: Send, committed: Committed
) -> None:
    """And unassigning writes and commits what it can."""
    send([CLEAN, BAD, CLEAN])
    consumer = make_consumer()
    consumer.assign([TopicPartition("payments", 0, 1)])

    (message,) = take(consumer, 1)
    consumer.unassign()

    assert message.offset() == 2
    assert committed() == [3, NONE]


def test_an_event_that_cannot_be_decided_is_read_again(
    make_consumer: Make, send: Send, tmp_path: Path
) -> None:
    """A guard without a policy raises; no event is passed over because of it."""

    class Unready(Guard):
        ready = False

        def evaluate(self, event: Any, stage: str) -> Any:
            if not self.ready:
                raise LookupError("not now")
            return super().evaluate(event, stage)

    send([CLEAN, BAD, CLEAN])
    guard = Unready(guard_for(tmp_path / "p", "payments").bundle)
    consumer = make_consumer(guard=guard)
    consumer.subscribe(["payments"])
    with pytest.raises(LookupError):
        take(consumer, 1)

    guard.ready = True

    assert [message.offset() for message in take(consumer, 2)] == [0, 2]


@pytest.mark.slow
def test_a_full_line_of_parked_events_stops_reading_and_goes_on(
    make_consumer: Make, broker: EmbeddedBroker, send: Send, records: Records, tmp_path: Path
) -> None:
    """The queue has a limit; nothing is dropped to keep it."""
    send([BAD] * 1500 + [CLEAN])
    broker.fail_topic("quarantine.payments", KafkaError.LEADER_NOT_AVAILABLE)
    consumer = make_consumer(guard=guard_for(tmp_path / "p", "payments", flood="warn"))
    consumer.subscribe(["payments"])
    for _ in range(20):
        assert consumer.poll(0.1) is None
    assert consumer._reader.assigned.pending == 1000  # pyright: ignore[reportPrivateUsage]

    broker.fail_topic("quarantine.payments", KafkaError.NO_ERROR)
    (message,) = take(consumer, 1)
    consumer.close()

    assert message.offset() == 1500
    assert len(records("quarantine.payments")) == 1500


def test_a_closed_consumer_says_so(make_consumer: Make) -> None:
    """As the client does; closing twice is fine."""
    consumer = make_consumer()
    consumer.close()
    consumer.close()

    with pytest.raises(RuntimeError, match="closed"):
        consumer.poll(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_to_make_its_own(make_consumer: Make) -> None:
    """A group member cannot be in two processes."""
    consumer = make_consumer()
    consumer.subscribe(["payments"])

    child = os.fork()
    if child == 0:
        try:
            consumer.poll(0.1)
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 2)
        os._exit(3)
    _, status = os.waitpid(child, 0)

    assert status == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"parking_unreachable": "error"},
        {"on_handler_error": "ignore"},
        {"handler_retries": -1},
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigurationError):
        GuardedConsumer({"group.id": "g"}, guard=guard_for(tmp_path, "payments"), **settings)


@pytest.mark.slow
def test_what_nobody_signed_is_quarantined_where_signatures_are_required(
    make_consumer: Make, broker: EmbeddedBroker, send: Send, records: Records, tmp_path: Path
) -> None:
    """Also while keys rotate; the parked record says what was wrong."""
    old, new = {"2025": b"o" * 32}, {"2026": b"n" * 32}
    for keys in (old, new):
        guard = guard_for(tmp_path / "p", "payments", stamp_keys=keys)
        with GuardedProducer({"bootstrap.servers": broker.bootstrap}, guard=guard) as producer:
            producer.produce("payments", CLEAN, b"k", 0)
    send([CLEAN])
    guard = guard_for(
        tmp_path / "q", "payments", stamp_keys={**new, **old}, verify_stamps="require"
    )
    consumer = make_consumer(guard=guard)
    consumer.subscribe(["payments"])

    messages = take(consumer, 2)
    while not (parked := records("quarantine.payments")):
        assert consumer.poll(0.1) is None

    assert [message.offset() for message in messages] == [0, 1]
    said = parse_parked(parked[0].headers)
    assert said is not None
    assert said.origin_offset == 2
    assert "unverified-stamp: the stamp of this event cannot be verified" in said.message


def test_a_dropped_consumer_with_parked_events_that_are_not_written_warns(
    broker: EmbeddedBroker, send: Send, tmp_path: Path
) -> None:
    """As an open file does; they will be read again."""
    send([BAD, CLEAN])
    broker.fail_topic("quarantine.payments", KafkaError.LEADER_NOT_AVAILABLE)
    config = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": "dropped",
        "auto.offset.reset": "earliest",
        "log_level": 0,
    }
    consumer = GuardedConsumer(config, guard=guard_for(tmp_path / "p", "payments"))
    consumer.subscribe(["payments"])
    take(consumer, 1)

    with pytest.warns(ResourceWarning, match="1 parked events that are not written"):
        del consumer
