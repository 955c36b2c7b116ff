"""A result is definite only where no value of the unknowns could change it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamwarden.policy.cel import CelError, Unknown, compile_exact, parse
from streamwarden.policy.cel.values import is_list, is_map

from ..conformance.runner import same
from .cel_expressions import conditions, events

ABSENT = object()
#: What an unknown is replaced by: one or two values of each type, and nothing at all.
DOMAIN: tuple[object, ...] = (ABSENT, 0, 1, 2.5, True, False, None, "", "a", [], [1], {}, {"x": 1})


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if is_map(value):
        for key, item in value.items():
            yield from _places(item, (*path, str(key)))
    elif is_list(value):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


def _with(event: object, path: tuple[str | int, ...], value: object) -> object:
    """A copy of `event` with `value` at `path`; an element of a list is never absent."""
    if not path:
        return None if value is ABSENT else value
    step, rest = path[0], path[1:]
    if is_list(event):
        return [_with(item, rest, value) if i == step else item for i, item in enumerate(event)]
    assert is_map(event)
    if not rest and value is ABSENT:
        return {key: item for key, item in event.items() if key != step}
    return {key: _with(item, rest, value) if key == step else item for key, item in event.items()}


def _alike(one: object, two: object) -> bool:
    if isinstance(one, CelError):
        return isinstance(two, CelError)
    return same(one, two)


@given(conditions(), events(), st.data())
def test_definite_results_do_not_hang_on_unknowns(
    text: str, event: dict[str, Any], data: st.DataObject
) -> None:
    """Whatever two unknowns turn out to be, a result that was definite stays the same."""
    program = compile_exact(parse(text))
    places = list(_places(event))
    assume(places)
    first, second = (data.draw(st.sampled_from(places)) for _ in range(2))
    assume(first[: len(second)] != second or first == second)
    unknown = _with(event, first, Unknown(frozenset({("value", *first)})))
    assume(second[: len(first)] != first or first == second)
    unknown = _with(unknown, second, Unknown(frozenset({("value", *second)})))

    result = program({"value": unknown})

    if isinstance(result, Unknown):
        assert result.paths <= {("value", *first), ("value", *second)}
        return
    for one, two in itertools.product(DOMAIN, DOMAIN):
        known = _with(event, first, one)
        if first != second:
            known = _with(known, second, two)
        assert _alike(program({"value": known}), result), known


@pytest.mark.parametrize(
    "text",
    [
        "value.l.join(',') == 'a,b'",
        "'%s %s'.format(value.l) == 'a b'",
        "'%s'.format([value]) == ''",
        "value.l.sort()[0] == 'a'",
        "value.l.sortBy(x, x)[0] == 'a'",
        "value.l.distinct().size() == 1",
        "value.l.reverse()[0] == 'a'",
        "value.l.slice(0, 1) == ['a']",
        "[value.l].flatten() == ['a', 'b']",
        "value.l.flatten(2).size() == 2",
        "sets.contains(value.l, ['a'])",
        "sets.equivalent(value.l, ['a', 'b'])",
        "sets.intersects(value.l, ['z'])",
        "math.greatest(value.n) > 1",
        "math.least(value.n) < 2",
        "value.l.first().value() == 'a'",
        "value.l.last().orValue('z') == 'b'",
        "optional.of(value.s).hasValue()",
        "optional.ofNonZeroValue(value.s).hasValue()",
        "optional.ofNonZeroValue(value.o).hasValue()",
        "value.?s.hasValue()",
        "value.?o.?x.orValue(1) == 1",
        "value[?'s'].hasValue()",
        "value.o.size() == 1",
        "value.o.exists(k, k == 'x')",
        "value.o.all(k, v, v == 1)",
        "value.o.map(k, k) == ['x']",
        "value.o.transformMap(k, v, 1) == {'x': 1}",
        "value.o.transformMapEntry(k, v, {k: 1}) == {'x': 1}",
        "value.l.transformList(i, v, i) == [0, 1]",
        "value.l.existsOne(i, v, v == 'a')",
        "'x' in value.o",
        "value.l + ['z'] == ['a', 'b', 'z']",
        "[value.s, 1] == ['a', 1]",
        "{'k': value.s} == {'k': 'a'}",
        "{value.s: 1} == {'a': 1}",
        "[?value.?s] == ['a']",
        "{?'k': value.?s} == {'k': 'a'}",
        "cel.bind(b, value.s, b == 'a' || true)",
        "value.s == 'a' ? true : true",
        "type(value.s) == string",
        "dyn(value.s) == 'a'",
        "value.s.matches('a')",
        "value.l == ['a', 'b']",
        "value.l[0] == value.l[1]",
        "value.n.exists(i, [1, 2].exists(j, i == j))",
    ],
)
def test_every_function_keeps_unknowns_apart(text: str) -> None:
    """Whatever one unknown turns out to be, a result that was definite stays the same."""
    event = {"l": ["a", "b"], "n": [1, 2.5], "o": {"x": 1}, "s": "a"}
    program = compile_exact(parse(text))
    known = program({"value": event})
    assert isinstance(known, bool), known

    for place in _places(event):
        unknown = Unknown(frozenset({("value", *place)}))
        result = program({"value": _with(event, place, unknown)})
        if isinstance(result, Unknown):
            assert result == unknown
            continue
        for value in DOMAIN:
            assert _alike(program({"value": _with(event, place, value)}), result), (place, value)


@given(conditions(), events())
def test_nothing_unknown_means_nothing_unknown(text: str, event: dict[str, Any]) -> None:
    """Without unknowns there is a value or an error; evaluating again gives it again."""
    program = compile_exact(parse(text))

    result = program({"value": event})

    assert not isinstance(result, Unknown)
    assert _alike(program({"value": event}), result)
    assert _alike(program.trace({"value": event}).value, result)
