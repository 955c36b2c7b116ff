"""Access predicates that ask for constants: values, texts, elements.

Few are asked one by one; many are looked up in a table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import re2

from .access import CONSTANTS_MAX, Entry, Kind
from .formula import Atom, Contains, Equal, Flag, Place, Quantified, Scalar, Text
from .hoisting import Scope
from .outcomes import Outcomes
from .pycode import (
    Node,
    Statement,
    assign,
    attribute,
    call,
    compare,
    constant,
    disjunction,
    if_,
    name,
    negated,
    tuple_,
)
from .tables import elements, member_reader, prefixes, searches, some, suffixes
from .thresholds import exact_decimal

__all__ = ["Lookups", "has_constants"]

#: Up to so many predicates are asked one by one: a look-up costs more.
_FEW: Final = 3
_SEARCHES_FEW: Final = 2
#: Up to so many starts or ends of texts are asked for one by one: it is cheaper than a look-up.
_STEMS: Final = (1, 3, 6)
#: Shorter ones are those of most texts.
_STEM_MIN: Final = 3
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "number": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


class Lookups:
    """Writes look-ups; `each` is the class of the value that is asked about."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._out = outcomes
        self._lowering = outcomes.lowering

    def one_by_one(
        self, entries: Sequence[Entry], each: str | None, value: Node, scope: Scope
    ) -> list[Statement]:
        """Each predicate by itself, once for all rules behind it; the class may not be known."""
        families: dict[Atom, list[Entry]] = {}
        for entry in entries:
            families.setdefault(entry.atom, []).append(entry)
        found: list[Statement] = []
        for atom, family in families.items():
            test = self._atom(atom, each, value)
            passed = self._out.passed_apart(family, scope)
            found += passed if test is None else [if_(test, passed)]
        return found

    def _atom(self, asked: Atom, each: str | None, value: Node) -> Node | None:
        """Whether the predicate is true for a value of class `each`; None: it always is."""
        match asked:
            case Equal() as atom if each == "decimal":
                decimals = frozenset(_constants(atom, each))
                operator = "in" if atom.wanted else "not in"
                return compare(value, operator, self._out.namespace.add("decimals", decimals))
            case Equal() as atom:
                typed = each in ("str", "number")
                constants = atom.constants if each is None else _constants(atom, each)
                tests = self._lowering.equal_tests(constants, value, typed=typed)
                if atom.wanted or not tests:
                    return disjunction(tests) if tests else None
                return negated(disjunction(tests))
            case Text() as atom:
                test = self._lowering.text_test(atom, value)
                return test if atom.wanted else negated(test)
            case Flag() as atom:
                return compare(value, "is", constant(atom.wanted))
            case Contains() as atom:
                return compare(constant(atom.text), "in" if atom.wanted else "not in", value)
            case _:
                raise AssertionError("no predicate to be asked one by one")

    def equal(
        self, entries: Sequence[Entry], each: str, value: Node, scope: Scope
    ) -> list[Statement]:
        """Equality with constants."""
        fitting = [entry for entry in entries if has_constants(entry, each)]
        if len(fitting) <= _FEW or each in ("bool", "null"):
            return self.one_by_one(fitting, each, value, scope)
        table: dict[Any, list[Entry]] = {}
        large: list[Entry] = []
        for entry in fitting:
            constants = frozenset(_constants(entry.atom, each))
            if len(constants) > CONSTANTS_MAX:
                large.append(entry)
            else:
                for each_constant in constants:
                    table.setdefault(each_constant, []).append(entry)
        found = self._table(table, lambda buckets: buckets.get)
        bucket = name("bucket")
        return [
            assign("bucket", call(found, value)),
            if_(compare(bucket, "is not", constant(None)), [self._out.call(bucket)]),
            *self.one_by_one(large, each, value, scope),
        ]

    def _table(
        self, table: Mapping[Any, Sequence[Entry]], make: Callable[[dict[Any, Any]], object]
    ) -> Node:
        """What `make` makes of the buckets, once they are loaded."""
        namespace = self._out.namespace
        buckets = {key: self._out.bucket(entries) for key, entries in table.items()}
        identifier = namespace.fresh("table")
        values = namespace.values

        def fill() -> None:
            values[identifier] = make({key: values[each] for key, each in buckets.items()})

        namespace.later(fill)
        return name(identifier)

    def affixes(
        self, kind: str, entries: Sequence[Entry], value: Node, scope: Scope
    ) -> list[Statement]:
        """How a text starts or ends."""
        if len(entries) <= _FEW:
            return self.one_by_one(entries, "str", value, scope)
        table = _by_text(entries)
        found = self._table(table, prefixes if kind == "prefix" else suffixes)
        look_up = self._out.call(found, value)
        stems = _stems(table, "start" if kind == "prefix" else "end")
        if not stems:
            return [look_up]
        method = "startswith" if kind == "prefix" else "endswith"
        asked = tuple_([constant(stem) for stem in stems]) if stems[1:] else constant(stems[0])
        return [if_(call(attribute(value, method), asked), [look_up])]

    def contained(self, entries: Sequence[Entry], value: Node, scope: Scope) -> list[Statement]:
        """Texts that are found in a text: searched for only where one of their starts is."""
        if len(entries) <= _SEARCHES_FEW:
            return self.one_by_one(entries, "str", value, scope)
        searched = self.searches(entries, value, scope)
        stems = _stems(_by_text(entries), "start")
        if not stems:
            return searched
        return [if_(disjunction([compare(constant(s), "in", value) for s in stems]), searched)]

    def searches(self, entries: Sequence[Entry], value: Node, scope: Scope) -> list[Statement]:
        """What is found in a text: patterns, or other texts."""
        if len(entries) <= _SEARCHES_FEW:
            return self.one_by_one(entries, "str", value, scope)
        table: dict[str, list[Entry]] = {}
        for entry in entries:
            if isinstance(entry.atom, Text):
                text = entry.atom.text
                key = re2.escape(text) if entry.atom.test == "contains" else text
                table.setdefault(key, []).append(entry)
        values, judged = self._out.namespace.values, self._out.judging(entries)
        found = self._table(table, lambda buckets: searches(buckets, values[judged]))
        return [self._out.call(found, value)]

    def contains(self, entries: Sequence[Entry], value: Node, scope: Scope) -> list[Statement]:
        """Texts among the elements of a list or the names of an object."""
        if len(entries) <= _FEW:
            return self.one_by_one(entries, "list", value, scope)
        return [self._out.call(self._table(_by_text(entries), elements), value)]

    def some(
        self, kind: Kind, entries: Sequence[Entry], place: Place, scope: Scope
    ) -> list[Statement]:
        """Constants that an element of a list, or a member of one, is equal to."""
        texts: dict[str, list[Entry]] = {}
        numbers: dict[float, list[Entry]] = {}
        for entry in entries:
            for each in _looked_up(entry):
                if isinstance(each, str):
                    texts.setdefault(each, []).append(entry)
                elif isinstance(each, int | float):
                    numbers.setdefault(each, []).append(entry)
        values, judged = self._out.namespace.values, self._out.judging(entries)
        failed = self._out.function_of_failed(entries)
        read = self._reader(kind, place, scope)
        table: dict[Any, list[Entry]] = {**texts, **numbers}

        def make(buckets: dict[Any, Any]) -> object:
            by_text = {each: buckets[each] for each in texts}
            by_number = {each: buckets[each] for each in numbers}
            return some(by_text, by_number, read, values[failed], values[judged])

        return [self._out.call(self._table(table, make), scope.slot(place))]

    def _reader(self, kind: Kind, place: Place, scope: Scope) -> Callable[[Any], Any] | None:
        """What reads the member that `kind` is about; None for elements themselves."""
        if not kind.member:
            return None
        member = str(kind.member[0])
        node = scope.node(Place(place.variable, (*place.path, 0)))
        return member_reader(node.type, node.members[member][0] if node.type else member)


def _stems(texts: Collection[str], part: str) -> list[str]:
    """A few starts (or ends) that all of `texts` share: the fewest that are long, or none."""

    def stems(length: int) -> set[str]:
        return {text[:length] if part == "start" else text[-length:] for text in texts}

    lengths = range(_STEM_MIN, min(map(len, texts)) + 1)
    for most in _STEMS:
        # Longer ones are never fewer.
        fitting = bisect_right(lengths, most, key=lambda length: len(stems(length)))
        if fitting:
            return sorted(stems(lengths[fitting - 1]))
    return []


def _looked_up(entry: Entry) -> tuple[Scalar, ...]:
    atom = entry.atom.body if isinstance(entry.atom, Quantified) else entry.atom
    return atom.constants if isinstance(atom, Equal) else ()


def _by_text(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    table: dict[str, list[Entry]] = {}
    for entry in entries:
        if isinstance(entry.atom, Text | Contains):
            table.setdefault(entry.atom.text, []).append(entry)
    return table


def _constants(atom: Atom, each: str) -> list[Any]:
    """The constants that a value of class `each` can be equal to."""
    if not isinstance(atom, Equal):
        return []
    if each == "decimal":
        return [exact_decimal(number) for number in _constants(atom, "number")]
    types = _TYPES[each]
    return [constant for constant in atom.constants if type(constant) in types]


def has_constants(entry: Entry, each: str) -> bool:
    """Whether a value of class `each` can be equal to a constant of `entry`."""
    return bool(_constants(entry.atom, each))
