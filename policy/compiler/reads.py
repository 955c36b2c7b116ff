"""Which paths of which variables conditions read.

What is decoded, which variables are made and which rules still run when a value cannot be decoded
all follow from this, so it errs on the side of reading more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ...schemas.json_projection import Path, Shape
from ..cel.ast import (
    And,
    Call,
    Comprehension,
    Expr,
    Has,
    Ident,
    Index,
    ListExpr,
    Literal,
    Not,
    Or,
    Select,
    children,
)

__all__ = ["ALIASES", "VARIABLES", "Place", "Reads", "place_of", "reads_of"]

#: Everything that a rule can name.
VARIABLES: Final = frozenset(
    {
        *("value", "message", "key", "headers", "topic", "timestamp", "partition", "offset"),
        *("stage", "client", "lists", "facts", "stamp", "schema", "now"),
    }
)

#: Other names for the same variable.
ALIASES: Final[Mapping[str, str]] = {"message": "value"}

#: A variable and a path below it.
Place: TypeAlias = tuple[str, Path]

#: What a name bound by a macro stands for; None: something that is no place of its own.
_Scope: TypeAlias = dict[str, Place | None]

#: Macros whose variable stands for the elements of the range, one after the other.
_QUANTIFIERS: Final = frozenset({"all", "exists", "exists_one"})


@dataclass(frozen=True, slots=True)
class Reads:
    """The places that are read to the end, and those of which only the presence is asked.

    `entered` are those of `whole` where it matters what is in a list or map; elsewhere that comes
    to the same whatever is in it: to an error, as a rule.
    """

    whole: frozenset[Place] = frozenset()
    present: frozenset[Place] = frozenset()
    entered: frozenset[Place] = frozenset()

    @classmethod
    def union(cls, parts: Sequence[Reads]) -> Reads:
        """What any of `parts` reads."""
        return cls(
            frozenset[Place]().union(*(part.whole for part in parts)),
            frozenset[Place]().union(*(part.present for part in parts)),
            frozenset[Place]().union(*(part.entered for part in parts)),
        )

    @property
    def variables(self) -> frozenset[str]:
        """The variables that are read at all."""
        return frozenset(
            variable for places in (self.whole, self.present) for variable, _ in places
        )

    def paths(self, variable: str) -> frozenset[Path]:
        """The paths below `variable` that are read, in whichever way."""
        places = self.whole | self.present
        return frozenset(path for name, path in places if name == variable)

    def shape(self, variable: str) -> Shape:
        """What of `variable` is read."""
        return Shape.of(
            [path for name, path in self.entered if name == variable],
            [path for name, path in self.present if name == variable],
            [path for name, path in self.whole - self.entered if name == variable],
        )

    @property
    def reads_value(self) -> bool:
        """Whether the value has to be decoded."""
        return "value" in self.variables

    @property
    def reads_headers(self) -> bool:
        """Whether any rule reads headers."""
        return "headers" in self.variables

    @property
    def reads_facts(self) -> bool:
        """Whether any rule reads what the caller knows."""
        return "facts" in self.variables

    @property
    def reads_schema(self) -> bool:
        """Whether any rule reads the schema's subject, id or tags."""
        return "schema" in self.variables


def reads_of(expr: Expr | None) -> Reads:
    """What `expr` reads."""
    if expr is None:
        return Reads()
    found = _Collector()
    found.visit(expr, {})
    return Reads(frozenset(found.whole), frozenset(found.present), frozenset(found.entered))


def place_of(expr: Expr, bound: Iterable[str] = ()) -> Place | None:
    """The place that `expr` names, None for anything but a variable with names and positions.

    `bound` are the names that macros have taken.
    """
    return _place(expr, dict.fromkeys(bound))


def _place(expr: Expr, scope: Mapping[str, Place | None]) -> Place | None:
    names: list[str | None] = []
    while not isinstance(expr, Ident):
        if isinstance(expr, Select) and not expr.optional:
            names.append(expr.field)
            expr = expr.operand
        elif isinstance(expr, Index) and not expr.optional and isinstance(expr.index, Literal):
            position = expr.index.value
            if type(position) is not str and type(position) is not int:
                return None
            names.append(position if isinstance(position, str) else None)
            expr = expr.operand
        else:
            return None
    if expr.name in scope:
        start = scope[expr.name]
    else:
        name = expr.name.removeprefix(".")
        start = (ALIASES.get(name, name), ()) if name in VARIABLES else None
    return None if start is None else (start[0], (*start[1], *reversed(names)))


#: A list or map is an error here, or only asked for its size or its type.
_FLAT: Final = frozenset(
    {
        *("<", "<=", ">", ">=", "-", "*", "/", "%"),
        *("startsWith", "endsWith", "matches", "size", "type", "lowerAscii", "upperAscii", "trim"),
        *("int", "uint", "double", "timestamp", "duration"),
        *("isEmail", "isUuid", "isUri", "isUriRef", "isIpv4", "isIpv6", "isHostname"),
    }
)


def _is_flat(expr: Expr) -> bool:
    """Whether a list or map as an operand gives the same whatever is in it."""
    match expr:
        case And() | Or() | Not():
            return True
        case Call(function="==" | "!=", args=sides):
            return any(map(_is_scalar, sides))
        case Call(function="in", args=(_, ListExpr(elements=items))):
            return all(map(_is_scalar, items))
        case Call(function=function):
            return function in _FLAT
        case _:
            return False


def _is_scalar(expr: Expr) -> bool:
    match expr:
        case Literal():
            return True
        case Call(function="-" | "timestamp" | "duration", target=None, args=(Literal(),)):
            return True
        case _:
            return False


class _Collector:
    def __init__(self) -> None:
        self.whole: set[Place] = set()
        self.present: set[Place] = set()
        self.entered: set[Place] = set()

    def visit(self, expr: Expr, scope: _Scope, *, flat: bool = False) -> None:
        """Take in what `expr` reads; `flat`: what is in a list or map makes no difference."""
        place = _place(expr, scope)
        if place is not None:
            self.whole.add(place)
            if not flat:
                self.entered.add(place)
        elif isinstance(expr, Has):
            self._has(expr, scope)
        elif isinstance(expr, Comprehension):
            self._comprehension(expr, scope)
        elif not self._header_test(expr, scope):
            if isinstance(expr, Select) and (base := _place(expr.operand, scope)) is not None:
                self.whole.add(below := (base[0], (*base[1], expr.field)))
                self.entered.add(below)
                return
            flat = _is_flat(expr)
            for child in children(expr):
                self.visit(child, scope, flat=flat)

    def _has(self, expr: Has, scope: _Scope) -> None:
        place = _place(expr.operand, scope)
        if place is None:
            self.visit(expr.operand, scope)
        else:
            self.present.add((place[0], (*place[1], expr.field)))

    def _header_test(self, expr: Expr, scope: _Scope) -> bool:
        """`"name" in headers` asks for one header alone; elsewhere it could ask a list."""
        if not (isinstance(expr, Call) and expr.function == "in" and len(expr.args) == 2):
            return False
        name, container = expr.args
        if not isinstance(name, Literal) or not isinstance(name.value, str):
            return False
        if _place(container, scope) != ("headers", ()):
            return False
        self.present.add(("headers", (name.value,)))
        return True

    def _comprehension(self, expr: Comprehension, scope: _Scope) -> None:
        element: Place | None = None
        ranged = _place(expr.range, scope)
        if ranged is not None and expr.macro in _QUANTIFIERS and len(expr.variables) == 1:
            element = (ranged[0], (*ranged[1], None))
            self.present.add(element)
        else:
            self.visit(expr.range, scope)
        inner = {**scope, **dict.fromkeys(expr.variables, element)}
        for arg in expr.args:
            self.visit(arg, inner)
