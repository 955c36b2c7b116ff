"""How many people have to agree to the release of a parked event, whose word counts, and who gave it."""

from __future__ import annotations

from collections.abc import Iterable

from ..policy.bundle import Bundle
from ..policy.decision import Decision
from ..policy.model import Approvals, Effect
from .quarantine import ParkedEvent
from .reviews import Signature

__all__ = ["agreed", "approvals_of", "from_whom"]


def approvals_of(
    event: ParkedEvent, bundle: Bundle, decision: Decision | None = None
) -> Approvals | None:
    """What the rules that hold or held `event` ask for; None where nobody has to agree.

    At least one name for a held or a doubtful event, else the most that any of these rules asks
    for, and the roles of all of them. `decision` is today's, where there is one.
    """
    asked: list[Approvals] = []
    if decision is not None and decision.effect is Effect.HOLD:
        rules = decision.plan.rules
        asked += [
            rules[entry.rule].rule.approvals or Approvals()
            for entry in decision.outcome.entries
            if entry.counts and entry.effect == Effect.HOLD and isinstance(entry.rule, int)
        ] or [Approvals()]
    if event.doubt:
        asked.append(Approvals())
    if event.kind == "held":
        asked.append(Approvals())
        named = set(event.rules)
        for policy in bundle.policies:
            asked += [
                rule.approvals
                for rule in policy.rules
                if rule.approvals is not None and f"{policy.id}/{rule.id}" in named
            ]
    if not asked:
        return None
    roles = dict.fromkeys(role for each in asked for role in each.roles)
    return Approvals(max(each.need for each in asked), tuple(roles))


def from_whom(asked: Approvals) -> str:
    """` (from senior-adjuster)`, empty where anybody may agree."""
    return f" (from {', '.join(asked.roles)})" if asked.roles else ""


def agreed(event: ParkedEvent, signatures: Iterable[Signature]) -> tuple[str, ...]:
    """Everybody who agrees, now or before, once each: told apart as people tell names apart."""
    names: dict[str, str] = {}
    for name in (*event.approved_by, *(each.by for each in signatures)):
        names.setdefault(name.strip().casefold(), name.strip())
    return tuple(names.values())
