"""Every decision that two plans may have come to on one event, given what is unknown of it.

What is known decides through the plans' compiled code. Only rules that read something unknown are
evaluated again, with unknowns, and what is left of them is tried in all worlds (see `worlds`).
Both plans share a world: a condition that stands in both has one truth.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from ..policy.compiler import UnavailableError, Undecodable
from ..policy.compiler.activation import schema_of, variable
from ..policy.compiler.definition import EVENT_VARIABLES, PLACED, ValueReader
from ..policy.compiler.framed import frame_or_error
from ..policy.compiler.reads import Place, Reads, reads_of
from ..policy.decision import Decision
from ..policy.model import Effect, MaskField
from ..policy.plan import Outcome, Plan
from ..schemas.event import Event
from ..schemas.json_nesting import NESTING_MAX, is_nested
from ..schemas.json_projection import DecodeError, decode_json
from ..schemas.views import is_framed
from .firing import Firing
from .formulas import Atom, Circumstances, Formula, Shape, atoms_of, shape_of, truth
from .unknowns import Unknowns
from .worlds import Hidden, worlds

__all__ = ["OPAQUE", "Branch", "Case", "Outlook", "Possibilities", "Side", "is_opaque"]

#: Distinct remains of conditions whose worlds are kept: mostly a handful for a topic.
_KNOWN_MAX = 4096
#: A value whose content only its own projector knows.
OPAQUE: Final = object()
_NOT_YET: Final = object()

_Hits: TypeAlias = tuple[int, ...]
_Told: TypeAlias = "tuple[Effect, tuple[MaskField, ...]]"


def is_opaque(event: Event, schemas: bool) -> bool:
    """True for a value that a registry has framed, also by a header where `schemas` are given."""
    value = event.value or b""
    if not schemas:
        return is_framed(value)
    try:
        return frame_or_error(value, event.headers, "value") is not None
    except DecodeError:
        return True


class Case:
    """An event, and what has been found out about it whoever asked."""

    __slots__ = ("_decoded", "_schemas", "event")

    def __init__(self, event: Event, schemas: bool) -> None:
        self.event, self._schemas = event, schemas
        self._decoded: object = _NOT_YET

    @property
    def decoded(self) -> object:
        """The whole value where it is JSON, else `OPAQUE`."""
        if self._decoded is _NOT_YET:
            value = self.event.value
            self._decoded = OPAQUE
            if value is not None and not is_opaque(self.event, self._schemas):
                with contextlib.suppress(DecodeError):
                    self._decoded = decode_json(value)
        return self._decoded


class Branch:
    """One way in which a plan may have decided on an event; the decision is made when asked for.

    It stands for all worlds of the same decision: `firing` says which rules fire in them, where
    any hangs on unknowns, and `hits` are those of a world with the fewest.
    """

    __slots__ = ("_decision", "case", "firing", "hits", "side", "undecodable")

    def __init__(
        self,
        side: Side,
        case: Case,
        hits: _Hits,
        undecodable: str | None,
        firing: Firing | None = None,
    ) -> None:
        self.side, self.case, self.hits, self.undecodable = side, case, hits, undecodable
        self.firing = firing
        self._decision: Decision | None = None

    @property
    def effect(self) -> Effect:
        """What was decided."""
        if self._decision is not None:
            return self._decision.effect
        outcome = self.side.outcome(self.hits)
        if self.undecodable is not None or self.side.objects(self.case.event):
            return self.decision.effect
        value = self.case.event.value
        if not outcome.masks or value is None:
            return outcome.effect
        doubtful = self.case.decoded is OPAQUE or is_nested(value, NESTING_MAX)
        return self.decision.effect if doubtful else outcome.effect  # perhaps they do not apply

    @property
    def masks(self) -> tuple[MaskField, ...]:
        """The masks that were applied."""
        outcome = self.side.outcome(self.hits)
        return outcome.masks if outcome.masks and self.effect is outcome.effect else ()

    @property
    def decision(self) -> Decision:
        """The decision, with everything that follows from it."""
        if self._decision is None:
            hits, reason = self.hits, self.undecodable
            self._decision = self.side.plan.conclude(
                self.case.event, hits if reason is None else Undecodable(hits, reason)
            )
        return self._decision


class Outlook(NamedTuple):
    """Two branches that go together; `then` is None where no version is at hand."""

    then: Branch | None
    now: Branch


class _Way(NamedTuple):
    """What both plans may have come to: hits, and what fires in all worlds of these decisions."""

    then: _Hits
    now: _Hits
    firing_then: Firing | None
    firing_now: Firing

    def or_else(self, other: _Way) -> _Way:
        """The worlds of both."""
        fewest = min(self, other, key=lambda way: len(way.then) + len(way.now))
        firing_then = self.firing_then
        if firing_then is not None and other.firing_then is not None:
            firing_then = firing_then.or_else(other.firing_then)
        return _Way(fewest.then, fewest.now, firing_then, self.firing_now.or_else(other.firing_now))


class _Remains(NamedTuple):
    """What an event comes to under one plan: known hits, and formulas for the other rules."""

    hits: _Hits
    undecodable: str | None
    formulas: tuple[tuple[int, Formula], ...]


class _View:
    """What open rules read of an event, with unknowns in place; made once for all plans.

    `reads` are those of all open rules; plans that read bytes differently need views of their own.
    """

    def __init__(self, plan: Plan, reads: Reads, unknowns: Unknowns, placed: bool) -> None:
        known = EVENT_VARIABLES | PLACED if placed else EVENT_VARIABLES
        self._names = tuple((known & reads.variables) - unknowns.variables)
        self._unknowns, self._setting = unknowns, plan.compiled.definition.setting
        self._reads_schema = reads.reads_schema
        self._reader = ValueReader(self._setting, reads) if reads.reads_value else None

    def of(
        self, event: Event, given: Mapping[str, object]
    ) -> tuple[dict[str, object], dict[Place, Hidden]]:
        """The variables, and what is known of masked fields."""
        setting = self._setting
        known = {
            name: variable(name, event, key_format=setting.key_format, framed=setting.framed)
            for name in self._names
        }
        if self._reads_schema:
            known["schema"] = schema_of(event, setting.framed)
        value: object = None
        telling = True
        if self._reader is not None and event.value is not None:
            telling = not is_opaque(event, self._setting.framed is not None)
            # Where a plan cannot decode the value, its rules that read it are not asked.
            with contextlib.suppress(DecodeError):
                value = self._reader.plain(self._reader.decode(event.value, event.headers))
        return self._unknowns.over(known, value, given, telling=telling)


class Side:
    """One plan and the rules in it that hang on unknowns."""

    def __init__(self, plan: Plan, unknowns: Unknowns) -> None:
        self.plan = plan
        self.formats = (plan.value_format, plan.key_format)
        circumstances = Circumstances(plan.stage, self.formats, plan.lists)
        #: The open rules, by their position, and what they read together.
        self.open: dict[int, Shape | Atom] = {}
        #: Open rules that read nothing of events: what is left of them is always the same.
        self.steady: dict[int, Formula] = {}
        self._reading_value: set[int] = set()
        constants = plan.compiled.definition.constants
        steady = unknowns.variables | (constants.keys() - {"schema"})
        found: list[Reads] = []
        for index, planned in enumerate(plan.rules):
            condition = planned.rule.condition
            if condition is not None and unknowns.touch(reads := reads_of(condition.expr)):
                self.open[index] = shape_of(condition.expr, circumstances)
                found.append(reads)
                if reads.reads_value:
                    self._reading_value.add(index)
                elif reads.variables <= steady:
                    self.steady[index] = self.open[index].value(unknowns.nothing_known(constants))
        self.reads = Reads.union(found)
        self._steady = tuple((i, left) for i, left in self.steady.items() if left is not False)
        self._quiet = frozenset(
            hit
            for index in range(len(plan.rules))
            for hit in (index, ~index)
            if index in self.open or plan.resolve((hit,)).effect.rank <= Effect.WARN.rank
        )
        self._compiled = plan.compiled.run
        self._last: tuple[Event | None, _Hits | Undecodable] = (None, ())
        self._constants = constants
        self._outcomes: dict[object, Outcome] = {}
        self._firings: dict[_Hits, Firing] = {}
        #: The bundle refuses every event here, since no policy covers the topic.
        self.closed = not plan.covered and plan.settings.uncovered == "reject"
        self._tombstone_rejects = plan.tombstone_rejects

    def run(self, event: Event) -> _Hits | Undecodable:
        """What the compiled rules come to; the same event is asked about several times in a row.

        Raises UnavailableError where the event's schema cannot be had now.
        """
        last, found = self._last
        if last is not event:
            found = self._compiled(event)
            if isinstance(found, Undecodable) and found.unavailable:
                raise UnavailableError(found.reason)
            self._last = (event, found)
        return found

    def told(self, event: Event) -> Outcome | None:
        """What rules come to as far as things are known; None where the bundle has its say too."""
        found = self.run(event)
        outcome = self._outcomes.get(found)
        if outcome is None:
            if isinstance(found, Undecodable):
                return None
            outcome = self.outcome(found)
        return None if self.objects(event) else outcome

    def is_quiet(self, event: Event) -> bool:
        """True where no rule but the open ones says more than a warning."""
        found = self.run(event)
        return not isinstance(found, Undecodable) and self._quiet.issuperset(found)

    def objects(self, event: Event) -> bool:
        """True where the bundle itself refuses the event, whatever its rules say."""
        return self.closed or (event.value is None and self._tombstone_rejects)

    def case(self, event: Event) -> Case:
        """`event`, for branches of it and of its mate."""
        return Case(event, self.plan.framed is not None)

    def branch(self, case: Case) -> Branch:
        """The one decision where nothing is unknown; else the one as far as things are known."""
        found = self.run(case.event)
        if isinstance(found, Undecodable):
            return Branch(self, case, found.hits, found.reason)
        return Branch(self, case, found, None)

    def outcome(self, hits: _Hits) -> Outcome:
        """What hits come to."""
        outcome = self._outcomes.get(hits)
        if outcome is None:
            outcome = self.plan.resolve(hits)
            if len(self._outcomes) < _KNOWN_MAX:
                self._outcomes[hits] = outcome
        return outcome

    def firing(self, hits: _Hits) -> Firing:
        """Which of the rules that were hit count, and which of those decide."""
        found = self._firings.get(hits)
        if found is None:
            outcome = self.outcome(hits)
            counting = {
                entry.rule: Effect(entry.effect)
                for entry in outcome.entries
                if entry.counts
                and isinstance(entry.rule, int)
                and Effect(entry.effect).rank > Effect.WARN.rank
            }
            count = frozenset(counting)
            decide = frozenset(rule for rule in count if counting[rule] is outcome.effect)
            found = Firing(decide, decide, count, count)
            if len(self._firings) < _KNOWN_MAX:
                self._firings[hits] = found
        return found

    def atoms(self) -> Iterable[Atom]:
        """The atoms of the open rules."""
        return (atom for shape in self.open.values() for atom in atoms_of(shape))

    def remains(self, event: Event, view: Mapping[str, object] | None) -> _Remains:
        """What is known, and formulas for what is not; `view` None where all open rules are steady."""
        found = self.run(event)
        reason: str | None = None
        if isinstance(found, Undecodable):
            reason, found = found.reason, found.hits
        if not self.open:
            return _Remains(found, reason, ())
        hits = tuple([hit for hit in found if (hit if hit >= 0 else ~hit) not in self.open])
        if view is None:
            return _Remains(hits, reason, self._steady)
        known = {**self._constants, **view}
        formulas = [
            (index, left)
            for index, shape in self.open.items()
            if self._runs(index, event, reason is None)
            and (left := shape.value(known)) is not False
        ]
        return _Remains(hits, reason, tuple(formulas))

    def _runs(self, index: int, event: Event, decodable: bool) -> bool:
        """Whether the rule is evaluated at all, as `Definition.run` has it."""
        if index not in self._reading_value:
            return True
        if event.value is not None:
            return decodable
        return self.plan.compiled.definition.rules[index].tombstone

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

    def __init__(self, then: Side | None, now: Side, unknowns: Unknowns) -> None:
        self._then, self._now = then, now
        sides = [now] if then is None else [then, now]
        self._atoms = {atom.name: atom for side in sides for atom in side.atoms()}
        self._known: dict[object, list[_Way] | None] = {}
        self._steady = all(side.open.keys() == side.steady.keys() for side in sides)
        placed = any(side.plan.stage != "produce" for side in sides)
        reads = Reads.union([side.reads for side in sides])
        self._view = _View(now.plan, reads, unknowns, placed)
        self._view_then = self._view
        if then is not None and then.formats != now.formats:
            self._view_then = _View(then.plan, reads, unknowns, placed)

    @property
    def certain(self) -> bool:
        """True where no rule hangs on anything unknown: each plan has one decision."""
        return not self._atoms

    def of(self, event: Event, given: Mapping[str, object]) -> Sequence[Outlook] | None:
        """Every distinct pair of decisions; None where there are too many worlds to try.

        `given` is what was kept of variables that are unknown otherwise.
        """
        then_side, now_side = self._then, self._now
        case = now_side.case(event)
        if self.certain:
            then_branch = None if then_side is None else then_side.branch(case)
            return [Outlook(then_branch, now_side.branch(case))]
        view: dict[str, object] | None = None
        hidden: dict[Place, Hidden] = {}
        if given or not self._steady:
            view, hidden = self._view.of(event, given)
        now = now_side.remains(event, view)
        then: _Remains | None = None
        if then_side is not None:
            if view is not None and self._view_then is not self._view:
                view, more = self._view_then.of(event, given)
                hidden.update(more)
            then = then_side.remains(event, view)
        key = (then, now, *hidden.items())
        if key not in self._known:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = self._ways(then, now, hidden)
        ways = self._known[key]
        if ways is None:
            return None
        return [
            Outlook(
                None
                if then_side is None or then is None
                else Branch(then_side, case, way.then, then.undecodable, way.firing_then),
                Branch(now_side, case, way.now, now.undecodable, way.firing_now),
            )
            for way in ways
        ]

    def _ways(
        self, then: _Remains | None, now: _Remains, hidden: Mapping[Place, Hidden]
    ) -> list[_Way] | None:
        formulas = [*(() if then is None else then.formulas), *now.formulas]
        names = dict.fromkeys(name for _, formula in formulas for name in _names(formula))
        tried = worlds([self._atoms[name] for name in names], hidden)
        if tried is None:
            return None
        ways: dict[object, _Way] = {}
        for world in tried:
            hits_now = self._now.hits(now, world)
            hits_then: _Hits = ()
            told_then: _Told | None = None
            firing_then: Firing | None = None
            if self._then is not None and then is not None:
                hits_then = self._then.hits(then, world)
                told_then = _told(self._then.outcome(hits_then))
                firing_then = self._then.firing(hits_then)
            key = (told_then, _told(self._now.outcome(hits_now)))
            way = _Way(hits_then, hits_now, firing_then, self._now.firing(hits_now))
            present = ways.get(key)
            ways[key] = way if present is None else present.or_else(way)
        return list(ways.values())


def _told(outcome: Outcome) -> _Told:
    """What tells outcomes apart, as far as a replay cares."""
    return outcome.effect, outcome.masks


def _names(formula: Formula) -> Iterable[str]:
    if isinstance(formula, str):
        yield formula
    elif isinstance(formula, tuple):
        for part in formula[1]:
            yield from _names(part)
