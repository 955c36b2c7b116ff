"""The guarded clients have the client's call shape; what it has and they have not is known here.

A new version of confluent-kafka that brings a method makes a test fail: then it is guarded, or
named as left out. Signatures are those of the client's own type stubs, since its classes are C.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import FunctionType

import confluent_kafka
import pytest
from confluent_kafka import Consumer, Message, Producer

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.producers.producer import GuardedProducer
from streamwarden.producers.refusal import RefusedMessage

#: Methods of the client that would be a way around the guard.
LEFT_OUT = {"produce_batch"}
#: What a report about a refused event need not do: it is there to be read.
READ_ONLY = {"set_error", "set_headers", "set_key", "set_topic", "set_value"}
#: Undocumented in the client, and the topic of a decision is not to be changed.
UNDOCUMENTED = {"set_topic"}


def public_methods(cls: type) -> set[str]:
    special = {"__len__", "__enter__", "__exit__", "__bool__"}
    return {
        name
        for name in dir(cls)
        if (not name.startswith("_") or name in special)
        and not hasattr(object, name)
        and callable(getattr(cls, name))
    }


def stub_parameters(class_name: str) -> dict[str, list[str]]:
    """Parameters by method without self, of all overloads; positional ones in their order."""
    stub = Path(confluent_kafka.__file__).with_name("cimpl.pyi")
    found: dict[str, list[str]] = {}
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    names = found.setdefault(method.name, [])
                    names += [a.arg for a in method.args.args[1:] if a.arg not in names]
    return found


@pytest.mark.parametrize(
    ("ours", "theirs", "left_out"),
    [
        (GuardedProducer, Producer, LEFT_OUT),
        (GuardedConsumer, Consumer, set[str]()),
        (GuardedMessage, Message, UNDOCUMENTED),
        (RefusedMessage, Message, READ_ONLY),
    ],
)
def test_every_method_of_the_client_is_there_or_known_to_be_left_out(
    ours: type, theirs: type, left_out: set[str]
) -> None:
    """Adopting a guard is a one-line change, and no method slips past it."""
    assert public_methods(theirs) - public_methods(ours) == left_out & public_methods(theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (GuardedProducer, "Producer"),
        (GuardedConsumer, "Consumer"),
        (GuardedMessage, "Message"),
        (RefusedMessage, "Message"),
    ],
)
def test_parameters_have_the_clients_names_and_order(ours: type, theirs: str) -> None:
    """Positional and keyword calls written for the client go on working; own options are extra."""
    stubs = stub_parameters(theirs)
    if not stubs:
        pytest.skip("this version of the client has no stubs")
    differing: dict[str, tuple[list[str], list[str]]] = {}
    for name in sorted(public_methods(ours) & stubs.keys()):
        method = inspect.getattr_static(ours, name)
        if not isinstance(method, FunctionType) or name in ("__exit__", "__init__"):
            continue
        given = list(inspect.signature(method).parameters.values())[1:]
        positional = [p.name for p in given if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        expected = stubs[name]
        if positional[: len(expected)] != expected:
            differing[name] = positional, expected

    assert differing == {}


def names(calls: Iterable[str]) -> list[str]:
    return sorted(calls)


@pytest.mark.parametrize("name", names(LEFT_OUT))
def test_what_is_left_out_says_what_to_use(name: str) -> None:
    """An AttributeError as for any missing name, and helpful."""
    producer = GuardedProducer.__new__(GuardedProducer)

    with pytest.raises(AttributeError, match=r"call `produce_many\(\)`"):
        getattr(producer, name)
    assert not hasattr(producer, name)


def test_a_guard_is_not_the_client() -> None:
    """A subclass would leak every method that it does not override."""
    assert not issubclass(GuardedProducer, Producer)
    assert not issubclass(GuardedConsumer, Consumer)
