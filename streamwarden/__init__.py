"""Declarative policy enforcement for Kafka event streams.

from streamwarden import Guard, GuardedProducer, GuardedConsumer
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from streamwarden._version import __version__
from streamwarden.errors import (
    ConfigurationError,
    DecisionLogFullError,
    DeliveryError,
    FloodError,
    NoPolicyError,
    PolicyError,
    QuarantineError,
    ReconcileError,
    SchemaUnavailableError,
    StoreError,
    StreamwardenError,
)

if TYPE_CHECKING:
    from streamwarden.consumers.async_consumer import AsyncGuardedConsumer
    from streamwarden.consumers.consumer import GuardedConsumer
    from streamwarden.consumers.deserializing import GuardedDeserializingConsumer
    from streamwarden.consumers.messages import GuardedMessage
    from streamwarden.policy.decision import Decision
    from streamwarden.policy.guard import Guard
    from streamwarden.policy.match import Match
    from streamwarden.policy.model import Effect, Mode
    from streamwarden.policy.routing import Routed
    from streamwarden.policy.stamp import Stamp
    from streamwarden.producers.async_producer import AsyncGuardedProducer
    from streamwarden.producers.batches import BatchStoppedError
    from streamwarden.producers.producer import GuardedProducer, PolicyRejected
    from streamwarden.producers.serializing import GuardedSerializingProducer
    from streamwarden.schemas.event import Event, Record

#: Where each public name lives: imported when it is first used, so that a command that needs no
#: Kafka client does not load one.
_HOMES = {
    "consumers.async_consumer": ("AsyncGuardedConsumer",),
    "consumers.consumer": ("GuardedConsumer",),
    "consumers.deserializing": ("GuardedDeserializingConsumer",),
    "consumers.messages": ("GuardedMessage",),
    "policy.decision": ("Decision",),
    "policy.guard": ("Guard",),
    "policy.match": ("Match",),
    "policy.model": ("Effect", "Mode"),
    "policy.routing": ("Routed",),
    "policy.stamp": ("Stamp",),
    "producers.async_producer": ("AsyncGuardedProducer",),
    "producers.batches": ("BatchStoppedError",),
    "producers.producer": ("GuardedProducer", "PolicyRejected"),
    "producers.serializing": ("GuardedSerializingProducer",),
    "schemas.event": ("Event", "Record"),
}

__all__ = [
    "AsyncGuardedConsumer",
    "AsyncGuardedProducer",
    "BatchStoppedError",
    "ConfigurationError",
    "Decision",
    "DecisionLogFullError",
    "DeliveryError",
    "Effect",
    "Event",
    "FloodError",
    "Guard",
    "GuardedConsumer",
    "GuardedDeserializingConsumer",
    "GuardedMessage",
    "GuardedProducer",
    "GuardedSerializingProducer",
    "Match",
    "Mode",
    "NoPolicyError",
    "PolicyError",
    "PolicyRejected",
    "QuarantineError",
    "ReconcileError",
    "Record",
    "Routed",
    "SchemaUnavailableError",
    "Stamp",
    "StoreError",
    "StreamwardenError",
    "__version__",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            found: object = getattr(import_module(f"streamwarden.{home}"), name)
            return globals().setdefault(name, found)
    raise AttributeError(f"module `streamwarden` has no attribute `{name}`")


def __dir__() -> list[str]:
    return __all__
