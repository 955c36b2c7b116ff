"""Every decision that two plans may have come to on one event, given what is unknown of it.

What is known decides through the plans' compiled code. Only rules that read something unknown are
evaluated again, with unknowns, and what is left of them is tried in all worlds (see `worlds`).
Both plans share a world: a condition that stands in both has one truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from ..policy.compiler import Undecodable
from ..policy.compiler.activation import variable
from ..policy.compiler.reads import Place, reads_of
from ..policy.decision import Decision
from ..policy.model import Effect, MaskField
from ..policy.plan import Outcome, Plan
from ..schemas.event import Event
from ..schemas.json_projection import DecodeError
from .formulas import Atom, Circumstances, Formula, Shape, atoms_of, shape_of, truth
from .unknowns import Unknowns
from .worlds import Hidden, worlds

__all__ = ["Outlook", "Possibilities"]

#: Distinct remains of conditions whose worlds are kept: mostly a handful for a topic.
_KNOWN_MAX = 4096

_OF_EVENT = ("key", "headers", "timestamp", "now", "facts", "stamp")
_PLACED = ("partition", "offset")

_Hits: TypeAlias = tuple[int, ...]
_Told: TypeAlias = "tuple[Effect, tuple[MaskField, ...]]"


class Outlook(NamedTuple):
    """One pair of decisions that go together; `then` is None where no version is at hand."""

    then: Decision | None
    now: Decision


class _Remains(NamedTuple):
    """What an event comes to under one plan: known hits, and formulas for the other rules."""

    hits: _Hits
    undecodable: str | None
    formulas: tuple[tuple[int, Formula], ...]


class _Side:
    """One plan and the rules in it that hang on unknowns."""

    def __init__(self, plan: Plan, unknowns: Unknowns) -> None:
        self.plan, self._unknowns = plan, unknowns
        circumstances = Circumstances(plan.stage, (plan.value_format, plan.key_format), plan.lists)
        self.open: dict[int, Shape | Atom] = {}
        for index, planned in enumerate(plan.rules):
            condition = planned.rule.condition
            if condition is not None and unknowns.touch(reads_of(condition.expr)):
                self.open[index] = shape_of(condition.expr, circumstances)
        self._outcomes: dict[_Hits, _Told] = {}

    def atoms(self) -> Iterable[Atom]:
        return (atom for shape in self.open.values() for atom in atoms_of(shape))

    def remains(
        self, event: Event, given: Mapping[str, object]
    ) -> tuple[_Remains, dict[Place, Hidden]]:
        plan = self.plan
        found = plan.compiled.run(event)
        reason: str | None = None
        if isinstance(found, Undecodable):
            reason, found = found.reason, found.hits
        hits = tuple(hit for hit in found if (hit if hit >= 0 else ~hit) not in self.open)
        if not self.open:
            return _Remains(hits, reason, ()), {}
        known, hidden = self._unknowns.over(*self._variables(event, reason is None), given)
        formulas = tuple(
            (index, left)
            for index, shape in self.open.items()
            if self._runs(index, event, reason is None)
            and (left := shape.value(known)) is not False
        )
        return _Remains(hits, reason, formulas), hidden

    def _variables(self, event: Event, decodable: bool) -> tuple[dict[str, object], object]:
        """What open rules read: the variables but the value, and the value."""
        plan, definition = self.plan, self.plan.compiled.definition
        known = dict(definition.constants)
        for name in _OF_EVENT if plan.stage == "produce" else _OF_EVENT + _PLACED:
            known[name] = variable(name, event, key_format=plan.key_format)
        value: object = None
        if event.value is not None and decodable and definition.reads.reads_value:
            try:
                value = definition.reader.plain(definition.reader.decode(event.value))
            except DecodeError:  # compiled code and definition agree on what decodes
                value = None
        return known, value

    def _runs(self, index: int, event: Event, decodable: bool) -> bool:
        """Whether the rule is evaluated at all, as `Definition.run` has it."""
        definition = self.plan.compiled.definition
        if not definition.rule_reads[index].reads_value:
            return True
        return decodable if event.value is not None else definition.rules[index].tombstone

    def hits(self, remains: _Remains, world: Mapping[str, bool | None]) -> _Hits:
        """The hits in one world."""
        found = list(remains.hits)
        for index, formula in remains.formulas:
            value = truth(formula, world)
            if value is not False:
                found.append(index if value else ~index)
        return tuple(sorted(found, key=lambda hit: hit if hit >= 0 else ~hit))

    def outcome(self, hits: _Hits) -> _Told:
        """What tells the outcomes of hits apart, as far as a replay cares."""
        told = self._outcomes.get(hits)
        if told is None:
            outcome: Outcome = self.plan.resolve(hits)
            told = (outcome.effect, outcome.masks)
            if len(self._outcomes) < _KNOWN_MAX:
                self._outcomes[hits] = told
        return told

    def decide(self, event: Event, remains: _Remains, hits: _Hits) -> Decision:
        reason = remains.undecodable
        return self.plan.conclude(event, hits if reason is None else Undecodable(hits, reason))


class Possibilities:
    """The possible decisions of `now`, and of `then` where that version is at hand."""

    def __init__(self, then: Plan | None, now: Plan, unknowns: Unknowns) -> None:
        self._now = _Side(now, unknowns)
        self._then = None if then is None else _Side(then, unknowns)
        sides = [self._now] if self._then is None else [self._then, self._now]
        self._atoms = {atom.name: atom for side in sides for atom in side.atoms()}
        self._known: dict[object, list[tuple[_Hits, _Hits]] | None] = {}

    @property
    def certain(self) -> bool:
        """True where no rule hangs on anything unknown: each plan has one decision."""
        return not self._atoms

    def unknown_rules(self) -> frozenset[int]:
        """The positions of today's rules that hang on unknowns."""
        return frozenset(self._now.open)

    def of(self, event: Event, given: Mapping[str, object]) -> list[Outlook] | None:
        """Every distinct pair of decisions; None where there are too many worlds to try.

        `given` is what was kept of variables that are unknown otherwise.
        """
        now, hidden = self._now.remains(event, given)
        then: _Remains | None = None
        if self._then is not None:
            then, more = self._then.remains(event, given)
            hidden = {**hidden, **more}
        key = (then, now, frozenset(hidden.items()))
        if key not in self._known:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = self._pairs(then, now, hidden)
        pairs = self._known[key]
        if pairs is None:
            return None
        return [
            Outlook(
                None
                if self._then is None or then is None
                else self._then.decide(event, then, hits_then),
                self._now.decide(event, now, hits_now),
            )
            for hits_then, hits_now in pairs
        ]

    def _pairs(
        self, then: _Remains | None, now: _Remains, hidden: Mapping[Place, Hidden]
    ) -> list[tuple[_Hits, _Hits]] | None:
        formulas = [*(() if then is None else then.formulas), *now.formulas]
        names = dict.fromkeys(name for _, formula in formulas for name in _names(formula))
        tried = worlds([self._atoms[name] for name in names], hidden)
        if tried is None:
            return None
        pairs: dict[object, tuple[_Hits, _Hits]] = {}
        for world in tried:
            hits_now = self._now.hits(now, world)
            hits_then: _Hits = ()
            told_then: _Told | None = None
            if self._then is not None and then is not None:
                hits_then = self._then.hits(then, world)
                told_then = self._then.outcome(hits_then)
            key = (told_then, self._now.outcome(hits_now))
            pairs.setdefault(key, (hits_then, hits_now))
        return list(pairs.values())


def _names(formula: Formula) -> Iterable[str]:
    if isinstance(formula, str):
        yield formula
    elif isinstance(formula, tuple):
        for part in formula[1]:
            yield from _names(part)
