"""Access predicates that compare with a limit: numbers, sizes, times, and those of elements.

Rules with nothing but a limit are a slice of the sorted limits, behind one comparison with the
easiest of them. Where something is left to be tried, one comparison guards many rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from .access import Entry, Kind
from .classes import class_test
from .formula import Order, Place, Quantified, Size, Time
from .hoisting import ELEMENT, Scope
from .outcomes import Outcomes
from .pycode import (
    Node,
    Statement,
    assign,
    call,
    compare,
    constant,
    element,
    extend,
    function,
    if_,
    loop,
    name,
    negated,
    return_,
    tuple_,
)
from .tables import slicer

__all__ = ["Thresholds", "exact_decimal"]

#: Up to so many comparisons stand one after the other.
_FEW: Final = 3
#: Rules with something left to be tried stand in functions of so many, behind one guard.
_CHUNK: Final = 24
_OPERATORS: Final = (">", ">=", "<", "<=")

#: A limit as it is sorted, as code, and the rule behind it.
_Threshold: TypeAlias = tuple[Any, Node, Entry]


class Thresholds:
    """Writes comparisons with limits. `unruly` variables may hold what JSON does not have."""

    def __init__(self, outcomes: Outcomes, unruly: frozenset[str]) -> None:
        self._out, self._unruly = outcomes, unruly
        self._lowering = outcomes.lowering

    def thresholds(
        self, entries: Sequence[Entry], view: Node, scope: Scope, *, decimal: bool = False
    ) -> list[Statement]:
        """What `entries` come to for `view`, a number; for a decimal with `decimal`."""
        found: list[Statement] = []
        for operator in _OPERATORS:
            chosen = [
                (*self._limit(entry, decimal), entry)
                for entry in entries
                if _bound(entry).operator == operator
            ]
            # The one that is the easiest to pass comes first.
            chosen.sort(key=lambda each: each[0], reverse=operator in ("<", "<="))
            bare = [each for each in chosen if not each[2].rest]
            found += self._bare(operator, bare, view)
            tried = [each for each in chosen if each[2].rest]
            found += self._tried(operator, tried, view, scope)
        return found

    def _limit(self, entry: Entry, decimal: bool) -> tuple[Any, Node]:
        """A limit as it is sorted, and as code."""
        bound = _bound(entry)
        limit = bound.moment_ns if isinstance(bound, Time) else bound.number
        if not decimal:
            return limit, constant(limit)
        exact = exact_decimal(limit)
        return exact, self._out.namespace.add("decimal", exact)

    def _bare(self, operator: str, chosen: list[_Threshold], view: Node) -> list[Statement]:
        """Rules with nothing but a threshold: one comparison, and a slice of the sorted rules."""
        if len(chosen) <= _FEW:
            return [
                if_(compare(view, operator, limit), self._out.add([entry.rule.index]))
                for _, limit, entry in chosen
            ]
        cut = self._slice(operator, chosen, view, lambda index: index)
        return [if_(compare(view, operator, chosen[0][1]), [extend("hits", cut)])]

    def _slice(
        self, operator: str, chosen: list[_Threshold], view: Node, hit: Callable[[int], int]
    ) -> Node:
        ascending = sorted(chosen, key=lambda each: each[0])
        hits = [hit(entry.rule.index) for _, _, entry in ascending]
        cut = slicer(operator, [each[0] for each in ascending], hits)
        return call(self._out.namespace.add("slice", cut), view)

    def _tried(
        self, operator: str, chosen: list[_Threshold], view: Node, scope: Scope
    ) -> list[Statement]:
        """Rules with something left to be tried: once, where many have the same left."""
        families: dict[object, list[_Threshold]] = {}
        for each in chosen:
            families.setdefault(each[2].rest, []).append(each)
        found: list[Statement] = []
        apart: list[_Threshold] = []
        for family in families.values():
            if len(family) <= _FEW:
                apart += family
                continue
            block = scope.inner()
            rest = family[0][2].rest
            true = extend("hits", self._slice(operator, family, view, lambda index: index))
            error = extend("hits", self._slice(operator, family, view, lambda index: ~index))
            maybe = self._lowering.all_maybe(rest, block)
            body = if_(maybe, [if_(self._lowering.all_true(rest, block), [true], [error])])
            found.append(if_(compare(view, operator, family[0][1]), [*block.statements, body]))
        return found + self._chunks(operator, apart, view, scope)

    def _chunks(
        self, operator: str, chosen: list[_Threshold], view: Node, scope: Scope
    ) -> list[Statement]:
        """Rules tried one by one, in chunks behind the easiest threshold of each."""

        def tests(part: list[_Threshold], view: Node, scope: Scope) -> list[Statement]:
            return [
                if_(compare(view, operator, limit), self._out.passed([entry], scope))
                for _, limit, entry in part
            ]

        if len(chosen) <= _FEW:
            return [
                if_(compare(view, operator, limit), self._out.passed_apart([entry], scope))
                for _, limit, entry in chosen
            ]
        found: list[Statement] = []
        inline = len(chosen) <= _CHUNK
        for start in range(0, len(chosen), _CHUNK):
            part = chosen[start : start + _CHUNK]
            inside = scope.inner() if inline else Scope(scope.roots)
            body = tests(part, view if inline else name("view"), inside)
            body = [*inside.statements, *body]
            if not inline:
                body = [self._out.call(self._out.define("chunk", body, "view"), view)]
            found.append(if_(compare(view, operator, part[0][1]), body))
        return found if inline else [if_(compare(view, operator, chosen[0][1]), found)]

    def times(
        self, kind: str, entries: Sequence[Entry], value: Node, scope: Scope
    ) -> list[Statement]:
        """What `entries` come to for a value that may be, or be converted to, a time."""
        moment = name("moment_ns")
        known = self.thresholds(entries, moment, scope)
        return [
            assign("moment_ns", call("moment" if kind == "time" else "instant", value)),
            if_(compare(moment, "==", moment), known, self._out.failed(entries)),
        ]

    def extremes(
        self, kind: Kind, entries: Sequence[Entry], place: Place, scope: Scope
    ) -> list[Statement]:
        """Rules for which a list has a number that is large or small enough.

        An element that is no number is an error, which any other element that passes absorbs.
        """
        found, none = name("found"), constant(None)
        rising = [entry for entry in entries if _bound(entry).operator in (">", ">=")]
        falling = [entry for entry in entries if entry not in rising]
        known = [assign("least", element(found, 0)), assign("greatest", element(found, 1))]
        passed = self.thresholds(rising, name("greatest"), scope)
        passed += self.thresholds(falling, name("least"), scope)
        known.append(if_(element(found, 2), self._out.failed(entries)))
        known.append(if_(compare(name("greatest"), "is not", none), passed))
        if place.variable in self._unruly:
            known = [if_(compare(found, "is", name("ODD")), self._out.unclear(entries), known)]
        return [
            assign("found", call(self._define_extremes(kind, place, scope), scope.slot(place))),
            if_(compare(found, "is not", none), known),
        ]

    def _define_extremes(self, kind: Kind, place: Place, scope: Scope) -> str:
        """A function that gives the least and greatest number of a list, and if all are numbers.

        Without numbers both are None. None for a list that has nothing in it; ODD where an element
        is what JSON does not have.
        """
        inside = scope.apart(scope.node(Place(place.variable, (*place.path, 0))))
        number = inside.slot(Place(ELEMENT, kind.member))
        least, greatest, none = name("least"), name("greatest"), constant(None)
        falls = if_(compare(number, "<", least), [assign("least", number)])
        rises = if_(compare(number, ">", greatest), [assign("greatest", number)], [falls])
        first = assign("least", number, "greatest")
        other = [assign("unsure", constant(True))]
        if place.variable in self._unruly:
            other = [if_(call("is_odd", number), [return_(name("ODD"))], other)]
        test = class_test("number", number, unruly=place.variable in self._unruly)
        judged = if_(test, [if_(compare(greatest, "is", none), [first], [rises])], other)
        body = [
            if_(negated(name("items")), [return_(none)]),
            assign("least", none, "greatest"),
            assign("unsure", constant(False)),
            loop("x", name("items"), [*inside.statements, judged]),
            return_(tuple_([least, greatest, name("unsure")])),
        ]
        identifier = self._out.namespace.fresh("extremes")
        self._lowering.functions.append(function(identifier, ("items",), body))
        return identifier


def _bound(entry: Entry) -> Order | Size | Time:
    """The comparison that `entry` waits behind."""
    atom = entry.atom.body if isinstance(entry.atom, Quantified) else entry.atom
    assert isinstance(atom, Order | Size | Time), "only comparisons have thresholds"
    return atom


def exact_decimal(number: float) -> Decimal:
    """A number as CEL compares it with decimals: a double is the shortest decimal that denotes it."""
    return Decimal(repr(number)) if type(number) is float else Decimal(number)
