"""A bundle compiled for one topic, stage and interval between effective dates.

`Plan.decide(event)` is the whole way from bytes to decision: the compiled rules say which of them
hit, `resolve` turns hits into an outcome (exemptions first, then the strictest effect), and
outcomes are cached by their hits, so that a refused event costs little more than a clean one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from streamwarden.errors import SchemaUnavailableError

from ..schemas.event import Event, Headers
from .compiler import Compiled, UnavailableError, Undecodable
from .compiler.framed import FramedValues
from .decision import Decision
from .decision_sink import DecisionSink
from .explain import Trail
from .keys import KeyRing
from .masking import Masker, MaskError, strictest
from .model import Approvals, BundleSettings, Effect, MaskField, Mode, Policy, Rule
from .privacy import Privacy
from .showing import reads_values_alone
from .stamp import Stamp
from .tallies import Tally

__all__ = ["Entry", "Outcome", "Plan", "PlanRule", "Plans", "SyntheticRule"]

#: Outcomes of each sort that are kept; a hostile producer must not grow it.
_OUTCOMES_MAX = 2048
#: An event whose decision is timed, when it began (nanoseconds), and who is told.
_Timed: TypeAlias = tuple[Event, int, Callable[[int], object]]


@dataclass(frozen=True, slots=True)
class PlanRule:
    """A rule in its plan: with its policy, and the mode that counts here."""

    rule: Rule
    policy: Policy
    mode: Mode
    lifts: frozenset[int] = frozenset()  # positions of the rules that it lifts while it fires


@dataclass(frozen=True, slots=True)
class SyntheticRule:
    """What the bundle itself says about an event, in the place of a rule."""

    id: str  # undecodable | tombstone | uncovered | unmaskable
    effect: Effect
    reason: str
    remediation: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One hit after resolution. `effect` is what counts: a name of Effect, or `exempt`."""

    rule: int | SyntheticRule
    errored: bool
    effect: str
    mode: Mode
    exempted_by: str | None = None

    @property
    def counts(self) -> bool:
        """True where the hit is acted on: enforced, not lifted, not skipped."""
        return (
            self.mode is Mode.ENFORCE
            and self.exempted_by is None
            and self.effect not in ("exempt", "none")
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a set of hits comes to; shared by all events with the same hits."""

    effect: Effect
    entries: tuple[Entry, ...] = ()
    masks: tuple[MaskField, ...] = ()
    shadowed: bool = False
    approvals: Approvals | None = None


class Plans(Protocol):
    """What a plan takes from the table that made it."""

    settings: BundleSettings
    label: str
    digest: str
    language: int
    mode: Mode
    client: Mapping[str, Any]
    lists: Mapping[str, object]
    mask_keys: KeyRing | None
    masker: Masker
    framed: FramedValues | None
    next_id: Callable[[], str]
    sink: DecisionSink | None


class Plan:
    """See the module's first lines. Immutable but for its caches and counters; thread-safe.

    `since` and `until` bound the instants (nanoseconds) it holds for.
    """

    __slots__ = (
        "__weakref__",
        "_blind_outcomes",
        "_open",
        "_outcomes",
        "_run",
        "_sink",
        "_timed",
        "all_clear",
        "by_value",
        "client",
        "compiled",
        "covered",
        "digest",
        "framed",
        "frames",
        "hides_key",
        "key_format",
        "label",
        "language",
        "lists",
        "mask_keys",
        "masker",
        "mode",
        "next_id",
        "privacy",
        "reads_facts",
        "rules",
        "settings",
        "since",
        "stage",
        "stamp_headers",
        "tally",
        "tombstone_rejects",
        "topic",
        "trails",
        "until",
        "value_format",
    )

    def __init__(
        self,
        source: Plans,
        *,
        topic: str,
        stage: str,
        since: int,
        until: int,
        rules: Sequence[PlanRule],
        compiled: Compiled,
        privacy: Privacy,
        formats: tuple[str, str],
        covered: bool,
        tombstone_rejects: bool,
    ) -> None:
        self.topic, self.stage, self.since, self.until = topic, stage, since, until
        self.settings, self.label, self.digest = source.settings, source.label, source.digest
        self.language, self.mode, self.client = source.language, source.mode, source.client
        self.lists, self.mask_keys, self.next_id = source.lists, source.mask_keys, source.next_id
        self.masker, self.framed = source.masker, source.framed
        self.rules, self.compiled, self.privacy = tuple(rules), compiled, privacy
        self.value_format, self.key_format = formats
        self.covered, self.tombstone_rejects = covered, tombstone_rejects
        self.reads_facts = compiled.reads.reads_facts
        #: Whether its rules look at the value of an event alone, and find no frame around it.
        self.by_value = self.framed is None and reads_values_alone(compiled)
        self.hides_key = privacy.hides(("key",))
        self._run = compiled.run
        self._timed: _Timed | None = None
        self.tally = Tally(len(self.rules), covered=covered)
        #: How each rule is explained, and how decisions of each effect are written down: prepared
        #: when first needed.
        self.trails: dict[int, Trail] = {}
        self.frames: dict[Effect, bytes] = {}
        self.all_clear = Outcome(Effect.ALLOW if self.rules else Effect.NONE)
        self._outcomes: dict[tuple[object, ...], Outcome] = {}
        #: By the hits and why the value cannot be decoded, None of a tombstone: apart, since such
        #: reasons are many, and what is decoded must not be crowded out.
        self._blind_outcomes: dict[tuple[object, ...], Outcome] = {}
        self._sink = source.sink
        #: Whether nothing is left to do where no rule fired; a tombstone is another matter where
        #: they are not allowed.
        self._open = (covered or self.settings.uncovered != "reject") and not (
            self._sink is not None and self._sink.takes_clear
        )
        #: The headers of an event that had none and is clear: constant, hence shared.
        self.stamp_headers = self.stamp(self.all_clear.effect).headers(
            expanded=self.settings.stamp == "expanded"
        )

    def decide(self, event: Event) -> Decision:
        """The decision on one event.

        Raises SchemaUnavailableError where its schema cannot be had now, DecisionLogFullError where
        it would have to be logged and cannot be; nothing else.
        """
        try:
            hits = self._run(event)
        except UnavailableError as error:
            raise _unavailable(str(error)) from None
        if not hits and self._open and not (self.tombstone_rejects and event.value is None):
            self.tally.clear += 1
            return Decision(self, event, self.all_clear.effect, self.all_clear)
        return self.conclude(event, hits)

    def clear(self, event: Event) -> Decision:
        """The decision on an event that is known to be clear, and is counted already."""
        return Decision(self, event, self.all_clear.effect, self.all_clear)

    @property
    def quiet(self) -> bool:
        """Whether nobody has to hear of an event with a value on which no rule says anything.

        Nor of how long that took (see `time_next`).
        """
        return self._open and self._run is self.compiled.run

    def conclude(self, event: Event, hits: tuple[int, ...] | Undecodable) -> Decision:
        """The decision that follows where the conditions come to `hits` (see `Compiled.run`).

        Raises SchemaUnavailableError likewise, and DecisionLogFullError.
        """
        undecodable: str | None = None
        if isinstance(hits, Undecodable):
            if hits.unavailable:
                raise _unavailable(hits.reason)
            undecodable, hits = hits.reason, hits.hits
        known: tuple[object, ...] = hits
        outcomes = self._outcomes
        if undecodable is not None or event.value is None:
            known, outcomes = (*hits, undecodable), self._blind_outcomes
        outcome = outcomes.get(known)
        if outcome is None:
            outcome = self.resolve(hits) if hits else self.all_clear
            for synthetic in self._synthetic(event, undecodable):
                outcome = self._with(outcome, synthetic)
            if len(outcomes) < _OUTCOMES_MAX:
                outcomes[known] = outcome
        masked: bytes | None = None
        if outcome.masks and event.value is not None:
            try:
                masked = self.mask(event.value, event.headers, outcome.masks)
            except MaskError as error:
                outcome = self._with(outcome, _unmaskable(str(error)))
        return self.record(event, outcome, undecodable, masked)

    def record(
        self,
        event: Event,
        outcome: Outcome,
        undecodable: str | None = None,
        masked: bytes | None = None,
    ) -> Decision:
        """The decision with that outcome, logged and counted. Raises DecisionLogFullError."""
        decision = Decision(self, event, outcome.effect, outcome, undecodable, masked)
        if self._sink is not None:
            self._sink.take(decision)
        self._count(outcome, undecodable)
        if self._timed is not None:
            self._tell_time(event)
        return decision

    def mask(self, value: bytes, headers: Headers, masks: Iterable[MaskField]) -> bytes:
        """A value of the plan's topic with `masks` applied.

        Raises MaskError where it cannot take them, SchemaUnavailableError likewise.
        """
        try:
            return self.masker.mask(value, self.value_format, masks, headers)
        except UnavailableError as error:
            raise _unavailable(str(error)) from None

    def _count(self, outcome: Outcome, undecodable: str | None) -> None:
        tally = self.tally
        tally.other[outcome.effect] += 1
        if undecodable is not None:
            tally.undecodable += 1
        for entry in outcome.entries:
            if isinstance(entry.rule, int):
                tally.matches[entry.rule] += 1
                if entry.errored:
                    tally.errors[entry.rule] += 1
            else:
                tally.said[entry.rule.id] += 1

    def time_next(self, tell: Callable[[int], object]) -> None:
        """Give `tell` the nanoseconds that the next decision takes; others are not slowed down."""
        run = self.compiled.run

        def timed(event: Event) -> tuple[int, ...] | Undecodable:
            self._run = run
            started = time.perf_counter_ns()
            hits = run(event)
            if hits:
                self._timed = event, started, tell
            else:
                tell(time.perf_counter_ns() - started)
            return hits

        if self._run is run:
            self._run = timed

    def _tell_time(self, event: Event) -> None:
        timed, self._timed = self._timed, None
        if timed is not None and timed[0] is event:
            timed[2](time.perf_counter_ns() - timed[1])

    def resolve(self, hits: tuple[int, ...]) -> Outcome:
        """What these hits come to: `i` for rule i fired, `~i` for rule i failed."""
        fired = [(hit, False) if hit >= 0 else (~hit, True) for hit in hits]
        lifted: dict[int, str] = {}
        for index, errored in fired:
            planned = self.rules[index]
            if planned.lifts and not errored and planned.mode is Mode.ENFORCE:
                for target in planned.lifts:
                    lifted.setdefault(target, f"{planned.policy.id}/{planned.rule.id}")
        entries = tuple(
            Entry(
                index,
                errored,
                _effect_of(self.rules[index].rule, errored),
                self.rules[index].mode,
                lifted.get(index),
            )
            for index, errored in fired
        )
        return self.outcome_of(entries)

    def outcome_of(self, entries: tuple[Entry, ...]) -> Outcome:
        """What these hits come to: the effect that wins, and the masks where it passes."""
        counted = [entry for entry in entries if entry.counts]
        effects = {Effect(entry.effect) for entry in counted}
        effect = max(effects, key=lambda e: e.rank, default=self.all_clear.effect)
        if self.settings.resolution == "approval_first" and Effect.HOLD in effects:
            effect = Effect.HOLD
        rules = [
            (entry, self.rules[entry.rule].rule) for entry in counted if isinstance(entry.rule, int)
        ]
        masks: tuple[MaskField, ...] = ()
        if effect.passes:
            masks = strictest(
                mask for entry, rule in rules if entry.effect == Effect.MASK for mask in rule.masks
            )
        asked = [
            rule.approvals or Approvals()
            for entry, rule in rules
            if effect is Effect.HOLD and entry.effect == Effect.HOLD
        ]
        return Outcome(
            effect,
            entries,
            masks,
            shadowed=any(
                entry.mode is Mode.SHADOW
                and entry.exempted_by is None
                and entry.effect not in ("exempt", "none")
                for entry in entries
            ),
            approvals=max(asked, key=lambda a: a.need, default=None),
        )

    def _with(self, outcome: Outcome, synthetic: SyntheticRule) -> Outcome:
        """`outcome` with what the bundle says added; judged again as a whole."""
        entry = Entry(synthetic, False, synthetic.effect.value, self.mode)
        return self.outcome_of((*outcome.entries, entry))

    def _synthetic(self, event: Event, undecodable: str | None) -> list[SyntheticRule]:
        said: list[SyntheticRule] = []
        if undecodable is not None and self.settings.undecodable == "reject":
            said.append(
                SyntheticRule(
                    "undecodable",
                    Effect.REJECT,
                    f"the value cannot be decoded: {undecodable}",
                    "mend the producer of this value, or name the topic's format in the bundle",
                )
            )
        if event.value is None and self.tombstone_rejects:
            said.append(
                SyntheticRule(
                    "tombstone",
                    Effect.REJECT,
                    "tombstones are not allowed on this topic",
                    "send a value, or set `tombstones: allow`",
                )
            )
        if not self.covered and self.settings.uncovered == "reject":
            said.append(
                SyntheticRule(
                    "uncovered",
                    Effect.REJECT,
                    "no policy covers this topic",
                    "name the topic in a policy, or set `uncovered: warn`",
                )
            )
        return said

    def stamp(self, effect: Effect, *, at: int | None = None) -> Stamp:
        """The stamp of this plan for `effect`, unsigned; `at` in milliseconds."""
        name, _, number = self.label.rpartition("@")
        return Stamp(
            bundle=name,
            number=int(number),
            digest12=self.digest[:12],
            effect=effect,
            stage=self.stage,
            at=at,
            mode=None if self.mode is Mode.ENFORCE else self.mode.value,
        )


def _effect_of(rule: Rule, errored: bool) -> str:
    if errored and rule.effect is None:
        return "none"
    if errored and rule.on_error != "fire":
        return "none" if rule.on_error == "skip" else rule.on_error
    return "exempt" if rule.effect is None else rule.effect.value


def _unavailable(why: str) -> SchemaUnavailableError:
    return SchemaUnavailableError(
        why, remedy="see to the registry, or set `schema_unavailable` to `undecodable`"
    )


def _unmaskable(why: str) -> SyntheticRule:
    return SyntheticRule(
        "unmaskable",
        Effect.REJECT,
        f"a mask cannot be applied: {why}",
        "mend the producer of this value; a value is never passed unmasked",
    )
