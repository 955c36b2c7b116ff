"""What can be proved about two formulas, for every event there can be.

All claims are sound and none is complete: what is claimed holds, and much that holds is not
claimed. Errors count: a rule fires where its condition is true or an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

from ..cel.values import ordering
from .formulas import All, Atom, Either, Formula

__all__ = ["covers", "excludes", "never_true"]

#: More parts than people write; comparing them all with each other would take long.
_PARTS_MAX: Final = 40
_DEPTH_MAX: Final = 4


def covers(narrow: Formula, wide: Formula) -> bool:
    """Whether `wide` is never false where `narrow` is true or an error."""
    if isinstance(wide, All):
        return all(covers(narrow, part) for part in wide.parts)
    if isinstance(narrow, Either):
        return all(covers(part, wide) for part in narrow.parts)
    if isinstance(wide, Either) and any(covers(narrow, part) for part in wide.parts):
        return True
    if isinstance(narrow, All):
        return any(covers(part, wide) for part in narrow.parts)
    if isinstance(wide, Either):
        return False
    return _atom_covers(narrow, wide)


def excludes(one: Formula, other: Formula, *, certainly: bool = True) -> bool:
    """Whether `other` is false, and no error, wherever `one` is true; or just not true."""
    if isinstance(one, Either):
        return all(excludes(part, other, certainly=certainly) for part in one.parts)
    if isinstance(other, Either):
        return all(excludes(one, part, certainly=certainly) for part in other.parts)
    if isinstance(one, All):
        return any(excludes(part, other, certainly=certainly) for part in one.parts)
    if isinstance(other, All):
        return any(excludes(one, part, certainly=certainly) for part in other.parts)
    return _atom_excludes(one, other, certainly)


def never_true(formula: Formula, known: Sequence[Atom] = (), depth: int = 0) -> bool:
    """Whether the formula is true for no event at all, as far as `known` holds for them."""
    if isinstance(formula, Either):
        return all(never_true(part, known, depth) for part in formula.parts)
    parts = formula.parts if isinstance(formula, All) else (formula,)
    if len(parts) > _PARTS_MAX:
        return False
    plain = [part for part in parts if isinstance(part, Atom)]
    if _contradicts([*known, *plain]):
        return True
    choices = [part for part in parts if not isinstance(part, Atom)]
    return depth < _DEPTH_MAX and any(
        never_true(part, [*known, *plain], depth + 1) for part in choices
    )


def _contradicts(together: Sequence[Atom]) -> bool:
    """Whether two of the atoms are never true together, or those on one subject leave nothing."""
    if any(atom.asks == "false" for atom in together):
        return True
    for one, other in combinations(together, 2):
        if excludes(one, other, certainly=False) or excludes(other, one, certainly=False):
            return True
    subjects: dict[str, list[Atom]] = {}
    for atom in together:
        if atom.has_test:
            subjects.setdefault(atom.subject, []).append(atom)
    for same in subjects.values():
        pinned = next((atom for atom in same if atom.pinned), None)
        if pinned is not None and not any(
            all(atom.test(value) is True for atom in same) for value in pinned.values
        ):
            return True
    return False


# ----------------------------------------------------------------------- atoms


def _atom_covers(narrow: Atom, wide: Atom) -> bool:
    if narrow.text == wide.text or wide.asks == "true" or narrow.asks == "false":
        return True
    if not _comparable(narrow, wide):
        return False
    if narrow.listed:
        return all(wide.test(value) is not False for value in narrow.values)
    if wide.unlisted:
        return all(narrow.test(value) is False for value in wide.values)
    if narrow.ordered and wide.ordered:
        return _order_covers(narrow, wide)
    return _text_covers(narrow, wide)


def _denies(denied: Atom, narrow: Atom) -> bool:
    """`!(v > 3)` and `v > 5`: whatever makes the second true makes true what the first denies."""
    if not denied.denied:
        return False
    wide = replace(denied, asks=denied.denied)
    if narrow.ordered and wide.ordered:
        return _order_covers(narrow, wide)
    return _text_covers(narrow, wide)


def _order_covers(narrow: Atom, wide: Atom) -> bool:
    """`v > 100` and `v > 50`: where the second is false, there is a number for the first."""
    if narrow.asks[0] != wide.asks[0]:
        return False
    pair = ordering(narrow.values[0], wide.values[0])
    if pair is None:
        return False
    one, other = pair
    further = one >= other if narrow.asks[0] == ">" else one <= other
    same_but_looser = one == other and narrow.asks[1:] == "=" and wide.asks[1:] == ""
    return bool(further) and not same_but_looser


def _text_covers(narrow: Atom, wide: Atom) -> bool:
    """Texts that begin with `abc` begin with `ab`, and contain `b`."""
    if not narrow.values or not wide.values:
        return False
    longer, shorter = narrow.values[0], wide.values[0]
    if not isinstance(longer, str) or not isinstance(shorter, str):
        return False
    match narrow.asks, wide.asks:
        case "startsWith", "startsWith":
            return longer.startswith(shorter)
        case "endsWith", "endsWith":
            return longer.endswith(shorter)
        case "startsWith" | "endsWith" | "contains", "contains":
            return shorter in longer
        case _:
            return False


def _atom_excludes(one: Atom, other: Atom, certainly: bool) -> bool:
    if one.asks == "false" or other.asks == "false":
        return True
    if one.text == f"!({other.text})" or other.text == f"!({one.text})":
        return True
    if one.subject == other.subject and (one.asks == "!has") is not (other.asks == "!has"):
        return not certainly  # What reads a field that is not there is an error.
    if not _comparable(one, other):
        return False
    if one.pinned:
        return all(_refuses(other.test(value), certainly) for value in one.values)
    if other.listed or (other.pinned and not certainly):
        return all(one.test(value) is not True for value in other.values)
    if one.ordered and other.ordered and _orders_exclude(one, other):
        return True
    if one.asks == other.asks and one.asks in ("startsWith", "endsWith"):
        return _ends_differ(one, other)
    if _denies(one, other) or _denies(other, one):
        return True
    return not certainly and bool(one.kind and other.kind and one.kind != other.kind)


def _comparable(one: Atom, other: Atom) -> bool:
    """Whether they ask about the value of one subject."""
    return one.subject == other.subject and one.has_test and other.has_test


def _refuses(verdict: object, certainly: bool) -> bool:
    return verdict is False if certainly else verdict is not True


def _orders_exclude(one: Atom, other: Atom) -> bool:
    """`v > 5` and `v < 3`."""
    if one.asks[0] == other.asks[0]:
        return False
    above, below = (one, other) if one.asks[0] == ">" else (other, one)
    pair = ordering(above.values[0], below.values[0])
    if pair is None:
        return False
    low, high = pair
    if low == high:
        return not (above.asks == ">=" and below.asks == "<=")
    return bool(low > high)


def _ends_differ(one: Atom, other: Atom) -> bool:
    left, right = str(one.values[0]), str(other.values[0])
    if one.asks == "startsWith":
        return not (left.startswith(right) or right.startswith(left))
    return not (left.endswith(right) or right.endswith(left))
