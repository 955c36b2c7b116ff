"""What waits behind a look-up: rules by constant, prefix, pattern or element.

A *bucket* is a function of event, value and hits that adds what its rules come to. Tables are made
once, and filled with buckets after the generated code was loaded.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias

import re2

from ...schemas.json_projection import MISSING
from .runtime import is_odd

__all__ = [
    "Bucket",
    "Lookup",
    "adder",
    "elements",
    "member_reader",
    "prefixes",
    "searches",
    "slicer",
    "some",
    "suffixes",
]

Bucket: TypeAlias = Callable[[Any, Any, list[int]], None]
#: A look-up of one value, the last parameter.
Lookup: TypeAlias = Callable[[Any, Any, list[int], Any], None]

#: What the automaton of a set may take: the least of these that it fits into. The last one is
#: enough for some ten thousand patterns.
_SET_MEMORIES: Final = (1 << 23, 1 << 25, 1 << 28)


def adder(hits_of: Sequence[int]) -> Bucket:
    """A bucket of rules that have nothing left to be tried."""
    added = tuple(hits_of)

    def add(_event: Any, _value: Any, hits: list[int]) -> None:
        hits += added

    return add


def prefixes(table: Mapping[str, Bucket]) -> Lookup:
    """Buckets of the constants that a text starts with."""
    lengths, get = sorted({len(text) for text in table}), table.get

    def look_up(event: Any, value: Any, hits: list[int], text: str) -> None:
        for length in lengths:
            if length > len(text):  # a longer slice would be the whole text once more
                return
            bucket = get(text[:length])
            if bucket is not None:
                bucket(event, value, hits)

    return look_up


def suffixes(table: Mapping[str, Bucket]) -> Lookup:
    """Buckets of the constants that a text ends with."""
    lengths, get = sorted({len(text) for text in table}), table.get

    def look_up(event: Any, value: Any, hits: list[int], text: str) -> None:
        for length in lengths:
            if length > len(text):
                return
            bucket = get(text[len(text) - length :])
            if bucket is not None:
                bucket(event, value, hits)

    return look_up


def elements(table: Mapping[str, Bucket]) -> Lookup:
    """Buckets of the constants that are among the elements of a list, or the names of an object."""
    get, none_of = table.get, frozenset(table).isdisjoint

    def look_up(event: Any, value: Any, hits: list[int], items: Any) -> None:
        try:
            if none_of(items):
                return
        except TypeError:  # a list or an object is among the elements
            pass
        for bucket in {get(item) for item in items if item.__class__ is str}:
            if bucket is not None:
                bucket(event, value, hits)

    return look_up


def member_reader(type_: type | None, name: str) -> Callable[[Any], Any]:
    """What reads one member of an element: MISSING where that is none or has none.

    `type_` is the class of objects and `name` the attribute; without, objects are dicts.
    """
    if type_ is None:
        return lambda item: item.get(name, MISSING) if item.__class__ is dict else MISSING
    read = attrgetter(name)
    return lambda item: read(item) if item.__class__ is type_ else MISSING


def some(
    texts: Mapping[str, Bucket],
    numbers: Mapping[float, Bucket],
    read: Callable[[Any], Any] | None,
    failed: Bucket,
    judge: Bucket,
) -> Lookup:
    """Buckets of the constants that an element, or a member of one, is equal to.

    An element without the member is an error, which any other that is equal absorbs.
    """

    def look_up(event: Any, value: Any, hits: list[int], items: Any) -> None:
        found: set[Bucket | None] = set()
        unsure = False
        for item in items:
            member = item if read is None else read(item)
            if member.__class__ is str:
                found.add(texts.get(member))
            elif member.__class__ is float or member.__class__ is int:
                found.add(numbers.get(member))
            elif member is MISSING:
                unsure = True
            elif is_odd(member):
                judge(event, value, hits)
                return
        if unsure:
            failed(event, value, hits)
        for bucket in found:
            if bucket is not None:
                bucket(event, value, hits)

    return look_up


def searches(table: Mapping[str, Bucket], failed: Bucket) -> Lookup:
    """Buckets of the patterns that are found in a text, by one automaton.

    `failed` judges all of them, should the automaton give up.
    """
    for memory in _SET_MEMORIES:
        with contextlib.suppress(re2.error):
            return _search(table, failed, memory)
    patterns = list(table)
    middle = len(patterns) // 2
    if not middle:
        return lambda event, value, hits, _: failed(event, value, hits)
    one = searches({pattern: table[pattern] for pattern in patterns[:middle]}, failed)
    two = searches({pattern: table[pattern] for pattern in patterns[middle:]}, failed)

    def look_up(event: Any, value: Any, hits: list[int], text: str) -> None:
        one(event, value, hits, text)
        two(event, value, hits, text)

    return look_up


def _search(table: Mapping[str, Bucket], failed: Bucket, memory: int) -> Lookup:
    options = re2.Options()
    options.max_mem = memory
    options.log_errors = False
    union = re2.Set.SearchSet(options)
    union.Add("")  # Always found: its absence means that the set gave up, which it cannot say.
    for pattern in table:
        union.Add(pattern)
    union.Compile()
    match, buckets = union.Match, [None, *table.values()]

    def look_up(event: Any, value: Any, hits: list[int], text: str) -> None:
        try:
            found = match(text.encode())
        except Exception:  # noqa: BLE001 — whatever the binding raises, the rules are judged
            found = None
        if found is None:
            failed(event, value, hits)
        elif len(found) > 1:
            for position in found:
                bucket = buckets[position]
                if bucket is not None:
                    bucket(event, value, hits)

    return look_up


def slicer(operator: str, limits: Sequence[Any], added: Sequence[int]) -> Callable[[Any], Any]:
    """The hits of the limits for which `view operator limit` holds; limits ascend."""
    all_of = tuple(added)
    cut = bisect_left if operator in (">", "<=") else bisect_right
    ascending = list(limits)
    if operator in (">", ">="):
        return lambda view: all_of[: cut(ascending, view)]
    return lambda view: all_of[cut(ascending, view) :]
