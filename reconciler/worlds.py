"""The values that unknown conditions can have together.

Each unknown atom is true, false or an error: three worlds an atom, shared by every version that
has it. Atoms that do nothing but compare one unknown field with constants know of each other: a
score above 0.9 is above 0.8. For those, the field takes every kind of value that their constants
tell apart, and the atoms are evaluated on it. Both only ever allow too many worlds, never too few,
so what holds in all of them holds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from ..policy.cel import UInt
from ..policy.cel.ast import Call, Expr, Has, ListExpr, Literal
from ..policy.compiler.reads import Place, place_of, reads_of
from .formulas import Atom

__all__ = ["WORLDS_MAX", "Hidden", "Truth", "worlds"]

#: What the atoms of a world are; None is an error.
Truth: TypeAlias = Mapping[str, "bool | None"]

#: Six free atoms and some; past it nothing is claimed about the event.
WORLDS_MAX = 4096
#: Constants that one field is compared with; more and its atoms count as free.
_CONSTANTS_MAX = 64
#: Above it, doubles no longer tell neighbouring integers apart.
_EXACT_MAX = 2**53
_ABSENT = object()
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is known of a masked field although its value is not."""

    absent: bool = True  # there may have been nothing
    null: bool = True  # there may have been a null


_ANYTHING = Hidden()


def worlds(atoms: Sequence[Atom], hidden: Mapping[Place, Hidden]) -> Iterator[Truth] | None:
    """Every combination of values that `atoms` (of distinct names) may have; None if too many."""
    factors = list(_factors(atoms, hidden))
    if math.prod(len(choices) for _, choices in factors) > WORLDS_MAX:
        return None
    names = [name for group, _ in factors for name in group]
    return (
        dict(zip(names, itertools.chain(*chosen), strict=True))
        for chosen in itertools.product(*(choices for _, choices in factors))
    )


def _factors(
    atoms: Sequence[Atom], hidden: Mapping[Place, Hidden]
) -> Iterator[tuple[list[str], list[tuple[bool | None, ...]]]]:
    """Groups of atoms that do not depend on each other, with the values each can have."""
    compared: dict[Place, list[tuple[Atom, list[object]]]] = {}
    free: list[Atom] = []
    for atom in atoms:
        found = _comparison(atom.expr)
        if found is None:
            free.append(atom)
        else:
            compared.setdefault(found[0], []).append((atom, found[1]))
    for place, group in compared.items():
        constants = [constant for _, found in group for constant in found]
        if len(constants) > _CONSTANTS_MAX or any(_nested(place, other) for other in compared):
            free += [atom for atom, _ in group]
            continue
        yield _factor(place, [atom for atom, _ in group], constants, hidden.get(place, _ANYTHING))
    for atom in free:
        yield [atom.name], [(True,), (False,), (None,)]


def _nested(one: Place, other: Place) -> bool:
    """True where one place lies in the other: then they are not independent."""
    (variable, path), (variable2, path2) = one, other
    length = min(len(path), len(path2))
    return one != other and variable == variable2 and path[:length] == path2[:length]


def _factor(
    place: Place, atoms: Sequence[Atom], constants: Iterable[object], known: Hidden
) -> tuple[list[str], list[tuple[bool | None, ...]]]:
    rows: dict[tuple[bool | None, ...], None] = {}
    for point in _points(constants, known):
        activation = _activation(place, point)
        row = [atom.value(activation) for atom in atoms]
        rows[tuple(value if isinstance(value, bool) else None for value in row)] = None
    return [atom.name for atom in atoms], list(rows)


def _activation(place: Place, point: object) -> dict[str, object]:
    """The variables of an atom that reads `place` and nothing else."""
    variable, path = place
    inner: object = point
    for name in reversed(path):
        inner = {} if inner is _ABSENT else {name: inner}
    known = {variable: inner}
    if variable == "value":
        known["message"] = inner
    return known


def _comparison(expr: Expr) -> tuple[Place, list[object]] | None:
    """The one field that a condition compares and the constants it is compared with."""
    place, constants = _compared(expr)
    if place is None or not place[1] or None in place[1]:
        return None
    reads = reads_of(expr)
    if not reads.whole | reads.present <= {place} or not all(map(_plain, constants)):
        return None
    return place, constants


def _compared(expr: Expr) -> tuple[Place | None, list[object]]:
    if isinstance(expr, Has):
        base = place_of(expr.operand)
        return (None if base is None else (base[0], (*base[1], expr.field))), []
    if not isinstance(expr, Call):
        return place_of(expr), []
    if expr.target is not None or len(expr.args) != 2:
        return None, []
    left, right = expr.args
    if expr.function in _COMPARISONS:
        if isinstance(left, Literal):
            left, right = right, left
        return place_of(left), [_constant(right)]
    if expr.function == "in" and isinstance(right, ListExpr):
        return place_of(left), [_constant(element) for element in right.elements]
    return None, []


def _constant(expr: Expr) -> object:
    if isinstance(expr, Literal):
        return expr.value
    if isinstance(expr, Call) and expr.function == "-" and len(expr.args) == 1:
        inner = expr.args[0]
        if isinstance(inner, Literal) and type(inner.value) in (int, float):
            return -inner.value  # type: ignore[operator]
    return _ABSENT


def _plain(constant: object) -> bool:
    if constant is None or isinstance(constant, (bool, str)):
        return True
    return isinstance(constant, (int, float)) and abs(constant) <= _EXACT_MAX  # not NaN either


def _points(constants: Iterable[object], known: Hidden) -> Iterator[object]:
    """A value of every kind that comparisons with `constants` can tell apart."""
    found = list(constants)
    yield from (True, False, [], math.nan)
    if known.absent:
        yield _ABSENT
    if known.null:
        yield None
    numbers = sorted({_number(c) for c in found if _is_number(c)}) or [0]
    yield from (numbers[0] - 1, numbers[-1] + 1, *numbers)
    yield from (_between(low, high) for low, high in itertools.pairwise(numbers))
    texts = sorted({c for c in found if isinstance(c, str)}) or [""]
    yield from ("", *texts)
    # The shortest text behind another is that text and a NUL.
    yield from (text + "\0" for text in texts)


def _is_number(constant: object) -> bool:
    return isinstance(constant, (int, float)) and not isinstance(constant, bool)


def _number(constant: object) -> int | float:
    assert isinstance(constant, (int, float))
    return int(constant) if isinstance(constant, UInt) else constant


def _between(low: float, high: float) -> object:
    middle = low + (high - low) / 2
    if low < middle < high:
        return middle
    return (Decimal(repr(low)) + Decimal(repr(high))) / 2
