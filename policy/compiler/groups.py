"""Access predicates of one place, as code: one test of its class, then look-ups.

For every class of values a kind of predicate is coded, or it is decided at once: it is false
(nothing is written), true, or an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from .access import Awaited, Entry, Kind
from .classes import class_test, classes_of
from .computed import Length, Measure, calculator, measured
from .extremes import Extremes
from .formula import Converted, Equal, Operation, Order, Place, Present, leaves
from .hoisting import Scope
from .lookups import Lookups, has_constants
from .outcomes import Outcomes
from .pycode import (
    Node,
    Statement,
    assign,
    call,
    compare,
    constant,
    disjunction,
    if_,
    name,
    negated,
)
from .thresholds import Thresholds

__all__ = ["Groups"]

_TEXT_KINDS: Final = frozenset({"prefix", "suffix", "contained", "pattern", "textual", "untext"})
#: Which classes a kind is coded for; for the others it is an error where it is not said.
_CODED: Final[Mapping[str, tuple[str, ...]]] = {
    "equal": ("str", "number", "bool", "null", "decimal"),
    "unequal": ("str", "number", "bool", "null", "decimal"),
    "order": ("number", "decimal", "nan"),
    "flag": ("bool",),
    "size": ("str", "list", "map", "bytes"),
    "time": ("str", "number", "timestamp"),
    "instant": ("timestamp",),
    "contains": ("list", "map"),
    "uncontains": ("list", "map"),
    "extreme": ("list", "map"),
    "some": ("list", "map"),
    **dict.fromkeys(_TEXT_KINDS, ("str",)),
}
_OTHERWISE: Final = {"equal": "false", "unequal": "true"}
_PRESENT: Final = Kind("present")
#: The classes that are asked for first.
_LIKELY: Final = frozenset({"str", "number", "bool", "list"})

#: As many tests of any value as are cheaper than a test of its class and a look-up.
_TOLD_MAX: Final = 3

_Kinds: TypeAlias = Mapping[Kind, Sequence[Entry]]


class Groups:
    """Writes the code of places. `unruly` variables may hold what JSON does not have."""

    def __init__(self, outcomes: Outcomes, unruly: frozenset[str]) -> None:
        self._out, self._unruly = outcomes, unruly
        self._thresholds, self._lookups = Thresholds(outcomes, unruly), Lookups(outcomes)
        self._extremes = Extremes(outcomes, self._thresholds, unruly)

    def code(self, place: Place, kinds: _Kinds, scope: Scope) -> list[Statement]:
        """What all predicates of `kinds` on `place` come to."""
        found: list[Statement] = []
        if _PRESENT in kinds:
            found.append(self._present(place, kinds[_PRESENT], scope))
        kinds = {kind: entries for kind, entries in kinds.items() if kind != _PRESENT}
        return [*found, *self._by_class(place, kinds, scope)] if kinds else found

    def measured(self, measure: Measure, entries: Sequence[Entry], scope: Scope) -> list[Statement]:
        """What comparisons of a computation with limits come to."""
        found = measured(measure, scope, unruly=self._unruly)
        view = name("computed")
        passed = self._thresholds.thresholds(entries, view, scope)
        unknown = self._out.unclear(entries)
        if not isinstance(measure, Length):
            unknown = self._calculated(measure, entries, scope)
        otherwise = if_(found.fails, self._out.failed(entries, scope), unknown)
        return [if_(found.known, [assign("computed", found.value), *passed], [otherwise])]

    def _calculated(
        self, measure: Operation | Converted, entries: Sequence[Entry], scope: Scope
    ) -> list[Statement]:
        """The same for numbers that are too large for what is written inline."""
        places = list(dict.fromkeys(leaves(measure)))
        calculate = self._out.namespace.add("calculate", calculator(measure, places))
        view, apart = name("computed"), Scope(scope.roots)
        passed = self._thresholds.thresholds(entries, view, apart)
        body = [*apart.statements, *passed]
        large = self._out.call(self._out.define("large", body, "computed"), view)
        known = if_(compare(view, "==", view), [large], self._out.failed(entries))
        return [
            assign("computed", call(calculate, *(scope.slot(place) for place in places))),
            if_(compare(view, "is", constant(None)), self._out.unclear(entries), [known]),
        ]

    def _by_class(self, place: Place, kinds: _Kinds, scope: Scope) -> list[Statement]:
        everything = [entry.atom for entries in kinds.values() for entry in entries]
        if len(set(everything)) <= _TOLD_MAX and all(map(_tells_classes, everything)):
            return self._classless(place, kinds, scope)
        plans = {
            each: tuple(self._verdict(kind.name, entries, each) for kind, entries in kinds.items())
            for each in classes_of(place.variable, unruly=place.variable in self._unruly)
        }
        doubles = any(map(_has_double, everything))
        coded = [each for each in plans if "coded" in plans[each] and each in _LIKELY]
        coded.sort(key=lambda each: -plans[each].count("coded"))
        families: dict[object, list[str]] = {(each,): [each] for each in coded}
        for each, plan in plans.items():
            if each not in coded:
                families.setdefault((each,) if "coded" in plan else plan, []).append(each)
        # The largest family that needs no code of its own is what is left at the end.
        uncoded = [key for key in families if "coded" not in plans[families[key][0]]]
        last = max(uncoded, key=lambda key: len(families[key]), default=None)
        rest: list[Statement] = []
        if last is not None:
            rest = self._settled(kinds, plans[families.pop(last)[0]], scope)
        for classes in reversed(families.values()):
            tests = [self._test(each, place, doubles, scope) for each in classes]
            body = self._settled(kinds, plans[classes[0]], scope)
            if "coded" in plans[classes[0]]:
                coded_kinds = {
                    kind: kinds[kind]
                    for kind, verdict in zip(kinds, plans[classes[0]], strict=True)
                    if verdict == "coded"
                }
                body += self._kinds(coded_kinds, classes[0], place, scope)
            if body or rest:
                rest = [
                    if_(disjunction(tests), body, rest)
                    if body
                    else if_(negated(disjunction(tests)), rest)
                ]
        return rest

    def _classless(self, place: Place, kinds: _Kinds, scope: Scope) -> list[Statement]:
        """Predicates that are tests of any value, but for one that is not there."""
        value = scope.slot(place)
        everything = [entry for entries in kinds.values() for entry in entries]
        asked = self._lookups.one_by_one(everything, None, value, scope)
        is_missing = compare(value, "is", name("MISSING"))
        return [if_(is_missing, self._out.failed(everything, scope), asked)]

    def _test(self, each: str, place: Place, doubles: bool, scope: Scope) -> Node:
        object_ = scope.roots.class_name(scope.node(place))
        unruly = place.variable in self._unruly
        value = scope.slot(place)
        return class_test(each, value, unruly=unruly, object_=object_, doubles=doubles)

    def _verdict(self, kind: str, entries: Sequence[Entry], each: str) -> str:
        """coded, false, true or error: what `kind` is for values of class `each`."""
        if each == "missing":
            return "error"
        if each not in _CODED[kind]:
            return _OTHERWISE.get(kind, "error")
        if kind == "equal" and not any(has_constants(entry, each) for entry in entries):
            return "false"
        if kind == "unequal" and not any(has_constants(entry, each) for entry in entries):
            return "true"
        return "coded"

    def _settled(self, kinds: _Kinds, verdicts: Sequence[str], scope: Scope) -> list[Statement]:
        by_verdict: dict[str, list[Entry]] = {}
        for entries, verdict in zip(kinds.values(), verdicts, strict=True):
            by_verdict.setdefault(verdict, []).extend(entries)
        return [
            *self._out.passed_apart(by_verdict.get("true", ()), scope),
            *(self._out.failed(by_verdict["error"], scope) if "error" in by_verdict else ()),
        ]

    def _kinds(self, kinds: _Kinds, each: str, place: Place, scope: Scope) -> list[Statement]:
        """What all `kinds` come to for values of class `each`."""
        extremes = {kind: kinds[kind] for kind in kinds if kind.name == "extreme"}
        found = self._extremes.code(extremes, place, scope)
        for kind, entries in kinds.items():
            if kind not in extremes:
                found += self._coded(kind, entries, each, place, scope)
        return found

    def _coded(
        self, kind: Kind, entries: Sequence[Entry], each: str, place: Place, scope: Scope
    ) -> list[Statement]:
        value = scope.slot(place)
        match kind.name:
            case "some":
                return self._lookups.some(kind, entries, place, scope)
            case "equal":
                return self._lookups.equal(entries, each, value, scope)
            case "order" if each == "nan":
                of_nan = [e for e in entries if isinstance(e.atom, Order) and e.atom.of_nan]
                return self._out.passed_apart(of_nan, scope)
            case "order":
                return self._thresholds.thresholds(entries, value, scope, decimal=each == "decimal")
            case "size":
                size = [assign("size", call("len", value))]
                return [*size, *self._thresholds.thresholds(entries, name("size"), scope)]
            case "time" | "instant":
                return self._thresholds.times(kind.name, entries, value, scope)
            case "prefix" | "suffix":
                return self._lookups.affixes(kind.name, entries, value, scope)
            case "contained":
                return self._lookups.contained(entries, value, scope)
            case "pattern":
                return self._lookups.searches(entries, value, scope)
            case "contains":
                return self._lookups.contains(entries, value, scope)
            case _:
                return self._lookups.one_by_one(entries, each, value, scope)

    def _present(self, place: Place, entries: Sequence[Entry], scope: Scope) -> Statement:
        there: list[Entry] = []
        absent: list[Entry] = []
        for entry in entries:
            atom = entry.atom
            (there if isinstance(atom, Present) and atom.wanted else absent).append(entry)
        unknown = self._out.failed(entries, scope)
        otherwise = [
            if_(negated(scope.in_object(place)), unknown, self._out.passed_apart(absent, scope))
        ]
        is_there = compare(scope.slot(place), "is not", name("MISSING"))
        passed = self._out.passed_apart(there, scope)
        return if_(is_there, passed, otherwise) if passed else if_(negated(is_there), otherwise)


def _tells_classes(atom: Awaited) -> bool:
    """Whether `atom` compares with a text, or with what there is only one of."""
    if not isinstance(atom, Equal) or not atom.constants:
        return False
    texts = [each for each in atom.constants if isinstance(each, str)]
    others = [each for each in atom.constants if each is None or isinstance(each, bool)]
    return len(texts) <= 1 and len(texts) + len(others) == len(atom.constants)


def _has_double(atom: Awaited) -> bool:
    """Whether a rule writes a double: its events have them, too."""
    numbers = atom.constants if isinstance(atom, Equal) else ()
    if isinstance(atom, Order):
        numbers = (atom.number,)
    return any(isinstance(each, float) for each in numbers)
