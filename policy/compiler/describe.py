"""How the rules of a plan are evaluated, in words that `policy explain --plan` can print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..cel.unparse import unparse
from .access import Entry, Kind, Rule, asked_of, kind_of
from .computed import Length, Measure
from .formula import (
    CALCULATED,
    Choice,
    Comparison,
    Conjunction,
    Converted,
    Disjunction,
    Exact,
    Formula,
    Moment,
    Operation,
    Place,
    Placed,
    Quantified,
    Settled,
    Size,
    Term,
    Text,
    atoms,
    calculates,
    conjuncts,
)

__all__ = ["RulePlan", "describe"]

#: What is looked up together, by the kind of group.
_LOOKUPS: Final[Mapping[str, str]] = {
    "computed": "limits",
    "contained": "texts in it",
    "contains": "elements",
    "equal": "constants",
    "extreme": "limits of elements",
    "flag": "true or false",
    "instant": "times",
    "order": "limits",
    "pattern": "patterns",
    "prefix": "starts",
    "present": "presence",
    "size": "sizes",
    "some": "elements",
    "suffix": "ends",
    "textual": "order of texts",
    "time": "times",
    "uncontains": "elements",
    "unequal": "constants",
    "untext": "texts",
}


@dataclass(frozen=True, slots=True)
class RulePlan:
    """How one rule is evaluated.

    `how` is `constant` (no event changes it), `indexed` (it waits behind `access`, of which one
    has to hold before the rule is looked at), or `inline` (it is tried on every event). `rest` is
    what is tried then, and `exact` what the exact evaluator decides or computes. `lookups` say
    what is looked up with how many other rules, `why` what keeps an inline rule from it.
    """

    rule: int
    how: str
    access: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    why: str | None = None

    def __str__(self) -> str:
        words = [self.how]
        if self.access:
            words.append("by " + " or ".join(self.access))
        if self.rest:
            words.append(("then " if self.access else "") + " && ".join(self.rest))
        if self.exact:
            words.append("exactly " + ", ".join(self.exact))
        return ": ".join([words[0], "; ".join(words[1:])]) if len(words) > 1 else words[0]


def describe(
    rules: Sequence[Rule], waits: Mapping[int, Sequence[Entry] | None]
) -> tuple[RulePlan, ...]:
    """One description for each of `rules`; `waits` are the entries that they wait behind."""
    shared = Counter(
        asked
        for entries in waits.values()
        for asked in {asked_of(entry.atom) for entry in entries or ()}
    )
    return tuple(_plan(rule, waits, shared) for rule in rules)


def _plan(
    rule: Rule,
    waits: Mapping[int, Sequence[Entry] | None],
    shared: Mapping[tuple[Place | Measure, Kind] | None, int],
) -> RulePlan:
    if rule.index not in waits:
        why = "it reads nothing that an event changes"
        return RulePlan(rule.index, "constant", rest=tuple(map(_text, rule.parts)), why=why)
    entries = waits[rule.index]
    if entries is None:
        parts = tuple(map(_text, rule.parts))
        return RulePlan(
            rule.index, "inline", (), parts, _exact(rule.parts), why=_obstacle(rule.parts)
        )
    rest = {part: None for entry in entries for part in entry.rest if not _is_told(part, entry)}
    lookups = dict.fromkeys(asked for entry in entries if (asked := asked_of(entry.atom)))
    return RulePlan(
        rule.index,
        "indexed",
        tuple(_access(entry) for entry in entries),
        tuple(map(_text, rest)),
        _exact((*(entry.atom for entry in entries), *rest)),
        tuple(_lookup(*asked, shared[asked]) for asked in lookups),
    )


def _access(entry: Entry) -> str:
    atom = entry.atom
    if isinstance(atom, Text) and any(
        isinstance(part, Text) and part.test == "searched" for part in entry.rest
    ):
        return f"the {atom.test} `{atom.text}`"
    if isinstance(atom, Quantified) and any(
        isinstance(part, Quantified) and part.narrowed for part in entry.rest
    ):
        return f"an element with `{_text(atom.body)}`"
    return _text(atom)


def _lookup(measure: Place | Measure, kind: Kind, rules: int) -> str:
    """`value.amount: limits of 12 rules`."""
    looked_up = _LOOKUPS[kind.name]
    member = "".join(f".{each}" for each in kind.member)
    where = _measure_text(measure) + (f"[]{member}" if kind.name in ("extreme", "some") else "")
    return f"{where}: {looked_up} of {'one rule' if rules == 1 else f'{rules:,} rules'}"


def _measure_text(measure: Term | Length) -> str:
    match measure:
        case Length():
            return f"{_moment_text(measure.later)} - {_moment_text(measure.earlier)}"
        case Operation():
            left, right = _measure_text(measure.left), _measure_text(measure.right)
            return f"({left} {measure.operator} {right})"
        case Converted():
            return f"double({_measure_text(measure.place)})"
        case Place() if measure.variable == CALCULATED:
            return str(measure.path[0])
        case Place():
            return measure.variable + "".join(
                f".{each}" if isinstance(each, str) else f"[{each}]" for each in measure.path
            )
        case _:
            return str(measure)


def _moment_text(moment: Moment) -> str:
    place = _measure_text(moment.place)
    return f"timestamp({place})" if moment.converts else place


def _obstacle(parts: Sequence[Formula]) -> str:
    """Why nothing of a conjunction is looked up."""
    reasons = [_reason(part) for part in parts]
    told = list(dict.fromkeys(reason for reason in reasons if reason is not None))
    return "; ".join(told) if None not in reasons else "its look-up would let most events through"


def _reason(part: Formula) -> str | None:
    """Why `part` is not looked up; None where it could be."""
    if calculates(part) and not isinstance(part, Conjunction | Disjunction | Choice):
        return f"only the exact evaluator knows `{_exact((part,))[0]}`"
    if kind_of(part) is not None:
        return None
    match part:
        case Disjunction():
            reasons = [_obstacle(conjuncts(each)) for each in part.parts if _is_in_way(each)]
            return f"an alternative is not looked up: {reasons[0]}" if reasons else None
        case Conjunction():
            return _obstacle(part.parts)
        case Exact():
            return f"only the exact evaluator knows `{_text(part)}`"
        case Choice():
            return f"`{_text(part)}` is a choice between two conditions"
        case Quantified():
            return f"`{_text(part)}` is more than one comparison of each element"
        case Comparison():
            return f"`{_text(part)}` compares two values of the event"
        case _:
            return f"`{_text(part)}` has no constant to look up"


def _is_in_way(branch: Formula) -> bool:
    return all(_reason(part) is not None for part in conjuncts(branch))


def _exact(parts: Sequence[Formula]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for part in parts:
        for atom in atoms(part):
            if isinstance(atom, Exact):
                found[_text(atom)] = None
            elif isinstance(atom, Placed) and atom.place.variable == CALCULATED:
                found[_measure_text(atom.place)] = None
    return tuple(found)


def _is_told(part: Formula, entry: Entry) -> bool:
    """Whether `part` is the other half of `size(a) == 3`, of which one half is waited for."""
    return isinstance(part, Size) and isinstance(entry.atom, Size) and part.expr == entry.atom.expr


def _text(formula: Formula) -> str:
    match formula:
        case Conjunction():
            return "(" + " && ".join(map(_text, formula.parts)) + ")"
        case Disjunction():
            return "(" + " || ".join(map(_text, formula.parts)) + ")"
        case Choice():
            parts = (formula.test, formula.then, formula.otherwise)
            return "({} ? {} : {})".format(*map(_text, parts))
        case Settled():
            return "error" if formula.value is None else str(formula.value).lower()
        case _:
            return unparse(formula.expr)
