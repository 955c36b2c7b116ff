"""The guarded producer around serializers: decided on bytes, in the call shape of the client's."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.error import KeySerializationError, ValueSerializationError
from confluent_kafka.serialization import MessageField, StringSerializer

from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError
from streamwarden.policy.model import Effect
from streamwarden.producers.serializing import GuardedSerializingProducer
from tests.guards import Told, guard_for
from tests.servers.topics import Record

Make = Callable[..., GuardedSerializingProducer]
Records = Callable[[str], list[Record]]


class JsonSerializer:
    """Writes JSON, remembers its contexts, and adds a header as schema serializers do."""

    def __init__(self) -> None:
        self.contexts: list[tuple[str, MessageField]] = []
        self.cluster_id: Any = None

    def __call__(self, value: Any, context: Any) -> bytes | None:
        self.contexts.append((context.topic, context.field))
        if isinstance(context.headers, dict):
            context.headers["format"] = b"json"
        else:
            context.headers.append(("format", b"json"))
        return None if value is None else json.dumps(value).encode()

    def set_cluster_id_resolver(self, resolver: Any) -> None:
        self.cluster_id = resolver


@pytest.fixture
def make(broker: EmbeddedBroker, tmp_path: Path) -> Generator[Make]:
    with ExitStack() as stack:

        def producer(config: dict[str, Any], **settings: Any) -> GuardedSerializingProducer:
            guard = guard_for(tmp_path / "policies", "payments")
            base = {"bootstrap.servers": broker.bootstrap, "log_level": 0, "linger.ms": 0}
            made = GuardedSerializingProducer({**base, **config}, guard=guard, **settings)
            return stack.enter_context(made)

        yield producer


def test_objects_are_serialized_decided_and_sent(make: Make, records: Records) -> None:
    """Key first, then value, each with its context; what serializers add to headers is sent."""
    value = JsonSerializer()
    producer = make({"key.serializer": StringSerializer("utf_8"), "value.serializer": value})

    decision = producer.produce("payments", "k", {"amount": 10, "currency": "USD"})
    masked = producer.produce(
        "payments", "k", {"amount": 1, "currency": "USD", "card": "4111111111111111"}
    )
    producer.flush(10)

    assert [decision.effect, masked.effect] == [Effect.ALLOW, Effect.MASK]
    one, two = records("payments")
    assert (one.key, json.loads(one.value or b"")) == (b"k", {"amount": 10, "currency": "USD"})
    assert json.loads(two.value or b"")["card"] == "************1111"
    assert [name for name, _ in one.headers] == ["format", "streamwarden"]
    assert value.contexts == [("payments", MessageField.VALUE)] * 2


def test_refused_objects_are_parked_as_bytes(make: Make, records: Records, told: Told) -> None:
    producer = make({"value.serializer": JsonSerializer()})

    decision = producer.produce(
        "payments", value={"amount": 10, "currency": "XXX"}, headers={"h": b"1"}, on_delivery=told
    )
    producer.flush(10)

    assert decision.effect is Effect.REJECT
    ((error, _),) = told.reports
    assert error is not None
    (parked,) = records("quarantine.payments")
    assert json.loads(parked.value or b"")["currency"] == "XXX"
    assert parked.headers[:2] == [("h", b"1"), ("format", b"json")]


def test_the_callers_headers_stay_the_callers(make: Make) -> None:
    """Also where a serializer adds to what it is given."""
    producer = make({"value.serializer": JsonSerializer()})
    as_list, as_dict = [("h", b"1")], {"h": b"1"}

    for headers in (as_list, as_dict):
        producer.produce("payments", value={"amount": 1, "currency": "USD"}, headers=headers)

    assert (as_list, as_dict) == ([("h", b"1")], {"h": b"1"})


def test_what_cannot_be_serialized_is_raised_as_by_the_client(make: Make, records: Records) -> None:
    """Nothing is decided and nothing sent."""

    def fail(*_: object) -> bytes:
        raise ValueError("no such thing")

    by_key, by_value = make({"key.serializer": fail}), make({"value.serializer": fail})

    with pytest.raises(KeySerializationError, match="no such thing"):
        by_key.produce("payments", "k", b"{}")
    with pytest.raises(ValueSerializationError, match="no such thing"):
        by_value.produce("payments", "k", b"{}")
    assert records("payments") == []


def test_without_serializers_bytes_are_sent(make: Make, records: Records) -> None:
    """In the order of arguments of the client's class: key before value."""
    producer = make({})

    producer.produce("payments", b"k", b'{"amount": 1, "currency": "USD"}')
    producer.flush(10)

    (record,) = records("payments")
    assert record.key == b"k"


def test_serializers_can_learn_the_cluster(make: Make) -> None:
    """Some name subjects by the id of the cluster."""
    value = JsonSerializer()
    producer = make({"value.serializer": value})

    assert producer.cluster_id(10) == value.cluster_id()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"value.serializer": 7}, "`value.serializer` cannot be called"),
        ({"key.serializer.builder": object()}, "`key.serializer.builder` is not taken here"),
    ],
)
def test_configurations_that_make_no_sense(
    make: Make, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(config)
