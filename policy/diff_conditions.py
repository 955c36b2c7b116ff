"""How the outcomes of two conditions can go together on the same event, as far as can be proved.

A condition is true (T), false (F) or an error (E). `outcomes(old, new)` gives the pairs (old, new)
that are possible on one event; what is not understood gives all nine, so that a pair that is not
among them never happens.

Understood are equal conditions, also with the sides of a comparison exchanged; a moved threshold (`a > 5`, `a >= 7`); constants that came or went
in `==`, `!=`, `in` and junctions of these; entries that came or went in a list of the bundle; and what `!`, `&&` and
`||` make of these, with operands that came or went.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, TypeAlias, cast

from .canonical import canonical_json, portable
from .cel.ast import And, Call, Expr, Ident, Index, ListExpr, Not, Or, Select, walk
from .cel.ast import Literal as Constant
from .cel.names import renamed
from .cel.ranges import MIRRORED
from .cel.unparse import unparse
from .cel.values import UInt

__all__ = ["ALL", "Lists", "Outcomes", "State", "mentions", "outcomes"]

State: TypeAlias = Literal["T", "F", "E"]
Outcomes: TypeAlias = frozenset[tuple[State, State]]

_STATES: Final[tuple[State, ...]] = ("T", "F", "E")
ALL: Final[Outcomes] = frozenset(product(_STATES, _STATES))
_SAME: Final[Outcomes] = frozenset((state, state) for state in _STATES)
_PASSING: Final[Outcomes] = frozenset({("F", "T")})
_FAILING: Final[Outcomes] = frozenset({("T", "F")})
_WIDER: Final[Outcomes] = _SAME | _PASSING
_NARROWER: Final[Outcomes] = _SAME | _FAILING
_NOT: Final[Mapping[State, State]] = {"T": "F", "F": "T", "E": "E"}
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
#: Beyond it, whole numbers and doubles are not compared exactly.
_EXACT: Final = 2**53
#: Operands that are compared each with each; of more only equal ones are found.
_PAIRS_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of both bundles; `changed` are the names of those that differ."""

    before: Mapping[str, object]
    after: Mapping[str, object]
    changed: frozenset[str]

    @classmethod
    def of(cls, before: Mapping[str, object], after: Mapping[str, object]) -> Lists:
        """The two sets of lists, compared."""
        names = before.keys() | after.keys()
        changed = {
            name
            for name in names
            if name not in before or name not in after or _text(before[name]) != _text(after[name])
        }
        return cls(before, after, frozenset(changed))

    def outcomes(self, name: str) -> Outcomes:
        """What `x in lists.NAME` comes to before and after."""
        old, new = _keys(self.before.get(name)), _keys(self.after.get(name))
        if old is None or new is None or old[0] is not new[0]:
            return ALL
        return _by_sets(old[1], new[1])


def _keys(value: object) -> tuple[type, frozenset[bytes]] | None:
    if isinstance(value, Mapping):
        return dict, frozenset(_text(key) for key in cast("Mapping[object, object]", value))
    if isinstance(value, (list, tuple)):
        return list, frozenset(_text(item) for item in cast("Sequence[object]", value))
    return None


def _text(value: object) -> bytes:
    return canonical_json(portable(value))


def mentions(expr: Expr) -> frozenset[str] | None:
    """The names of the lists that `expr` reads; None where it may read any."""
    found: set[str] = set()
    reads = 0
    for node in walk(expr):
        if isinstance(node, Ident) and node.name.lstrip(".") == "lists":
            reads += 1
        elif (name := _list_name(node)) is not None:
            found.add(name)
            reads -= 1
    return frozenset(found) if reads == 0 else None


def _list_name(node: Expr) -> str | None:
    if not isinstance(node, (Select, Index)):
        return None
    if not isinstance(node.operand, Ident) or node.operand.name.lstrip(".") != "lists":
        return None
    if isinstance(node, Select):
        return node.field
    index = node.index.value if isinstance(node.index, Constant) else None
    return index if isinstance(index, str) else None


def outcomes(old: Expr | None, new: Expr | None, lists: Lists) -> Outcomes:
    """The possible pairs of outcomes; None is a condition that is always true.

    What the variables of macros are called makes no difference.
    """
    return _related(renamed(old or Constant(True)), renamed(new or Constant(True)), lists)


def _related(old: Expr, new: Expr, lists: Lists) -> Outcomes:
    if unparse(old) == unparse(new):
        read = mentions(old)
        if (not lists.changed) if read is None else not (read & lists.changed):
            return _SAME
    if _exchanged(old, new) and not lists.changed:
        return _SAME
    for atomic in (_constants, _thresholds, _memberships, _listed):
        found = atomic(old, new, lists)
        if found is not None:
            return found
    if isinstance(old, Not) or isinstance(new, Not):
        return _negated(old, new, lists)
    if isinstance(old, And) or isinstance(new, And):
        return _joined(And, old, new, lists)
    if isinstance(old, Or) or isinstance(new, Or):
        return _joined(Or, old, new, lists)
    return ALL


def _exchanged(old: Expr, new: Expr) -> bool:
    """Whether two comparisons say the same with their sides exchanged."""
    if not isinstance(old, Call) or not isinstance(new, Call) or len(old.args) != 2:
        return False
    if old.target is not None or new.target is not None:
        return False
    if old.function not in MIRRORED or MIRRORED[old.function] != new.function:
        return False
    return [*map(unparse, old.args)] == [*map(unparse, reversed(new.args))]


def _negated(old: Expr, new: Expr, lists: Lists) -> Outcomes:
    if isinstance(old, Not) and isinstance(new, Not):
        inner = _related(old.operand, new.operand, lists)
        return frozenset((_NOT[a], _NOT[b]) for a, b in inner)
    for kind in (And, Or):
        if isinstance(old, kind) or isinstance(new, kind):
            return _joined(kind, old, new, lists)
    return ALL


# ------------------------------------------------------------------ junctions


def _joined(kind: type[And | Or], old: Expr, new: Expr, lists: Lists) -> Outcomes:
    """Operands are paired where something is known of them; the others came or went."""
    neutral: State = "T" if kind is And else "F"
    absorbing: State = _NOT[neutral]
    before = list(old.operands) if isinstance(old, kind) else [old]
    after = list(new.operands) if isinstance(new, kind) else [new]
    factors = _paired(before, after, lists, whole=(old, new))
    gone: Outcomes = frozenset(product(_STATES, (neutral,)))
    come: Outcomes = frozenset(product((neutral,), _STATES))
    possible: Outcomes = frozenset({(neutral, neutral)})
    for factor in (*factors, *[gone] * len(before), *[come] * len(after)):
        possible = frozenset(
            (_both(one[0], other[0], absorbing), _both(one[1], other[1], absorbing))
            for one in possible
            for other in factor
        )
    return possible


def _paired(
    before: list[Expr], after: list[Expr], lists: Lists, *, whole: tuple[Expr, Expr]
) -> list[Outcomes]:
    """What is known of operands that belong together; they are taken out of both lists."""
    factors: list[Outcomes] = []
    texts = {unparse(node): node for node in after}
    for one in list(before):
        other = texts.get(unparse(one))
        found = ALL if other is None else _related(one, other, lists)
        if other is not None and found != ALL:
            factors.append(found)
            before.remove(one)
            after.remove(other)
            del texts[unparse(one)]
    if len(before) * len(after) > _PAIRS_MAX:
        return factors
    for one in list(before):
        for other in after:
            if one is whole[0] and other is whole[1]:
                continue  # that is what is being asked
            found = _related(one, other, lists)
            if found != ALL:
                factors.append(found)
                before.remove(one)
                after.remove(other)
                break
    return factors


def _both(one: State, other: State, absorbing: State) -> State:
    """What the sign between two operands makes of them: errors give way to what decides."""
    if absorbing in (one, other):
        return absorbing
    return "E" if "E" in (one, other) else one


# ----------------------------------------------------------------------- atoms


def _constants(old: Expr, new: Expr, _lists: Lists) -> Outcomes | None:
    """One of them is always true or always false."""
    before, after = _fixed(old), _fixed(new)
    return None if before == after == _STATES else frozenset(product(before, after))


def _fixed(node: Expr) -> tuple[State, ...]:
    """What the condition can come to, from its form alone."""
    if isinstance(node, Constant) and isinstance(node.value, bool):
        return ("T",) if node.value else ("F",)
    return _STATES


def _thresholds(old: Expr, new: Expr, _lists: Lists) -> Outcomes | None:
    """The same thing against another number."""
    one, other = _threshold(old), _threshold(new)
    if one is None or other is None or one[:2] != other[:2]:
        return None
    # How far the threshold lets in: the sign turned so that less lets in more.
    a, b = (
        (bound if upward else -bound, not inclusive) for _, upward, bound, inclusive in (one, other)
    )
    return _SAME if a == b else _WIDER if b < a else _NARROWER


def _threshold(node: Expr) -> tuple[str, bool, float, bool] | None:
    """What is compared, whether it has to be greater, with what, and whether equal will do."""
    if not isinstance(node, Call) or node.function not in _FLIPPED or node.target is not None:
        return None
    (left, right), sign = node.args, node.function
    if isinstance(left, Constant):
        left, right, sign = right, left, _FLIPPED[sign]
    if isinstance(left, Constant) or not isinstance(right, Constant):
        return None
    bound = right.value
    if isinstance(bound, (bool, UInt)) or not isinstance(bound, (int, float)):
        return None
    if not -_EXACT <= bound <= _EXACT or mentions(left) != frozenset():
        return None
    return unparse(left), sign[0] == ">", bound, sign.endswith("=")


def _memberships(old: Expr, new: Expr, _lists: Lists) -> Outcomes | None:
    """The same thing among other constants."""
    one, other = _choices(old), _choices(new)
    if one is None or other is None or one[0] != other[0]:
        return None
    negative = one[2]
    if negative != other[2]:
        return None
    found = _by_sets(one[1], other[1])
    return frozenset((_NOT[a], _NOT[b]) for a, b in found) if negative else found


def _by_sets(old: frozenset[bytes], new: frozenset[bytes]) -> Outcomes:
    if old == new:
        return _SAME
    return _WIDER if old < new else _NARROWER if old > new else _WIDER | _NARROWER


def _choices(node: Expr) -> tuple[str, frozenset[bytes], bool] | None:
    """What has to be one of which constants, or (True) none of them."""
    if isinstance(node, And | Or):
        return _joined_choices(node)
    negative = isinstance(node, Not)
    inner = node.operand if isinstance(node, Not) else node
    if not isinstance(inner, Call) or inner.target is not None or len(inner.args) != 2:
        return None
    left, right = inner.args
    if inner.function == "in" and isinstance(right, ListExpr) and not right.optional:
        items = right.elements
    elif inner.function in ("==", "!="):
        if isinstance(left, Constant):
            left, right = right, left
        items = (right,)
        negative ^= inner.function == "!="
    else:
        return None
    if isinstance(left, Constant) or mentions(left) != frozenset():
        return None
    constants = [item.value for item in items if isinstance(item, Constant)]
    if len(constants) < len(items) or not constants:
        return None
    if not all(value is None or type(value) in (bool, int, float, str) for value in constants):
        return None
    return unparse(left), frozenset(_text(value) for value in constants), negative


def _joined_choices(node: And | Or) -> tuple[str, frozenset[bytes], bool] | None:
    """The choices of `x == a || x == b`, and of `x != a && x != b`."""
    found = [_choices(operand) for operand in node.operands]
    known = [each for each in found if each is not None]
    if len(known) < len(found) or len({(text, negative) for text, _, negative in known}) != 1:
        return None
    text, _, negative = known[0]
    if negative is not isinstance(node, And):
        return None
    return text, frozenset[bytes]().union(*(choices for _, choices, _ in known)), negative


def _listed(old: Expr, new: Expr, lists: Lists) -> Outcomes | None:
    """The same thing in a list of the bundle that has other entries now."""
    if unparse(old) != unparse(new) or not isinstance(old, Call) or old.function != "in":
        return None
    left, right = old.args
    name = _list_name(right)
    return lists.outcomes(name) if name is not None and mentions(left) == frozenset() else None
