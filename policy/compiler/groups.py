"""Access predicates of one place, as code: one test of its class, then look-ups.

For every class of values a kind of predicate is coded, or it is decided at once: it may be false
(nothing is written), true, an error, or, for values that JSON does not have, unclear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import re2

from .access import CONSTANTS_MAX, Entry, Kind
from .formula import (
    Atom,
    Contains,
    Equal,
    Flag,
    Order,
    Place,
    Present,
    Quantified,
    Scalar,
    Size,
    Text,
    Time,
)
from .hoisting import ELEMENT, Scope, number_test
from .outcomes import Outcomes
from .pycode import (
    Node,
    Statement,
    assign,
    attribute,
    call,
    class_is,
    compare,
    conjunction,
    constant,
    disjunction,
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
from .tables import elements, member_reader, prefixes, searches, slicer, some, suffixes

__all__ = ["Groups"]

#: Up to so many predicates are asked one by one: a look-up costs more.
_FEW: Final = 3
_SEARCHES_FEW: Final = 2
#: Comparisons with something left to be tried stand in functions of so many, behind one guard.
_CHUNK: Final = 24
_OPERATORS: Final = (">", ">=", "<", "<=")

_TEXT_KINDS: Final = frozenset({"prefix", "suffix", "contained", "pattern", "untext"})
#: Which classes a kind is coded for, and what it is for the others but `missing` and `odd`.
_CODED: Final[Mapping[str, tuple[str, ...]]] = {
    "equal": ("str", "number", "bool", "null"),
    "unequal": ("str", "number", "bool", "null"),
    "order": ("number",),
    "flag": ("bool",),
    "size": ("str", "list", "map", "bytes"),
    "time": ("str", "number"),
    "contains": ("list", "map"),
    "uncontains": ("list", "map"),
    "extreme": ("list", "map"),
    "some": ("list", "map"),
    **dict.fromkeys(_TEXT_KINDS, ("str",)),
}
_OTHERWISE: Final = {"equal": "false", "unequal": "true"}
#: The classes that are asked for first.
_PRESENT: Final = Kind("present")
_LIKELY: Final = frozenset({"str", "number", "bool", "list"})

_Kinds: TypeAlias = Mapping[Kind, Sequence[Entry]]


class Groups:
    """Writes the code of places. `unruly` variables may hold what JSON does not have."""

    def __init__(self, outcomes: Outcomes, unruly: frozenset[str]) -> None:
        self._out, self._unruly = outcomes, unruly
        self._lowering = outcomes.lowering

    def code(self, place: Place, kinds: _Kinds, scope: Scope) -> list[Statement]:
        """What all predicates of `kinds` on `place` come to."""
        value = scope.slot(place)
        found: list[Statement] = []
        if _PRESENT in kinds:
            found.append(self._present(place, kinds[_PRESENT], scope))
        kinds = {kind: entries for kind, entries in kinds.items() if kind != _PRESENT}
        return [*found, *self._by_class(place, kinds, value, scope)] if kinds else found

    def _by_class(self, place: Place, kinds: _Kinds, value: Node, scope: Scope) -> list[Statement]:
        plans = {
            each: tuple(self._verdict(kind.name, entries, each) for kind, entries in kinds.items())
            for each in self._classes(place)
        }
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
            tests = [self._test(each, place, value, scope) for each in classes]
            body = self._settled(kinds, plans[classes[0]], scope)
            if "coded" in plans[classes[0]]:
                body += [
                    statement
                    for kind, verdict in zip(kinds, plans[classes[0]], strict=True)
                    if verdict == "coded"
                    for statement in self._coded(kind, kinds[kind], classes[0], place, scope)
                ]
            if body or rest:
                rest = [
                    if_(disjunction(tests), body, rest)
                    if body
                    else if_(negated(disjunction(tests)), rest)
                ]
        return rest

    def _classes(self, place: Place) -> list[str]:
        """The classes that a value at `place` can have."""
        found = ["str", "number", "bool", "null", "list", "map", "missing"]
        if place.variable in ("key", "headers", "value"):
            found.append("bytes")
        if place.variable in self._unruly:
            found += ["odd"]
        return found

    def _test(self, each: str, place: Place, value: Node, scope: Scope) -> Node:
        match each:
            case "number" if place.variable in self._unruly:
                number = conjunction([class_is(value, "float"), compare(value, "==", value)])
                return disjunction([number, class_is(value, "int")])
            case "number":
                return number_test(value)
            case "null":
                return compare(value, "is", constant(None))
            case "map":
                return class_is(value, scope.roots.class_name(scope.node(place)))
            case "missing":
                return compare(value, "is", name("MISSING"))
            case "odd":
                return call("is_odd", value)
            case _:
                return class_is(value, each)

    def _verdict(self, kind: str, entries: Sequence[Entry], each: str) -> str:
        """coded, false, true, error or unclear: what `kind` is for values of class `each`."""
        if each == "missing":
            return "error"
        if each == "odd":
            return "error" if kind == "flag" else "unclear"
        if each not in _CODED[kind]:
            return _OTHERWISE.get(kind, "error")
        if kind == "equal" and not any(_of_class(entry, each) for entry in entries):
            return "false"
        if kind == "unequal" and not any(_of_class(entry, each) for entry in entries):
            return "true"
        return "coded"

    def _settled(self, kinds: _Kinds, verdicts: Sequence[str], scope: Scope) -> list[Statement]:
        by_verdict: dict[str, list[Entry]] = {}
        for entries, verdict in zip(kinds.values(), verdicts, strict=True):
            by_verdict.setdefault(verdict, []).extend(entries)
        return [
            *self._passed(by_verdict.get("true", ()), scope),
            *(self._out.failed(by_verdict["error"]) if "error" in by_verdict else ()),
            *(self._out.unclear(by_verdict["unclear"]) if "unclear" in by_verdict else ()),
        ]

    def _coded(
        self, kind: Kind, entries: Sequence[Entry], each: str, place: Place, scope: Scope
    ) -> list[Statement]:
        value = scope.slot(place)
        match kind.name:
            case "extreme":
                return self._extremes(kind, entries, place, scope)
            case "some":
                return self._some(kind, entries, place, scope)
            case "equal":
                return self._equal(entries, each, value, scope)
            case "order":
                return self._thresholds(entries, value, scope)
            case "size":
                size = [assign("size", call("len", value))]
                return [*size, *self._thresholds(entries, name("size"), scope)]
            case "time":
                return self._times(entries, value, scope)
            case "prefix" | "suffix":
                return self._affixes(kind.name, entries, value, scope)
            case "contained" | "pattern":
                return self._searches(entries, value, scope)
            case "contains":
                return self._contains(entries, value, scope)
            case _:
                return self._one_by_one(entries, each, value, scope)

    def _present(self, place: Place, entries: Sequence[Entry], scope: Scope) -> Statement:
        there: list[Entry] = []
        absent: list[Entry] = []
        for entry in entries:
            atom = entry.atom
            (there if isinstance(atom, Present) and atom.wanted else absent).append(entry)
        unknown = self._out.failed(entries)
        otherwise = [if_(negated(scope.in_object(place)), unknown, self._passed(absent, scope))]
        is_there = compare(scope.slot(place), "is not", name("MISSING"))
        passed = self._passed(there, scope)
        return if_(is_there, passed, otherwise) if passed else if_(negated(is_there), otherwise)

    def _passed(self, entries: Sequence[Entry], scope: Scope) -> list[Statement]:
        """What `entries` come to in a branch of its own."""
        block = scope.inner()
        body = self._out.passed(entries, block)
        return [*block.statements, *body]

    def _one_by_one(
        self, entries: Sequence[Entry], each: str, value: Node, scope: Scope
    ) -> list[Statement]:
        found: list[Statement] = []
        for entry in entries:
            test = self._atom(entry, each, value)
            passed = self._out.passed_apart(entry, scope)
            found += passed if test is None else [if_(test, passed)]
        return found

    def _atom(self, entry: Entry, each: str, value: Node) -> Node | None:
        """Whether the predicate is true for a value of class `each`; None: it always is."""
        match entry.atom:
            case Equal() as atom:
                tests = self._lowering.equal_tests(_constants(atom, each), value)
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

    def _equal(
        self, entries: Sequence[Entry], each: str, value: Node, scope: Scope
    ) -> list[Statement]:
        fitting = [entry for entry in entries if _of_class(entry, each)]
        if len(fitting) <= _FEW or each in ("bool", "null"):
            return self._one_by_one(fitting, each, value, scope)
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
            *self._one_by_one(large, each, value, scope),
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

    def _affixes(
        self, kind: str, entries: Sequence[Entry], value: Node, scope: Scope
    ) -> list[Statement]:
        if len(entries) <= _FEW:
            return self._one_by_one(entries, "str", value, scope)
        table = _by_text(entries)
        shortest = min(map(len, table))
        found = self._table(table, prefixes if kind == "prefix" else suffixes)
        look_up = self._out.call(found, value)
        stems = {text[:shortest] if kind == "prefix" else text[-shortest:] for text in table}
        if shortest == 0 or len(stems) > 4 * len(table):
            return [look_up]
        affixes = tuple_([constant(stem) for stem in sorted(stems)])
        method = "startswith" if kind == "prefix" else "endswith"
        if len(stems) <= _STEMS_MAX:
            return [if_(call(attribute(value, method), affixes), [look_up])]
        return [look_up]

    def _searches(self, entries: Sequence[Entry], value: Node, scope: Scope) -> list[Statement]:
        if len(entries) <= _SEARCHES_FEW:
            return self._one_by_one(entries, "str", value, scope)
        table: dict[str, list[Entry]] = {}
        for entry in entries:
            if isinstance(entry.atom, Text):
                text = entry.atom.text
                key = re2.escape(text) if entry.atom.test == "contains" else text
                table.setdefault(key, []).append(entry)
        values, judged = self._out.namespace.values, self._out.judging(entries)
        found = self._table(table, lambda buckets: searches(buckets, values[judged]))
        return [self._out.call(found, value)]

    def _contains(self, entries: Sequence[Entry], value: Node, scope: Scope) -> list[Statement]:
        if len(entries) <= _FEW:
            return self._one_by_one(entries, "list", value, scope)
        return [self._out.call(self._table(_by_text(entries), elements), value)]

    def _times(self, entries: Sequence[Entry], value: Node, scope: Scope) -> list[Statement]:
        moment = name("moment_ns")
        known = self._thresholds(entries, moment, scope)
        return [
            assign("moment_ns", call("moment", value)),
            if_(compare(moment, "==", moment), known, self._out.failed(entries)),
        ]

    def _reader(self, kind: Kind, place: Place, scope: Scope) -> Callable[[Any], Any] | None:
        """What reads the member that `kind` is about; None for elements themselves."""
        if not kind.member:
            return None
        member = str(kind.member[0])
        node = scope.node(Place(place.variable, (*place.path, 0)))
        return member_reader(node.type, node.members[member][0] if node.type else member)

    def _extremes(
        self, kind: Kind, entries: Sequence[Entry], place: Place, scope: Scope
    ) -> list[Statement]:
        """Rules for which a list has a number that is large or small enough.

        An element that is no number is an error, which any other element that passes absorbs.
        """
        found, none = name("found"), constant(None)
        rising = [entry for entry in entries if _bound(entry).operator in (">", ">=")]
        falling = [entry for entry in entries if entry not in rising]
        known = [assign("least", element(found, 0)), assign("greatest", element(found, 1))]
        passed = self._thresholds(rising, name("greatest"), scope)
        passed += self._thresholds(falling, name("least"), scope)
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
        test = self._test("number", place, number, scope)
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

    def _some(
        self, kind: Kind, entries: Sequence[Entry], place: Place, scope: Scope
    ) -> list[Statement]:
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

    def _thresholds(self, entries: Sequence[Entry], view: Node, scope: Scope) -> list[Statement]:
        found: list[Statement] = []
        for operator in _OPERATORS:
            chosen = [
                (*_limit(entry), entry) for entry in entries if _bound(entry).operator == operator
            ]
            # The one that is the easiest to pass comes first.
            chosen.sort(key=lambda each: each[0], reverse=operator in ("<", "<="))
            bare = [each for each in chosen if not each[2].rest]
            found += self._bare(operator, bare, view)
            tried = [each for each in chosen if each[2].rest]
            found += self._tried(operator, tried, view, scope)
        return found

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
                if_(compare(view, operator, limit), self._out.passed_apart(entry, scope))
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
        return found


#: A limit as it is sorted, as code, and the rule behind it.
_Threshold: TypeAlias = tuple[Any, Node, Entry]
#: Up to here asking for all first letters at once is cheaper than slicing for each length.
_STEMS_MAX: Final = 40


def _bound(entry: Entry) -> Order | Size | Time:
    """The comparison that `entry` waits behind."""
    atom = entry.atom.body if isinstance(entry.atom, Quantified) else entry.atom
    assert isinstance(atom, Order | Size | Time), "only comparisons have thresholds"
    return atom


def _limit(entry: Entry) -> tuple[Any, Node]:
    bound = _bound(entry)
    limit = bound.moment_ns if isinstance(bound, Time) else bound.number
    return limit, constant(limit)


def _looked_up(entry: Entry) -> tuple[Scalar, ...]:
    atom = entry.atom.body if isinstance(entry.atom, Quantified) else entry.atom
    return atom.constants if isinstance(atom, Equal) else ()


def _by_text(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    table: dict[str, list[Entry]] = {}
    for entry in entries:
        if isinstance(entry.atom, Text | Contains):
            table.setdefault(entry.atom.text, []).append(entry)
    return table


def _constants(atom: Atom, each: str) -> list[Scalar]:
    """The constants of class `each`."""
    if not isinstance(atom, Equal):
        return []
    types = _TYPES[each]
    return [constant for constant in atom.constants if type(constant) in types]


def _of_class(entry: Entry, each: str) -> bool:
    return bool(_constants(entry.atom, each))


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "number": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}
