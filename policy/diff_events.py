"""Which events two bundles decide differently.

Both decide as if their `mode` were `enforce`, as cases do: what matters is what policies do once
they are enforced. A decision differs where its effect, the rules that count, or the value after
masks do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..schemas.event import Event
from .bundle import Bundle
from .case_documents import Case, Expectation
from .compiler.framed import FramedValues
from .decision import Decision
from .diff import Field
from .keys import KeyRing
from .model import Effect, Mode
from .paths import format_path
from .plan import SyntheticRule
from .plan_table import PlanTable
from .testing import CaseResult, run_cases

__all__ = ["Both", "both_bundles", "different", "other_masks", "tried_cases"]


@dataclass(frozen=True, slots=True)
class Both:
    """The plans of two bundles."""

    before: PlanTable
    after: PlanTable

    def decide(self, event: Event, stage: str) -> tuple[Decision, Decision]:
        """The decision of each."""
        was, now = (
            table.plan(event.topic, stage, event.now).decide(event)
            for table in (self.before, self.after)
        )
        return was, now


def both_bundles(
    before: Bundle,
    after: Bundle,
    *,
    mask_keys: KeyRing | None = None,
    framed: FramedValues | None = None,
) -> Both:
    """The two bundles, ready to decide."""
    old, new = (
        PlanTable(
            replace(bundle, settings=replace(bundle.settings, mode=Mode.ENFORCE)),
            mask_keys=mask_keys,
            replay=True,
            framed=framed,
        )
        for bundle in (before, after)
    )
    return Both(old, new)


def different(before: Decision, after: Decision) -> bool:
    """Whether an event comes out differently."""
    return (
        before.effect is not after.effect
        or _counted(before) != _counted(after)
        or before.masked_value != after.masked_value
    )


def other_masks(before: Decision, after: Decision) -> tuple[Field, ...]:
    """The fields that are masked differently, each with how; None where it is left as it is.

    Nothing of the values: what one mask hides, another one may show.
    """
    if before.masked_value == after.masked_value:
        return ()
    was, now = (
        {format_path(("value", *mask.path)): mask.how for mask in decision.masks}
        for decision in (before, after)
    )
    return tuple(
        Field(path, was.get(path), now.get(path))
        for path in dict.fromkeys([*was, *now])
        if was.get(path) != now.get(path)
    )


def _counted(decision: Decision) -> set[tuple[str, str]]:
    """The rules that count; what a bundle itself says is the same under any name of the bundle."""
    counted = (entry.rule for entry in decision.outcome.entries if entry.counts)
    ruled = (decision.plan.rules[each] if isinstance(each, int) else each for each in counted)
    return {
        ("", each.id) if isinstance(each, SyntheticRule) else (each.policy.id, each.rule.id)
        for each in ruled
    }


def tried_cases(
    before: Bundle,
    after: Bundle,
    now: int,
    *,
    mask_keys: KeyRing | None = None,
    framed: FramedValues | None = None,
) -> Iterator[tuple[CaseResult, CaseResult]]:
    """Every case of both bundles (one that is in both once), tried with each of them.

    `now` (nanoseconds) is the clock of cases that name none. A case that cannot be tried has no
    decision, and its failure says why.
    """
    cases = _distinct([*after.tests, *before.tests])
    ran = [
        run_cases(bundle, cases, clock=lambda: now, mask_keys=mask_keys, framed=framed)
        for bundle in (before, after)
    ]
    yield from zip(*ran, strict=True)


def _distinct(cases: Sequence[Case]) -> list[Case]:
    """Cases that are the same but for where they stand and what they expect are one."""
    found: dict[str, Case] = {}
    for case in cases:
        found.setdefault(
            repr(replace(case, file="", line=0, note="", expect=Expectation(Effect.NONE))), case
        )
    return list(found.values())
