"""What a plan said about an event: cheap when nothing fired, explained only when asked."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from streamwarden._version import __version__

from ..schemas.event import Event
from .decision_json import key_text, sha256_text, write
from .explain import explain_matches
from .match import Match
from .model import Approvals, Effect, MaskField, Mode

if TYPE_CHECKING:
    from .plan import Outcome, Plan

__all__ = ["Decision", "Match", "new_ids"]


class Decision(msgspec.Struct, eq=False):
    """The outcome of a plan on one event.

    Equal events give equal content under the same plan and clock; `id` alone is drawn when it is
    first read. A msgspec Struct and not a dataclass for the same reason as Event, but seen by the
    garbage collector: its plan leads to the decision log, which may keep it for good. The fields
    that start with `_` are caches.
    """

    plan: Plan
    event: Event
    effect: Effect
    outcome: Outcome
    undecodable: str | None = None
    masked_value: bytes | None = None
    _id: str | None = None
    _matches: tuple[Match, ...] | None = None
    _written: tuple[bytes, str] | None = None

    def __repr__(self) -> str:
        """Without anything of the event: decisions end up in logs."""
        return (
            f"<Decision {self.effect.value} on {self.event.topic} by {self.bundle}, {self.stage}>"
        )

    @property
    def passes(self) -> bool:
        """True where the event is delivered: allow, warn, mask, none."""
        return self.effect.passes

    @property
    def clear(self) -> bool:
        """True where no rule fired and nothing else had to be said: the common case."""
        return self.outcome is self.plan.all_clear and self.undecodable is None

    @property
    def bundle(self) -> str:
        """The version that decided, `payments@15`."""
        return self.plan.label

    @property
    def digest(self) -> str:
        """The digest of that version, 64 hex digits."""
        return self.plan.digest

    @property
    def stage(self) -> str:
        """produce, consume or reconcile."""
        return self.plan.stage

    @property
    def mode(self) -> Mode:
        """The weaker of the guard's and the bundle's mode."""
        return self.plan.mode

    @property
    def masks(self) -> tuple[MaskField, ...]:
        """The masks to apply; none unless the event passes."""
        return self.outcome.masks

    @property
    def shadowed(self) -> bool:
        """True where a rule in shadow mode fired."""
        return self.outcome.shadowed

    @property
    def approvals(self) -> Approvals | None:
        """The strictest approvals asked for by the rules that hold the event."""
        return self.outcome.approvals

    @property
    def at(self) -> int:
        """The guard's clock reading for this event, in milliseconds."""
        return self.event.now // 1_000_000

    @property
    def id(self) -> str:
        """A unique id, drawn at first use."""
        if self._id is None:
            drawn = self.plan.next_id()
            if self._id is None:  # no other thread was first
                self._id = drawn
        return self._id

    @property
    def matches(self) -> tuple[Match, ...]:
        """Every rule that fired or failed, with its why-trail; computed at first use."""
        if self._matches is None:
            self._matches = explain_matches(self)
        return self._matches

    def reasons(self) -> str:
        """Why, in one bounded line without sensitive values."""
        return self._write()[1]

    def to_json(self) -> bytes:
        """`to_dict()` as compact JSON, at a fraction of its cost."""
        return self._write()[0]

    def _write(self) -> tuple[bytes, str]:
        if self._written is None:
            self._written = write(self)
        return self._written

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON has it: a line of the decision log."""
        event, plan = self.event, self.plan
        matches = self.matches
        remediation = dict.fromkeys(m.remediation for m in matches if m.counts and m.remediation)
        said: dict[str, Any] = {
            "v": 1,
            "id": self.id,
            "at": self.at,
            "effect": self.effect.value,
            "mode": plan.mode.value,
            "bundle": plan.label,
            "digest": plan.digest,
            "language": plan.language,
            "stage": plan.stage,
            "event": {
                "topic": event.topic,
                "partition": event.partition,
                "offset": event.offset,
                "timestamp": self.at if event.timestamp is None else event.timestamp,
                "key": key_text(event.key, hidden=plan.hides_key),
                "sha256": sha256_text(event.value),
            },
            "schema": None
            if plan.framed is None
            else plan.framed.named(event.topic, event.value, event.headers),
            "guard": {**plan.client, "version": __version__},
            "evaluated": len(plan.rules),
            "matched": len(matches),
            "matches": [match.to_dict() for match in matches],
            "remediation": list(remediation),
        }
        if self.undecodable is not None:
            said["undecodable"] = self.undecodable
        if event.facts is not None and plan.reads_facts:
            said["facts"] = plan.privacy.shown_map(event.facts, ("facts",))
        return said


def new_ids() -> Callable[[], str]:
    """A source of ids: 80 random bits for this process, then a counter.

    About ten times cheaper than uuid4, and ordered within one guard.
    """
    prefix, counter = os.urandom(10).hex(), itertools.count(1)
    return lambda: f"{prefix}-{next(counter):x}"
