"""Conditions as the generator sees them: junctions over atoms that it knows, and exact rests.

Every formula has one of three values: true, false, or an error. Negations are pushed down to the
atoms; numbers and times absorb them: `!(a > 5)` is `a <= 5`, but for NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from ..cel.ast import Expr

__all__ = [
    "CALCULATED",
    "FALSE",
    "FLIPPED",
    "MIRRORED",
    "TRUE",
    "Atom",
    "Choice",
    "Comparison",
    "Conjunction",
    "Contains",
    "Converted",
    "Disjunction",
    "Equal",
    "Exact",
    "Flag",
    "Formula",
    "Interval",
    "Moment",
    "Operation",
    "Order",
    "Place",
    "Placed",
    "Present",
    "Quantified",
    "Scalar",
    "Settled",
    "Size",
    "Term",
    "Text",
    "Time",
    "atoms",
    "calculates",
    "conjuncts",
    "leaves",
]

Scalar: TypeAlias = str | int | float | bool | None

#: `!(a < b)` is `a >= b`.
FLIPPED: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
#: `a < b` is `b > a`.
MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


#: The variable of what the exact evaluator computes, below which stands the text of that.
CALCULATED: Final = "@calculated"


class Place(NamedTuple):
    """A value that is read: a variable and the names and positions below it.

    The variable is one of a rule's, or one that a quantifier binds, or CALCULATED.
    """

    variable: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """A condition that no event changes: True, False, or None for an error."""

    value: bool | None


TRUE: Final = Settled(True)
FALSE: Final = Settled(False)


@dataclass(frozen=True, slots=True)
class Order:
    """`place < number`, a number small enough to be the same as int and as double.

    `of_nan` is what it is for NaN: true where a negation was absorbed.
    """

    place: Place
    operator: str
    number: int | float
    of_nan: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Equal:
    """`place in constants`, or not in them. CEL's equality: 1 is 1.0 and not true."""

    place: Place
    constants: tuple[Scalar, ...]
    wanted: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """`place.startsWith(text)` and its kin; `test` is prefix, suffix, contains or pattern.

    Or it is the sign of a comparison of texts, by their code points.
    """

    place: Place
    test: str
    text: str
    wanted: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Present:
    """`has(place)`."""

    place: Place
    wanted: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Flag:
    """`place` or `!place`, taken as a bool."""

    place: Place
    wanted: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Size:
    """`size(place) > number`."""

    place: Place
    operator: str
    number: int | float
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Time:
    """`timestamp(place) < moment`, or `place < moment` where it does not convert."""

    place: Place
    operator: str
    moment_ns: int
    converts: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Contains:
    """`text in place`: an element of a list or a name of an object."""

    place: Place
    text: str
    wanted: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True)
class Quantified:
    """`place.exists(variable, body)`; not `wanted`: there is none.

    `narrowed`: what was waited for is a part of it, which is not to be waited for again.
    """

    place: Place
    variable: str
    body: Formula
    wanted: bool
    expr: Expr = field(compare=False)
    narrowed: bool = False


class Converted(NamedTuple):
    """`double(place)`."""

    place: Place


class Operation(NamedTuple):
    """`left + right`, `left - right` or `left * right`."""

    operator: str
    left: Term
    right: Term


#: What is computed with inline.
Term: TypeAlias = Place | Converted | int | float | Operation


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left < right`, both hanging on the event, or computed; not `wanted`: its negation."""

    left: Term
    operator: str
    right: Term
    wanted: bool
    expr: Expr = field(compare=False)


class Moment(NamedTuple):
    """A time in an event: `timestamp(place)`, or `place` itself where it does not convert."""

    place: Place
    converts: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """`later - earlier < length`; an order of two times, with durations added, is one, too.

    `plain` is an order of two times without durations: no length is ever too large for it.
    """

    later: Moment
    earlier: Moment
    operator: str
    length_ns: int
    plain: bool
    expr: Expr = field(compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """What is left to the exact evaluator."""

    expr: Expr


@dataclass(frozen=True, slots=True)
class Conjunction:
    """All parts, two or more; none of them a conjunction or settled as true or false."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    """Any part, two or more; none of them a disjunction or settled as true or false."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """`test ? then : otherwise`, of conditions."""

    test: Formula
    then: Formula
    otherwise: Formula


#: Atoms about one place.
Placed: TypeAlias = Order | Equal | Text | Present | Flag | Size | Time | Contains | Quantified
Atom: TypeAlias = Placed | Comparison | Interval | Exact | Settled
Formula: TypeAlias = Atom | Conjunction | Disjunction | Choice


def leaves(term: Term) -> list[Place]:
    """The places that `term` is computed from."""
    if isinstance(term, Operation):
        return [*leaves(term.left), *leaves(term.right)]
    if isinstance(term, Converted):
        return [term.place]
    return [term] if isinstance(term, Place) else []


def calculates(formula: Formula) -> bool:
    """Whether a part of `formula` hangs on what the exact evaluator computes."""
    return any(
        isinstance(atom, Placed) and atom.place.variable == CALCULATED for atom in atoms(formula)
    )


def conjuncts(formula: Formula) -> tuple[Formula, ...]:
    """The parts of a conjunction; anything else is its only part."""
    return formula.parts if isinstance(formula, Conjunction) else (formula,)


def atoms(formula: Formula) -> Iterator[Atom]:
    """Every atom of `formula`; a quantifier is one."""
    stack = [formula]
    while stack:
        top = stack.pop()
        if isinstance(top, Conjunction | Disjunction):
            stack.extend(reversed(top.parts))
        elif isinstance(top, Choice):
            stack += (top.otherwise, top.then, top.test)
        else:
            yield top
