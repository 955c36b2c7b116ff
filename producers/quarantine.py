"""Looking at parked events: which there are, what was decided on them, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..policy.guard import Guard
from ..policy.parking import Kind, Parked, parked_topic
from .connection import ConfigMap
from .reviews import Review, Signature

__all__ = [
    "Listing",
    "ParkedEvent",
    "Quarantine",
    "Selection",
    "ShownEvent",
    "list_parked",
    "show_parked",
]


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The parked events of one origin topic, and how to reach them.

    `config` says how to reach the cluster, as a client takes it. `guard` is the current policy:
    its bundle names the parking topics (unless given) and judges releases. Every operation ends
    within `timeout_s`.
    """

    config: ConfigMap
    guard: Guard
    topic: str
    quarantine: str | None = None
    held: str | None = None
    timeout_s: float = 30.0

    def topic_of(self, kind: Kind) -> str:
        """The topic where events of this kind are parked."""
        given = self.held if kind == "held" else self.quarantine
        return given or parked_topic(self.guard.settings, self.topic, kind)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which parked events: those that fit every condition given.

    `at` are coordinates (partition, offset) in the parking topic. `rule` is a rule's id, or
    `policy/rule`. `since` is when it was parked, in milliseconds. `kind` None is every kind; of
    events parked at produce and consume alike. `max` events, the oldest of each partition first.
    """

    at: frozenset[tuple[int, int]] = frozenset()
    kind: Kind | None = None
    rule: str | None = None
    since: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """One parked event. `reviews` are what people did with it so far, oldest first.

    `value_size` is None for a tombstone; the bytes themselves are in `value` only where they were
    asked for. `pointer` is True where the parked record only points to the event.
    """

    kind: Kind
    topic: str
    partition: int
    offset: int
    timestamp: int | None
    parked: Parked
    value_size: int | None
    pointer: bool = False
    reviews: tuple[Review, ...] = ()
    key: bytes | None = field(default=None, repr=False)
    value: bytes | None = field(default=None, repr=False)
    headers: tuple[tuple[str, bytes | None], ...] = field(default=(), repr=False)

    @property
    def state(self) -> str:
        """waiting, released or discarded."""
        for review in self.reviews:
            if review.action in ("released", "discarded"):
                return review.action
        return "waiting"

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules of the recorded decision, as `policy/rule`."""
        matches: Any = (self.parked.decision or {}).get("matches") or ()
        return tuple(f"{m.get('policy')}/{m.get('rule')}" for m in matches)


@dataclass(frozen=True, slots=True)
class Listing:
    """Parked events, in the order of topic, partition and offset.

    `foreign` counts records that are not parked events; `unverified` counts reviews that were not
    made with one of the guard's keys, and are left out. `complete` is False when `max` or the
    deadline ended it.
    """

    events: tuple[ParkedEvent, ...]
    foreign: int = 0
    unverified: int = 0
    complete: bool = True


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """A parked event as people may see it: sensitive fields are `***` unless `unmasked`.

    `key`, `value` and header values are text, `{"base64": …}` where they are none, or None.
    """

    event: ParkedEvent
    key: Any
    value: Any
    headers: tuple[tuple[str, Any], ...]
    unmasked: bool = False
    notes: tuple[str, ...] = ()


def list_parked(
    quarantine: Quarantine, selection: Selection | None = None, *, all_states: bool = False
) -> Listing:
    """The selected events that wait; with `all_states` also those released or discarded.

    Raises QuarantineError when the topics cannot be read.
    """
    raise NotImplementedError


def show_parked(
    quarantine: Quarantine, selection: Selection, *, unmasked: Signature | None = None
) -> tuple[ShownEvent, ...]:
    """The selected events with their content, masked.

    `unmasked` names who wants to see everything and why: that is recorded before it is shown.
    """
    raise NotImplementedError
