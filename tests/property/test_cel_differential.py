"""The exact evaluator and Google's C++ engine agree, but for what is listed here with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, note

from streamwarden.policy.cel import CelError, compile_exact, parse

from .cel_expressions import conditions, events

cel = pytest.importorskip("cel_expr_python.cel", reason="cel-expr-python is not installed")

_ENGINE: Final[Any] = cel.NewEnv(variables={"value": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})

#: Why the two may differ: what an expression has in it → the reason.
_DIFFERENCES: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (re.compile(r"\bint\(").search, "the C++ engine takes bools for ints: int(true) is 1"),
    (re.compile(r"\bstring\(").search, "doubles and fractions of seconds are written differently"),
    (re.compile(r"\bdouble\(").search, "the C++ engine takes blanks and overflowing numbers"),
)


def _verdict(value: object) -> object:
    """True, False or `error`; a value that is no condition counts as an error, as in a rule."""
    return value if isinstance(value, bool) else "error"


def _reference(text: str, event: dict[str, Any]) -> object:
    try:
        result = _ENGINE.compile(text, disable_check=True).eval(data={"value": event})
        return _verdict(result.value())
    except Exception as error:  # noqa: BLE001 - the binding raises several types
        note(f"C++: {error}")
        return "error"


@given(conditions(), events())
def test_agrees_with_the_reference_engine(text: str, event: dict[str, Any]) -> None:
    """For any expression and event: both true, both false, or both in error."""
    value = compile_exact(parse(text), promote=False)({"value": event})
    wanted = _reference(text, event)

    got = _verdict(value)

    if got != wanted and not any(search(text) for search, _ in _DIFFERENCES):
        note(f"here: {value}")
        assert got == wanted


@given(conditions(), events())
def test_widening_only_replaces_errors(text: str, event: dict[str, Any]) -> None:
    """Where CEL to the letter has a value, a rule has the same one."""
    strict = compile_exact(parse(text), promote=False)({"value": event})
    wide = compile_exact(parse(text))({"value": event})

    if isinstance(strict, bool):
        assert wide is strict
    elif isinstance(wide, bool):
        assert isinstance(strict, CelError)
