"""Which condition a rule waits behind.

Of a rule's conjuncts one becomes its *access predicate*: as long as it is false, without an error,
the rule is false whatever the others are, since `false && error` is false. It may be too wide,
never too narrow. Rules with access predicates of one kind on one place are looked up together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

from ..cel.regex import literal_ends
from .computed import Measure, limit_of
from .formula import (
    Atom,
    Choice,
    Comparison,
    Conjunction,
    Contains,
    Disjunction,
    Equal,
    Flag,
    Formula,
    Interval,
    Order,
    Place,
    Placed,
    Present,
    Quantified,
    Size,
    Text,
    Time,
    atoms,
    calculates,
    conjuncts,
)

__all__ = [
    "CONSTANTS_MAX",
    "Awaited",
    "Entry",
    "Kind",
    "Rates",
    "Rule",
    "asked_of",
    "entries_of",
    "kind_of",
]

#: What can be waited for.
Awaited: TypeAlias = Placed | Comparison | Interval

#: How two texts are compared.
_ORDERS: Final = ("<", "<=", ">", ">=")
#: A guess at the share of events for which an atom holds: the smallest one is the best to wait for.
_TEXT_RATES: Final = {
    "prefix": 0.01,
    "suffix": 0.01,
    "contains": 0.02,
    "pattern": 0.02,
    "searched": 0.02,
    **dict.fromkeys(_ORDERS, 0.2),
}
_TEXT_KINDS: Final = {
    "prefix": "prefix",
    "suffix": "suffix",
    "contains": "contained",
    "pattern": "pattern",
    "searched": "pattern",
    **dict.fromkeys(_ORDERS, "textual"),
}
_UNWANTED_RATE: Final = 0.6
#: What is added where a value has to be computed by the exact evaluator.
_CALCULATED_RATE: Final = 0.4
#: What is added where all rules say the same of a place: it is what the events are like, not what
#: tells rules apart. Few rules say little about that.
_COMMON_RATE: Final = 0.3
_FEW_RULES: Final = 10
#: So many rules look for the same part of what an element has to meet.
_SHARED_MIN: Final = 3
#: Shorter starts and ends of patterns are not looked up.
_END_MIN: Final = 2
#: Constants of one condition that are looked up one by one; longer lists are asked as a whole.
CONSTANTS_MAX: Final = 64
#: Entries of one rule.
_BRANCHES_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its index and its conjuncts."""

    index: int
    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A rule behind an access predicate.

    Once `atom` is true, the rule is what `rest` is; where `atom` is an error, it is an error unless
    one of `others` is false.
    """

    rule: Rule
    atom: Awaited
    rest: tuple[Formula, ...] = ()
    others: tuple[Formula, ...] = ()


class Kind(NamedTuple):
    """A kind of group: predicates of the same form, on a member of a list's elements if need be."""

    name: str
    member: tuple[str | int, ...] = ()


class Rates:
    """The share of events for which an atom holds, guessed from its form and from all `rules`."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        known = [
            (asked, atom)
            for rule in rules
            for part in rule.parts
            for each in atoms(part)
            for atom in (each if kind_of(each) else _part_of(each),)
            if (asked := asked_of(atom)) is not None
        ]
        self._uses = Counter(known)
        self._mentions = Counter(asked for asked, _ in known)

    def atom(self, atom: Atom) -> float | None:
        """The share for one atom; None for what cannot be waited for."""
        awaited = self.awaited(atom)
        asked = asked_of(awaited)
        if awaited is None or asked is None:
            return None
        atom = awaited
        dear = _CALCULATED_RATE if calculates(atom) else 0.0
        mentions = self._mentions[asked]
        common = (self._uses[asked, atom] - 1) / (mentions + _FEW_RULES) if mentions > 1 else 0
        return _atom_rate(atom) + _COMMON_RATE * common + dear

    def awaited(self, atom: Atom) -> Atom | None:
        """`atom`, or the part of it that is waited for; None where there is none.

        To look for a part first is one loop more over a list: it pays where rules share that.
        """
        if kind_of(atom) is not None:
            return atom
        part = _part_of(atom)
        asked = asked_of(part)
        return part if asked is not None and self._mentions[asked] >= _SHARED_MIN else None

    def of(self, formula: Formula) -> float | None:
        """The share of events that `formula` lets through; None for what cannot be waited for."""
        match formula:
            case Conjunction():
                rates = [rate for rate in map(self.of, formula.parts) if rate is not None]
                return min(rates, default=None)
            case Disjunction():
                branches = [self.of(part) for part in formula.parts]
                rates = [rate for rate in branches if rate is not None]
                return sum(rates) if len(rates) == len(branches) else None
            case Choice():
                return None
            case _:
                return self.atom(formula)


def asked_of(atom: Formula | None) -> tuple[Place | Measure, Kind] | None:
    """What rules are looked up by together; None where they are not."""
    kind = None if atom is None else kind_of(atom)
    if atom is None or kind is None:
        return None
    if isinstance(atom, Comparison | Interval):
        limit = limit_of(atom)
        assert limit is not None, "only limits have a kind"
        return limit.measure, kind
    assert isinstance(atom, Placed), "nothing else has a kind"
    return atom.place, kind


def kind_of(atom: Formula) -> Kind | None:
    """The kind of group that `atom` is looked up in; None where it is not."""
    if isinstance(atom, Quantified):
        return _quantified_kind(atom)
    named = _kind_name(atom)
    return None if named is None else Kind(named)


def _part_of(atom: Formula) -> Quantified | None:
    """One of the comparisons that an element has to meet all of, as what some element meets.

    While it is false, without an error, for all elements, so is the whole.
    """
    if not isinstance(atom, Quantified) or not isinstance(atom.body, Conjunction) or atom.narrowed:
        return None
    parts = [replace(atom, body=part) for part in atom.body.parts]
    kinds = {part: kind for part in parts if (kind := kind_of(part)) is not None}
    return max(kinds, key=lambda part: kinds[part].name == "some", default=None)


def _quantified_kind(atom: Quantified) -> Kind | None:
    """`exists` with a single comparison of the element, or of one member of it."""
    body = atom.body
    if not atom.wanted or not isinstance(body, Equal | Order) or len(body.place.path) > 1:
        return None
    if body.place.variable != atom.variable or not all(
        isinstance(each, str) for each in body.place.path
    ):
        return None
    if isinstance(body, Order):
        return Kind("extreme", body.place.path)
    lookable = all(isinstance(each, str | int | float) for each in body.constants)
    if not body.wanted or not lookable or any(isinstance(each, bool) for each in body.constants):
        return None
    return Kind("some", body.place.path)


def _kind_name(atom: Formula) -> str | None:
    match atom:
        case Equal():
            return "equal" if atom.wanted else "unequal"
        case Text():
            return _TEXT_KINDS[atom.test] if atom.wanted else "untext"
        case Contains():
            return "contains" if atom.wanted else "uncontains"
        case Time():
            if atom.place.variable in ("now", "timestamp"):
                return None
            return "time" if atom.converts else "instant"
        case Order():
            return "order"
        case Present():
            return "present"
        case Flag():
            return "flag"
        case Size():
            return "size"
        case Comparison() | Interval():
            return None if limit_of(atom) is None else "computed"
        case _:
            return None


def entries_of(rule: Rule, rates: Rates) -> list[Entry] | None:
    """The entries that `rule` waits behind; None where it has to be tried on every event.

    A disjunction gives several: `(a || b) && c` is `a && c || b && c`, with errors too. Each entry
    then says that the rule is true or an error, and true counts.
    """
    best: tuple[float, int] | None = None
    dear = all(map(calculates, rule.parts))
    for position, part in enumerate(rule.parts):
        # What has to be computed is not waited for where something cheap can spare it.
        rate = rates.of(part) if dear or not calculates(part) else None
        if rate is not None and (best is None or rate < best[0]):
            best = (rate, position)
    if best is None or best[0] > 1:
        return None
    position = best[1]
    part, others = rule.parts[position], rule.parts[:position] + rule.parts[position + 1 :]
    if isinstance(part, Disjunction):
        branches = [
            entries_of(Rule(rule.index, (*conjuncts(branch), *others)), rates)
            for branch in part.parts
        ]
        found = [entry for entries in branches for entry in entries or ()]
        return None if None in branches or len(found) > _BRANCHES_MAX else found
    assert isinstance(part, Awaited), "nothing else has a rate"
    if isinstance(part, Quantified) and kind_of(part) is None:
        some, tried = rates.awaited(part), (*others, replace(part, narrowed=True))
        assert isinstance(some, Quantified), "or it had no rate"
        return [Entry(rule, some, tried, tried)]
    if isinstance(part, Text) and (end := _literal_end(part)) is not None:
        searched = replace(part, test="searched")  # which has no end to be looked up again
        return [Entry(rule, end, (*others, searched), others)]
    rest = tuple(other for other in others if not _implied(other, part))
    return [Entry(rule, part, rest, others)]


def _atom_rate(atom: Formula) -> float:
    match atom:
        case Equal(wanted=True):
            return sum(0.5 if isinstance(each, bool) else 0.02 for each in atom.constants)
        case Text(wanted=True):
            return _TEXT_RATES[atom.test]
        case Contains(wanted=True):
            return 0.05
        case Quantified():
            return 0.15
        case Order() | Time() | Comparison() | Interval():
            return 0.2
        case Size():
            return 0.1
        case Present() | Flag():
            return 0.5
        case _:
            return _UNWANTED_RATE


def _literal_end(atom: Text) -> Text | None:
    """The prefix or suffix that every match of an anchored pattern has; it stays to be tried."""
    if atom.test != "pattern" or not atom.wanted:
        return None
    start, end = literal_ends(atom.text)
    if max(len(start), len(end)) < _END_MIN:
        return None
    if len(end) > len(start):
        return Text(atom.place, "suffix", end, True, atom.expr)
    return Text(atom.place, "prefix", start, True, atom.expr)


def _implied(formula: Formula, atom: Awaited) -> bool:
    """Whether `formula` is true whenever `atom` is: what was read was there."""
    if not isinstance(formula, Present) or not formula.wanted:
        return False
    if isinstance(atom, Present | Quantified | Comparison | Interval):
        return False
    place, read = formula.place, atom.place
    return place.variable == read.variable and read.path[: len(place.path)] == place.path
