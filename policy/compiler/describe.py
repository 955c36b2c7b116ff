"""How the rules of a plan are evaluated, in words that `policy explain --plan` can print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..cel.unparse import unparse
from .access import Entry, Rule
from .formula import Choice, Conjunction, Disjunction, Exact, Formula, Settled, Text, atoms

__all__ = ["RulePlan", "describe"]


@dataclass(frozen=True, slots=True)
class RulePlan:
    """How one rule is evaluated.

    `how` is `constant` (no event changes it), `indexed` (it waits behind `access`, of which one
    has to hold before the rule is looked at), or `inline` (it is tried on every event). `rest` is
    what is tried then, and `exact` the parts of it that the exact evaluator decides.
    """

    rule: int
    how: str
    access: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()

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
    return tuple(_plan(rule, waits) for rule in rules)


def _plan(rule: Rule, waits: Mapping[int, Sequence[Entry] | None]) -> RulePlan:
    if rule.index not in waits:
        return RulePlan(rule.index, "constant", rest=tuple(map(_text, rule.parts)))
    entries = waits[rule.index]
    if entries is None:
        return RulePlan(rule.index, "inline", (), tuple(map(_text, rule.parts)), _exact(rule.parts))
    rest = {part: None for entry in entries for part in entry.rest}
    return RulePlan(
        rule.index,
        "indexed",
        tuple(_access(entry) for entry in entries),
        tuple(map(_text, rest)),
        _exact(tuple(rest)),
    )


def _access(entry: Entry) -> str:
    atom = entry.atom
    if isinstance(atom, Text) and any(
        isinstance(part, Text) and part.test == "searched" for part in entry.rest
    ):
        return f"the prefix `{atom.text}`"
    return _text(atom)


def _exact(parts: Sequence[Formula]) -> tuple[str, ...]:
    found = [each for part in parts for each in atoms(part) if isinstance(each, Exact)]
    return tuple(dict.fromkeys(_text(each) for each in found))


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
