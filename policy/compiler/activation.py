"""The variables of a rule, made from one event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...schemas.event import Event
from ...schemas.json_projection import DecodeError
from ...schemas.views import facts_view, headers_view, key_view, value_view
from ..cel.values import TIMESTAMP_MAX_NS, TIMESTAMP_MIN_NS, CelError, Timestamp
from ..stamp import Stamp, StampError, find_stamps

__all__ = ["Undecodable", "activation", "variable"]

_MILLISECOND_NS: Final = 10**6


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A value that rules need and that does not decode.

    `hits` is what the rules come to that do not read the value; `reason` holds nothing of it.
    """

    hits: tuple[int, ...]
    reason: str


def activation(
    event: Event,
    *,
    stage: str,
    client: Mapping[str, object],
    lists: Mapping[str, object],
    key_format: str,
    value_format: str,
    stamp: object = None,
) -> dict[str, object] | Undecodable:
    """Every variable of a rule, for the exact evaluator and the why-trail.

    The value is decoded to its last member. `stamp` is what rules see of the stamp; None takes the
    incoming one as it claims to be. A key that does not decode is an error value. Undecodable
    (without hits) says that the value does not decode.
    """
    try:
        value = None if event.value is None else value_view(event.value, value_format)
    except DecodeError as error:
        return Undecodable((), str(error))
    known: dict[str, object] = {"value": value, "message": value}
    for name in ("key", "headers", "timestamp", "facts", "now"):
        known[name] = variable(name, event, key_format=key_format)
    known["stamp"] = variable("stamp", event) if stamp is None else stamp
    known["topic"], known["stage"] = event.topic, stage
    known["client"], known["lists"] = facts_view(client, Timestamp), dict(lists)
    known["schema"] = {}
    if stage != "produce":
        known["partition"], known["offset"] = event.partition, event.offset
    return known


def variable(name: str, event: Event, *, key_format: str = "auto") -> object:
    """One of the variables that come from the event alone (not the value). Never raises."""
    match name:
        case "key":
            return _key(event, key_format)
        case "headers":
            return _headers(event)
        case "timestamp":
            milliseconds = event.timestamp
            return _time(event.now if milliseconds is None else milliseconds * _MILLISECOND_NS)
        case "now":
            return _time(event.now)
        case "facts":
            return _facts(event)
        case "stamp":
            return _stamp(event)
        case "partition":
            return event.partition
        case _:
            return event.offset


def _time(ns: int) -> object:
    if TIMESTAMP_MIN_NS <= ns <= TIMESTAMP_MAX_NS:
        return Timestamp(ns)
    return CelError("timestamp_range", "the time is outside the years 1 to 9999")


def _key(event: Event, key_format: str) -> object:
    try:
        return key_view(event.key, key_format)
    except DecodeError as error:
        return CelError("undecodable_key", f"the key cannot be read: {error}")


def _headers(event: Event) -> object:
    try:
        return headers_view(event.headers)
    except Exception:  # noqa: BLE001 — whatever the caller passes, a decision is made
        return CelError("unreadable_headers", "the headers are no list of names and values")


def _facts(event: Event) -> object:
    try:
        return facts_view(event.facts, Timestamp)
    except Exception:  # noqa: BLE001 — the mapping is the caller's own code
        return CelError("unreadable_facts", "the facts given with the event cannot be read")


def _stamp(event: Event) -> dict[str, object]:
    """What the incoming stamp claims; empty without one, and where it is none or doubled."""
    try:
        stamps = find_stamps(event.headers)
        return Stamp.parse(stamps[0]).to_dict() if len(stamps) == 1 else {}
    except (StampError, TypeError, ValueError):
        return {}
