"""What an evaluation can cost on the largest message."""

from __future__ import annotations

import json
import sys

import pytest

from streamwarden.policy.cel import Bounds, estimate, parse
from streamwarden.policy.cel.cost import COST_MAX, NESTING_LOOPS_MAX
from streamwarden.policy.cel.cost_bounds import are_plain
from streamwarden.policy.cel.library import FUNCTIONS
from streamwarden.policy.condition_checks import bounds_of, environment
from streamwarden.policy.json_schema_types import json_schema_type


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
        "value.lines.all(l, l.replace('a', 'b').contains('c'))",
        "value.lines.all(l, string(l.id).matches('^[0-9]{3,10}$'))",
        "value.lines.filter(l, l.price > 1.0).map(l, l.sku).join(',').contains('x')",
        "value.lines.all(l, l.?tags.orValue([]).exists(t, t == 'x'))",
        "size(value.p) <= 100 && size(value.s) <= 1000 && value.s.matches(value.p)",
        "value.probes.exists(p, p.c > value.celsius + 10.0)",
        "value.probes.exists(p, p.c > value.celsius * 2.0 + value.margin)",
        "cel.bind(n, size(value.x), value.probes.exists(p, p.c + n > value.celsius + n + value.y))",
        "value.probes.exists(p, p.c > int(value.celsius) + 10)",
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
        "matches(value.s, value.pattern)",
        "value.items.exists(i, i.s.matches(i.pattern))",
        "value.s.matches('(a|b)*a(a|b){900}c')",
        "value.items.exists(i, i.s.matches('^(a|b)*a(a|b){900}c$'))",
        "lists.range(4000).exists(x, lists.range(1000).exists(y, x + y == value.n))",
        "lists.range(value.n).exists(x, lists.range(value.n).exists(y, x + y == value.n))",
        "value.s.split('').exists(a, value.s.split('').exists(b, a == b))",
        "value.items.map(i, value.s).exists(s, s.contains('x'))",
        "[value.a, value.b].flatten().exists(x, x in value.a)",
        "value.items.sort()[0] == 1",
        "cel.bind(x, value.items, x.exists(a, x.exists(b, a == b)))",
        "value.items.exists(i, (value.a + value.b).contains(i))",
        "value.items.exists(i, (value.a + value.a.charAt(0)).contains(i))",
        "value.items.exists(i, i + value.a == value.b)",
    ],
)
def test_products_of_sizes_are_too_costly(text: str) -> None:
    """Comparing everything with everything needs bounds."""
    assert estimate(parse(text)).units > COST_MAX


def test_numbers_are_read_no_further_than_they_are_long() -> None:
    """A text that is longer than any number is refused by its length."""
    loop = "value.items.exists(i, {}(value.text) > i)"
    doubles, ints, moments = (
        estimate(parse(loop.format(name))).units for name in ("double", "int", "timestamp")
    )

    assert ints < COST_MAX < doubles < moments / 500


def test_bounds_make_loops_cheaper() -> None:
    """What a schema bounds is not assumed to fill a message."""
    expr = parse("value.items.exists(i, value.items.exists(j, i.id == j.id && i.x < j.x))")
    bounds = Bounds(message_bytes_max=10_000, sizes={"value.items": 20})

    assert estimate(expr, bounds).is_acceptable


def bounds_by(schema: dict[str, object]) -> Bounds:
    """What a JSON Schema of the event's value bounds."""
    return bounds_of(environment(["produce"], {}, json_schema_type(json.dumps(schema))))


def nested_lists(depth: int) -> dict[str, object]:
    """Lists of at most 20 lists, so many deep."""
    inner = nested_lists(depth - 1) if depth > 1 else {"type": "integer"}
    return {"type": "array", "maxItems": 20, "items": inner}


@pytest.mark.parametrize(
    ("property_", "text", "most"),
    [
        (nested_lists(4), "value.x.all(a, a.all(b, b.all(c, c.all(d, d > 1))))", 1_000_000),
        (
            {"type": "object", "maxProperties": 5},
            "value.x.all(k, value.x.all(l, k != l))",
            1_000_000,
        ),
        (
            {"type": "object", "maxProperties": 5, "additionalProperties": nested_lists(1)},
            "value.x.all(k, value.x[k].all(a, value.x[k].all(b, a != b)))",
            50_000,
        ),
        (
            {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 10}},
            "value.x.all(a, value.x.all(b, (a + b).contains('x')))",
            500,
        ),
    ],
)  # fmt: skip
def test_bounds_of_a_schema_hold_at_every_depth(
    property_: dict[str, object], text: str, most: int
) -> None:
    """What is multiplied is what the schema allows for."""
    bounds = bounds_by({"type": "object", "properties": {"x": property_}})

    assert estimate(parse(text), bounds).units <= most


def test_keys_of_a_map_are_not_bounded_by_its_values() -> None:
    """A map of numbers has keys of any length."""
    bounds = bounds_by({
        "type": "object",
        "properties": {"x": {"type": "object", "additionalProperties": {"type": "integer"}}},
    })  # fmt: skip

    assert estimate(parse("value.x.all(k, k.contains('a'))"), bounds).units > 100_000


@pytest.mark.parametrize(
    "conditions",
    [
        ["value.a == 'x' && value.b in ['x', 'y'] && value.a in lists.some"],
        ["key.contains(topic)"] * 40,
        ["value.a.contains(value.b)"] * 24,
        ["value.a.matches('^[A-Z]{3}$')"] * 30,
        ["timestamp(key) < now"] * 30,
    ],
)
def test_what_needs_no_estimate_is_acceptable(conditions: list[str]) -> None:
    """However many of them there are, as long as they are plain together."""
    exprs = [parse(text) for text in conditions]

    assert are_plain(exprs)
    assert sum(estimate(expr).units for expr in exprs) <= COST_MAX


@pytest.mark.parametrize(
    "conditions",
    [
        ["value.s.matches(value.p)"],
        ["value.s.matches('(a|b)*a(a|b){900}c')"],
        ["value.a in value.b"],
        ["value.a.contains(value.b)"] * 41,
        ["lists.range(3) == value.a"],
    ],
)
def test_what_could_be_costly_is_estimated(conditions: list[str]) -> None:
    """Patterns and lists of the event, and many conditions together."""
    assert not are_plain(parse(text) for text in conditions)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, "nothing"}))
def test_calls_with_too_few_or_too_many_arguments_have_an_estimate(name: str) -> None:
    """What is wrong with them is told by the checker."""
    for text in (f"{name}()", f"value.{name}()", "value.a.{}(b)", "{}(a, b, c, d, e)"):
        assert estimate(parse(text.format(name))).units >= 1


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
