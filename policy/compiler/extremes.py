"""Rules for which a list has a number that is large or small enough.

One loop finds the greatest and the least of all members of its elements that rules ask for; limits
are then compared with those. An element that is no number is an error, which any other element that
passes absorbs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from .access import Entry, Kind
from .classes import class_test
from .formula import Place
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
    function,
    if_,
    loop,
    name,
    return_,
    tuple_,
)
from .thresholds import Thresholds, bound_of_entry

__all__ = ["Extremes"]

#: How a number is beyond an extreme, and what no number has to be: limits are finite.
_PASSING: Final = {"greatest": ">", "least": "<"}
_UNREACHED: Final = {"greatest": -math.inf, "least": math.inf}


class _Sought(NamedTuple):
    """What is to be found of one member; `doubles` where it is likely to be one."""

    member: tuple[str | int, ...]
    extremes: tuple[str, ...]
    doubles: bool


class Extremes:
    """Writes loops over lists. `unruly` variables may hold what JSON does not have."""

    def __init__(self, outcomes: Outcomes, thresholds: Thresholds, unruly: frozenset[str]) -> None:
        self._out, self._thresholds, self._unruly = outcomes, thresholds, unruly
        #: The functions with the loops.
        self._known: dict[object, str] = {}

    def code(
        self, kinds: Mapping[Kind, Sequence[Entry]], place: Place, scope: Scope
    ) -> list[Statement]:
        """What all `kinds` of rules come to for a list, or the names of an object, at `place`."""
        everything = [entry for entries in kinds.values() for entry in entries]
        if not everything:
            return []
        found = name("found")
        sought: list[_Sought] = []
        known: list[Statement] = []
        passed: list[Statement] = []
        position = len(kinds)
        for number, (kind, entries) in enumerate(kinds.items()):
            known.append(if_(element(found, number), self._out.failed(entries)))
            passing = {
                extreme: [each for each in entries if bound_of_entry(each)[0][0] == sign]
                for extreme, sign in _PASSING.items()
            }
            for extreme, rules in passing.items():
                if rules:
                    passed.append(assign(extreme, element(found, position)))
                    passed += self._thresholds.thresholds(rules, name(extreme), scope)
                    position += 1
            doubles = any(isinstance(bound_of_entry(each)[1], float) for each in entries)
            extremes = tuple(extreme for extreme, rules in passing.items() if rules)
            sought.append(_Sought(kind.member, extremes, doubles))
        known += passed
        if place.variable in self._unruly:
            known = [if_(compare(found, "is", name("ODD")), self._out.unclear(everything), known)]
        loops = self._function(tuple(sought), place, scope)
        return [assign("found", call(loops, scope.slot(place))), *known]

    def _function(self, sought: tuple[_Sought, ...], place: Place, scope: Scope) -> str:
        """A function from a list to what is sought.

        For each member whether it is no number somewhere, then the extremes; without numbers there
        is no limit that they would pass. ODD where an element is what JSON does not have.
        """
        key = (place, sought)
        if key not in self._known:
            self._known[key] = self._define(sought, place, scope)
        return self._known[key]

    def _define(self, sought: Sequence[_Sought], place: Place, scope: Scope) -> str:
        unruly = place.variable in self._unruly
        inside = scope.apart(scope.node(Place(place.variable, (*place.path, 0))))
        members = [Place(ELEMENT, each.member) for each in sought]
        inside.fetch(members)
        first: list[Statement] = []
        judged: list[Statement] = []
        unsure: list[Node] = []
        extremes: list[Node] = []
        for index, (each, member) in enumerate(zip(sought, members, strict=True)):
            number, local = inside.slot(member), f"unsure{index}"
            first.append(assign(local, constant(False)))
            unsure.append(name(local))
            rises: list[Statement] = []
            for extreme in each.extremes:
                best = f"{extreme}{index}"
                first.append(assign(best, constant(_UNREACHED[extreme])))
                extremes.append(name(best))
                beyond = compare(number, _PASSING[extreme], name(best))
                rises.append(if_(beyond, [assign(best, number)]))
            other = [assign(local, constant(True))]
            if unruly:
                other = [if_(call("is_odd", number), [return_(name("ODD"))], other)]
            test = class_test("number", number, unruly=unruly, doubles=each.doubles)
            judged.append(if_(test, rises, other))
        body = [
            *first,
            loop("x", name("items"), [*inside.statements, *judged]),
            return_(tuple_([*unsure, *extremes])),
        ]
        identifier = self._out.namespace.fresh("extremes")
        self._out.lowering.functions.append(function(identifier, ("items",), body))
        return identifier
