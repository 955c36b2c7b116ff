"""What an evaluation can cost on the largest message."""

from __future__ import annotations

import sys

import pytest

from streamwarden.policy.cel import Bounds, estimate, parse
from streamwarden.policy.cel.cost import COST_MAX, NESTING_LOOPS_MAX


@pytest.mark.parametrize(
    "text",
    [
        'value.amount > 50000 && !(value.country in ["US", "CA"])',
        "value.items.exists(i, i.price > 10)",
        "value.items.exists(i, i.tags.exists(t, t == 'x'))",
        "value.a.all(i, i.b.all(j, j.c.all(k, k.d > 1)))",
        "value.items.exists(i, i.name.contains('abc') && i.name.matches('a+b'))",
        "value.country in lists.sanctioned",
        "value.items.filter(i, i.price > 3).size() > 3",
        "[1, 2, 3].exists(a, [1, 2, 3].exists(b, a * b == value.x))",
    ],
)
def test_ordinary_conditions_are_acceptable(text: str) -> None:
    """Conditions that go through an event once are within the limit without any bounds."""
    assert estimate(parse(text)).is_acceptable


@pytest.mark.parametrize(
    "text",
    [
        "value.items.exists(i, value.items.exists(j, i.id == j.id))",
        "value.items.exists(i, i.x in value.other)",
        "value.s.matches(value.pattern)",
        "cel.bind(x, value.items, x.exists(a, x.exists(b, a == b)))",
    ],
)
def test_products_of_sizes_are_too_costly(text: str) -> None:
    """Comparing everything with everything needs bounds."""
    assert estimate(parse(text)).units > COST_MAX


def test_bounds_make_loops_cheaper() -> None:
    """What a schema bounds is not assumed to fill a message."""
    expr = parse("value.items.exists(i, value.items.exists(j, i.id == j.id && i.x < j.x))")
    bounds = Bounds(message_bytes_max=10_000, sizes={"value.items": 20})

    assert estimate(expr, bounds).is_acceptable


def test_nesting_is_limited() -> None:
    """Macros inside macros are counted."""
    text = "true"
    for level in range(NESTING_LOOPS_MAX + 1):
        text = f"[1].all(x{level}, {text})"

    cost = estimate(parse(text))

    assert cost.nesting == NESTING_LOOPS_MAX + 1
    assert not cost.is_acceptable


def calls_of_an_estimate(text: str) -> int:
    """How many functions are called while the cost of `text` is estimated."""
    expr, calls = parse(text), 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        estimate(expr)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("true ? 1 : " * 35 + "1", "true ? 1 : " * 70 + "1"),
        ("[" * 38 + "]" * 38, "[" * 76 + "]" * 76),
        ("true || " * 500 + "true", "true || " * 1000 + "true"),
    ],
)
def test_estimating_is_quick(small: str, large: str) -> None:
    """The work is linear in the expression: twice the expression, twice the work."""
    assert 0 < calls_of_an_estimate(large) < 2.5 * calls_of_an_estimate(small)
