"""What stands in a why-trail: the steps of one condition, each with what it came to.

A trail is prepared once for each rule. That the rule fired says what many of its steps came to
without evaluating them again; the others are evaluated exactly. Values that are derived from
sensitive paths show as `***`; only the results of conditions pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from .cel import CelError, Program, compile_exact, unparse
from .cel.ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Not,
    Or,
    Select,
    children,
    walk,
)
from .cel.values import INT_MAX, INT_MIN
from .json_text import json_bytes
from .model import Path
from .privacy import HIDDEN, Privacy, path_of
from .privacy import show as show_value

__all__ = ["Step", "path_text", "steps_of"]

#: A trail is read by people: past this many steps it is cut, and says so.
_STEPS_MAX: Final = 120
_EXPR_MAX_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a trail. `key` is `result` for conditions, `value` for what they read.

    A `hidden` value is never shown, one that is `derived` from a sensitive path if it is a boolean.
    `below` says what every part comes to where the step itself is that, and `names` lead to the
    value of a plain chain of members.
    """

    text: str
    key: str
    program: Program
    path: str | None
    hidden: bool
    parts: tuple[Step, ...] | None
    cut: bool = False
    derived: bool = False
    names: tuple[str, ...] = ()
    below: Mapping[bool, bool] = field(default_factory=dict[bool, bool])

    def evidence(self, known: Mapping[str, object], verdict: bool | None = None) -> dict[str, Any]:
        """The line with its value, and those below it. `verdict` is what it is known to come to."""
        line: dict[str, Any] = {"expr": self.text}
        if self.path is not None:
            line["path"] = self.path
        value = self._value(known) if verdict is None else verdict
        if isinstance(value, CelError):
            line[self.key] = None
            line["error"] = value.message
        else:
            line[self.key] = self._shown(value)
        if self.parts is not None:
            below = None if verdict is None else self.below.get(verdict)
            line["parts"] = [part.evidence(known, below) for part in self.parts]
        if self.cut:
            line["cut"] = True
        return line

    def template(self, verdict: bool | None, open_steps: list[Step]) -> bytes:
        """The same as JSON, to be formatted (`%b`) with what `fill` gives for each of `open_steps`."""
        start = b'{"expr":' + _literal(self.text)
        if self.path is not None:
            start += b',"path":' + _literal(self.path)
        if verdict is None:
            open_steps.append(self)
            result = b"%b"
        else:
            result = _literal(self._shown(verdict))
        text = start + b',"' + self.key.encode() + b'":' + result
        if self.parts is not None:
            below = None if verdict is None else self.below.get(verdict)
            parts = [part.template(below, open_steps) for part in self.parts]
            text += b',"parts":[' + b",".join(parts) + b"]"
        return text + (b',"cut":true}' if self.cut else b"}")

    def fill(self, known: Mapping[str, object]) -> bytes:
        """What the step comes to, as it stands in the template: a value, or null and an error."""
        value = self._value(known)
        if isinstance(value, CelError):
            return b'null,"error":' + json_bytes(value.message)
        return json_bytes(self._shown(value))

    def error(self, known: Mapping[str, object]) -> str | None:
        """Why it cannot be evaluated; None where it can."""
        value = self.program(known)
        return value.message if isinstance(value, CelError) else None

    def _value(self, known: Mapping[str, object]) -> object:
        if self.names:
            found: object = known
            for name in self.names:
                if type(found) is not dict:
                    break
                found = cast("dict[str, object]", found).get(name)
            else:
                kind = type(found)
                if kind is str or kind is float or kind is bool:
                    return found
                if kind is int and INT_MIN <= cast("int", found) <= INT_MAX:
                    return found
        return self.program(known)

    def _shown(self, value: object) -> Any:
        if self.hidden or (self.derived and not isinstance(value, bool)):
            return HIDDEN
        return show_value(value)


def _literal(value: object) -> bytes:
    """JSON inside a template."""
    return json_bytes(value).replace(b"%", b"%%")


def steps_of(condition: Expr, privacy: Privacy) -> Step:
    """The steps of a condition, the whole of it first."""
    return _condition(condition, privacy, iter(range(_STEPS_MAX)))


def _condition(node: Expr, privacy: Privacy, steps: Iterator[int]) -> Step:
    """A condition with its parts: sub-conditions, or the fields that it reads."""
    path = path_of(Select(node.operand, node.field) if isinstance(node, Has) else node)
    parts: list[Step] = []
    cut = False
    for child in () if path is not None else _evaluated(node):
        if next(steps, None) is None:
            cut = True
            break
        if _is_condition(child) or isinstance(node, (And, Or, Not, Conditional)):
            parts.append(_condition(child, privacy, steps))
        else:
            parts.extend(_reads(child, privacy))
    # Whether a field is there is a boolean.
    derived = not isinstance(node, Has) and privacy.taints(node)
    hidden = derived and (path is not None or not _is_condition(node))
    return Step(
        _short(unparse(node)),
        "result",
        compile_exact(node),
        None if path is None else path_text(path),
        hidden,
        tuple(parts),
        cut,
        derived,
        _names(node),
        _BELOW.get(type(node), {}),
    )


#: A conjunction is only true, and a disjunction only false, where all of its parts are.
_BELOW: Final[Mapping[type, Mapping[bool, bool]]] = {
    And: {True: True},
    Or: {False: False},
    Not: {True: False, False: True},
}


def _names(node: Expr) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, Select) and not node.optional:
        names.append(node.field)
        node = node.operand
    return (node.name, *reversed(names)) if isinstance(node, Ident) else ()


def _evaluated(node: Expr) -> tuple[Expr, ...]:
    """The parts that have one value: all but the body of a comprehension."""
    return (node.range,) if isinstance(node, Comprehension) else children(node)


def _is_condition(node: Expr) -> bool:
    if isinstance(node, Call):
        return node.function in _COMPARISONS or node.function in _PREDICATES
    if isinstance(node, Comprehension):
        return node.macro in ("all", "exists", "exists_one")
    return isinstance(node, (And, Or, Not, Conditional, Has))


_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_PREDICATES = frozenset({"matches", "startsWith", "endsWith", "contains"})


def _reads(node: Expr, privacy: Privacy) -> list[Step]:
    """The fields that an operand reads, each with its value; computed operands come first."""
    if not any(isinstance(below, Ident) for below in walk(node)):
        return []  # a constant explains itself
    path = path_of(node)
    tainted = privacy.taints(node)
    text, where = _short(unparse(node)), None if path is None else path_text(path)
    own = Step(text, "value", compile_exact(node), where, tainted, None, names=_names(node))
    if path is not None:
        return [own]
    return [own, *(part for child in _evaluated(node) for part in _reads(child, privacy))]


def path_text(path: Path) -> str:
    """A path as people write it: `value.items[0].price`, `headers["odd-name"]`."""
    text = str(path[0])
    for segment in path[1:]:
        if segment is None:
            text += "[]"
        elif isinstance(segment, int):
            text += f"[{segment}]"
        elif segment.isidentifier():
            text += f".{segment}"
        else:
            text += f'["{segment}"]'
    return text


def _short(text: str) -> str:
    return text if len(text) <= _EXPR_MAX_CHARS else text[: _EXPR_MAX_CHARS - 1] + "…"
