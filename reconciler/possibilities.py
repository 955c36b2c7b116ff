"""Every decision that two plans may have come to on one event, given what is unknown of it.

What is known decides through the plans' compiled code. Only rules that read something unknown are
evaluated again, with unknowns, and what is left of them is tried in all worlds (see `worlds`).
Both plans share a world: a condition that stands in both has one truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ..policy.compiler import Undecodable
from ..policy.compiler.activation import variable
from ..policy.compiler.reads import Place, reads_of
from ..policy.decision import Decision
from ..policy.model import Effect, MaskField
from ..policy.plan import Outcome, Plan
from ..schemas.event import Event
from ..schemas.json_projection import DecodeError, decode_json
from .formulas import Atom, Circumstances, Formula, Shape, atoms_of, shape_of, truth
from .unknowns import Unknowns
from .worlds import Hidden, worlds

__all__ = ["Branch", "Outlook", "Possibilities", "Side"]

#: Distinct remains of conditions whose worlds are kept: mostly a handful for a topic.
_KNOWN_MAX = 4096
_OF_EVENT = frozenset({"key", "headers", "timestamp", "now", "facts", "stamp"})
_PLACED = frozenset({"partition", "offset"})

_Hits: TypeAlias = tuple[int, ...]
_Told: TypeAlias = "tuple[Effect, tuple[MaskField, ...]]"


class Branch:
    """One way in which a plan may have decided on an event; the decision is made when asked for."""

    __slots__ = ("_decision", "event", "hits", "side", "undecodable")

    def __init__(self, side: Side, event: Event, hits: _Hits, undecodable: str | None) -> None:
        self.side, self.event, self.hits, self.undecodable = side, event, hits, undecodable
        self._decision: Decision | None = None

    @property
    def effect(self) -> Effect:
        """What was decided."""
        outcome = self.side.outcome(self.hits)
        if (
            self._decision is None
            and self.undecodable is None
            and not self.side.objects(self.event)
            and (not outcome.masks or _is_json(self.event.value))
        ):
            return outcome.effect
        return self.decision.effect

    @property
    def masks(self) -> tuple[MaskField, ...]:
        """The masks that were applied."""
        outcome = self.side.outcome(self.hits)
        return outcome.masks if self.effect is outcome.effect else ()

    @property
    def decision(self) -> Decision:
        """The decision, with everything that follows from it."""
        if self._decision is None:
            hits, reason = self.hits, self.undecodable
            self._decision = self.side.plan.conclude(
                self.event, hits if reason is None else Undecodable(hits, reason)
            )
        return self._decision


class Outlook(NamedTuple):
    """Two branches that go together; `then` is None where no version is at hand."""

    then: Branch | None
    now: Branch


class _Remains(NamedTuple):
    """What an event comes to under one plan: known hits, and formulas for the other rules."""

    hits: _Hits
    undecodable: str | None
    formulas: tuple[tuple[int, Formula], ...]


class Side:
    """One plan and the rules in it that hang on unknowns."""

    def __init__(self, plan: Plan, unknowns: Unknowns) -> None:
        self.plan, self._unknowns = plan, unknowns
        circumstances = Circumstances(plan.stage, (plan.value_format, plan.key_format), plan.lists)
        #: The open rules, by their position.
        self.open: dict[int, Shape | Atom] = {}
        read: set[str] = set()
        for index, planned in enumerate(plan.rules):
            condition = planned.rule.condition
            if condition is not None and unknowns.touch(reads := reads_of(condition.expr)):
                self.open[index] = shape_of(condition.expr, circumstances)
                read |= reads.variables
        known = _OF_EVENT if plan.stage == "produce" else _OF_EVENT | _PLACED
        self._names = (known & read) - unknowns.variables
        self._reads_value = "value" in read
        self._run = plan.compiled.run
        self._outcomes: dict[object, Outcome] = {}
        self._closed = not plan.covered and plan.settings.uncovered == "reject"
        self._tombstone_rejects = plan.tombstone_rejects

    def told(self, event: Event) -> Outcome | None:
        """What rules come to as far as things are known; None where the bundle has its say too."""
        found = self._run(event)
        outcome = self._outcomes.get(found)
        if outcome is None:
            if isinstance(found, Undecodable):
                return None
            outcome = self.outcome(found)
        return None if self.objects(event) else outcome

    def objects(self, event: Event) -> bool:
        """True where the bundle itself refuses the event, whatever its rules say."""
        return self._closed or (event.value is None and self._tombstone_rejects)

    def branch(self, event: Event) -> Branch:
        """The one decision where nothing is unknown; else the one as far as things are known."""
        found = self._run(event)
        if isinstance(found, Undecodable):
            return Branch(self, event, found.hits, found.reason)
        return Branch(self, event, found, None)

    def outcome(self, hits: _Hits) -> Outcome:
        """What hits come to."""
        outcome = self._outcomes.get(hits)
        if outcome is None:
            outcome = self.plan.resolve(hits)
            if len(self._outcomes) < _KNOWN_MAX:
                self._outcomes[hits] = outcome
        return outcome

    def atoms(self) -> Iterable[Atom]:
        """The atoms of the open rules."""
        return (atom for shape in self.open.values() for atom in atoms_of(shape))

    def remains(
        self, event: Event, given: Mapping[str, object]
    ) -> tuple[_Remains, dict[Place, Hidden]]:
        """What is known, and formulas for what is not; and what is known of masked fields."""
        found = self._run(event)
        reason: str | None = None
        if isinstance(found, Undecodable):
            reason, found = found.reason, found.hits
        hits = tuple(hit for hit in found if (hit if hit >= 0 else ~hit) not in self.open)
        if not self.open:
            return _Remains(hits, reason, ()), {}
        variables = self._variables(event, reason is None)
        known, hidden = self._unknowns.over(*variables, given)
        formulas = tuple(
            (index, left)
            for index, shape in self.open.items()
            if self._runs(index, event, reason is None)
            and (left := shape.value(known)) is not False
        )
        return _Remains(hits, reason, formulas), hidden

    def _variables(self, event: Event, decodable: bool) -> tuple[dict[str, object], object]:
        """What open rules read: the variables but the value, and the value."""
        definition = self.plan.compiled.definition
        known = dict(definition.constants)
        for name in self._names:
            known[name] = variable(name, event, key_format=self.plan.key_format)
        value: object = None
        if self._reads_value and event.value is not None and decodable:
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


class Possibilities:
    """The possible decisions of `now`, and of `then` where that version is at hand."""

    def __init__(self, then: Side | None, now: Side) -> None:
        self._then, self._now = then, now
        sides = [now] if then is None else [then, now]
        self._atoms = {atom.name: atom for side in sides for atom in side.atoms()}
        self._known: dict[object, list[tuple[_Hits, _Hits]] | None] = {}

    @property
    def certain(self) -> bool:
        """True where no rule hangs on anything unknown: each plan has one decision."""
        return not self._atoms

    def of(self, event: Event, given: Mapping[str, object]) -> Sequence[Outlook] | None:
        """Every distinct pair of decisions; None where there are too many worlds to try.

        `given` is what was kept of variables that are unknown otherwise.
        """
        if self.certain:
            then_branch = None if self._then is None else self._then.branch(event)
            return [Outlook(then_branch, self._now.branch(event))]
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
                else Branch(self._then, event, hits_then, then.undecodable),
                Branch(self._now, event, hits_now, now.undecodable),
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
                told_then = _told(self._then.outcome(hits_then))
            key = (told_then, _told(self._now.outcome(hits_now)))
            pairs.setdefault(key, (hits_then, hits_now))
        return list(pairs.values())


def _told(outcome: Outcome) -> _Told:
    """What tells outcomes apart, as far as a replay cares."""
    return outcome.effect, outcome.masks


def _is_json(value: bytes | None) -> bool:
    """True for what masks can be applied to."""
    if value is None:
        return True
    if value[:1] == b"\0":
        return False
    try:
        decode_json(value)
    except DecodeError:
        return False
    return True


def _names(formula: Formula) -> Iterable[str]:
    if isinstance(formula, str):
        yield formula
    elif isinstance(formula, tuple):
        for part in formula[1]:
            yield from _names(part)
