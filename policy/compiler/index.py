"""Rules behind their access predicates, as code.

For a set of rules an index is a run of statements: each place that access predicates read is
fetched, its class tested once, and what is written for that class says which rules pass. What is
left of those is tried on the spot, or, where many pass together, by an index of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from .access import Entry, Kind, Rates, Rule, entries_of, kind_of
from .computed import Measure, limit_of, places_of
from .formula import Comparison, Interval, Place, Quantified, Settled
from .groups import Groups
from .hoisting import Roots, Scope
from .lowering import Lowering
from .outcomes import Outcomes
from .pycode import Namespace, Statement
from .tables import Bucket

__all__ = ["Index"]

#: Rules in one function: beyond, compiling takes longer than calls cost.
_FUNCTION_MAX: Final = 100


class Index:
    """Writes indexes for the rules of one plan."""

    def __init__(
        self,
        roots: Roots,
        namespace: Namespace,
        lowering: Lowering,
        unruly: frozenset[str],
        judging: Callable[[Collection[int]], Bucket],
    ) -> None:
        self._outcomes = Outcomes(roots, namespace, lowering, self.define, judging)
        self._groups = Groups(self._outcomes, unruly)
        self._roots = roots
        #: By rule: what it waits behind; None where it is tried on every event.
        self.waits: dict[int, list[Entry] | None] = {}
        #: Whether a rule may be hit more than once, or be an error for one entry and true for another.
        self.merges = False

    def define(self, rules: Sequence[Rule]) -> str:
        """The name of a function of event, value and hits that adds the hits of `rules`."""
        return self._outcomes.define("index", self.statements(rules))

    def statements(self, rules: Sequence[Rule], *, top: bool = False) -> list[Statement]:
        """Code that adds the hits of `rules`."""
        groups: dict[Place, dict[Kind, list[Entry]]] = {}
        measures: dict[Measure, list[Entry]] = {}
        tried: list[Rule] = []
        certain: list[int] = []
        rates = Rates(rules)
        for rule in rules:
            if all(isinstance(part, Settled) for part in rule.parts):
                certain += _settled(rule)
                continue
            entries = entries_of(rule, rates)
            if top:
                self.waits[rule.index] = entries
            if entries is None:
                tried.append(rule)
            elif len(entries) > 1 or isinstance(entries[0].atom, Quantified):
                self.merges = True
            for entry in entries or ():
                kind, limit = kind_of(entry.atom), limit_of(entry.atom)
                if limit is not None:
                    measures.setdefault(limit.measure, []).append(entry)
                elif kind is not None and not isinstance(entry.atom, Comparison | Interval):
                    groups.setdefault(entry.atom.place, {}).setdefault(kind, []).append(entry)
        scope = Scope(self._roots)
        scope.fetch([*groups, *(place for measure in measures for place in places_of(measure))])
        found = [
            statement
            for place, kinds in groups.items()
            for statement in self._groups.code(place, kinds, scope)
        ]
        for measure, entries in measures.items():
            found += self._groups.measured(measure, entries, scope)
        found += self._tried(tried, scope)
        return [*self._outcomes.add(certain), *scope.statements, *found]

    def _tried(self, rules: Sequence[Rule], scope: Scope) -> list[Statement]:
        """Rules without an access predicate, cheap ones first."""
        if len(rules) <= _FUNCTION_MAX:
            return self._outcomes.rules(rules, scope)
        found: list[Statement] = []
        for start in range(0, len(rules), _FUNCTION_MAX):
            inside = Scope(self._roots)
            part = rules[start : start + _FUNCTION_MAX]
            body = self._outcomes.rules(part, inside)
            function = self._outcomes.define("tried", [*inside.statements, *body])
            found.append(self._outcomes.call(function))
        return found


def _settled(rule: Rule) -> list[int]:
    values = [part.value for part in rule.parts if isinstance(part, Settled)]
    if False in values:
        return []
    return [~rule.index if None in values else rule.index]
