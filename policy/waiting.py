"""Keys whose events wait (`park: key`): which plans ask for it, and how what waits is written down.

Once an event of a key is refused at consume, later ones of that key wait behind it. What is known of
such keys stands in a compacted topic, so that it survives the consumer and goes with the partition.
Two records a key: consumers write how far events of it were parked, releases how far those were
released or discarded. Both only grow, so nobody has to win a race: a key waits while the first is
ahead of the second. Keys themselves are not written, only digests of them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..schemas.event import Event
from .decision import Decision
from .model import BundleSettings, Effect, Mode
from .plan import Entry, Plan, SyntheticRule

__all__ = [
    "RELEASED_HEADER",
    "WAITING_RULE",
    "KeyPlace",
    "Parked",
    "closed_record",
    "key_digest",
    "parked_record",
    "parks_keys",
    "read_record",
    "released_header",
    "released_of",
    "wait_behind",
    "waiting_topic",
]

#: The name under which waiting stands on a decision, in the place of a rule.
WAITING_RULE: Final = "waiting"
#: On an event that was released: where it was, `PARTITION OFFSET GROUP`. It orders nothing but that
#: event, so that whoever forges it passes the queue with an event of their own.
RELEASED_HEADER: Final = "streamwarden-released"
_DIGEST_BYTES: Final = 16
_HEADER_MAX_BYTES: Final = 1024


class KeyPlace(NamedTuple):
    """A key of one group in one partition of the origin topic."""

    group: str
    partition: int
    digest: str


@dataclass(frozen=True, slots=True)
class Parked:
    """How far events of a key were parked: origin offsets of the first and the last, and how many."""

    first: int
    last: int
    count: int


def parks_keys(plan: Plan) -> bool:
    """Whether a policy of the plan says `park: key`; nothing waits in shadow mode."""
    return plan.mode is Mode.ENFORCE and any(
        planned.policy.park == "key" and planned.policy.mode is Mode.ENFORCE
        for planned in plan.rules
    )


def waiting_topic(settings: BundleSettings, topic: str) -> str:
    """Where it is written down which keys of `topic` wait."""
    return settings.waiting.replace("{topic}", topic)


def key_digest(key: bytes) -> str:
    """What stands for a key: 32 hex digits."""
    return hashlib.blake2b(key, digest_size=_DIGEST_BYTES).hexdigest()


def wait_behind(plan: Plan, event: Event, first: int) -> Decision:
    """The decision that `event` waits behind the one at offset `first` of its partition.

    No rule is asked: what waits is judged when it is released. Raises DecisionLogFullError.
    """
    place = f"{event.topic}[{event.partition}]@{first}"
    why = SyntheticRule(
        WAITING_RULE,
        Effect.HOLD,
        f"waits behind {place}, an event of the same key",
        f"release or discard the event that was at {place}; those behind it go with it",
    )
    return plan.record(event, plan.outcome_of((Entry(why, False, why.effect.value, plan.mode),)))


def parked_record(place: KeyPlace, parked: Parked | None) -> tuple[bytes, bytes | None]:
    """Key and value of a consumer's record; None removes it."""
    if parked is None:
        return _key(place, "parked"), None
    said = {"v": 1, "first": parked.first, "last": parked.last, "count": parked.count}
    return _key(place, "parked"), _json(said)


def closed_record(place: KeyPlace, through: int | None) -> tuple[bytes, bytes | None]:
    """Key and value of the record that events up to offset `through` wait no more."""
    return _key(place, "closed"), None if through is None else _json({"v": 1, "through": through})


def read_record(
    key: bytes | None, value: bytes | None
) -> tuple[KeyPlace, str, Parked | int | None] | None:
    """What a record of the topic says: of which key, `parked` or `closed`, and what.

    None for what is no such record; its content is None where it was removed.
    """
    try:
        group, partition, digest, kind = json.loads(key or b"")
        place = KeyPlace(str(group), int(partition), str(digest))
        if kind not in ("parked", "closed"):
            return None
        if value is None:
            return place, kind, None
        said: dict[str, Any] = json.loads(value)
        if kind == "closed":
            return place, kind, int(said["through"])
        return place, kind, Parked(int(said["first"]), int(said["last"]), int(said["count"]))
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def released_header(group: str, partition: int, offset: int) -> tuple[str, bytes]:
    """The header of an event that was at `partition` and `offset`, and waited for `group`."""
    return RELEASED_HEADER, f"{partition} {offset} {group}".encode()


def released_of(event: Event, group: str) -> int | None:
    """The offset in its own partition that `event` was released from, for this group."""
    for name, value in event.headers:
        if name == RELEASED_HEADER and value is not None and len(value) <= _HEADER_MAX_BYTES:
            partition, _, rest = value.decode("utf-8", "replace").partition(" ")
            offset, _, said = rest.partition(" ")
            mine = said == group and partition == str(event.partition)
            if mine and offset.isascii() and offset.isdigit():
                return int(offset[:19])
    return None


def _key(place: KeyPlace, kind: str) -> bytes:
    return _json([*place, kind])


def _json(said: object) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode()
