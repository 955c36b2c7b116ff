"""Which rules are behind a decision, surely or perhaps, where something is unknown of the event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..policy.decision import Decision
from ..policy.model import Effect
from ..policy.plan import Entry, SyntheticRule
from .changes import deciding_rules
from .findings import Because
from .firing import Firing
from .pairs import Pair
from .possibilities import Outlook

__all__ = ["Blame", "behind", "blame_of"]

_WARN = Effect.WARN.rank


@dataclass(frozen=True, slots=True)
class Blame:
    """Who made a decision.

    `entries` of `decision` surely did; `unknown` rules may have, which hangs on what was not kept.
    `unsure_then` and `unsure_now` are all rules of both plans that may fire or not.
    """

    decision: Decision
    entries: tuple[Entry, ...]
    unknown: tuple[Because, ...]
    unsure_then: frozenset[int]
    unsure_now: frozenset[int]

    @property
    def because(self) -> tuple[Because, ...]:
        """What is known of the rules that surely made it."""
        return tuple(_because(self.decision, entry.rule) for entry in self.entries)


def blame_of(
    chosen: Outlook, possible: Sequence[Outlook] | None, pair: Pair, *, kind: str, hangs: bool
) -> Blame:
    """The rules behind a finding of a `kind`; `hangs` where it is not known what was decided.

    `chosen` stands for all `possible` decisions, None: too many to try.
    """
    now = chosen.now.decision
    then = None if chosen.then is None else chosen.then.decision
    decision = now
    # What was parked is told by the rules that parked it, also where today's would mask it.
    if then is not None and (now.effect.rank <= _WARN or kind == "now-allowed"):
        decision = then
    firing_then, firing_now = _firings(possible)
    open_ = frozenset[int]() if possible is not None else _open(pair)
    unsure_then = _unsure(firing_then, frozenset())
    unsure_now = _unsure(firing_now, open_)
    unsure = unsure_now if decision is now else unsure_then
    entries: list[Entry] = []
    if decision.effect.rank > _WARN:
        entries = [
            entry
            for entry in deciding_rules(decision)
            if not isinstance(entry.rule, int) or not (hangs or entry.rule in unsure)
        ]
    if hangs:
        about, rules = now, unsure_now
        if not rules and then is not None:
            about, rules = then, unsure_then
    else:
        firing = firing_now if decision is now else firing_then
        about, rules = decision, unsure
        if firing is not None:
            rules = rules & firing.may_decide
    unknown = tuple(_because(about, rule) for rule in sorted(rules))
    return Blame(decision, tuple(entries), unknown, unsure_then, unsure_now)


def _firings(possible: Sequence[Outlook] | None) -> tuple[Firing | None, Firing | None]:
    """Which rules fire in all worlds of what is possible; None where they hang on nothing."""
    outlooks = possible or ()
    then = [o.then.firing for o in outlooks if o.then is not None and o.then.firing is not None]
    now = [o.now.firing for o in outlooks if o.now.firing is not None]
    return Firing.of(then) if then else None, Firing.of(now) if now else None


def _unsure(firing: Firing | None, otherwise: frozenset[int]) -> frozenset[int]:
    return otherwise if firing is None else firing.may_fire - firing.fire


def _open(pair: Pair) -> frozenset[int]:
    """The rules of today's that say more than a warning and hang on something unknown."""
    rules = pair.now.plan.rules
    return frozenset(
        index
        for index in pair.now.open
        if (effect := rules[index].rule.effect) is not None and effect.rank > _WARN
    )


def behind(decision: Decision) -> tuple[Because, ...]:
    """The rules that made the effect of `decision`."""
    return tuple(_because(decision, entry.rule) for entry in deciding_rules(decision))


def _because(decision: Decision, rule: int | SyntheticRule) -> Because:
    plan = decision.plan
    if isinstance(rule, SyntheticRule):
        return Because(plan.settings.name, rule.id, "high", "", "platform")
    planned = plan.rules[rule]
    policy = planned.policy
    return Because(policy.id, planned.rule.id, planned.rule.severity, policy.owner, policy.class_)
