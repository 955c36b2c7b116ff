"""Letting parked events go: to a topic, under the current policy, once, with names; or for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .quarantine import Quarantine, Selection
from .reviews import Signature

__all__ = ["Outcome", "ReleaseOutcome", "ReleaseReport", "discard", "release"]

#: `approved`: a name was recorded, more are needed. With `dry_run` nothing is written, and the
#: outcome is what would have been.
Outcome: TypeAlias = Literal["released", "discarded", "approved", "refused"]


@dataclass(frozen=True, slots=True)
class ReleaseOutcome:
    """What became of one selected event.

    `why` is one line without sensitive values; empty for a plain release. `to` is the topic that
    it was released to; `effect` what the current policy says; `approval` the id in its stamp.
    """

    topic: str
    partition: int
    offset: int
    outcome: Outcome
    why: str = ""
    to: str | None = None
    effect: str | None = None
    approval: str | None = None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What was done (or with `dry_run` would be). `complete` as in Listing."""

    outcomes: tuple[ReleaseOutcome, ...]
    dry_run: bool
    bundle: str
    complete: bool = True

    @property
    def counts(self) -> dict[str, int]:
        """Outcomes by their name."""
        counts: dict[str, int] = {}
        for each in self.outcomes:
            counts[each.outcome] = counts.get(each.outcome, 0) + 1
        return counts


def release(
    quarantine: Quarantine,
    selection: Selection,
    *,
    signatures: Sequence[Signature] = (),
    to: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> ReleaseReport:
    """Write the selected events to `to`, as far as the current policy lets them.

    `to` is needed for events parked at consume; else it is the origin topic. Held events need
    `signatures`, as many names as the rule asks for; fewer are recorded as approvals. `force`
    releases an event of a compacted topic though its key has a newer record.
    """
    raise NotImplementedError


def discard(
    quarantine: Quarantine,
    selection: Selection,
    *,
    signature: Signature,
    dry_run: bool = False,
) -> ReleaseReport:
    """Record that the selected events will never be released. Their records stay as they are."""
    raise NotImplementedError
