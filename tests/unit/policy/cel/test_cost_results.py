"""The results of functions are no larger than an estimate takes them for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.policy.cel import Bounds, estimate, parse
from streamwarden.policy.cel.cost_results import (
    EITHER,
    KEPT,
    LISTS,
    ONE_ELEMENT,
    READ_CHARACTERS,
    SMALL,
    STRING_OF_PART,
    TEXTS,
    ranged,
)
from streamwarden.policy.cel.cost_values import ELEMENT_UNITS, Measure
from streamwarden.policy.cel.evaluate import compile_exact
from streamwarden.policy.cel.library import FUNCTIONS, Overload
from streamwarden.policy.cel.types import Type
from streamwarden.policy.cel.values import (
    CelError,
    CelType,
    Cidr,
    Duration,
    Ip,
    Optional,
    Timestamp,
    UInt,
)

TEXT: Final = st.one_of(
    st.text(max_size=12),
    st.text("ab,", max_size=12),
    st.sampled_from(
        ["%s|%d", "%.900f", "%x", "%e%s", "1e1000", "10.0.0.1", "10.0.0.0/8", "12", "1h"]
    ),
)
NUMBER: Final = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.just(Decimal("1e1000")),
)
ANYTHING: Final[st.SearchStrategy[object]] = st.recursive(
    st.one_of(TEXT, NUMBER, st.booleans(), st.none(), st.binary(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)
LIST: Final = st.one_of(
    st.lists(TEXT, max_size=6),
    st.lists(st.integers(-99, 99), max_size=6),
    st.lists(NUMBER, max_size=6),
    st.lists(ANYTHING, max_size=4),
)
OPTIONAL: Final = ANYTHING.flatmap(
    lambda value: st.sampled_from([Optional(True, value), Optional(False, None)])
)
OF_KIND: Final[Mapping[str, st.SearchStrategy[object]]] = {
    "bool": st.booleans(),
    "int": st.one_of(st.integers(-2, 300), st.integers(-(2**63), 2**63 - 1)),
    "uint": st.integers(0, 2**64 - 1).map(UInt),
    "double": st.floats(),
    "decimal": st.one_of(st.decimals(allow_nan=False, allow_infinity=False), st.just(Decimal("1e1000"))),
    "string": TEXT,
    "bytes": st.binary(max_size=12),
    "null_type": st.none(),
    "type": st.just(CelType("int")),
    "google.protobuf.Timestamp": st.integers(-(10**18), 10**18).map(Timestamp),
    "google.protobuf.Duration": st.integers(-(10**18), 10**18).map(Duration),
    "net.IP": st.integers(0, 2**128 - 1).map(lambda number: Ip(6, number)),
    "net.CIDR": st.integers(0, 2**32 - 1).map(lambda number: Cidr(Ip(4, number), 8)),
    "optional_type": OPTIONAL,
    "map": st.dictionaries(TEXT, ANYTHING, max_size=4),
}  # fmt: skip


def argument(type_: Type) -> st.SearchStrategy[object]:
    """A value of a parameter's type."""
    if type_.kind == "list":
        inner = type_.params[0]
        return LIST if inner.kind in ("dyn", "param") else st.lists(argument(inner), max_size=6)
    return OF_KIND.get(type_.kind, ANYTHING)


def content(value: object) -> int:
    """Characters and elements of all that is inside, two units for each element."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list):
        return sum(ELEMENT_UNITS + content(item) for item in cast("list[object]", value))
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value).items()
        return sum(ELEMENT_UNITS + content(k) + content(v) for k, v in entries)
    if isinstance(value, Optional):
        return content(value.value) if value.present else 0
    return 1


def measured(value: object) -> Measure:
    """How large a value is."""
    while isinstance(value, Optional):
        value = value.value if value.present else ""
    if isinstance(value, list | dict):
        entries = cast("dict[object, object]", value)
        inner = list(entries.values()) if isinstance(value, dict) else list(entries)
        most = max(map(content, inner), default=0)
        return Measure(len(inner), len(inner), content(entries), most)
    if isinstance(value, str | bytes):
        return Measure(len(value), len(value) / ELEMENT_UNITS, len(value), 1, len(value))
    return Measure(1, 1, 1, 1)


def _alike(size: float) -> Measure:
    return Measure(size, size, size, size)


def bound(name: str, args: list[object]) -> Measure:
    """The most that an estimate takes the result for."""
    measures = [measured(arg) for arg in args]
    if name in TEXTS:
        return TEXTS[name](measures)
    if name in LISTS:
        return LISTS[name](measures)
    if name in KEPT:
        return measures[0]
    if name in ONE_ELEMENT:
        return _alike(measures[0].item)
    if name in EITHER:
        return Measure(
            max(m.size for m in measures),
            max(m.elements for m in measures),
            max(m.content for m in measures),
            max(m.item for m in measures),
        )
    if name == "lists.range":
        return ranged(cast("int", args[0]))
    return Measure(1, 1, 1, 1)


def test_every_function_of_the_library_is_known() -> None:
    """In one of the tables, and only in one."""
    tables = [set(TEXTS) - {STRING_OF_PART}, set(LISTS), KEPT, EITHER, ONE_ELEMENT, SMALL]
    known = [name for table in tables for name in table] + ["lists.range"]

    assert set(FUNCTIONS) <= set(known)
    assert len(known) == len(set(known))


OVERLOADS: Final = [
    pytest.param(name, overload, id=f"{name}-{number}")
    for name, function in FUNCTIONS.items()
    for number, overload in enumerate(function.overloads)
    if len(overload.params) <= 4
]


@pytest.mark.parametrize(("name", "overload"), OVERLOADS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_results_are_within_their_bounds(name: str, overload: Overload, data: Any) -> None:
    """In characters or elements, in all that is inside, and in the largest element."""
    args = [data.draw(argument(type_)) for type_ in overload.params]
    if name == "lists.range":
        args = [data.draw(st.integers(-5, 500))]

    result = overload.implementation(*args)

    if isinstance(result, CelError):
        return
    found, most = measured(result), bound(name, args)
    if name == "size":
        found = Measure(1, 1, 1, 1)
    assert found.size <= most.size or found.size <= 1
    assert found.content <= most.content or found.content <= 1
    if isinstance(result, list):
        assert found.item <= most.item


@given(value=st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1), st.floats()))
def test_texts_of_what_stands_in_an_event(value: object) -> None:
    """Numbers there are short."""
    text = compile_exact(parse("string(value)"))({"value": value})

    assert isinstance(text, str)
    assert len(text) <= TEXTS[STRING_OF_PART]([measured(value)]).size


SCALARS: Final = ["10.0", "1", "1u", "true", "null", "size('abc')", "timestamp(5)", "-3", "1 / 2"]


@pytest.mark.parametrize("scalar", SCALARS)
@given(value=ANYTHING, swapped=st.booleans())
def test_a_sum_with_a_number_is_no_text_and_no_list(
    scalar: str, value: object, swapped: bool
) -> None:
    """Whatever the other operand is, nothing is joined; so that the sum costs the same."""
    text = f"value + {scalar}" if swapped else f"{scalar} + value"
    made = compile_exact(parse(text))({"value": value})
    cost = estimate(parse(text)).units

    assert not isinstance(made, str | bytes | list | dict)
    assert cost == estimate(parse(text), Bounds(message_bytes_max=1)).units


@given(text=st.one_of(TEXT, st.from_regex(r"[+-]?[0-9]{0,60}", fullmatch=True)), more=TEXT)
@pytest.mark.parametrize("name", READ_CHARACTERS)
def test_texts_that_are_longer_than_numbers_are_none(name: str, text: str, more: str) -> None:
    """Beyond that length nothing can be a number, so that nobody has to look."""
    long = text + "1" * READ_CHARACTERS[name] + more

    made = compile_exact(parse(f"{name}(value)"))({"value": long})

    assert len(long) <= READ_CHARACTERS[name] or isinstance(made, CelError)


MAKERS: Final = [
    "value.l",
    "value.l + value.l",
    "value.l.map(x, x)",
    "value.l.map(x, value.t)",
    "value.l.map(x, [x, x])",
    "value.l.map(x, value.l).flatten()",
    "value.l.map(x, [x, x, x]).flatten()",
    "value.l.map(x, lists.range(7)).flatten()",
    "value.l.filter(x, x != '').map(x, x + '-' + value.t)",
    "value.l.transformList(i, x, x + x)",
    "value.l.transformMap(i, x, x)",
    "value.l.transformMap(i, x, [x, x])",
    "[value.l, value.l].flatten()",
    "[value.l, [value.l]].flatten(2)",
    "lists.range(12)",
    "lists.range(value.l.size())",
    "value.t.split('')",
    "value.t.split(',')",
    "value.t.split(value.u)",
    "value.t.replace('', 'abc').split('')",
    "value.t.replace('a', value.u).split('')",
    "value.t.replace(value.u, 'xyz').split('')",
    "value.l.join(value.u).split('')",
    "value.l.map(x, x + value.t).join(', ').split('')",
    "'%s and %s'.format([value.l, value.t]).split('')",
    "base64.encode(bytes(value.t)).split('')",
    "strings.quote(value.t).split('')",
    "(value.t + value.u + value.t).split('')",
    "value.l.map(x, x.split('')).flatten()",
    "value.l.map(x, x.replace('a', 'bcd')).map(x, x.split('')).flatten()",
    "value.l.sort().distinct().reverse()",
    "value.l.sortBy(x, x).slice(0, value.l.size())",
    "cel.bind(k, value.l + value.l, k + k)",
    "value.?l.orValue([])",
    "value.?nothing.orValue(value.l)",
    "(value.l.size() > 2 ? value.l : value.l + value.l)",
    "value.n.map(x, x.map(y, y + y)).flatten()",
    "value.n.map(x, x.join(value.t)).map(x, x.split('')).flatten()",
    "value.n.flatten().flatten()",
    "value.n.map(x, x + value.l).flatten()",
    "value.n.map(x, x.map(y, value.l).flatten()).flatten()",
    "value.n.map(x, [value.t].join() + x.join()).join().split('')",
]


@pytest.mark.parametrize("text", MAKERS)
@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.text("a,x", max_size=5), max_size=6),
    one=st.text("a,b", max_size=8),
    two=st.text("a,", max_size=3),
    nested=st.lists(st.lists(st.text("ab", max_size=4), max_size=3), max_size=4),
)
def test_loops_over_what_is_made_cost_no_less_than_their_steps(
    text: str, texts: list[str], one: str, two: str, nested: list[list[str]]
) -> None:
    """An event as large as the largest message: each element of what is made is one step."""
    value = {"l": texts, "t": one, "u": two, "n": nested}
    room = len(json.dumps(value, separators=(",", ":")))

    made = compile_exact(parse(text))({"value": value})
    cost = estimate(parse(f"{text}.all(x, true)"), Bounds(message_bytes_max=room))

    if not isinstance(made, CelError):
        assert len(cast("list[object]", made)) <= cost.units
