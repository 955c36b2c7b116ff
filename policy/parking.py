"""Parked records: refused or waiting events, kept byte for byte with the decision about them.

The origin headers follow KIP-1191 (`__dlq.errors.*`). Guard-owned headers are replaced, never
piled up; every other header, the key and the value are the event's own.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import msgspec

from ..schemas.event import Record
from .decision import Decision
from .decision_json import decision_json
from .keys import KeyRing, mac_text
from .model import BundleSettings, Effect

__all__ = [
    "DECISION_HEADER",
    "DECISION_MAC_HEADER",
    "Kind",
    "Parked",
    "decision_doubt",
    "decision_is_signed",
    "origin_headers",
    "park",
    "parked_topic",
    "parse_parked",
]

DECISION_HEADER = "streamwarden-decision"
DECISION_MAC_HEADER = "streamwarden-decision-mac"
_ORIGIN = "__dlq.errors."
_TOPIC, _PARTITION, _OFFSET = f"{_ORIGIN}topic", f"{_ORIGIN}partition", f"{_ORIGIN}offset"
_TIMESTAMP, _GROUP, _MESSAGE = f"{_ORIGIN}timestamp", f"{_ORIGIN}group", f"{_ORIGIN}message"
#: The whole decision may be larger than the event; a parked record has to stay one that fits.
_DECISION_MAX_BYTES = 4096
_MESSAGE_MAX_BYTES = 512

#: `waiting` are events behind a refused one of their key (`park: key`), with nothing against them.
Kind: TypeAlias = Literal["quarantined", "held", "handler", "waiting"]

_SAID_KINDS = ("held", "handler", "waiting")


def parked_topic(settings: BundleSettings, topic: str, kind: Kind) -> str:
    """Where parked events of `topic` go: to held what people let go on, else to quarantine."""
    template = settings.held if kind in ("held", "waiting") else settings.quarantine
    return template.replace("{topic}", topic)


def origin_headers(
    headers: Iterable[tuple[str, bytes | None]],
) -> list[tuple[str, bytes | None]]:
    """`headers` without those that parking adds; an incoming stamp stays."""
    return [
        header
        for header in headers
        if not header[0].startswith(_ORIGIN)
        and header[0] not in (DECISION_HEADER, DECISION_MAC_HEADER)
    ]


def park(
    decision: Decision,
    *,
    kind: Kind | None = None,
    group: str | None = None,
    error: str | None = None,
    keys: KeyRing | None = None,
    decision_max_bytes: int = _DECISION_MAX_BYTES,
) -> Record:
    """The record that parks the event of `decision`.

    `kind` follows the effect when None. `error` is the handler's own for kind `handler`. The
    partition is the origin's: the writer takes it modulo the parking topic's count.
    """
    if kind is None:
        kind = "held" if decision.effect is Effect.HOLD else "quarantined"
    event = decision.event
    more = {"kind": kind} if error is None else {"kind": kind, "error": error}
    text = decision_json(decision, decision_max_bytes, **more)
    message = error if error is not None else decision.reasons()
    timestamp = decision.at if event.timestamp is None else event.timestamp
    headers = origin_headers(event.headers) if event.headers else []
    headers.append((_TOPIC, event.topic.encode()))
    if event.offset is not None:
        headers.append((_PARTITION, str(event.partition).encode()))
        headers.append((_OFFSET, str(event.offset).encode()))
    headers.append((_TIMESTAMP, b"%d" % timestamp))
    if group is not None:
        headers.append((_GROUP, group.encode()))
    headers.append((_MESSAGE, _cut(message, _MESSAGE_MAX_BYTES)))
    headers.append((DECISION_HEADER, text))
    if keys is not None:
        kid, secret = keys.first
        mac = mac_text(secret, text, event.topic.encode(), event.key, event.value)
        headers.append((DECISION_MAC_HEADER, f"{kid}.{mac}".encode()))
    return Record(
        parked_topic(decision.plan.settings, event.topic, kind),
        event.partition,
        event.key,
        event.value,
        headers,
        timestamp,
    )


def _cut(text: str, limit: int) -> bytes:
    data = text.encode("utf-8", "replace")
    return data if len(data) <= limit else data[:limit].decode("utf-8", "ignore").encode()


@dataclass(frozen=True, slots=True)
class Parked:
    """What the headers of a parked record say. They are claims unless the mac verifies.

    `at` and `origin_timestamp` are in milliseconds; `decision` is the recorded one, or None where
    it is absent or unreadable.
    """

    kind: Kind
    origin_topic: str
    origin_partition: int | None
    origin_offset: int | None
    origin_timestamp: int | None
    group: str | None
    message: str
    decision: dict[str, Any] | None
    at: int | None


def parse_parked(headers: Iterable[tuple[str, bytes | None]]) -> Parked | None:
    """Read the guard's headers of a parked record; None where there are none."""
    last: dict[str, bytes] = {name: value for name, value in headers if value is not None}
    topic = last.get(_TOPIC)
    if topic is None:
        return None
    decision = _read_decision(last.get(DECISION_HEADER))
    kind: Kind = "quarantined"
    at: int | None = None
    if decision is not None:
        kind = decision["kind"] if decision.get("kind") in _SAID_KINDS else kind
        recorded = decision.get("at")
        at = recorded if isinstance(recorded, int) and not isinstance(recorded, bool) else None
    group = last.get(_GROUP)
    return Parked(
        kind=kind,
        origin_topic=topic.decode("utf-8", "replace"),
        origin_partition=_number(last.get(_PARTITION)),
        origin_offset=_number(last.get(_OFFSET)),
        origin_timestamp=_number(last.get(_TIMESTAMP)),
        group=None if group is None else group.decode("utf-8", "replace"),
        message=last.get(_MESSAGE, b"").decode("utf-8", "replace"),
        decision=decision,
        at=at,
    )


def _read_decision(text: bytes | None) -> dict[str, Any] | None:
    if text is None or len(text) > 4 * _DECISION_MAX_BYTES:
        return None
    try:
        found: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _number(text: bytes | None) -> int | None:
    if text is None or len(text) > 20 or not text.isdigit():
        return None
    return int(text)


def decision_is_signed(
    headers: Iterable[tuple[str, bytes | None]],
    keys: KeyRing,
    topic: str,
    key: bytes | None,
    value: bytes | None,
) -> bool:
    """True where the decision header carries a mac made with one of `keys` for this record.

    The headers that say where the event was have to be what the decision says of it. Key and value
    are the event's, also where the record is only a pointer to it.
    """
    last = {name: data for name, data in headers if data is not None}
    text, mac = last.get(DECISION_HEADER), last.get(DECISION_MAC_HEADER, b"")
    kid, _, given = mac.decode("utf-8", "replace").partition(".")
    secret = keys.get(kid)
    if text is None or secret is None:
        return False
    expected = mac_text(secret, text, topic.encode(), key, value)
    if not hmac.compare_digest(expected.encode(), given.encode()):  # as text only ASCII compares
        return False
    return _origin_fits(last, _read_decision(text))


def _origin_fits(last: dict[str, bytes], decision: dict[str, Any] | None) -> bool:
    """Whether the headers of the origin are those of `decision`; its head alone says nothing of it."""
    said: object = (decision or {}).get("event")
    if not isinstance(said, dict):
        return True
    event = cast("dict[str, object]", said)
    offset, found = event.get("offset"), _number(last.get(_OFFSET))
    if offset != found or (
        found is not None and event.get("partition") != _number(last.get(_PARTITION))
    ):
        return False
    return event.get("timestamp") == _number(last.get(_TIMESTAMP))


def decision_doubt(
    headers: Collection[tuple[str, bytes | None]],
    keys: KeyRing,
    topic: str,
    key: bytes | None,
    value: bytes | None,
) -> str:
    """Why the recorded decision cannot be verified with `keys`; empty where it can."""
    names = [name for name, _ in headers]
    if names.count(DECISION_HEADER) != 1:
        return "it is there twice" if DECISION_HEADER in names else "there is none"
    if DECISION_MAC_HEADER not in names:
        return "it is not signed"
    if decision_is_signed(headers, keys, topic, key, value):
        return ""
    macs = [data or b"" for name, data in headers if name == DECISION_MAC_HEADER]
    if keys.get(macs[-1].decode("utf-8", "replace").partition(".")[0]) is None:
        return "it is signed with a key that is not known here"
    return "it was signed for another record"
