"""What stands in a why-trail: the steps of one condition, each with what it came to.

A trail is prepared once for each rule. That the rule fired says what many of its steps came to
without evaluating them again; the others are evaluated exactly. Values that are derived from
sensitive paths show as `***`; only the results of conditions pass. Below `exists`, `all` and
`exists_one` stands what their condition comes to for the elements that decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from .bound import NO_SCOPE, Place, Scope, Secrets
from .cel import CelError, Program, compile_exact, unparse
from .cel.ast import (
    NOWHERE,
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Index,
    Literal,
    Not,
    Or,
    Select,
    Span,
    children,
    walk,
)
from .cel.names import TYPE_NAMES, dotted_name
from .cel.values import INT_MAX, INT_MIN
from .deciding import Decided, Loop, place_text
from .json_text import json_bytes
from .privacy import HIDDEN, Privacy, show_text
from .privacy import show as show_value
from .secret_ranges import with_secret_ranges

__all__ = ["Filled", "Step", "steps_of"]

#: A trail is read by people: past this many steps it is cut, and says so.
_STEPS_MAX: Final = 120
_EXPR_MAX_CHARS: Final = 300


class Filled(Protocol):
    """What stands open in a template."""

    def fill(self, known: Mapping[str, object]) -> bytes:
        """What stands there under these variables, as JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a trail. `key` is `result` for conditions, `value` for what they read.

    A `hidden` value is never shown, one that is `derived` from a sensitive path if it is a boolean.
    `below` says what every part comes to where the step itself is that, and `names` lead to the
    value of a plain chain of members. `loop` finds the elements that decided and `inner` says what
    stands below each; `place` is that of a value within an element. `keys` are those that the step
    computes, by where they are looked up.
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
    loop: Loop | None = None
    inner: Step | None = None
    place: Place | None = None
    keys: Mapping[Span, _Key] = field(default_factory=dict[Span, "_Key"])

    def evidence(self, known: Mapping[str, object], verdict: bool | None = None) -> dict[str, Any]:
        """The line with its value, and those below it. `verdict` is what it is known to come to."""
        line: dict[str, Any] = {"expr": self.text}
        path = self.path if self.place is None else _path_text(self.place, known)
        if path is not None:
            line["path"] = path
        elements: Sequence[Decided] = ()
        if self.loop is not None:
            value, elements = self.loop.decided(known, verdict)
        else:
            value = self._value(known) if verdict is None else verdict
        if isinstance(value, CelError):
            line[self.key] = None
            line["error"] = self._told(value, known)
        else:
            line[self.key] = self._shown(value)
        if self.parts is not None:
            below = None if verdict is None else self.below.get(verdict)
            line["parts"] = [part.evidence(known, below) for part in self.parts]
            if self.inner is not None:
                line["parts"] += [{**said, **self.inner.evidence(at)} for said, at in elements]
        if self.cut:
            line["cut"] = True
        return line

    def template(self, verdict: bool | None, open_steps: list[Filled]) -> bytes:
        """The same as JSON, to be formatted (`%b`) with what `fill` gives for each of `open_steps`."""
        if self.loop is not None:
            open_steps.append(_Whole(self, verdict))
            return b"%b"
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
            return b'null,"error":' + json_bytes(self._told(value, known))
        return json_bytes(self._shown(value))

    def error(self, known: Mapping[str, object]) -> str | None:
        """Why it cannot be evaluated; None where it can."""
        value = self.program(known)
        return self._told(value, known) if isinstance(value, CelError) else None

    def _told(self, error: CelError, known: Mapping[str, object]) -> str:
        """What went wrong, with the key that was computed and is not there."""
        key = self.keys.get(error.span) if error.code in _NO_SUCH else None
        return error.message if key is None else f"{error.message}: {key.named(known)}"

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


@dataclass(frozen=True, slots=True)
class _Key:
    """A key or position that a rule computes; `program` is None where it must not be shown."""

    text: str
    program: Program | None

    def named(self, known: Mapping[str, object]) -> str:
        """What it is; otherwise where the rule has it from."""
        value = None if self.program is None else self.program(known)
        if value is None or isinstance(value, CelError):
            return f"the one in `{self.text}`"
        return f"`{show_text(value)}`"


@dataclass(frozen=True, slots=True)
class _Whole:
    """A line that has to be written as a whole, with what stands below it."""

    step: Step
    verdict: bool | None

    def fill(self, known: Mapping[str, object]) -> bytes:
        return json_bytes(self.step.evidence(known, self.verdict))


def _literal(value: object) -> bytes:
    """JSON inside a template."""
    return json_bytes(value).replace(b"%", b"%%")


def steps_of(condition: Expr, privacy: Privacy) -> Step:
    """The steps of a condition, the whole of it first.

    A list is hidden whole where a loop over it must not tell its elements.
    """
    privacy = with_secret_ranges(condition, privacy)
    return _condition(condition, NO_SCOPE, Secrets(privacy), iter(range(_STEPS_MAX)))


def _condition(node: Expr, scope: Scope, secrets: Secrets, steps: Iterator[int]) -> Step:
    """A condition with its parts: sub-conditions, or the fields that it reads."""
    place = scope.place(Select(node.operand, node.field) if isinstance(node, Has) else node)
    parts: list[Step] = []
    cut = False
    for child in () if place is not None else _evaluated(node):
        if next(steps, None) is None:
            cut = True
            break
        if _is_condition(child) or isinstance(node, (And, Or, Not, Conditional)):
            parts.append(_condition(child, scope, secrets, steps))
        else:
            parts.extend(_reads(child, scope, secrets))
    loop = inner = None
    if isinstance(node, Comprehension) and Loop.understands(node):
        cut = cut or next(steps, None) is None
        if not cut:
            inside = secrets.inside(node, scope)
            loop = Loop.of(node, scope, inside, secrets)
            inner = _condition(node.args[0], inside, secrets, steps)
    # Whether a field is there is a boolean.
    derived = not isinstance(node, Has) and secrets.taint(node, scope)
    path, dynamic = _written_place(place)
    return Step(
        _short(unparse(node)),
        "result",
        compile_exact(node, names=scope.names.keys()),
        path,
        derived and _copies(node),
        tuple(parts),
        cut,
        derived,
        _names(node),
        _BELOW.get(type(node), {}),
        loop,
        inner,
        dynamic,
        _keys(node, scope, secrets),
    )


def _written_place(place: Place | None) -> tuple[str | None, Place | None]:
    """The text of a path, or the place where its text depends on an element."""
    if place is None or place.slots:
        return None, place
    return _path_text(place, {}), None


def _path_text(place: Place, known: Mapping[str, object]) -> str | None:
    """The text of a path; what a rule computes within it may be long."""
    text = place_text(place, known)
    return text if text is None or not place.written else _short(text)


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


def _keys(node: Expr, scope: Scope, secrets: Secrets, *, shown: bool = True) -> dict[Span, _Key]:
    """The computed keys below `node`; in the body of a macro nothing is `shown`, as it varies."""
    found: dict[Span, _Key] = {}
    if isinstance(node, Index) and not isinstance(node.index, Literal) and node.span != NOWHERE:
        told = shown and not secrets.taint(node.index, scope)
        program = compile_exact(node.index, names=scope.names.keys()) if told else None
        found[node.span] = _Key(_short(unparse(node.index)), program)
    inside = {id(each) for each in node.args} if isinstance(node, Comprehension) else set[int]()
    for child in children(node):
        found |= _keys(child, scope, secrets, shown=shown and id(child) not in inside)
    return found


def _is_condition(node: Expr) -> bool:
    if isinstance(node, Call):
        return node.function in _COMPARISONS or node.function in _PREDICATES
    if isinstance(node, Comprehension):
        if node.macro == "bind":
            return _is_condition(node.args[0])
        return node.macro in ("all", "exists", "exists_one")
    return isinstance(node, (And, Or, Not, Conditional, Has))


def _copies(node: Expr) -> bool:
    """Whether the value of a condition may be just what stands in the event, though a boolean."""
    if isinstance(node, Call):
        return node.function in _COPYING
    if isinstance(node, Comprehension) and node.macro == "bind":
        return _copies(node.args[0])
    return not _is_condition(node)


_COPYING = frozenset({"value", "orValue", "or", "dyn", "bool"})
#: Errors that say that something is not there, of which a rule may have computed what.
_NO_SUCH = frozenset({"no_such_key", "index_out_of_range"})
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_PREDICATES = frozenset({"matches", "startsWith", "endsWith", "contains"})


def _reads(node: Expr, scope: Scope, secrets: Secrets) -> list[Step]:
    """The fields that an operand reads, each with its value; computed operands come first."""
    if not any(isinstance(below, Ident) for below in walk(node)):
        return []  # a constant explains itself
    name = dotted_name(node)
    if name in TYPE_NAMES and name.partition(".")[0] not in scope.names:
        return []  # and so does a type
    place = scope.place(node)
    tainted = secrets.taint(node, scope)
    path, dynamic = _written_place(place)
    text, names = _short(unparse(node)), _names(node)
    program = compile_exact(node, names=scope.names.keys())
    keys = _keys(node, scope, secrets)
    own = Step(text, "value", program, path, tainted, None, names=names, place=dynamic, keys=keys)
    if place is not None:
        return [own]
    return [own, *(part for each in _evaluated(node) for part in _reads(each, scope, secrets))]


def _short(text: str) -> str:
    return text if len(text) <= _EXPR_MAX_CHARS else text[: _EXPR_MAX_CHARS - 1] + "…"
