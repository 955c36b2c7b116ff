"""Access predicates that compare with a limit: numbers, sizes, times, and those of elements.

Rules with nothing but a limit are a slice of the sorted limits, behind one comparison with the
easiest of them. Where something is left to be tried, one comparison guards many rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from .access import Entry
from .computed import limit_of
from .formula import Comparison, Interval, Order, Quantified, Size, Time
from .hoisting import Scope
from .outcomes import NESTED_MIN, Outcomes
from .pycode import (
    Node,
    Statement,
    assign,
    call,
    compare,
    constant,
    extend,
    if_,
    name,
)
from .tables import slicer

__all__ = ["Thresholds", "bound_of_entry", "exact_decimal"]

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
                if bound_of_entry(entry)[0] == operator
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
        limit = bound_of_entry(entry)[1]
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
        # Still sorted: chunks stand behind their first threshold.
        apart = [each for each in chosen if len(families[each[2].rest]) <= _FEW]
        found: list[Statement] = []
        for family in families.values():
            if len(family) <= _FEW:
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
        """Rules tried one by one, in chunks behind the easiest threshold of each.

        Many behind the same threshold have an index of their own.
        """
        same: dict[Any, list[_Threshold]] = {}
        for each in chosen:
            same.setdefault(each[0], []).append(each)
        found: list[Statement] = []
        for family in same.values():
            if len(family) >= NESTED_MIN:
                passed = self._out.passed_apart([entry for _, _, entry in family], scope)
                found.append(if_(compare(view, operator, family[0][1]), passed))
        chosen = [each for each in chosen if len(same[each[0]]) < NESTED_MIN]

        def tests(part: list[_Threshold], view: Node, scope: Scope) -> list[Statement]:
            return [
                if_(compare(view, operator, limit), self._out.passed([entry], scope))
                for _, limit, entry in part
            ]

        if len(chosen) <= _FEW:
            return found + [
                if_(compare(view, operator, limit), self._out.passed_apart([entry], scope))
                for _, limit, entry in chosen
            ]
        chunks: list[Statement] = []
        inline = len(chosen) <= _CHUNK
        for start in range(0, len(chosen), _CHUNK):
            part = chosen[start : start + _CHUNK]
            inside = scope.inner() if inline else Scope(scope.roots)
            body = tests(part, view if inline else name("view"), inside)
            body = [*inside.statements, *body]
            if not inline:
                body = [self._out.call(self._out.define("chunk", body, "view"), view)]
            chunks.append(if_(compare(view, operator, part[0][1]), body))
        if inline:
            return found + chunks
        return [*found, if_(compare(view, operator, chosen[0][1]), chunks)]

    def times(
        self, kind: str, entries: Sequence[Entry], value: Node, scope: Scope
    ) -> list[Statement]:
        """What `entries` come to for a value that may be, or be converted to, a time."""
        moment = name("moment_ns")
        known = self.thresholds(entries, moment, scope)
        return [
            assign("moment_ns", call("moment" if kind == "time" else "instant", value)),
            if_(compare(moment, "==", moment), known, self._out.failed(entries, scope)),
        ]


def bound_of_entry(entry: Entry) -> tuple[str, int | float]:
    """The sign and the limit of the comparison that `entry` waits behind."""
    atom = entry.atom.body if isinstance(entry.atom, Quantified) else entry.atom
    if isinstance(atom, Comparison | Interval):
        limit = limit_of(atom)
        assert limit is not None, "only comparisons with a limit are waited for"
        return limit.operator, limit.number
    assert isinstance(atom, Order | Size | Time), "only comparisons have thresholds"
    return atom.operator, atom.moment_ns if isinstance(atom, Time) else atom.number


def exact_decimal(number: float) -> Decimal:
    """A number as CEL compares it with decimals: a double is the shortest decimal that denotes it."""
    return Decimal(repr(number)) if type(number) is float else Decimal(number)
