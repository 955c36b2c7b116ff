"""How values compare: CEL's rules, where Python's differ."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from streamwarden.policy.cel import CelError, Duration, Optional, Table, Timestamp, UInt, Unknown
from streamwarden.policy.cel.values import equal, holds, merge, normal, ordering, shown


@pytest.mark.parametrize(
    ("left", "right", "verdict"),
    [
        (1, 1.0, True),
        (1, UInt(1), True),
        (1, True, False),
        (0.0, False, False),
        ("1", 1, False),
        (None, False, False),
        (math.nan, math.nan, False),
        ([1, [2.0]], [1.0, [UInt(2)]], True),
        ([math.nan], [math.nan], False),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        (Decimal("1.10"), 1.1, True),
        (Decimal("1.1000000000000001"), 1.1, False),
        (Decimal(5), 5, True),
        (2**63 - 1, float(2**63), True),
        (10**30, 10**30 + 1, True),
        (Timestamp(1), Duration(1), False),
        (Optional(True, 1), Optional(True, 1.0), True),
        (Optional(False), Optional(True, None), False),
        (b"a", "a", False),
    ],
)
def test_equality(left: object, right: object, verdict: bool) -> None:
    """Numbers compare as numbers, other types only with themselves; both ways round."""
    assert equal(left, right) is verdict
    assert equal(right, left) is verdict


def test_equality_does_not_recurse() -> None:
    """Values nested deeper than Python's stack are compared."""
    left: object = 1
    right: object = 1.0
    for _ in range(100_000):
        left, right = [left], [right]

    assert equal(left, right) is True


def test_equality_hands_on_what_is_unsure() -> None:
    """An unknown part decides nothing, unless another part differs."""
    unknown = Unknown(frozenset({("value", "a")}))

    assert equal([1, unknown], [1, 2]) == unknown
    assert equal([1, unknown], [2, 2]) is False
    assert equal({"a": unknown}, {}) == unknown
    assert equal({"a": unknown, "b": 1}, {"a": 1}) is False


def test_order() -> None:
    """Numbers are ordered across types; values of other types only among themselves."""
    assert ordering(1, "a") is None
    assert ordering(True, 1) is None
    assert ordering([1], [2]) is None
    assert ordering(None, None) is None
    pair = ordering(2**53 + 1, float(2**53))
    assert pair is not None
    assert pair[0] == pair[1]


def test_membership_finds_equals() -> None:
    """`in` finds what `==` calls equal, in a table as well."""
    assert holds([1, "a"], 1.0) is True
    assert holds([1, "a"], True) is False
    assert Table(["a", 1]).holds("a") is True
    assert Table(["a", 1]).holds(1.0) is True
    assert Table(["a", 1]).holds(UInt(2)) is False


def test_unknown_comes_before_error() -> None:
    """Strict functions give the merged unknowns, else the first error."""
    first, second = CelError("a", ""), CelError("b", "")
    one, two = Unknown(frozenset({("x",)})), Unknown(frozenset({("y",)}))

    assert merge([1, first, second]) == first
    assert merge([first, one, two]) == Unknown(frozenset({("x",), ("y",)}))
    assert merge([1, "a"]) is None


def test_large_ints_are_doubles() -> None:
    """An int beyond 64 bits, of whatever size, is a double."""
    assert normal(2**63) == float(2**63)
    assert normal(-(10**400)) == -math.inf
    assert normal(2**63 - 1) == 2**63 - 1
    assert normal(True) is True


@pytest.mark.parametrize(
    ("type_", "said"), [("int", "an int"), ("uint", "a uint"), ("null_type", "null")]
)
def test_a_type_has_its_article(type_: str, said: str) -> None:
    """As it is spoken."""
    assert shown(type_) == said
