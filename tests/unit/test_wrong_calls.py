"""Calls that the type checker would refuse: what they say to those who have none."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarden import (
    AsyncGuardedConsumer,
    AsyncGuardedProducer,
    GuardedConsumer,
    GuardedProducer,
)
from streamwarden.errors import ConfigurationError
from streamwarden.testing import FakeGuard


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"value": {"amount": 1}}, "a value is bytes, str or None, such as json.dumps"),
        ({"value": 7}, "a value is bytes, str or None, not int"),
        ({"value": b"{}", "key": 7}, "a key is bytes, str or None, not int"),
        (
            {"value": b"{}", "headers": "x"},
            "headers are a dict or \\(name, value\\) tuples, not str",
        ),
        ({"value": b"{}", "headers": 7}, "headers are a dict or \\(name, value\\) tuples, not int"),
        ({"value": b"{}", "headers": ["x"]}, "each header is a tuple of a name and a value"),
        ({"value": b"{}", "headers": {"x": 7}}, "a header value is bytes, str or None, not int"),
    ],
)
def test_what_is_no_event_is_told_in_words(given: dict[str, Any], words: str) -> None:
    """As `produce` tells it, before anything is decided."""
    with FakeGuard() as guard, pytest.raises(TypeError, match=words):
        guard.decide(topic="t", **given)


def test_what_is_no_guard_is_told_in_words() -> None:
    """To clients that were given a path, say, in the place of the policies in it."""
    odd: Any = "policies/"
    for client in (GuardedProducer, GuardedConsumer, AsyncGuardedProducer, AsyncGuardedConsumer):
        with pytest.raises(ConfigurationError, match="`guard` is of the type `str`; give a Guard"):
            client({"bootstrap.servers": "localhost:1", "group.id": "g"}, guard=odd)


def test_a_fake_guard_says_which_effects_there_are() -> None:
    """With the one that was probably meant."""
    with FakeGuard() as guard:
        with pytest.raises(ConfigurationError, match="`rejct` is no effect; did you mean `reject`"):
            guard.answer("rejct")
        with pytest.raises(ConfigurationError, match="use one of none, allow, warn"):
            guard.answer("zzzz")
