"""The guarded consumer around deserializers: policy on bytes, objects for the handler."""

from __future__ import annotations

from typing import Any

from confluent_kafka.error import KeyDeserializationError, ValueDeserializationError
from confluent_kafka.serialization import MessageField, SerializationContext

from ..policy.guard import Guard
from ..producers.connection import ConfigMap
from ..producers.serializing import introduce, take_serdes
from .consumer import GuardedConsumer
from .exactly_once import TransactionalHandler
from .messages import GuardedMessage
from .reader import Polled
from .runner import Handler

__all__ = ["DeserializedMessage", "GuardedDeserializingConsumer"]


class DeserializedMessage:
    """A GuardedMessage whose `key()` and `value()` are objects; everything else is the message's.

    The objects are made from what the policy lets through: a masked field is masked in them.
    """

    __slots__ = ("_key", "_message", "_value")

    def __init__(self, message: GuardedMessage, key: Any, value: Any) -> None:
        self._message, self._key, self._value = message, key, value

    def key(self) -> Any:
        """The deserialized key."""
        return self._key

    def value(self) -> Any:
        """The deserialized value."""
        return self._value

    deserialized_key, deserialized_value = key, value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    def __len__(self) -> int:
        return len(self._message)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return repr(self._message).replace("GuardedMessage", "DeserializedMessage")


class GuardedDeserializingConsumer(GuardedConsumer):
    """As confluent_kafka.DeserializingConsumer: `key.deserializer` and `value.deserializer`.

    `poll()` and the handler of `run()` get a DeserializedMessage. `poll()` raises
    KeyDeserializationError and ValueDeserializationError as the client does, with the guarded
    message as `kafka_message`; in `run()` they are the handler's errors. Everything else is the
    GuardedConsumer's.
    """

    def __init__(
        self, config: ConfigMap | None = None, /, *, guard: Guard, **settings: Any
    ) -> None:
        given = dict(config or {})
        self._key_deserializer, self._value_deserializer = take_serdes(
            "deserializer", given, settings
        )
        super().__init__(given, guard=guard, **settings)
        introduce(self, (self._key_deserializer, self._value_deserializer))

    def poll(self, timeout: float | None = -1) -> Any:
        """The next event that passes, deserialized; None when there was none for `timeout`.

        A message with an `error()` is the client's own.
        """
        message = super().poll(timeout)
        return self._deserialized(message) if isinstance(message, GuardedMessage) else message

    def consume(self, num_messages: int = 1, timeout: float | None = -1) -> list[Polled]:
        """Not there, as in the client's class: one bad value would take the batch with it."""
        raise NotImplementedError("read by `poll()` or `run()`")

    def run(
        self,
        handler: Handler | TransactionalHandler | None = None,
        *,
        max_messages: int | None = None,
        idle_timeout_s: float | None = None,
        until_end: bool = False,
    ) -> int:
        """As GuardedConsumer.run, with deserialized messages for the handler."""
        chosen: Any = handler or self._handler
        if chosen is not None:
            self._check_handler(chosen)

        def handle(message: GuardedMessage, *producer: Any) -> object:
            assert chosen is not None
            return chosen(self._deserialized(message), *producer)

        return super().run(
            None if chosen is None else handle,
            max_messages=max_messages,
            idle_timeout_s=idle_timeout_s,
            until_end=until_end,
        )

    def _deserialized(self, message: GuardedMessage) -> DeserializedMessage:
        context = SerializationContext(message.topic(), MessageField.KEY, message.headers())
        key, value = message.key(), message.value()
        if self._key_deserializer is not None:
            try:
                key = self._key_deserializer(key, context)
            except Exception as error:
                raise KeyDeserializationError(error, message) from error  # type: ignore[arg-type]
        context.field = MessageField.VALUE
        if self._value_deserializer is not None:
            try:
                value = self._value_deserializer(value, context)
            except Exception as error:
                raise ValueDeserializationError(error, message) from error  # type: ignore[arg-type]
        return DeserializedMessage(message, key, value)
