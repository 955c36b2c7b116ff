"""What conditions read."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarden.policy.cel import parse
from streamwarden.policy.compiler.reads import reads_of


def cases(*rows: tuple[str, set[Any], set[Any]]) -> list[tuple[str, set[Any], set[Any]]]:
    return list(rows)


@pytest.mark.parametrize(
    ("condition", "whole", "present"),
    cases(
        ("value.a.b > 1", {("value", ("a", "b"))}, set()),
        ("message.a > 1", {("value", ("a",))}, set()),
        (".value.a > 1", {("value", ("a",))}, set()),
        ('value["a"].b == value.c[0].d', {("value", ("a", "b")), ("value", ("c", None, "d"))}, set()),
        ("value.a[value.b] == 1", {("value", ("a",)), ("value", ("b",))}, set()),
        ("has(value.a.b)", set(), {("value", ("a", "b"))}),
        ("value.?a.orValue(1) == 1", {("value", ("a",))}, set()),
        (
            "value.l.exists(x, x.q > value.a)",
            {("value", ("l", None, "q")), ("value", ("a",))},
            {("value", ("l", None))},
        ),
        ("value.l.filter(x, x.q > 1).size() > 0", {("value", ("l",))}, set()),
        ("value.l.all(x, true)", set(), {("value", ("l", None))}),
        ("value.l.exists(x, x.m.exists(x, x.q == 1))", {("value", ("l", None, "m", None, "q"))},
         {("value", ("l", None)), ("value", ("l", None, "m", None))}),
        ("[1].exists(value, value.a == 1)", set(), set()),
        ("[1].exists(value, .value.a == 1)", {("value", ("a",))}, set()),
        ('"h" in headers && headers["h"] == "x"', {("headers", ("h",))}, {("headers", ("h",))}),
        ('"a" in value.l', {("value", ("l",))}, set()),
        ("topic == 'x' && facts.score > now", {("topic", ()), ("facts", ("score",)), ("now", ())}, set()),
        ("size(value) > 1", {("value", ())}, set()),
        ("nothing.a == 1", set(), set()),
    ),
)  # fmt: skip
def test_reads(condition: str, whole: set[object], present: set[object]) -> None:
    found = reads_of(parse(condition))

    assert (set(found.whole), set(found.present)) == (whole, present)


def test_reads_by_variable() -> None:
    """Callers ask which of the variables have to be made."""
    found = reads_of(
        parse("key == 'a' && headers.h == 'b' && stamp.effect == 'c' && now > timestamp")
    )

    assert found.variables == {"key", "headers", "stamp", "now", "timestamp"}
    assert found.reads_headers
    assert (found.reads_value, found.reads_facts, found.reads_schema) == (False, False, False)
    assert reads_of(parse("value.a.b == 1")).paths("value") == {("a", "b")}


@pytest.mark.parametrize(
    ("condition", "flat"),
    [
        ("value.a > 1 && value.b < value.c", True),
        ("value.a == 'x' || 1 != value.b || value.c == -1", True),
        ("value.a in ['x', 1] && !value.b", True),
        ("value.a.startsWith(value.b) && value.c.size() > 1", True),
        ("value.l.all(x, x.q > 1)", True),
        ("value.a == value.b", False),
        ("value.a == [1]", False),
        ("value.a in [[1]]", False),
        ("value.a in lists.odd", False),
        ("value.a + value.b == 'x'", False),
        ("'x' in value.a", False),
        ("value.a.exists_one(x, x == 1)", True),
        ("value.a.map(x, x)[0] == 1", False),
        ("string(value.a) == 'x'", False),
        ("(value.a ? value.b : 1) == 1", False),
        ("value.a.?b.orValue(1) == 1", False),
    ],
)
def test_lists_and_maps_are_entered_only_where_it_matters(condition: str, flat: bool) -> None:
    found = reads_of(parse(condition))
    assert found.entered <= found.whole
    assert flat == (not {place for place in found.entered if place[0] == "value"})
