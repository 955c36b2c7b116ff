"""What people decided about parked events, kept beside the events: in the parking topic itself.

A review is a record in the partition of the parked record, with the header `streamwarden-review`
and JSON as its value. So every host sees the same state, it lives as long as the events do, and a
release can put the event and the record of its release into one transaction.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..policy.keys import KeyRing, mac_text

__all__ = [
    "REVIEW_HEADER",
    "REVIEW_MAC_HEADER",
    "Action",
    "Review",
    "Signature",
    "encode_review",
    "is_review",
    "parse_review",
]

REVIEW_HEADER = "streamwarden-review"
REVIEW_MAC_HEADER = "streamwarden-review-mac"
_FORMAT = b"1"

Action: TypeAlias = Literal["approved", "released", "discarded", "shown"]
_ACTIONS = ("approved", "released", "discarded", "shown")


@dataclass(frozen=True, slots=True)
class Signature:
    """Who says so, and why."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """One thing that people did with the parked event at `partition` and `offset`.

    `at` is in milliseconds. `id` is what a released event's stamp carries as `ap=`; `to`, `effect`
    and `bundle` say where it was released to, and what the policy of that moment said.
    `verified` is None without keys, else whether the record was made with one of them.
    """

    action: Action
    partition: int
    offset: int
    at: int
    signatures: tuple[Signature, ...]
    id: str
    to: str | None = None
    effect: str | None = None
    bundle: str | None = None
    forced: bool = False
    verified: bool | None = None


def encode_review(
    review: Review, topic: str, keys: KeyRing | None
) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    """Value and headers of the record of `review` in the parking topic `topic`."""
    said: dict[str, Any] = {
        "v": 1,
        "action": review.action,
        "partition": review.partition,
        "offset": review.offset,
        "at": review.at,
        "by": [{"name": s.by, "reason": s.reason} for s in review.signatures],
        "id": review.id,
        "to": review.to,
        "effect": review.effect,
        "bundle": review.bundle,
        "forced": review.forced,
    }
    value = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    headers: list[tuple[str, bytes | None]] = [(REVIEW_HEADER, _FORMAT)]
    if keys is not None:
        kid, secret = keys.first
        headers.append((REVIEW_MAC_HEADER, f"{kid}.{_mac(secret, value, topic)}".encode()))
    return value, headers


def is_review(headers: Iterable[tuple[str, bytes | None]]) -> bool:
    """True for a record that is a review, and not a parked event."""
    return any(name == REVIEW_HEADER for name, _ in headers)


def parse_review(
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]],
    topic: str,
    keys: KeyRing | None,
) -> Review | None:
    """Read a review back; None for what is none. Its content is only as good as `verified`."""
    try:
        said: Any = json.loads(value or b"")
        if said["action"] not in _ACTIONS:
            return None
        return Review(
            action=said["action"],
            partition=int(said["partition"]),
            offset=int(said["offset"]),
            at=int(said["at"]),
            signatures=tuple(Signature(str(s["name"]), str(s["reason"])) for s in said["by"]),
            id=str(said["id"]),
            to=_text(said.get("to")),
            effect=_text(said.get("effect")),
            bundle=_text(said.get("bundle")),
            forced=said.get("forced") is True,
            verified=None if keys is None else _verified(value or b"", headers, topic, keys),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _verified(
    value: bytes, headers: Iterable[tuple[str, bytes | None]], topic: str, keys: KeyRing
) -> bool:
    last = dict(headers)
    kid, _, given = (last.get(REVIEW_MAC_HEADER) or b"").decode("ascii", "replace").partition(".")
    secret = keys.get(kid)
    if secret is None:
        return False
    return hmac.compare_digest(_mac(secret, value, topic).encode(), given.encode())


def _mac(secret: bytes, value: bytes, topic: str) -> str:
    return mac_text(secret, value, topic.encode())
