"""The stamped version's plan and today's, side by side for one lane of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ..policy.bundle import Bundle
from ..policy.compiler.reads import reads_of
from ..policy.model import Effect, MaskField, Mode, Rule
from ..policy.plan import Outcome, Plan, PlanRule
from ..policy.stamp import Stamp
from ..schemas.event import Event
from .batch import Batch
from .lacking import lacking_schema, needs_schemas
from .possibilities import Outlook, Possibilities, Side
from .sweeping import Sweep
from .unknowns import Unknowns, overlaps
from .verdict import masks_anew

__all__ = ["Pair", "equivalent", "lost_to", "pair_of"]

_WARN = Effect.WARN.rank
_NOTHING: Mapping[str, object] = MappingProxyType({})


class _Clear(NamedTuple):
    """The shortest look at an event: no rule of `sides` fires, and `effect` is what that comes to.

    `any_effect` where there is no version to ask what it should be.
    """

    sides: tuple[Side, ...]
    sweeps: tuple[Sweep, ...]
    effect: Effect
    any_effect: bool

    def fits(self, effect: Effect) -> bool:
        """Whether it says anything about stamps of `effect`."""
        return self.any_effect or effect is self.effect


class Pair:
    """Two plans, what is unknown to them, and how they relate.

    `same`: they decide alike on every event. `certain`: nothing in them hangs on unknowns.
    `masks` are the masks that may have been applied, where the version itself cannot be asked.
    """

    def __init__(
        self, then: Plan | None, now: Plan, unknowns: Unknowns, masks: Iterable[MaskField]
    ) -> None:
        self.now = Side(now, unknowns)
        self.then = None if then is None else Side(then, unknowns)
        self.masks = tuple(masks)
        self.same = then is not None and equivalent(then, now)
        self._possibilities = Possibilities(self.then, self.now, unknowns)
        self.certain = self._possibilities.certain
        self.unknown_names = tuple(_names(then, now, unknowns))
        self._needs_schemas = any(needs_schemas(plan) for plan in (now, then) if plan is not None)
        self._clear = self._clear_way()
        self._parallel = self.then is not None and _are_parallel(self.then, self.now)

    def _clear_way(self) -> _Clear | None:
        """How to tell events on which no rule of either plan fires; None where that says nothing."""
        sides = [self.now] if self.then is None else [self.now, self.then]
        if not (self.same or self.certain) or any(side.closed for side in sides):
            return None
        effect = sides[-1].plan.all_clear.effect
        asked = tuple(sides[:1] if self.same else sides)
        sweeps = tuple(Sweep(side.plan) for side in asked)
        return _Clear(asked, sweeps, effect, any_effect=self.then is None)

    def suspects(self, batch: Batch, effect: Effect) -> list[int] | None:
        """The positions in `batch` at which `is_clean` has to be asked; None: at all of them.

        All other events with stamps of `effect` are clean. Raises UnavailableError where the schema
        of an event cannot be had now.
        """
        clear = self._clear
        if clear is None or not clear.fits(effect):
            return None
        found = [sweep.fired(batch) for sweep in clear.sweeps]
        return found[0] if len(found) == 1 else sorted({*found[0], *found[1]})

    def is_clean(self, event: Event, effect: Effect) -> bool:
        """True where a look at known things suffices: nothing is wrong with a stamp of `effect`.

        The bytes as they are are one of the values that masked fields may have had, and no client
        and no facts one of those: what they come to is possible, and that is all that a stamp has
        to be. False says nothing.
        """
        clear = self._clear
        if (
            clear is not None
            and clear.fits(effect)
            and event.value is not None
            and not any(side.run(event) for side in clear.sides)
        ):
            return True
        now = self.now.told(event)
        if now is None:
            return False
        if self.same:
            return now.effect is effect and not self._masks_anew(event, now, now)
        then = None
        if self.then is not None:
            then = self.then.told(event)
            if then is None or then.effect is not effect:
                return False
        if self.certain:
            return now.effect.rank <= _WARN
        return (
            then is not None
            and self._parallel
            and self.now.is_quiet(event)
            and self.then is not None
            and self.then.is_quiet(event)
            and not self._masks_anew(event, now, then)
        )

    def _masks_anew(self, event: Event, now: Outcome, then: Outcome) -> bool:
        if not now.masks:
            return False
        return masks_anew(self.now.case(event), self.now.plan, now.masks, then.masks)

    def lacking(self, event: Event) -> str:
        """The id of a schema that a decision on `event` hangs on and that is not at hand, or empty."""
        return lacking_schema(event, self.now.plan) if self._needs_schemas else ""

    def outlooks(
        self, event: Event, given: Mapping[str, object] = _NOTHING
    ) -> Sequence[Outlook] | None:
        """The pairs of decisions that `event` may have come to; None: too many to try.

        `given` is what was kept of variables that are unknown otherwise.
        """
        return self._possibilities.of(event, given)


def _are_parallel(then: Side, now: Side) -> bool:
    """True where all that hangs on unknowns stands in both plans, and nothing else meddles with it.

    Then an event on which no other rule says more than a warning comes out alike under both,
    whatever the unknowns.
    """
    one, two = then.plan, now.plan
    return (
        not any(planned.lifts for planned in (*one.rules, *two.rules))
        and (one.stage, one.mode, one.lists) == (two.stage, two.mode, two.lists)
        and then.formats == now.formats
        and one.settings.resolution == two.settings.resolution
        and len(then.open) == len(now.open)
        and all(
            _alike(one.rules[i], two.rules[j]) for i, j in zip(then.open, now.open, strict=True)
        )
    )


def lost_to(stamp: Stamp | None, appended: bool) -> tuple[bool, tuple[str, ...]]:
    """Whether masks may hide fields of an event with this stamp, and which variables are lost.

    Nothing is lost without a stamp to go by (None): then there was no decision to repeat.
    `appended`: the broker set the record's time, so that the producer's is unknown, and with it
    the guard's own reading where the stamp does not carry it. What was released or let through by
    an override may have been masked on its way.
    """
    if stamp is None:
        return False, ()
    masked = stamp.effect is Effect.MASK or stamp.ov is not None or stamp.ap is not None
    if not appended:
        return masked, ()
    return masked, ("timestamp",) if stamp.at is not None else ("timestamp", "now")


def pair_of(
    then: Plan | None, now: Plan, today: Bundle, masked: bool, also: tuple[str, ...]
) -> Pair:
    """The pair of a lane, with what `lost_to` says about its stamp."""
    masks = tuple(_masks(then, today, now.topic)) if masked else ()
    return Pair(then, now, Unknowns.of(masks, also=also), masks)


def _masks(then: Plan | None, today: Bundle, topic: str) -> Iterable[MaskField]:
    """What the stamped version may have masked; what today's names where it is not at hand."""
    if then is not None:
        for planned in then.rules:
            if planned.mode is Mode.ENFORCE:
                yield from planned.rule.masks
        return
    for policy in today.covering(topic):
        for rule in policy.rules:
            yield from rule.masks


def equivalent(one: Plan, two: Plan) -> bool:
    """True where two plans surely decide alike: the same rules under the same settings."""
    if one is two:
        return True
    return (
        len(one.rules) == len(two.rules)
        and (one.stage, one.mode, one.covered) == (two.stage, two.mode, two.covered)
        and one.tombstone_rejects == two.tombstone_rejects
        and (one.value_format, one.key_format) == (two.value_format, two.key_format)
        and all(
            getattr(one.settings, name) == getattr(two.settings, name)
            for name in ("resolution", "undecodable", "tombstones", "uncovered", "strict_values")
        )
        and one.lists == two.lists
        and all(map(_alike, one.rules, two.rules))
    )


def _alike(one: PlanRule, two: PlanRule) -> bool:
    return (
        one.policy.id == two.policy.id
        and (one.policy.tombstones or "allow") == (two.policy.tombstones or "allow")
        and one.mode is two.mode
        and one.lifts == two.lifts
        and _content(one.rule) == _content(two.rule)
    )


def _content(rule: Rule) -> tuple[object, ...]:
    return (
        rule.id,
        rule.effect,
        None if rule.condition is None else rule.condition.text,
        rule.on_error,
        rule.masks,
    )


def _names(then: Plan | None, now: Plan, unknowns: Unknowns) -> Iterable[str]:
    """What the rules of both plans read of the unknown, for people."""
    found: set[str] = set()
    for planned in (*now.rules, *(() if then is None else then.rules)):
        if planned.rule.condition is None:
            continue
        reads = reads_of(planned.rule.condition.expr)
        for variable, path in reads.whole | reads.present:
            if variable in unknowns.variables:
                found.add(".".join([variable, *(name for name in path[:1] if name)]))
            elif variable == "value" and any(overlaps(path, mask) for mask in unknowns.masks):
                found.add("masked fields")
    return sorted(found)
