"""Expressions that are computed inline: numbers, and lengths of time.

Only what Python computes as CEL does is taken: sums, differences and products of numbers that are
so small that neither an overflow nor a rounding of ints to doubles can make a difference; of those
`double()` changes none. Larger ones, and texts that are to be doubles, are found at run time, and
left to the exact evaluator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ..cel.ast import Call, Expr
from ..cel.values import Duration
from .formula import MIRRORED, Converted, Moment, Operation, Place, Term

__all__ = [
    "EXACT_MAX",
    "LEAVES_MAX",
    "LENGTH_MAX_NS",
    "MOMENT_MAX_NS",
    "bound_of",
    "length_of",
    "term_of",
]

#: Up to here ints and doubles are the same numbers.
EXACT_MAX: Final = 2**53
#: Lengths below can be added to any time below, and two times be subtracted, within CEL's range:
#: the times are those of the years 1824 to 2116.
LENGTH_MAX_NS: Final = 2**61
MOMENT_MAX_NS: Final = 2**62
#: Numbers in one comparison: longer sums are rare, and cost more to guard than they save.
LEAVES_MAX: Final = 6

#: The place that an expression names, and what it always is (`open_` where that hangs on the event).
_PlaceOf: TypeAlias = Callable[[Expr], Place | None]
_ValueOf: TypeAlias = Callable[[Expr], object]


def term_of(expr: Expr, place_of: _PlaceOf, number_of: Callable[[Expr], object]) -> Term | None:
    """`expr` as a term; None where it is none. `number_of` gives numbers, or anything else."""
    number = number_of(expr)
    if type(number) is int or type(number) is float:
        return number if -EXACT_MAX < number < EXACT_MAX else None
    place = place_of(expr)
    if place is not None:
        return place
    if not isinstance(expr, Call) or expr.target is not None:
        return None
    if expr.function == "double" and len(expr.args) == 1:
        converted = place_of(expr.args[0])
        return None if converted is None else Converted(converted)
    if expr.function not in ("+", "-", "*") or len(expr.args) != 2:
        return None
    left = term_of(expr.args[0], place_of, number_of)
    right = term_of(expr.args[1], place_of, number_of)
    return None if left is None or right is None else Operation(expr.function, left, right)


def bound_of(left: Term, right: Term) -> int | None:
    """A limit for the leaves within which all is computed as CEL does; None where there is none."""
    for bits in range(53, 9, -1):
        limit = 1 << bits
        if max(_greatest(left, limit), _greatest(right, limit)) <= EXACT_MAX:
            return limit
    return None


def _greatest(term: Term, limit: int) -> float:
    """The greatest number that can come up anywhere in `term` for leaves below `limit`."""
    if isinstance(term, Operation):
        left, right = _greatest(term.left, limit), _greatest(term.right, limit)
        own = left * right if term.operator == "*" else left + right
        return max(own, left, right)
    return limit if isinstance(term, Place | Converted) else abs(term)


def length_of(
    call: Call, moment_of: Callable[[Expr], Moment | None], value_of: _ValueOf
) -> tuple[Moment, Moment, str, int] | None:
    """A comparison as `later - earlier operator length`; None where it is no such thing."""
    left, right = call.args
    for one, other, operator in (
        (left, right, call.function),
        (right, left, MIRRORED[call.function]),
    ):
        length = value_of(other)
        if isinstance(length, Duration) and abs(length.ns) < LENGTH_MAX_NS:
            times = _difference(one, moment_of)
            return None if times is None else (*times, operator, length.ns)
    later, earlier = _shifted(left, moment_of, value_of), _shifted(right, moment_of, value_of)
    if later is None or earlier is None:
        return None
    return later[0], earlier[0], call.function, earlier[1] - later[1]


def _difference(
    expr: Expr, moment_of: Callable[[Expr], Moment | None]
) -> tuple[Moment, Moment] | None:
    if not isinstance(expr, Call) or expr.function != "-" or len(expr.args) != 2:
        return None
    later, earlier = map(moment_of, expr.args)
    return None if later is None or earlier is None else (later, earlier)


def _shifted(
    expr: Expr, moment_of: Callable[[Expr], Moment | None], value_of: _ValueOf
) -> tuple[Moment, int] | None:
    """A time in an event, and what is added to it."""
    moment = moment_of(expr)
    if moment is not None:
        return moment, 0
    if not isinstance(expr, Call) or expr.function not in ("+", "-") or len(expr.args) != 2:
        return None
    one, other = expr.args
    if expr.function == "+" and isinstance(value_of(one), Duration):
        one, other = other, one
    length = value_of(other)
    moment = moment_of(one)
    if moment is None or not isinstance(length, Duration) or abs(length.ns) >= LENGTH_MAX_NS:
        return None
    return moment, length.ns if expr.function == "+" else -length.ns
