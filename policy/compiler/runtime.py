"""What generated code calls. Nothing here raises."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from ...schemas.event import Event
from ...schemas.json_projection import MISSING, DecodeError, JsonProjection
from ...schemas.views import header_value, is_framed, text_or_bytes
from ..cel.library.time import timestamp_from_string
from ..cel.values import TIMESTAMP_MAX_NS, TIMESTAMP_MIN_NS, Timestamp
from .activation import variable

__all__ = [
    "HELPERS",
    "ODD",
    "facts_root",
    "finish",
    "finish_merged",
    "header_map",
    "is_odd",
    "key_reader",
    "moment",
    "moment_of_ns",
    "now_ns",
    "stamp_root",
    "timestamp_ns",
]

#: A value that the generated code does not judge: the exact evaluator is asked.
ODD: Final = object()

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_MILLISECOND_NS: Final = 10**6
_fromisoformat: Final = dt.datetime.fromisoformat


def finish(hits: list[int]) -> tuple[int, ...]:
    """Hits in the order of the rules. `~i` of rule i comes where `i` would.

    By absolute value, rule i fired and rule i-1 failed are equal: the negative one goes first.
    """
    if len(hits) > 1:
        hits.sort()
        if hits[0] < 0:
            hits.sort(key=abs)
    return tuple(hits)


def finish_merged(hits: list[int]) -> tuple[int, ...]:
    """The same where a rule may come several times: once, and true where it is true for once."""
    if len(hits) > 1:
        once = set(hits)
        hits = [hit for hit in once if hit >= 0 or ~hit not in once]
    return finish(hits)


def moment(value: Any) -> Any:
    """`timestamp(value)` as a datetime; None where it is an error; ODD where that is not known."""
    if value.__class__ is not str:
        return ODD if value.__class__ is int else None
    size = len(value)
    if (size == 20 and value[4:17:3] == "--T::" and value[19] == "Z") or (
        size == 24 and value[4:20:3] == "--T::." and value[23] == "Z"
    ):
        try:
            found = _fromisoformat(value)
        except ValueError:
            return None if value.isascii() else ODD
        # Midnight at the end of a day is ISO 8601, and no RFC 3339.
        return found if value[11:13] != "24" else None
    found = timestamp_from_string(value)
    return moment_of_ns(found.ns) if isinstance(found, Timestamp) else None


def moment_of_ns(ns: int) -> Any:
    """A datetime; ODD between two microseconds."""
    return ODD if ns % 1000 else _EPOCH + ns // 1000 * _MICROSECOND


def now_ns(event: Event) -> float:
    """The guard's clock reading; NaN, which is before and after nothing, outside CEL's range."""
    ns = event.now
    return ns if TIMESTAMP_MIN_NS <= ns <= TIMESTAMP_MAX_NS else math.nan


def timestamp_ns(event: Event) -> float:
    """The record's timestamp, likewise."""
    if event.timestamp is None:
        return now_ns(event)
    ns = event.timestamp * _MILLISECOND_NS
    return ns if TIMESTAMP_MIN_NS <= ns <= TIMESTAMP_MAX_NS else math.nan


def header_map(event: Event) -> dict[str, bytes | None] | None:
    """The last value of every header; None where they are no headers."""
    try:
        return dict(event.headers)
    except Exception:  # noqa: BLE001 — whatever the caller passes, a decision is made
        return None


def key_reader(key_format: str, projection: JsonProjection) -> Callable[[Event], Any]:
    """The key as rules read it: MISSING where it does not decode."""

    def text(event: Event) -> Any:
        return text_or_bytes(event.key)

    def unframed(event: Event) -> Any:
        key = event.key
        return MISSING if key is not None and is_framed(key) else text_or_bytes(key)

    def json(event: Event) -> Any:
        try:
            return None if event.key is None else projection.decode(event.key)
        except DecodeError:
            return MISSING

    def avro(event: Event) -> Any:
        return None if event.key is None else MISSING

    def raw(event: Event) -> Any:
        return event.key

    return {"text": text, "json": json, "avro": avro, "bytes": raw}.get(key_format, unframed)


def facts_root(event: Event) -> Any:
    """What the caller knows; MISSING where that cannot be read."""
    facts = variable("facts", event)
    return facts if facts.__class__ is dict else MISSING


def stamp_root(event: Event) -> Any:
    """What the incoming stamp claims."""
    return variable("stamp", event)


_PLAIN: Final = frozenset({str, int, bool, type(None), list, dict, type(MISSING)})


def is_odd(value: Any) -> bool:
    """Whether a value is none that JSON could hold, so that inline tests do not know it."""
    if value.__class__ is float:
        return bool(value != value)  # noqa: PLR0124 — NaN
    return value.__class__ not in _PLAIN


#: By the names that generated code uses.
HELPERS: Final[Mapping[str, Any]] = {
    "MISSING": MISSING,
    "NAN": math.nan,
    "ODD": ODD,
    "NoneType": type(None),
    "datetime": dt.datetime,
    "bytes": bytes,
    "facts_root": facts_root,
    "finish": finish,
    "finish_merged": finish_merged,
    "header_map": header_map,
    "header_value": header_value,
    "is_odd": is_odd,
    "moment": moment,
    "now_ns": now_ns,
    "stamp_root": stamp_root,
    "timestamp_ns": timestamp_ns,
    "SIZED": frozenset({str, list, dict, bytes}),
    "Decimal": Decimal,
}
