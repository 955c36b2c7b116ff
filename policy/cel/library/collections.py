"""Functions on lists: those of cel-go's sets and lists extensions that rules have a use for."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Final

from ..arithmetic import SIZE_MAX, too_large
from ..types import ANY_LIST, BOOL, INT, list_of, param
from ..values import CelError, Unknown, holds, is_list, merge, ordering
from .registry import Library

__all__ = [
    "COLLECTIONS",
    "contains",
    "distinct",
    "equivalent",
    "flatten",
    "flatten_to",
    "intersects",
    "range_",
    "reverse",
    "slice_",
    "sort",
    "sort_by_keys",
]

COLLECTIONS: Final = Library()
_T: Final = param("T")
_LIST: Final = list_of(_T)

#: Comparing every element with every other one stays below some million steps.
_PAIRS_MAX: Final = 4_000_000


def _too_many_pairs(left: list[object], right: list[object]) -> bool:
    return len(left) * len(right) > _PAIRS_MAX


@COLLECTIONS.function("sets.contains", _LIST, _LIST, result=BOOL)
def contains(outer: list[object], inner: list[object]) -> object:
    """Whether every element of the second list is in the first."""
    if _too_many_pairs(outer, inner):
        return too_large()
    found = [holds(outer, item) for item in inner]
    return False if False in found else (merge(found) or True)


@COLLECTIONS.function("sets.equivalent", _LIST, _LIST, result=BOOL)
def equivalent(left: list[object], right: list[object]) -> object:
    """Whether each list contains the other."""
    verdicts = (contains(left, right), contains(right, left))
    return False if False in verdicts else (merge(verdicts) or True)


@COLLECTIONS.function("sets.intersects", _LIST, _LIST, result=BOOL)
def intersects(left: list[object], right: list[object]) -> object:
    """Whether the lists have an element in common."""
    if _too_many_pairs(left, right):
        return too_large()
    found = [holds(left, item) for item in right]
    return True if True in found else (merge(found) or False)


@COLLECTIONS.method("slice", _LIST, INT, INT, result=_LIST)
def slice_(items: list[object], start: int, end: int) -> object:
    """The elements from `start` up to, without, `end`."""
    if 0 <= start <= end <= len(items):
        return items[start:end]
    return CelError("index_out_of_range", "a position is outside the list")


@COLLECTIONS.method("reverse", _LIST, result=_LIST)
def reverse(items: list[object]) -> list[object]:
    """The elements from last to first."""
    return items[::-1]


@COLLECTIONS.method("distinct", _LIST, result=_LIST)
def distinct(items: list[object]) -> object:
    """The elements without those that equal an earlier one."""
    kept: list[object] = []
    for item in items:
        if _too_many_pairs(items, kept):
            return too_large()
        found = holds(kept, item)
        if found is False:
            kept.append(item)
        elif found is not True:
            return found
    return kept


@COLLECTIONS.method("flatten", ANY_LIST, result=ANY_LIST)
def flatten(items: list[object]) -> object:
    """Lists in the list replaced by their elements, one level deep."""
    return flatten_to(items, 1)


@COLLECTIONS.method("flatten", ANY_LIST, INT, result=ANY_LIST)
def flatten_to(items: list[object], depth: int) -> object:
    """The same, `depth` levels deep."""
    if depth < 0:
        return CelError("invalid_argument", "`flatten` to a negative depth")
    flat: list[object] = items
    while depth > 0 and any(isinstance(item, list | Unknown) for item in flat):
        unknown = merge(flat)  # It might be a list.
        if unknown is not None:
            return unknown
        parts = [item if is_list(item) else [item] for item in flat]
        if sum(map(len, parts)) > SIZE_MAX:
            return too_large()
        flat = [item for part in parts for item in part]
        depth -= 1
    return flat


@COLLECTIONS.method("sort", _LIST, result=_LIST)
def sort(items: list[object]) -> object:
    """The elements in order; they are of one ordered type."""
    return sort_by_keys(items, items)


def sort_by_keys(items: list[object], keys: list[object]) -> object:
    """`items` in the order of their `keys`, which are of one ordered type."""
    abnormal = merge(keys)
    if abnormal is not None:
        return abnormal
    if any(ordering(keys[0], key) is None for key in keys):
        return CelError("no_such_overload", "`sort` takes elements of one type that has an order")

    def order(one: int, two: int) -> int:
        pair = ordering(keys[one], keys[two])
        return 0 if pair is None else int(pair[0] > pair[1]) - int(pair[0] < pair[1])

    return [items[index] for index in sorted(range(len(items)), key=cmp_to_key(order))]


@COLLECTIONS.function("lists.range", INT, result=list_of(INT))
def range_(count: int) -> object:
    """The ints from 0 up to, without, `count`."""
    return list(range(count)) if count <= SIZE_MAX // 10 else too_large()
