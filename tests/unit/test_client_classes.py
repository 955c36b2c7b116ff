"""Every class of the client that reads or writes events is guarded, or known to be out of reach.

A new version of confluent-kafka that brings a class, a method or a parameter makes a test fail:
then it is guarded, or named here with why it is left out.
"""

from __future__ import annotations

import inspect
from types import FunctionType, ModuleType

import confluent_kafka
import pytest
from confluent_kafka import DeserializingConsumer, SerializingProducer, aio

from streamwarden.consumers.async_consumer import AsyncGuardedConsumer
from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.deserializing import GuardedDeserializingConsumer
from streamwarden.producers.async_producer import AsyncGuardedProducer
from streamwarden.producers.producer import GuardedProducer
from streamwarden.producers.serializing import GuardedSerializingProducer

from .test_client_shape import public_methods, stub_parameters

#: The guarded class in the place of each class of the client.
GUARDED: dict[str, type] = {
    "Consumer": GuardedConsumer,
    "Producer": GuardedProducer,
    "DeserializingConsumer": GuardedDeserializingConsumer,
    "SerializingProducer": GuardedSerializingProducer,
    "AIOConsumer": AsyncGuardedConsumer,
    "AIOProducer": AsyncGuardedProducer,
}
#: Why a class of the client has none; nothing of these can be reached through a guard.
NOT_GUARDED = {
    "AsyncDeserializingConsumer": "experimental; deserialize in the handler of AsyncGuardedConsumer",
    "AsyncSerializingProducer": "experimental; serialize, and give AsyncGuardedProducer the bytes",
    "DeserializingShareConsumer": "share groups have no offsets that a guard could hold back",
    "ShareConsumer": "share groups have no offsets that a guard could hold back",
}
#: Methods of the client that are not there, and what is instead.
LEFT_OUT = {
    "Producer": {"produce_batch": "it drops headers; produce_many"},
    "SerializingProducer": {"produce_batch": "it drops headers; produce_many"},
}
#: Parameters that are not there, and why.
PARAMETERS_LEFT_OUT = {
    "AIOProducer": {
        "max_workers": "one thread makes the calls that wait",
        "executor": "likewise",
        "batch_size": "nothing is held back",
        "buffer_timeout": "likewise",
    },
    "AIOConsumer": {"max_workers": "one thread makes the calls", "executor": "likewise"},
}
_DOES = ("produce", "produce_batch", "poll", "consume", "subscribe")


def client_classes(module: ModuleType) -> dict[str, type]:
    found = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    return {
        name: each
        for name, each in found.items()
        if inspect.isclass(each) and any(hasattr(each, method) for method in _DOES)
    }


CLASSES = client_classes(confluent_kafka) | client_classes(aio)


def test_every_client_is_guarded_or_left_out_for_a_reason() -> None:
    """A class that a new version brings shows up here."""
    assert CLASSES.keys() - GUARDED.keys() <= NOT_GUARDED.keys()
    assert GUARDED.keys() <= CLASSES.keys()


@pytest.mark.parametrize("name", GUARDED)
def test_every_method_is_guarded_or_left_out_for_a_reason(name: str) -> None:
    """And nothing is said to be left out that is there."""
    theirs, ours = public_methods(CLASSES[name]), public_methods(GUARDED[name])
    missing = theirs - ours

    assert missing == LEFT_OUT.get(name, {}).keys() & theirs


@pytest.mark.parametrize("name", ["AIOConsumer", "AIOProducer"])
def test_what_the_client_awaits_is_awaited(name: str) -> None:
    """And takes the parameters of the client that it hands them to, in their order."""
    behind = {"AIOConsumer": GuardedConsumer, "AIOProducer": GuardedProducer}[name]
    for method in sorted(public_methods(CLASSES[name])):
        theirs = getattr(CLASSES[name], method)
        ours = getattr(GUARDED[name], method)
        assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(ours), method
        if method == "produce" or not hasattr(behind, method):
            continue
        expected = list(inspect.signature(getattr(behind, method)).parameters)
        assert list(inspect.signature(ours).parameters) == expected, method


def test_an_event_is_given_to_asyncio_as_to_the_client() -> None:
    """Its own parameters first, then those that it takes by keyword."""
    theirs = list(inspect.signature(aio.AIOProducer.produce).parameters)[1:4]
    ours = list(inspect.signature(AsyncGuardedProducer.produce).parameters)[1:]

    assert ours == [*theirs, "partition", "timestamp", "headers", "facts"]


@pytest.mark.parametrize("name", ["AIOConsumer", "AIOProducer"])
def test_parameters_of_the_constructor_are_known(name: str) -> None:
    """A new one is taken, or named with why not."""
    theirs = list(inspect.signature(CLASSES[name].__init__).parameters)[2:]  # type: ignore[misc]

    assert theirs == list(PARAMETERS_LEFT_OUT[name])


@pytest.mark.parametrize(
    ("ours", "theirs", "behind"),
    [
        (GuardedSerializingProducer, SerializingProducer, "Producer"),
        (GuardedDeserializingConsumer, DeserializingConsumer, "Consumer"),
    ],
)
def test_serializing_clients_take_what_the_clients_take(
    ours: type, theirs: type, behind: str
) -> None:
    """In its order; what they inherit is that of the client behind them."""
    stubs = stub_parameters(behind)
    for method in sorted(public_methods(theirs) & public_methods(ours)):
        own = inspect.getattr_static(ours, method, None)
        given = getattr(ours, method)
        if own is None or method.startswith("__"):
            continue
        found = inspect.getattr_static(theirs, method)
        names = (
            list(inspect.signature(found).parameters)[1:]
            if isinstance(found, FunctionType)
            else stubs.get(method, [])
        )
        positional = [
            each.name
            for each in list(inspect.signature(given).parameters.values())[1:]
            if each.kind is not inspect.Parameter.KEYWORD_ONLY
        ]
        assert positional[: len(names)] == names, method
