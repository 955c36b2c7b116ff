"""Conditions of which a part is not known: what is left of them, as a formula of its atoms.

A condition is taken apart at `&&`, `||`, `!` and `?:`; what remains are atoms. An atom whose value
is known for an event becomes that value (None for an error), one that is not stays as its name.
The same condition tree under the same circumstances has the same name in every version, so that
versions are judged under one truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..policy.cel import Unknown, compile_exact, unparse
from ..policy.cel.ast import And, Conditional, Expr, Not, Or
from ..policy.compiler.reads import reads_of

__all__ = ["Atom", "Circumstances", "Formula", "Shape", "atoms_of", "shape_of", "truth"]

#: True, False, None (an error), the name of an atom, or an operator with its operands.
Formula: TypeAlias = "bool | str | tuple[str, tuple[Formula, ...]] | None"

#: Variables that are not the event's own: they may differ between two versions or stages.
_STAGED = frozenset({"stage", "partition", "offset"})


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What, besides the event, gives a condition its value."""

    stage: str
    formats: tuple[str, str]
    lists: Mapping[str, object]

    def name(self, expr: Expr) -> str:
        """A name that two atoms share only if they have the same value for every event."""
        variables = reads_of(expr).variables
        name = unparse(expr)
        if variables & {"value", "key"} and self.formats != ("auto", "auto"):
            name += f" # {'/'.join(self.formats)}"
        if variables & _STAGED:
            name += f" # {self.stage}"
        if "lists" in variables:
            digest = hashlib.sha256(repr(sorted(self.lists.items())).encode()).hexdigest()
            name += f" # {digest}"
        return name


@dataclass(frozen=True, slots=True)
class Atom:
    """A condition that is not taken apart any further."""

    name: str
    expr: Expr
    program: Callable[[Mapping[str, object]], object]

    def value(self, known: Mapping[str, object]) -> bool | str | None:
        """Its truth under `known`: None for an error, its name where it is not known."""
        try:
            found = self.program(known)
        except Exception:  # noqa: BLE001 - as in the guard: no event may stop the replay
            return None
        if isinstance(found, bool):
            return found
        return self.name if isinstance(found, Unknown) else None


@dataclass(frozen=True, slots=True)
class Shape:
    """A condition taken apart: `operator` is and, or, not, if; the parts are shapes and atoms."""

    operator: str
    parts: tuple[Shape | Atom, ...]

    def value(self, known: Mapping[str, object]) -> Formula:
        """What is left under `known`."""
        return _fold(self.operator, tuple(part.value(known) for part in self.parts))


def shape_of(expr: Expr, circumstances: Circumstances) -> Shape | Atom:
    """`expr` taken apart. Its depth is bounded by the parser."""
    match expr:
        case And():
            operator, parts = "and", expr.operands
        case Or():
            operator, parts = "or", expr.operands
        case Not():
            operator, parts = "not", (expr.operand,)
        case Conditional():
            operator, parts = "if", (expr.test, expr.then, expr.otherwise)
        case _:
            return Atom(circumstances.name(expr), expr, compile_exact(expr))
    return Shape(operator, tuple(shape_of(part, circumstances) for part in parts))


def atoms_of(shape: Shape | Atom) -> Iterator[Atom]:
    """Every atom of a condition, in the order written."""
    if isinstance(shape, Atom):
        yield shape
    else:
        for part in shape.parts:
            yield from atoms_of(part)


def truth(formula: Formula, world: Mapping[str, bool | None]) -> bool | None:
    """The value of `formula` where `world` says what its atoms are."""
    if isinstance(formula, str):
        return world[formula]
    if isinstance(formula, tuple):
        operator, parts = formula
        folded = _fold(operator, tuple(truth(part, world) for part in parts))
        assert folded is None or isinstance(folded, bool)  # nothing unknown is left
        return folded
    return formula


def _fold(operator: str, parts: tuple[Formula, ...]) -> Formula:
    """The operator applied as far as its parts are known, with CEL's absorption of errors."""
    if operator == "not":
        (part,) = parts
        if part is None or isinstance(part, bool):
            return None if part is None else not part
        return (operator, parts)
    if operator == "if":
        test, then, otherwise = parts
        if test is None or isinstance(test, bool):
            return None if test is None else then if test else otherwise
        return (operator, parts)
    settles = operator == "or"
    if any(part is settles for part in parts):
        return settles
    left = tuple(dict.fromkeys(part for part in parts if not isinstance(part, bool)))
    if not left:
        return not settles
    if left == (None,):
        return None
    return left[0] if len(left) == 1 else (operator, left)
