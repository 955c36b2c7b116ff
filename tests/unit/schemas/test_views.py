"""Keys, headers, facts and undecoded values, as rules see them."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import pytest

from streamwarden.schemas.json_projection import DecodeError
from streamwarden.schemas.views import facts_view, headers_view, key_view, value_view


class Level(enum.IntEnum):
    HIGH = 3


class Colour(enum.Enum):
    RED = "red"


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("key", "key_format", "expected"),
    [
        (None, "json", None),
        (b"k", "auto", "k"),
        (b"", "auto", ""),
        (b"\xff", "auto", b"\xff"),
        (b"\0k", "text", "\0k"),
        (b"\0k", "bytes", b"\0k"),
        (b'{"a": 1}', "json", {"a": 1}),
        (b"5", "auto", "5"),
    ],
)
def test_keys(key: bytes | None, key_format: str, expected: object) -> None:
    assert key_view(key, key_format) == expected


@pytest.mark.parametrize(("key", "key_format"), [(b"\0k", "auto"), (b"k", "avro"), (b"{", "json")])
def test_keys_that_do_not_decode(key: bytes, key_format: str) -> None:
    with pytest.raises(DecodeError):
        key_view(key, key_format)


def test_headers() -> None:
    """The last value of a name counts; the guard's own and other clients' commands are not seen."""
    headers: list[tuple[str, Any]] = [
        ("a", b"1"),
        ("a", b"2"),
        ("b", b"\xff"),
        ("c", None),
        ("d", "text"),
        ("e", 5),
        ("streamwarden", b"x"),
        ("streamwarden-decision", b"x"),
        ("streamwardens", b"x"),
        ("__dlq.errors.topic", b"x"),
        ("__rule.name", b"x"),
    ]

    assert headers_view(headers) == {
        "a": "2",
        "b": b"\xff",
        "c": None,
        "d": "text",
        "e": None,
        "streamwardens": "x",
    }


@pytest.mark.parametrize(
    ("value", "value_format", "expected"),
    [
        (b'{"a": 1}', "auto", {"a": 1}),
        (b"x", "text", "x"),
        (b"", "text", ""),
        (b"\xff", "bytes", b"\xff"),
    ],
)
def test_values(value: bytes, value_format: str, expected: object) -> None:
    assert value_view(value, value_format) == expected


@pytest.mark.parametrize(
    ("value", "value_format"),
    [(b"\0\0\0\0\1", "auto"), (b"x", "avro"), (b"\xff", "text"), (b"", "json")],
)
def test_values_that_do_not_decode(value: bytes, value_format: str) -> None:
    with pytest.raises(DecodeError):
        value_view(value, value_format)


FACTS: list[tuple[Any, Any]] = [
    (1, 1),
    (True, True),
    (None, None),
    (0.5, 0.5),
    ("x", "x"),
    (b"x", b"x"),
    (Decimal("1.5"), Decimal("1.5")),
    (Level.HIGH, 3),
    (Colour.RED, "red"),
    (Name("x"), "x"),
    ((1, [2]), [1, [2]]),
    ({3}, [3]),
    (OrderedDict[str, int](a=1), {"a": 1}),
    ({1: 2, "a": 3}, {"a": 3}),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (dt.date(1970, 1, 2), ("time", 86_400_000_000_000)),
    (dt.datetime(1970, 1, 1, 0, 0, 1, 5, dt.UTC), ("time", 1_000_005_000)),
    (dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=None), ("time", 1_000_000_000)),  # noqa: DTZ001
]


@pytest.mark.parametrize(("fact", "expected"), FACTS)
def test_facts(fact: object, expected: object) -> None:
    seen = facts_view({"fact": fact}, lambda ns: ("time", ns))["fact"]

    assert seen == expected
    assert type(seen) is type(expected)


def test_facts_that_are_no_values_are_left_out() -> None:
    """A rule that reads one cannot be evaluated, which counts as fired."""
    endless: dict[str, Any] = {}
    endless["again"] = endless

    seen = facts_view({"a": object(), "b": [object()], "c": 1, "d": {"x": object()}}, int)

    assert seen == {"c": 1, "d": {}}
    assert math.isnan(float(str(facts_view({"n": Decimal("sNaN")}, int)["n"])))
    assert isinstance(facts_view(endless, int), dict)
    assert facts_view(None, int) == {}
