"""From decision to records, without I/O: the seam that every client, engine and test builds on."""

from __future__ import annotations

from dataclasses import dataclass

from ..schemas.event import Event, Record
from .decision import Decision
from .keys import KeyRing
from .parking import park
from .stamp import is_guard_header, sign

__all__ = ["Routed", "forward", "headers", "route", "view"]


@dataclass(frozen=True, slots=True)
class Routed:
    """What to do with an event: `records` to write, `deliver` to hand to the handler.

    At produce a passing event is one record for its own topic, stamped and masked; a refused one
    is one record for its parking topic. At consume only refused events are records, and `deliver`
    is the event as the handler may see it, or None.
    """

    decision: Decision
    records: tuple[Record, ...]
    deliver: Event | None


def route(
    decision: Decision,
    *,
    stamp_keys: KeyRing | None = None,
    group: str | None = None,
    at: bool = False,
) -> Routed:
    """The records and the delivery that follow from `decision`.

    `at` says that the record's timestamp will not be the guard's clock reading.
    """
    if not decision.passes:
        return Routed(decision, (park(decision, group=group, keys=stamp_keys),), None)
    if decision.stage == "consume":
        return Routed(decision, (), view(decision))
    return Routed(decision, (forward(decision, stamp_keys=stamp_keys, at=at),), view(decision))


def view(decision: Decision) -> Event:
    """The event with its masks applied."""
    event, masked = decision.event, decision.masked_value
    if masked is None:
        return event
    return Event(
        event.topic,
        masked,
        event.key,
        event.headers,
        event.timestamp,
        event.now,
        event.partition,
        event.offset,
        event.facts,
    )


def forward(decision: Decision, *, stamp_keys: KeyRing | None = None, at: bool = False) -> Record:
    """The stamped, masked record of a passing event for its own topic.

    An incoming stamp, and any header that only a guard writes, is replaced. The stamp carries
    `at=` when the caller gave a timestamp of their own, or when `at` is set.
    """
    event = decision.event
    value = event.value if decision.masked_value is None else decision.masked_value
    carries_at = at or (event.timestamp is not None and event.timestamp != decision.at)
    timestamp = decision.at if event.timestamp is None else event.timestamp
    return Record(
        event.topic,
        event.partition,
        event.key,
        value,
        headers(decision, value, stamp_keys, decision.at if carries_at else None),
        timestamp,
    )


def headers(
    decision: Decision, value: bytes | None, stamp_keys: KeyRing | None, at: int | None
) -> list[tuple[str, bytes | None]]:
    """The headers of a forwarded record: the caller's own, then the stamp."""
    event, plan = decision.event, decision.plan
    if stamp_keys is None and at is None and decision.effect is plan.all_clear.effect:
        stamped = plan.stamp_headers
    else:
        stamped = _stamp(decision, value, stamp_keys, at)
    if not event.headers:
        return list(stamped)
    own = [header for header in event.headers if not is_guard_header(header[0])]
    return [*own, *stamped]


def _stamp(
    decision: Decision, value: bytes | None, stamp_keys: KeyRing | None, at: int | None
) -> list[tuple[str, bytes | None]]:
    plan, event = decision.plan, decision.event
    stamp = plan.stamp(decision.effect, at=at)
    if stamp_keys is not None:
        stamp = sign(stamp, stamp_keys, event.topic, event.key, value)
    return stamp.headers(expanded=plan.settings.stamp == "expanded")
