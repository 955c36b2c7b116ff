"""The variables of a rule, made from one event."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from ...schemas.event import Event, Headers
from ...schemas.json_projection import DecodeError, Node, decode_json
from ...schemas.views import facts_view, headers_view, key_view, text_or_bytes, value_view
from ..cel.values import TIMESTAMP_MAX_NS, TIMESTAMP_MIN_NS, CelError, Timestamp
from ..stamp import Stamp, StampError, find_stamps

__all__ = [
    "VALUE",
    "Framed",
    "UnavailableError",
    "Undecodable",
    "activation",
    "schema_of",
    "variable",
    "without_value",
]

_MILLISECOND_NS: Final = 10**6
#: The names of the value.
VALUE: Final = frozenset({"value", "message"})
_OF_THE_EVENT: Final = ("key", "headers", "timestamp", "facts", "now")


class UnavailableError(DecodeError):
    """Nobody can say now how bytes are to be read; they may be fine."""


class Framed(Protocol):
    """Reads what a schema registry has framed: the seam to schemas and their formats."""

    def reader(
        self, root: Node, unframed: Callable[[bytes], object] | None, *, strict: bool
    ) -> Callable[[bytes, Headers], object]:
        """A function of a value and its record's headers that gives what is read of the value.

        That is made of the classes of `root`. Bytes that are not framed go to `unframed`, and are
        refused without one. `strict`: what nobody reads is checked too. The function raises
        DecodeError, of which `UnavailableError` is one.
        """
        ...

    def key_reader(
        self,
        root: Node,
        unframed: Callable[[bytes], object] | None,
        json: Callable[[bytes], object],
    ) -> Callable[[bytes, Headers], object]:
        """The same for keys; `json` reads what was framed by a JSON schema."""
        ...

    def schema(self, topic: str, value: bytes | None, headers: Headers) -> dict[str, object]:
        """The variable `schema`: subject, id and tags; empty for what is not framed.

        Raises DecodeError likewise.
        """
        ...


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A value that rules need and that does not decode.

    `hits` is what the rules come to that do not read the value; `reason` holds nothing of it.
    `unavailable`: it may yet be readable, once a schema can be had.
    """

    hits: tuple[int, ...]
    reason: str
    unavailable: bool = False


def activation(
    event: Event,
    *,
    stage: str,
    client: Mapping[str, object],
    lists: Mapping[str, object],
    key_format: str,
    value_format: str,
    stamp: object = None,
    framed: Framed | None = None,
    only: Collection[str] | None = None,
) -> dict[str, object] | Undecodable:
    """The variables of a rule, for the exact evaluator and the why-trail.

    `only` names the ones that are wanted; None is every one. The value is decoded to its last
    member. `stamp` is what rules see of the stamp; None takes the incoming one as it claims to be.
    A key that does not decode is an error value. Undecodable (without hits) says that the value
    does not decode.
    """
    known: dict[str, object] = {"topic": event.topic, "stage": stage}
    if only is None or not VALUE.isdisjoint(only):
        try:
            value = None if event.value is None else _whole(event, value_format, framed)
        except DecodeError as error:
            return Undecodable((), str(error), isinstance(error, UnavailableError))
        known["value"] = known["message"] = value
    for name in _OF_THE_EVENT if stage == "produce" else (*_OF_THE_EVENT, "partition", "offset"):
        if only is None or name in only:
            known[name] = variable(name, event, key_format=key_format, framed=framed)
    if only is None or "stamp" in only:
        known["stamp"] = variable("stamp", event) if stamp is None else stamp
    if only is None or "client" in only:
        known["client"] = facts_view(client, Timestamp)
    if only is None or "lists" in only:
        known["lists"] = dict(lists)
    if only is None or "schema" in only:
        try:
            known["schema"] = schema_of(event, framed)
        except UnavailableError:
            known["schema"] = {}
    return known


def _whole(event: Event, value_format: str, framed: Framed | None) -> object:
    value = event.value or b""
    if framed is None or value_format not in ("auto", "avro"):
        return value_view(value, value_format)
    read = framed.reader(Node(), decode_json if value_format == "auto" else None, strict=False)
    return read(value, event.headers)


def without_value(event: Event) -> Event:
    """The same event as a tombstone."""
    return msgspec.structs.replace(event, value=None)


def schema_of(event: Event, framed: Framed | None) -> dict[str, object]:
    """The variable `schema` of an event. Raises UnavailableError, and nothing else."""
    if framed is None:
        return {}
    try:
        return framed.schema(event.topic, event.value, event.headers)
    except UnavailableError:
        raise
    except Exception:  # noqa: BLE001 — a registry is asked; whatever happens, a decision is made
        return {}


def variable(
    name: str, event: Event, *, key_format: str = "auto", framed: Framed | None = None
) -> object:
    """One of the variables that come from the event alone (not the value). Never raises."""
    match name:
        case "key":
            return _key(event, key_format, framed)
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


def _key(event: Event, key_format: str, framed: Framed | None) -> object:
    try:
        if framed is None or event.key is None or key_format not in ("auto", "avro"):
            return key_view(event.key, key_format)
        unframed = text_or_bytes if key_format == "auto" else None
        return framed.key_reader(Node(), unframed, decode_json)(event.key, event.headers)
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
