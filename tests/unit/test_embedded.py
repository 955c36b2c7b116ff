"""The embedded broker does what demos and fast tests take for granted."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from streamwarden import embedded
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError

WAIT_S = 20.0


@pytest.fixture(params=["exported", pytest.param("configured", marks=pytest.mark.slow)])
def broker(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedBroker]:
    """The broker both ways: by the library's functions, and where these cannot be reached."""
    if request.param == "configured":
        monkeypatch.setattr(embedded, "_load_library", lambda: None)
    with EmbeddedBroker() as running:
        yield running


def produce(
    bootstrap: str, topic: str, *values: bytes, **settings: object
) -> list[KafkaError | None]:
    """Send values to partition 0; the errors of the delivery reports, in order."""
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, **settings})
    for value in values:
        producer.produce(
            topic,
            value,
            b"key",
            0,
            on_delivery=lambda error, _: errors.append(error),
            headers=[("h", b"1"), ("h", b"2")],
        )
    assert producer.flush(WAIT_S) == 0
    producer.close()
    return errors


def read(broker: EmbeddedBroker, topic: str, count: int) -> list[Message]:
    """The first `count` messages that a group gets, committed; fewer when time runs out."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "readers",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
            **broker.group_settings,
        }
    )
    consumer.subscribe([topic])
    got: list[Message] = []
    deadline = time.monotonic() + WAIT_S
    while len(got) < count and time.monotonic() < deadline:
        got += consumer.consume(count - len(got), 0.1)
    consumer.commit(asynchronous=False)
    consumer.close()
    return got


def test_a_record_is_read_back_as_it_was_written(broker: EmbeddedBroker) -> None:
    """Key, value and doubled headers survive, in their order."""
    assert produce(broker.bootstrap, "payments", b"one", b"two") == [None, None]

    messages = read(broker, "payments", 2)

    assert [(m.key(), m.value(), m.offset()) for m in messages] == [
        (b"key", b"one", 0),
        (b"key", b"two", 1),
    ]
    assert messages[0].headers() == [("h", b"1"), ("h", b"2")]


def test_a_group_goes_on_where_it_committed(broker: EmbeddedBroker) -> None:
    """A second member of the group starts after what the first one committed."""
    produce(broker.bootstrap, "payments", b"one", b"two", b"three")

    first = read(broker, "payments", 2)
    second = read(broker, "payments", 1)

    assert [m.value() for m in first + second] == [b"one", b"two", b"three"]


def test_a_group_is_joined_without_the_rebalance_delay() -> None:
    """The library's 3 s before a first assignment are gone."""
    with EmbeddedBroker() as broker:
        produce(broker.bootstrap, "payments", b"one")

        started = time.monotonic()
        messages = read(broker, "payments", 1)

        assert len(messages) == 1
        assert time.monotonic() - started < 2.5


def test_a_topic_has_the_partitions_it_was_made_with() -> None:
    """A topic is made once, with its number of partitions."""
    with EmbeddedBroker() as broker:
        broker.create_topic("payments", 7)

        producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        found = producer.list_topics("payments", timeout=WAIT_S).topics["payments"]
        producer.close()

        assert len(found.partitions) == 7
        with pytest.raises(KafkaException) as raised:
            broker.create_topic("payments", 7)
        assert raised.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS


def test_without_the_library_a_topic_can_still_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has four partitions then, and faults are refused with what to do."""
    monkeypatch.setattr(embedded, "_load_library", lambda: None)
    with EmbeddedBroker() as broker:
        broker.create_topic("payments", 7)

        assert produce(broker.bootstrap, "payments", b"one") == [None]
        with pytest.raises(ConfigurationError, match="install confluent-kafka from its wheel"):
            broker.go_down()


def test_a_failing_topic_fails_until_it_is_told_not_to() -> None:
    """Other topics go on; the failing one comes back."""
    with EmbeddedBroker() as broker:
        broker.create_topic("payments")
        broker.create_topic("quarantine")
        broker.fail_topic("quarantine", KafkaError.TOPIC_AUTHORIZATION_FAILED)

        assert produce(broker.bootstrap, "payments", b"one") == [None]
        (error,) = produce(broker.bootstrap, "quarantine", b"one")
        broker.fail_topic("quarantine", KafkaError.NO_ERROR)
        (none,) = produce(broker.bootstrap, "quarantine", b"one")

        assert error is not None
        assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        assert none is None


@pytest.mark.slow
def test_a_cluster_that_is_down_comes_up_again() -> None:
    """A record times out while the cluster is down; a later one arrives."""
    with EmbeddedBroker() as broker:
        broker.create_topic("payments")
        broker.go_down()

        (error,) = produce(broker.bootstrap, "payments", b"lost", **{"message.timeout.ms": 300})
        broker.come_up()
        (none,) = produce(broker.bootstrap, "payments", b"arrives")

        assert error is not None
        assert none is None


def test_every_broker_of_several_is_in_the_bootstrap_list() -> None:
    """Several brokers listen on a port each."""
    with EmbeddedBroker(brokers=3) as broker:
        assert len(broker.bootstrap.split(",")) == 3


def test_nothing_listens_after_closing(broker: EmbeddedBroker) -> None:
    """The port is closed; closing twice is fine; using it says that it is not running."""
    host, port = broker.bootstrap.split(":")
    broker.start()
    socket.create_connection((host, int(port)), timeout=5).close()

    broker.close()
    broker.close()

    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=5)
    with pytest.raises(ConfigurationError, match="is not running"):
        _ = broker.bootstrap


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_leaves_it_alone() -> None:
    """Closing in a child neither hangs nor takes the parent's broker away."""
    with EmbeddedBroker() as broker:
        child = os.fork()
        if child == 0:
            broker.close()
            os._exit(0)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert produce(broker.bootstrap, "payments", b"one") == [None]


@pytest.mark.parametrize(("name", "partitions"), [("", 1), ("payments", 0)])
def test_a_topic_that_cannot_be_is_refused(name: str, partitions: int) -> None:
    """The library would take these and answer nonsense later."""
    with EmbeddedBroker() as broker, pytest.raises(ConfigurationError, match="cannot make topic"):
        broker.create_topic(name, partitions)


def test_a_cluster_without_brokers_is_refused() -> None:
    """Zero brokers would mean no cluster at all."""
    with pytest.raises(ConfigurationError, match="cannot have 0 brokers"):
        EmbeddedBroker(brokers=0)
