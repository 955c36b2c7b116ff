"""A result is definite only where no value of the unknowns could change it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from streamwarden.policy.cel import CelError, Unknown, compile_exact, parse

from ..conformance.runner import same
from .cel_expressions import conditions, events

ABSENT = object()
#: What an unknown is replaced by: one or two values of each type, and nothing at all.
DOMAIN: tuple[object, ...] = (ABSENT, 0, 1, 2.5, True, False, None, "", "a", [], [1], {}, {"x": 1})


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


def _with(event: Any, path: tuple[str | int, ...], value: object) -> Any:
    """A copy of `event` with `value` at `path`; an element of a list is never absent."""
    if not path:
        return None if value is ABSENT else value
    step, rest = path[0], path[1:]
    if isinstance(event, list):
        return [_with(item, rest, value) if i == step else item for i, item in enumerate(event)]
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


@given(conditions(), events())
def test_nothing_unknown_means_nothing_unknown(text: str, event: dict[str, Any]) -> None:
    """Without unknowns there is a value or an error; evaluating again gives it again."""
    program = compile_exact(parse(text))

    result = program({"value": event})

    assert not isinstance(result, Unknown)
    assert _alike(program({"value": event}), result)
    assert _alike(program.trace({"value": event}).value, result)
