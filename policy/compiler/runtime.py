"""What generated code calls. Nothing here raises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from ...schemas.event import Event
from ...schemas.json_projection import MISSING, DecodeError, JsonProjection
from ...schemas.views import header_value, text_or_bytes
from ..cel.library.time import timestamp_from_string
from ..cel.values import TIMESTAMP_MAX_NS, TIMESTAMP_MIN_NS, Timestamp
from .activation import Framed, UnavailableError, variable

__all__ = [
    "HELPERS",
    "OTHER",
    "facts_root",
    "finish",
    "finish_merged",
    "header_map",
    "instant",
    "is_odd",
    "key_reader",
    "moment",
    "now_ns",
    "number_view",
    "stamp_root",
    "timestamp_ns",
    "unordered",
]

_MILLISECOND_NS: Final = 10**6
_NO_HEADERS: Final[dict[str, bytes | None]] = {}


class _Other:
    """What compares with no constant that rules write inline."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "OTHER"


OTHER: Final = _Other()


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
    once = set(hits)
    hits = sorted(once)
    if hits[0] >= 0:
        return tuple(hits)
    return finish([hit for hit in hits if hit >= 0 or ~hit not in once])


def moment(value: Any) -> float:
    """`timestamp(value)` in nanoseconds since the epoch; NaN where that is an error.

    The two usual spellings, to the second and to the millisecond in UTC, are looked up by parts.
    """
    if value.__class__ is str:
        try:
            return (
                _DAYS[value[:10]]
                + _MINUTES[value[10:17]]
                + _SECONDS[value[17:19]]
                + _ENDS[value[19:]]
            )
        except KeyError:
            return _moment_of_text(value)
    if value.__class__ is int:
        return _in_range(value * _SECOND_NS)
    return value.ns if value.__class__ is Timestamp else math.nan


def instant(value: Any) -> float:
    """A value that is a time, in nanoseconds; NaN for anything else."""
    return value.ns if value.__class__ is Timestamp else math.nan


_SECOND_NS: Final = 10**9
#: Parts of RFC 3339 texts to nanoseconds; days are added as they are seen.
_DAYS: Final[dict[str, int]] = {}
_DAYS_MAX: Final = 20_000
_MINUTES: Final = {
    f"T{hour:02}:{minute:02}:": (hour * 60 + minute) * 60 * _SECOND_NS
    for hour in range(24)
    for minute in range(60)
}
_SECONDS: Final = {f"{second:02}": second * _SECOND_NS for second in range(60)}
_ENDS: Final = {"Z": 0} | {f".{part:03}Z": part * _MILLISECOND_NS for part in range(1000)}


def _moment_of_text(text: str) -> float:
    found = timestamp_from_string(text)
    if not isinstance(found, Timestamp):
        return math.nan
    day = text[:10]
    if day not in _DAYS and len(_DAYS) < _DAYS_MAX:
        midnight = timestamp_from_string(f"{day}T00:00:00Z")
        if isinstance(midnight, Timestamp):
            _DAYS[day] = midnight.ns
    return found.ns


def _in_range(ns: int) -> float:
    return ns if TIMESTAMP_MIN_NS <= ns <= TIMESTAMP_MAX_NS else math.nan


def now_ns(event: Event) -> float:
    """The guard's clock reading; NaN, which is before and after nothing, outside CEL's range."""
    return _in_range(event.now)


def timestamp_ns(event: Event) -> float:
    """The record's timestamp, likewise."""
    milliseconds = event.timestamp
    return _in_range(event.now if milliseconds is None else milliseconds * _MILLISECOND_NS)


def header_map(event: Event) -> dict[str, bytes | None] | None:
    """The last value of every header; None where they are no headers. Not to be changed."""
    headers = event.headers
    if headers.__class__ is tuple and not headers:
        return _NO_HEADERS
    try:
        return dict(headers)
    except Exception:  # noqa: BLE001 — whatever the caller passes, a decision is made
        return None


def key_reader(
    key_format: str, projection: JsonProjection, framed: Framed | None = None
) -> Callable[[Event], Any]:
    """The key as rules read it: MISSING where it does not decode. Raises UnavailableError."""
    if framed is not None and key_format in ("auto", "avro"):
        return _framed_key(key_format, projection, framed)

    def text(event: Event) -> Any:
        return text_or_bytes(event.key)

    def unframed(event: Event) -> Any:
        # For the keys of most topics: `is_framed` and `text_or_bytes` without their calls.
        key = event.key
        if key is None:
            return None
        if key[:1] == b"\0":
            return MISSING
        try:
            return key.decode()
        except UnicodeDecodeError:
            return key

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


def _framed_key(
    key_format: str, projection: JsonProjection, framed: Framed
) -> Callable[[Event], Any]:
    unframed = text_or_bytes if key_format == "auto" else None
    read = framed.key_reader(projection.root, unframed, projection.decode)

    def key(event: Event) -> Any:
        try:
            return None if event.key is None else read(event.key, event.headers)
        except UnavailableError:
            raise
        except DecodeError:
            return MISSING

    return key


def facts_root(event: Event) -> Any:
    """What the caller knows; MISSING where that cannot be read."""
    facts = variable("facts", event)
    return facts if facts.__class__ is dict else MISSING


def stamp_root(event: Event) -> Any:
    """What the incoming stamp claims."""
    return variable("stamp", event)


_KNOWN: Final = frozenset({str, int, bool, type(None), list, dict, bytes, Timestamp, type(MISSING)})


def is_odd(value: Any) -> bool:
    """Whether a value compares with numbers in ways that inline tests do not know."""
    if value.__class__ is float:
        return bool(value != value)  # noqa: PLR0124 — NaN
    return value.__class__ not in _KNOWN


def number_view(value: Any) -> Any:
    """A number as it is; NaN for anything else."""
    return value if value.__class__ is float or value.__class__ is int else math.nan


def unordered(*values: Any) -> bool:
    """Whether values, which are no small numbers, certainly have no order; else it is not known."""
    classes = {value.__class__ for value in values}
    if type(MISSING) in classes:
        return True
    if classes <= _NUMBERS or len(classes) == 1:
        return classes <= _UNORDERED
    return classes <= _KNOWN_OR_NUMBER


_NUMBERS: Final = frozenset({int, float})
_UNORDERED: Final = frozenset({list, dict, type(None)})
_KNOWN_OR_NUMBER: Final = frozenset({str, int, float, bool, type(None), list, dict})


#: By the names that generated code uses.
HELPERS: Final[Mapping[str, Any]] = {
    "MISSING": MISSING,
    "NAN": math.nan,
    "OTHER": OTHER,
    "facts_root": facts_root,
    "finish": finish,
    "finish_merged": finish_merged,
    "header_map": header_map,
    "header_value": header_value,
    "instant": instant,
    "is_odd": is_odd,
    "moment": moment,
    "now_ns": now_ns,
    "number_view": number_view,
    "stamp_root": stamp_root,
    "timestamp_ns": timestamp_ns,
    "unordered": unordered,
    "SIZED": frozenset({str, list, dict, bytes}),
    "Decimal": Decimal,
    "Timestamp": Timestamp,
}
