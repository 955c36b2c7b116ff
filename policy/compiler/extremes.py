"""Rules for which a list has a number that is large or small enough.

One loop finds the greatest and the least of all members of its elements that rules ask for; limits
are then compared with those. An element that is no number is an error, which any other element that
passes absorbs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from .access import Entry, Kind
from .classes import class_test
from .formula import Place
from .hoisting import ELEMENT, Scope
from .outcomes import Outcomes
from .pycode import (
    Statement,
    assign,
    call,
    compare,
    constant,
    if_,
    loop,
    name,
)
from .thresholds import Thresholds, bound_of_entry

__all__ = ["Extremes"]

#: How a number is beyond an extreme, and what no number has to be: limits are finite.
_PASSING: Final = {"greatest": ">", "least": "<"}
_UNREACHED: Final = {"greatest": -math.inf, "least": math.inf}


class Extremes:
    """Writes loops over lists. `unruly` variables may hold what JSON does not have."""

    def __init__(self, outcomes: Outcomes, thresholds: Thresholds, unruly: frozenset[str]) -> None:
        self._out, self._thresholds, self._unruly = outcomes, thresholds, unruly

    def code(
        self, kinds: Mapping[Kind, Sequence[Entry]], place: Place, scope: Scope
    ) -> list[Statement]:
        """What all `kinds` of rules come to for a list, or the names of an object, at `place`."""
        if not kinds:
            return []
        inside = scope.apart(scope.node(Place(place.variable, (*place.path, 0))))
        inside.fetch([Place(ELEMENT, kind.member) for kind in kinds])
        unruly = place.variable in self._unruly
        first: list[Statement] = [assign("odd", constant(False))] if unruly else []
        judged: list[Statement] = []
        failed: list[Statement] = []
        passed: list[Statement] = []
        for index, (kind, entries) in enumerate(kinds.items()):
            unsure = f"unsure{index}"
            first.append(assign(unsure, constant(False)))
            failed.append(if_(name(unsure), self._out.failed(entries)))
            number = inside.slot(Place(ELEMENT, kind.member))
            rises: list[Statement] = []
            for extreme, sign in _PASSING.items():
                rules = [each for each in entries if bound_of_entry(each)[0][0] == sign]
                if rules:
                    best = f"{extreme}{index}"
                    first.append(assign(best, constant(_UNREACHED[extreme])))
                    rises.append(if_(compare(number, sign, name(best)), [assign(best, number)]))
                    passed += self._thresholds.thresholds(rules, name(best), scope)
            other = [assign(unsure, constant(True))]
            if unruly:
                other = [if_(call("is_odd", number), [assign("odd", constant(True))], other)]
            doubles = any(isinstance(bound_of_entry(each)[1], float) for each in entries)
            test = class_test("number", number, unruly=unruly, doubles=doubles)
            judged.append(if_(test, rises, other))
        known = [*failed, *passed]
        if unruly:
            everything = [entry for entries in kinds.values() for entry in entries]
            known = [if_(name("odd"), self._out.unclear(everything), known)]
        return [*first, loop("x", scope.slot(place), [*inside.statements, *judged]), *known]
