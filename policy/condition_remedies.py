"""What to write instead, for conditions as texts and for those that are lists."""

from __future__ import annotations

import re
from typing import Final

from .cel import CelProblem, CelSyntaxError, parse
from .cel.ast import Call, Expr, Has, Index, Literal, Select
from .condition_times import in_yaml
from .conditions import Part
from .paths import format_path
from .privacy import path_of

__all__ = ["remedy_of"]

_LATER: Final = "say `stages: [consume]` in the policy, or leave it out"
#: What asks first, where a field may be null or missing.
_ASK_FIRST: Final = re.compile(r"put `(.+) &&` before it")
#: Paths that need no quotes within braces in YAML.
_PLAIN: Final = re.compile(r"[\w.]+")


def remedy_of(part: Part, problem: CelProblem) -> str:
    """What to do about a problem of a piece of a condition, as that is written."""
    remedy = problem.remedy or (_LATER if problem.code == "SW166" else "")
    if part.scalar is not None:
        return remedy
    return _ASK_FIRST.sub(lambda match: _in_list(match[1]), in_yaml(remedy))


def _in_list(guard: str) -> str:
    """How a list asks for what `guard` asks, which is CEL."""
    try:
        element = _element(parse(guard))
    except CelSyntaxError:
        element = None
    if element is None:
        return f"write the condition as text, with `{guard} &&` before it"
    return f"add `{element}` to the list"


def _element(guard: Expr) -> str | None:
    """The structured condition that guards as well; None where there is none."""
    match guard:
        case Call(function="!=", target=None, args=(asked, Literal(value=None))):
            return _structured(asked, "operator: not_equals, value: null")
        case Has():
            return _structured(Select(guard.operand, guard.field), "operator: exists")
        case Call(function="in", target=None, args=(Literal(value=str()) as name, holder)):
            return _structured(Index(holder, name), "operator: exists")
        case _:
            return None


def _structured(asked: Expr, test: str) -> str | None:
    path = path_of(asked)
    if path is None or None in path:
        return None
    field = format_path(path)
    if not _PLAIN.fullmatch(field):
        field = "'" + field.replace("'", "''") + "'"
    return f"{{field: {field}, {test}}}"
