"""Strategies for CEL expressions over an event, and for events that fit them, more or less."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NUMBERS: tuple[object, ...] = (
    *(0, 1, 2, -1, 3, 10, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(1.0, 0.0, 2.5, -1.5, 1e300, float(2**53)),
)
TEXTS = ("", "a", "abc", "é", "2026-01-01T00:00:00Z", "90s", "12")
VALUES: tuple[object, ...] = (
    *NUMBERS,
    *TEXTS,
    *(True, False, None, [], [1, 2, 3], [1.0, "a", True], ["a", "b"]),
    *({}, {"x": 1}, {"x": True, "y": "a"}),
    *([{"q": 1}, {"q": 5}], [{"q": 1}, {}], [{"q": True}]),
)
LITERALS = (
    *("0", "1", "2", "-1", "1.0", "0.0", "2.5", "3", "1u", '"a"', '"abc"', '""', "true", "false"),
    *("null", "9223372036854775807", "[1, 2]", '["a", "b"]', '{"x": 1}', 'b"a"'),
)
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


def events() -> st.SearchStrategy[dict[str, Any]]:
    """Maps with `a` mostly a number, `b` mostly text, an object `o` and a list `l`, or without."""
    value = st.sampled_from(VALUES)
    number = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), value)
    text = st.one_of(st.sampled_from(TEXTS), st.sampled_from(TEXTS), value)
    inner = st.fixed_dictionaries({"x": number}, optional={"y": text, "z": value})
    item = st.one_of(
        st.fixed_dictionaries({"q": number}), st.fixed_dictionaries({"q": value}), value
    )
    whole = st.fixed_dictionaries(
        {"a": number, "b": text, "o": inner, "l": st.lists(item, max_size=3)},
        optional={"c": number, "d": value},
    )
    return st.one_of(whole, whole, whole, whole.map(_without_some))


def _without_some(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("a", "o")}


def _paths() -> st.SearchStrategy[str]:
    numbers = ["value.a", "value.o.x", "value.c", "value.l[0].q"]
    return st.sampled_from([*numbers, *numbers, "value.b", "value.o.y", "value.d", "value.a.x"])


@st.composite
def terms(draw: st.DrawFn, variable: str = "", depth: int = 2) -> str:
    """An expression of any type."""
    choice = draw(st.integers(0, 11 if depth > 0 else 5))
    if variable and choice % 2:
        return draw(st.sampled_from([variable, f"{variable}.q"]))
    if choice < 4:
        return draw(_paths())
    if choice < 6:
        return draw(st.sampled_from(LITERALS))
    one = draw(terms(variable, depth - 1))
    match choice:
        case 6:
            return f"size({one})"
        case 7:
            other = draw(terms(variable, depth - 1))
            return f"({one} {draw(st.sampled_from('+-*/%'))} {other})"
        case 8:
            kind = draw(st.sampled_from(["int", "double", "string", "timestamp", "duration"]))
            return f"{kind}({one})"
        case 9:
            return f"({draw(conditions(variable, depth - 1))} ? {one} : {draw(_paths())})"
        case 10:
            index = draw(st.sampled_from(["0", "1", '"x"', "1.0"]))
            return f"({one})[{index}]"
        case _:
            return f"[{one}, 1]" if not variable else f"{{'x': {one}}}"


@st.composite
def conditions(draw: st.DrawFn, variable: str = "", depth: int = 3) -> str:
    """An expression that is true, false or an error."""
    choice = draw(st.integers(0, 9 if depth > 0 else 1))
    if choice < 3:
        left = draw(terms(variable, depth))
        right = draw(st.one_of(st.sampled_from(LITERALS), terms(variable, depth)))
        return f"{left} {draw(st.sampled_from(COMPARISONS))} {right}"
    if choice < 6:
        sign = draw(st.sampled_from(["&&", "||"]))
        parts = [draw(conditions(variable, depth - 1)) for _ in range(draw(st.integers(2, 3)))]
        return f"({f' {sign} '.join(parts)})"
    if choice == 6:
        return f"!({draw(conditions(variable, depth - 1))})"
    if choice == 7:
        fields = ["value.a", "value.o.x", "value.b.x", "value.o"]
        items = ['["a", "abc"]', '[1, 2, "a"]', "value.l", "value.o", '{"x": 1}']
        member = f"{draw(terms(variable, depth - 1))} in {draw(st.sampled_from(items))}"
        return draw(st.sampled_from([f"has({draw(st.sampled_from(fields))})", member]))
    if choice == 8:
        method = draw(st.sampled_from(["startsWith", "endsWith", "contains", "matches"]))
        part = draw(st.sampled_from(["a", "b", "", "ab"]))
        text = draw(st.sampled_from(["value.b", "value.b", "value.o.y", "value.d"]))
        return f'{text}.{method}("{part}")'
    if variable:
        return f"{variable} == {draw(terms(variable, 0))}"
    range_ = draw(st.sampled_from(["value.l", "value.l", "value.o", "value.a", "[1, 2, 'a']"]))
    macro = draw(st.sampled_from(["exists", "all", "exists_one"]))
    return f"{range_}.{macro}(v, {draw(conditions('v', depth - 2))})"
