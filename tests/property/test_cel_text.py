"""Any text: parsed or refused, never an exception of another kind; and what is written reads back."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from streamwarden.policy.cel import (
    CelError,
    CelSyntaxError,
    Environment,
    check,
    compile_exact,
    estimate,
    parse,
    unparse,
)
from streamwarden.policy.cel.ast import Expr, Literal, MapEntry, Span
from streamwarden.policy.cel.library import FUNCTIONS
from streamwarden.policy.cel.parser import NESTING_MAX
from streamwarden.policy.cel.types import DYN

from .cel_expressions import conditions, events, terms

PIECES = (
    *("(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "[?", ".?", "!", "-", "+", "*", "/", "%"),
    *("&&", "||", "==", "!=", "<", "<=", " in ", "true", "null", "1", "2u", "1.5", "-1", "0x1"),
    *('"a"', "'b'", 'r"\\d"', 'b"x"', '"""', "value", "value.a", "x", "has(", "size(", ".all(x, "),
    *(".map(x, ", "cel.bind(x, ", "math.abs(", ".size()", "// c\n", "\n", "`a-b`", "if", "é", "\\"),
)
ENV = Environment({"value": DYN})


def without_places(node: object) -> object:
    """A tree as plain tuples, without spans, and with literals told apart by their types."""
    if isinstance(node, Span):
        return None
    if isinstance(node, tuple):
        return tuple(map(without_places, cast("tuple[object, ...]", node)))
    if isinstance(node, Literal):
        return type(node.value), repr(node.value)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        fields = [without_places(getattr(node, f.name)) for f in dataclasses.fields(node)]
        return (type(node), *fields)
    return node


def all_stages(expr: Expr) -> None:
    """Everything that can be done with a tree."""
    check(expr, ENV)
    estimate(expr)
    assert without_places(parse(unparse(expr))) == without_places(expr)
    result = compile_exact(expr)({"value": {"a": 1}})
    assert not isinstance(result, CelError) or result.code != "internal"


@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
@example("a" + ".a" * (NESTING_MAX - 1))
@example("[" * (NESTING_MAX - 1) + "]" * (NESTING_MAX - 1))
@example("true ? 1 : " * (NESTING_MAX - 2) + "1")
@example("1" + " + 1" * (NESTING_MAX - 1))
@example("!" * (NESTING_MAX - 1) + "true")
@example("[1].map(x, " * (NESTING_MAX // 2 - 1) + "1" + ")" * (NESTING_MAX // 2 - 1))
def test_any_text(text: str) -> None:
    """A text either goes through every stage, or is refused with a place inside it."""
    try:
        expr: Expr | CelSyntaxError = parse(text)
    except CelSyntaxError as error:
        expr = error
    if isinstance(expr, CelSyntaxError):
        assert 0 <= expr.offset <= len(text)
        assert expr.length >= 1
    else:
        all_stages(expr)


@given(conditions() | terms())
def test_what_is_written_reads_back(text: str) -> None:
    """`parse(unparse(tree))` is the tree, and canonical text stays as it is."""
    expr = parse(text)

    canonical = unparse(expr)

    assert without_places(parse(canonical)) == without_places(expr)
    assert unparse(parse(canonical)) == canonical


@given(conditions(), events())
def test_the_checker_does_not_object_to_what_works(text: str, event: dict[str, Any]) -> None:
    """Without a schema, an expression that has a value is refused for its constants only."""
    expr = parse(text)
    constants = ("SW123", "SW126", "SW127")
    refused = [problem for problem in check(expr, ENV).problems if problem.code not in constants]

    if isinstance(compile_exact(expr)({"value": event}), bool):
        assert refused == []


@given(st.data(), st.sampled_from(sorted(FUNCTIONS)), st.booleans())
def test_functions_take_anything(data: st.DataObject, name: str, method: bool) -> None:
    """A function gives a value or an error for every value, and the same ones each time."""
    overloads = [o for o in FUNCTIONS[name].overloads if o.method is method]
    arity = data.draw(st.sampled_from([len(o.params) for o in overloads] or [1]))
    variables = [f"v{index}" for index in range(arity)]
    values = {variable: data.draw(_values()) for variable in variables}
    head, *rest = variables or ["v0"]
    text = f"{head}.{name}({', '.join(rest)})" if method else f"{name}({', '.join(variables)})"

    result = compile_exact(parse(text))(values)

    assert not isinstance(result, CelError) or result.code != "internal"


def _values() -> st.SearchStrategy[object]:
    plain = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.integers(-3, 70)
        | st.floats()
        | st.text(max_size=20)
        | st.binary(max_size=20)
        | st.sampled_from(
            ["%s %d", "1h30m", "2026-01-01T00:00:00Z", "10.0.0.0/8", "::1", "a@b.com"]
        )
        | st.decimals(allow_nan=False, allow_infinity=False, places=3)
    )
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    )


def test_map_entries_are_compared() -> None:
    """The comparison of trees sees into every node."""
    one, two = parse("{'a': 1}"), parse("{'a': 1.0}")

    assert without_places(one) != without_places(two)
    assert dataclasses.is_dataclass(MapEntry)
