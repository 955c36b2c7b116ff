"""The guarded producer around serializers: objects in, policy on the bytes that they become."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final, TypeAlias

from confluent_kafka.error import KeySerializationError, ValueSerializationError
from confluent_kafka.serialization import MessageField, SerializationContext

from streamwarden.errors import ConfigurationError

from ..policy.decision import Decision
from ..policy.guard import Guard
from .callbacks import Report
from .connection import ConfigMap
from .outgoing import check_topic_name
from .producer import GuardedProducer

__all__ = ["GuardedSerializingProducer", "Serde", "introduce", "take_serdes"]

#: From an object and its context to bytes, or back.
Serde: TypeAlias = Callable[[Any, Any], Any]

#: The client's own default for how long it waits for metadata.
_CLUSTER_ID_TIMEOUT_S: Final = 60.0


class GuardedSerializingProducer(GuardedProducer):
    """As confluent_kafka.SerializingProducer: `key.serializer` and `value.serializer` of `config`.

    The event is decided on the serialized bytes, so that a replay sees what the guard saw; a mask
    is applied to them. Everything else is the GuardedProducer's.
    """

    def __init__(
        self,
        config: ConfigMap | None = None,
        /,
        *,
        guard: Guard,
        **settings: Any,
    ) -> None:
        given = dict(config or {})
        self._key_serializer, self._value_serializer = take_serdes("serializer", given, settings)
        super().__init__(given, guard=guard, **settings)
        introduce(self, (self._key_serializer, self._value_serializer))

    def produce(  # type: ignore[override]  # the order of arguments is the client's
        self,
        topic: str,
        key: Any = None,
        value: Any = None,
        partition: int = -1,
        on_delivery: Report | None = None,
        timestamp: int = 0,
        headers: Any = None,
        *,
        facts: Mapping[str, object] | None = None,
    ) -> Decision:
        """Serialize, decide, and send or park; returns the decision.

        As the client's. Raises KeySerializationError and ValueSerializationError as it does, and
        what GuardedProducer.produce raises. Headers that a serializer adds are sent.
        """
        check_topic_name(topic)
        sent: Any = copy(headers) if headers else []
        context = SerializationContext(topic, MessageField.KEY, sent)
        if self._key_serializer is not None:
            try:
                key = self._key_serializer(key, context)
            except Exception as error:
                raise KeySerializationError(error) from error
        context.field = MessageField.VALUE
        if self._value_serializer is not None:
            try:
                value = self._value_serializer(value, context)
            except Exception as error:
                raise ValueSerializationError(error) from error
        return super().produce(
            topic,
            value,
            key,
            partition,
            on_delivery=on_delivery,
            timestamp=timestamp,
            headers=sent or None,
            facts=facts,
        )


def take_serdes(kind: str, *configs: dict[str, Any]) -> tuple[Serde | None, Serde | None]:
    """Take the key's and the value's serde out of configurations; `kind` is their word.

    Raises ConfigurationError for what cannot be called, and for the client's experimental builders.
    """
    found: list[Serde | None] = []
    for name in (f"key.{kind}", f"value.{kind}"):
        if any(f"{name}.builder" in config for config in configs):
            raise ConfigurationError(
                f"`{name}.builder` is not taken here", remedy=f"build it, and give it as `{name}`"
            )
        given = [config.pop(name) for config in configs if name in config]
        serde = given[-1] if given else None
        if serde is not None and not callable(serde):
            raise ConfigurationError(f"`{name}` cannot be called", remedy=f"give a {kind}")
        found.append(serde)
    return found[0], found[1]


def introduce(client: Any, serdes: tuple[Serde | None, Serde | None]) -> None:
    """Tell serdes that want it how to learn the id of the cluster that the client speaks to."""
    reference = weakref.ref(client)  # a serde may outlive the client, and shall not hold it

    def cluster_id() -> Any:
        speaking = reference()
        return None if speaking is None else speaking.cluster_id(_CLUSTER_ID_TIMEOUT_S)

    for serde in serdes:
        tell = getattr(serde, "set_cluster_id_resolver", None)  # newer clients only
        if tell is not None:
            tell(cluster_id)
