"""Computations as code: sums of numbers, lengths of time.

A computation has a value where all ints that it is made of are small (`known`); where it is not
known, `fails` says that it is certainly an error, and else only the exact evaluator can tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ..cel.arithmetic import ARITHMETIC, promote
from ..cel.library.conversions import double_from_string
from ..cel.values import CelError, as_double, normal
from .formula import (
    FLIPPED,
    MIRRORED,
    Comparison,
    Converted,
    Formula,
    Interval,
    Moment,
    Operation,
    Place,
    Term,
    leaves,
)
from .hoisting import Scope
from .pycode import (
    Node,
    between,
    call,
    class_is,
    compare,
    conjunction,
    constant,
    disjunction,
    name,
    negated,
    operate,
)
from .terms import MOMENT_MAX_NS, bound_of

__all__ = [
    "Calculator",
    "Computed",
    "Length",
    "Limit",
    "Measure",
    "calculator",
    "comparison",
    "computed",
    "interval",
    "limit_of",
    "measured",
    "places_of",
]

_MISSING: Final = name("MISSING")


class Length(NamedTuple):
    """The time between two moments of an event, in nanoseconds; `plain` as `Interval` has it."""

    later: Moment
    earlier: Moment
    plain: bool


#: What is computed once for all conditions that compare it with a limit.
Measure: TypeAlias = Operation | Converted | Length


class Limit(NamedTuple):
    """`measure < number`."""

    measure: Measure
    operator: str
    number: int | float


class Computed(NamedTuple):
    """The code of a computation, or of a comparison of two."""

    value: Node
    known: Node
    fails: Node


def limit_of(atom: Formula) -> Limit | None:
    """A comparison of what is computed with a limit; None for anything else.

    Where it is known there is no NaN, so that a negation turns the sign.
    """
    if not isinstance(atom, Comparison | Interval) or atom.operator in ("==", "!="):
        return None
    if isinstance(atom, Interval):
        return Limit(Length(atom.later, atom.earlier, atom.plain), atom.operator, atom.length_ns)
    left, operator, right = atom.left, atom.operator, atom.right
    if isinstance(left, int | float):
        left, operator, right = right, MIRRORED[operator], left
    if not isinstance(left, Operation | Converted) or not isinstance(right, int | float):
        return None
    return Limit(left, operator if atom.wanted else FLIPPED[operator], right)


def places_of(measure: Measure) -> list[Place]:
    """The places of the value that it is computed from."""
    if isinstance(measure, Length):
        return [each.place for each in (measure.later, measure.earlier) if each.place.path]
    return leaves(measure)


def measured(measure: Measure, scope: Scope, *, unruly: frozenset[str]) -> Computed:
    """What is compared with limits."""
    if not isinstance(measure, Length):
        places = list(dict.fromkeys(leaves(measure)))
        fails = _fails([measure, 0], places, scope, unruly)
        value = computed(measure, scope)
        small, doubles = _known(measure, 0, places, scope)
        # Doubles may come to infinity less infinity, of which a negated comparison is true.
        doubles = conjunction([doubles, compare(value, "==", value)])
        return Computed(value, disjunction([small, doubles]), fails)
    later, earlier, known, fails = _moments(measure, scope)
    return Computed(operate(later, "-", earlier), known, fails)


#: A number, NaN for what is an error, or None for what is not computed here either.
Calculator: TypeAlias = Callable[..., float | None]


def calculator(term: Term, places: Sequence[Place]) -> Calculator:
    """A function of the values at `places`, which computes with numbers of any size as CEL does."""

    def calculate(*values: Any) -> float | None:
        if not _CALCULATED.issuperset(map(type, values)):
            return None
        result = _calculated(term, dict(zip(places, values, strict=True)))
        if isinstance(result, CelError):
            return math.nan
        if isinstance(result, int | float) and not math.isnan(result):
            return result
        return None

    return calculate


_CALCULATED: Final = frozenset({int, float, str})


def _calculated(term: Term, values: Mapping[Place, Any]) -> object:
    match term:
        case Operation():
            left, right = _calculated(term.left, values), _calculated(term.right, values)
            for each in (left, right):
                if isinstance(each, CelError):
                    return each
            return ARITHMETIC[term.operator](*promote(left, right))
        case Converted():
            value: Any = normal(values[term.place])
            return double_from_string(value) if isinstance(value, str) else as_double(value)
        case Place():
            return normal(values[term])
        case _:
            return term


def comparison(atom: Comparison, scope: Scope, *, unruly: frozenset[str]) -> Computed:
    """A comparison of two terms."""
    places = list(dict.fromkeys([*leaves(atom.left), *leaves(atom.right)]))
    known = disjunction(_known(atom.left, atom.right, places, scope))
    left, right = computed(atom.left, scope), computed(atom.right, scope)
    values = [scope.slot(place) for place in places]
    if isinstance(atom.left, Place) and isinstance(atom.right, Place):
        left, right = scope.slot(atom.left), scope.slot(atom.right)
        texts = conjunction([class_is(value, "str") for value in values])
        known = disjunction([known, texts])
    test = compare(left, atom.operator, right)
    if not atom.wanted:
        test = negated(test)
    if atom.operator in ("==", "!="):
        return Computed(test, known, disjunction([_is_missing(value) for value in values]))
    return Computed(test, known, _fails([atom.left, atom.right], places, scope, unruly))


def interval(atom: Interval, scope: Scope) -> Computed:
    """A comparison of two times."""
    later, earlier, known, fails = _moments(atom, scope)
    test = compare(later, atom.operator, earlier)
    if atom.length_ns:
        length = operate(later, "-", earlier)
        test = compare(length, atom.operator, constant(atom.length_ns))
    return Computed(test, known, fails)


def computed(term: Term, scope: Scope) -> Node:
    """The value of a term."""
    match term:
        case Operation():
            left, right = computed(term.left, scope), computed(term.right, scope)
            return operate(left, term.operator, right)
        case Converted():
            return scope.number(term.place)
        case Place():
            return scope.number(term)
        case _:
            return constant(term)


def _known(left: Term, right: Term, places: Sequence[Place], scope: Scope) -> tuple[Node, Node]:
    """Whether all numbers are small enough to be computed as CEL does, and whether they may be.

    Ints have to be small; of doubles of any size Python computes the same.
    """
    limit = bound_of(left, right)
    assert limit is not None, "others are not taken"
    views = [scope.number(place) for place in places]
    small = [between(constant(-limit), view, constant(limit)) for view in views]
    doubles = [
        disjunction([class_is(scope.slot(place), "float"), each])
        for place, each in zip(places, small, strict=True)
    ]
    return conjunction(small), conjunction(doubles)


def _fails(
    terms: Sequence[Term], places: Sequence[Place], scope: Scope, unruly: frozenset[str]
) -> Node:
    """Whether an order of what are no small numbers is certainly an error."""
    converted = {place for term in terms for place in _converted(term)}
    values = {place: scope.slot(place) for place in places}
    missing = [_is_missing(value) for value in values.values()]
    numbers = converted or any(map(_has_number, terms))
    if numbers and not any(place.variable in unruly for place in places):
        # Where one is a number, all others must be, or texts of numbers where they are converted.
        return disjunction(
            [
                conjunction([_is_nan(scope.number(place)), negated(class_is(value, "str"))])
                if place in converted
                else _is_nan(scope.number(place))
                for place, value in values.items()
            ]
        )
    if converted:
        return disjunction(missing)
    compared = [*values.values(), *([constant(0)] if numbers else [])]
    return disjunction([*missing, call("unordered", *compared)])


def _moments(times: Length | Interval, scope: Scope) -> tuple[Node, Node, Node, Node]:
    """Two times, whether their difference is known, and whether one of them is none."""
    views = scope.time(*times.later), scope.time(*times.earlier)
    low, high = constant(-MOMENT_MAX_NS), constant(MOMENT_MAX_NS)
    known = [
        compare(view, "==", view) if times.plain else between(low, view, high) for view in views
    ]
    return *views, conjunction(known), disjunction([_is_nan(view) for view in views])


def _is_missing(value: Node) -> Node:
    return compare(value, "is", _MISSING)


def _is_nan(view: Node) -> Node:
    return compare(view, "!=", view)


def _converted(term: Term) -> list[Place]:
    if isinstance(term, Operation):
        return [*_converted(term.left), *_converted(term.right)]
    return [term.place] if isinstance(term, Converted) else []


def _has_number(term: Term) -> bool:
    """Whether a constant is computed with."""
    if isinstance(term, Operation):
        return _has_number(term.left) or _has_number(term.right)
    return isinstance(term, int | float)
