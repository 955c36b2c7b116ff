"""The guarded consumer around deserializers: objects made of what the policy lets through."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.error import KeyDeserializationError, ValueDeserializationError
from confluent_kafka.serialization import MessageField, StringDeserializer

from streamwarden.consumers.deserializing import DeserializedMessage, GuardedDeserializingConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError
from tests.guards import BAD, CARD, CLEAN, guard_for
from tests.servers.topics import Record

Make = Callable[..., GuardedDeserializingConsumer]
Send = Callable[..., None]
Records = Callable[[str], list[Record]]


class JsonDeserializer:
    """Reads JSON, and remembers its contexts."""

    def __init__(self) -> None:
        self.contexts: list[tuple[str, MessageField]] = []

    def __call__(self, data: bytes | None, context: Any) -> Any:
        self.contexts.append((context.topic, context.field))
        return None if data is None else json.loads(data)


@pytest.fixture
def make(broker: EmbeddedBroker, tmp_path: Path) -> Generator[Make]:
    with ExitStack() as stack:

        def consumer(config: dict[str, Any], **settings: Any) -> GuardedDeserializingConsumer:
            base = {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "g",
                "auto.offset.reset": "earliest",
                "log_level": 0,
                "fetch.wait.max.ms": 20,
            }
            guard = guard_for(tmp_path / "policies", "payments")
            made = GuardedDeserializingConsumer({**base, **config}, guard=guard, **settings)
            made.subscribe(["payments"])
            return stack.enter_context(made)

        yield consumer


def next_message(consumer: GuardedDeserializingConsumer) -> Any:
    return consumer.poll(20)


def test_objects_are_made_of_what_passes(make: Make, send: Send, records: Records) -> None:
    """Masked where the policy says so; what is refused never reaches a deserializer."""
    value = JsonDeserializer()
    send([BAD, CARD])
    consumer = make({"key.deserializer": StringDeserializer("utf_8"), "value.deserializer": value})

    message = next_message(consumer)

    assert isinstance(message, DeserializedMessage)
    assert message.key() == message.deserialized_key() == "1"
    assert message.value()["card"] == message.deserialized_value()["card"] == "************1111"
    assert (message.decision.effect, message.offset(), message.topic()) == ("mask", 1, "payments")
    assert value.contexts == [("payments", MessageField.VALUE)]
    consumer.close()
    assert len(records("quarantine.payments")) == 1


def test_a_deserialized_message_can_be_committed(
    make: Make, send: Send, committed: Callable[..., list[int]]
) -> None:
    """It is taken wherever the client takes a message."""
    send([CLEAN])
    consumer = make({"value.deserializer": JsonDeserializer(), "enable.auto.commit": False})

    consumer.commit(next_message(consumer), asynchronous=False)

    assert committed() == [1, -1001]


def test_what_cannot_be_deserialized_is_raised_as_by_the_client(make: Make, send: Send) -> None:
    """With the guarded message, whose bytes may be looked at."""
    send([CLEAN, CLEAN])

    def fail(_: object, context: Any) -> Any:
        raise ValueError(f"no such {context.field}")

    by_value = make({"value.deserializer": fail})

    with pytest.raises(ValueDeserializationError, match="no such value") as caught:
        next_message(by_value)

    message: Any = caught.value.kafka_message
    assert isinstance(message, GuardedMessage)
    assert message.value() == CLEAN
    by_value.close()
    by_key = make({"key.deserializer": fail, "group.id": "h"})
    with pytest.raises(KeyDeserializationError, match="no such key"):
        next_message(by_key)


def test_run_hands_objects_to_the_handler(make: Make, send: Send) -> None:
    """Again for every attempt, from the bytes."""
    send([CLEAN])
    consumer = make({"value.deserializer": JsonDeserializer()}, handler_backoff_s=0.01)
    seen: list[Any] = []

    @consumer.handler
    def handle(message: Any) -> None:
        seen.append(message.value())
        message.value()["amount"] = 0
        if len(seen) < 3:
            raise RuntimeError("again")

    assert consumer.run(max_messages=1) == 1
    assert [json.loads(CLEAN)["amount"], seen[0]["amount"]] == [10, 0]
    assert len({id(value) for value in seen}) == 3
    assert handle is not None


@pytest.mark.slow
def test_in_run_a_bad_value_is_the_handlers_error(make: Make, send: Send, records: Records) -> None:
    """Tried again, then stopped before, or parked."""
    send([CLEAN])

    def fail(*_: object) -> Any:
        raise ValueError("no")

    consumer = make(
        {"value.deserializer": fail},
        on_handler_error="quarantine",
        handler_retries=1,
        handler_backoff_s=0.01,
    )

    assert consumer.run(lambda _: None, max_messages=1) == 1
    consumer.close()
    (parked,) = records("quarantine.payments")
    assert parked.value == CLEAN


def test_batches_are_not_there(make: Make) -> None:
    """As in the client's class."""
    with pytest.raises(NotImplementedError):
        make({}).consume(10)


def test_deserializers_can_be_called(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="`key.deserializer` cannot be called"):
        make({"key.deserializer": "utf_8"})
