"""A condition that is not warned about never fails on an event that its schema allows."""

from __future__ import annotations

from typing import Any

from hypothesis import given, note, settings
from hypothesis import strategies as st

from streamwarden.policy.cel import check, compile_exact, parse
from streamwarden.policy.cel.absence import unguarded
from streamwarden.policy.cel.types import (
    BOOL,
    INT,
    STRING,
    Type,
    either,
    list_of,
    nullable,
    record,
    symbols,
)
from streamwarden.policy.condition_checks import environment

_INNER = record("inner", {"x": INT, "y": nullable(INT)}, optional=("y",))
#: What tells the records apart, but for the last of them.
_ROUND = record("round", {"kind": symbols(["round"]), "r": INT, "c": INT})
_SQUARE = record("square", {"kind": symbols(["square", "cube"]), "side": nullable(INT), "c": INT})
_LINE = record("line", {"kind": STRING, "c": INT, "r": INT}, open=True, optional=("kind", "c"))
_VALUE: Type = record(
    "value",
    {
        "a": INT,
        "n": nullable(INT),
        "m": INT,
        "s": nullable(STRING),
        "f": nullable(BOOL),
        "o": nullable(_INNER),
        "l": nullable(list_of(nullable(INT))),
        "u": either([_ROUND, _SQUARE]),
        "w": either([_ROUND, _LINE, STRING]),
        "z": nullable(either([_SQUARE, _LINE])),
        "us": list_of(either([_ROUND, _SQUARE])),
    },
    optional=("m", "s"),
)
_ENVIRONMENT = environment(("produce", "consume"), {}, _VALUE)


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def events() -> st.SearchStrategy[dict[str, Any]]:
    """Values that the schema allows."""
    number, text = st.integers(-2, 6), st.sampled_from(["", "a", "ab"])
    inner = st.fixed_dictionaries({"x": number}, optional={"y": _maybe(number)})
    kinds = st.sampled_from(["square", "cube"])
    circle = st.fixed_dictionaries({"kind": st.just("round"), "r": number, "c": number})
    square = st.fixed_dictionaries({"kind": kinds, "side": _maybe(number), "c": number})
    odd = {"kind": st.sampled_from(["round", "square", "x"]), "c": number, "side": text}
    line = st.fixed_dictionaries({"r": number}, optional=odd)
    return st.fixed_dictionaries(
        {
            "a": number,
            "n": _maybe(number),
            "f": _maybe(st.booleans()),
            "o": _maybe(inner),
            "l": _maybe(st.lists(_maybe(number), max_size=3)),
            "u": st.one_of(circle, square),
            "w": st.one_of(circle, line, text),
            "z": _maybe(st.one_of(square, line)),
            "us": st.lists(st.one_of(circle, square), max_size=3),
        },
        optional={"m": number, "s": _maybe(text)},
    )


_QUESTIONS = (
    *("value.a > 1", "value.n > 1", "value.n + 1 == 2", "value.m < 3", 'value.s.startsWith("a")'),
    *("value.f", "value.o.x > 1", "value.o.y > 1", "1 in value.l", "value.n in [1, 2]"),
    *("value.n == value.a", "size(value.l) > 1", "value.l.exists(i, i > 1)", "value.s == null"),
    *("value.l.all(i, i != null && i > 1)", "value.l.exists(i, i == null || i > 1)"),
    *("value.f == true", "message.n > value.a", 'value["m"] == 1', "value.?m.orValue(1) > 0"),
)
_UNION_QUESTIONS = (
    *("value.u.r > 1", "value.u.r == 1", "value.u.side == 1", "value.u.c > 1", "value.u.side > 1"),
    *("value.w.r > 1", 'value.w.kind == "x"', "value.w.?c.hasValue()", "value.z.c == 2"),
    *("value.us.exists(i, i.r > 1)", 'value.us.exists(i, i.kind == "round" && i.r > 1)'),
    *('value.us.all(i, i.kind != "round" || i.r > 1)', 'value.u["r"] == 1', "value.us[0].r == 5"),
)
_UNION_GUARDS = (
    *("has(value.u.r)", '"side" in value.u', "has(value.w.r)", "type(value.w) == map"),
    *('value.u.kind == "round"', 'value.u.kind in ["square", "cube"]', 'value.u.kind != "round"'),
    'value.u.kind == "cube"',
    *('value.u.kind != "cube"', 'value.w.kind == "round"', "value.z != null", "has(value.z.c)"),
    *('value.z.kind == "square"', "value.u.side != null", "type(value.u) == map"),
    *("type(value.z) == null_type", "type(value.w) == type(value.u)"),
)
_GUARDS = (
    *("value.n != null", "value.n == null", "has(value.m)", "has(value.s)", "value.s != null"),
    *(
        "value.o != null",
        "has(value.o.y)",
        "value.o.y != null",
        "value.l != null",
        "null == value.f",
    ),
    *('"m" in value', "value.n == 1", "value.n in [1, 2]", "type(value.n) == int", "!has(value.m)"),
)


def conditions(leaves: tuple[str, ...], depth: int = 3) -> st.SearchStrategy[str]:
    """Questions and guards, joined in every way."""
    leaf = st.sampled_from(leaves)
    if depth == 0:
        return leaf
    inner = conditions(leaves, depth - 1)
    joined = st.tuples(st.sampled_from([" && ", " || "]), st.lists(inner, min_size=2, max_size=3))
    return st.one_of(
        leaf,
        joined.map(lambda pair: pair[0].join(f"({part})" for part in pair[1])),
        inner.map("!({})".format),
        st.tuples(inner, inner, inner).map(lambda three: "({}) ? ({}) : ({})".format(*three)),
    )


@settings(max_examples=400)
@given(
    st.one_of(conditions(_QUESTIONS + _GUARDS), conditions(_UNION_QUESTIONS + _UNION_GUARDS)),
    st.lists(events(), min_size=1, max_size=20),
)
def test_what_is_not_warned_about_does_not_fail(text: str, seen: list[dict[str, Any]]) -> None:
    """Whatever of the schema's fields is null or missing."""
    checked = check(parse(text), _ENVIRONMENT)
    assert checked.ok, checked.problems
    if unguarded(checked.expr, checked.types):
        return

    for event in seen:
        note(str(event))
        verdict = compile_exact(checked.expr)({"value": event, "message": event})
        assert isinstance(verdict, bool), verdict
