"""Keys, headers, facts and undecoded values, as rules see them.

Everything here takes hostile bytes and whatever a caller hands over, and raises nothing but
`DecodeError`.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from .json_projection import DecodeError, decode_json

__all__ = [
    "FactTime",
    "facts_view",
    "header_value",
    "headers_view",
    "is_framed",
    "is_hidden_header",
    "key_view",
    "text_or_bytes",
    "value_view",
    "without_schemas",
]

#: How a caller's datetime becomes the time that rules know; given by the policy layer.
FactTime: TypeAlias = Callable[[int], object]

_NO_SOURCE = "the bytes are framed by a schema registry, and no schemas were given"
_NO_FRAME = "the bytes do not begin as a schema registry frames them, and no schemas were given"
_NOT_UTF8 = "the text is not valid UTF-8"
#: Facts come from the calling service: deeper than this they are a mistake.
_FACTS_DEPTH_MAX = 32

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_LEAVE_OUT: Final = object()
#: How an instance of a subclass (an IntEnum, numpy's float64) becomes what it is at heart.
_PLAIN: Final[dict[type, Callable[[Any], object]]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes.__bytes__,
}


def is_framed(data: bytes) -> bool:
    """True where the bytes start as the framing of a schema registry does: with a zero byte."""
    return data[:1] == b"\0"


def without_schemas(data: bytes) -> str:
    """Why bytes that are to be framed cannot be read where there are no schemas.

    A header may name a schema, too, so that nothing more can be said of bytes that begin otherwise.
    """
    return _NO_SOURCE if data[:1] in (b"\0", b"\1") else _NO_FRAME


def is_hidden_header(name: str) -> bool:
    """True for headers that no rule sees: the guard's own and those that steer other clients."""
    return name == "streamwarden" or name.startswith(("streamwarden-", "__dlq.errors.", "__rule."))


def text_or_bytes(data: bytes | None) -> str | bytes | None:
    """The text of `data` when it is UTF-8, else the bytes; None stays None."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def header_value(data: object) -> str | bytes | None:
    """One header's value: text where it is UTF-8, null where it is null or no bytes at all."""
    if type(data) is bytes:
        return text_or_bytes(data)
    return data if type(data) is str else None


def headers_view(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str | bytes | None]:
    """Visible headers by name. Of a name that comes several times the last value counts."""
    return {
        name: header_value(data)
        for name, data in dict(headers).items()
        if type(name) is str and not is_hidden_header(name)
    }


def key_view(key: bytes | None, key_format: str) -> object:
    """The key as rules see it. Raises DecodeError where it is not what `key_format` says."""
    if key is None:
        return None
    if key_format == "bytes":
        return key
    if key_format == "json":
        return decode_json(key)
    if key_format == "avro" or (key_format == "auto" and is_framed(key)):
        raise DecodeError(without_schemas(key))
    return text_or_bytes(key)


def value_view(value: bytes, value_format: str) -> object:
    """The whole value, decoded. Raises DecodeError."""
    if value_format == "bytes":
        return value
    if value_format == "text":
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise DecodeError(_NOT_UTF8) from None
    if value_format == "avro" or (value_format == "auto" and is_framed(value)):
        raise DecodeError(without_schemas(value))
    return decode_json(value)


def facts_view(facts: Mapping[str, object] | None, time: FactTime) -> dict[str, object]:
    """What the caller knows, as values that rules can compute with.

    Tuples and sets become lists, dates and datetimes become times (made by `time` from nanoseconds
    since the epoch; without a zone they are UTC), enums their values and UUIDs text. What is none
    of these is left out, so that a rule reading it cannot be evaluated.
    """
    if facts is None:
        return {}
    return _fact_map(facts, time, 0)


def _fact(value: object, time: FactTime, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    for kind, plain in _PLAIN.items():
        if isinstance(value, kind):
            return value if type(value) is kind else plain(value)
    if isinstance(value, Decimal):
        return Decimal(value) if value.is_finite() else math.nan
    if isinstance(value, Enum):
        return _fact(value.value, time, depth + 1) if depth < _FACTS_DEPTH_MAX else _LEAVE_OUT
    if isinstance(value, dt.date):
        return _fact_time(value, time)
    if isinstance(value, uuid.UUID):
        return str(value)
    if depth >= _FACTS_DEPTH_MAX:
        return _LEAVE_OUT
    if isinstance(value, Mapping):
        return _fact_map(cast("Mapping[object, object]", value), time, depth)
    if isinstance(value, list | tuple | set | frozenset):
        items = [_fact(item, time, depth + 1) for item in cast("Iterable[object]", value)]
        return _LEAVE_OUT if any(item is _LEAVE_OUT for item in items) else items
    return _LEAVE_OUT


def _fact_map(value: Mapping[Any, object], time: FactTime, depth: int) -> dict[str, object]:
    entries = ((key, _fact(item, time, depth + 1)) for key, item in value.items())
    return {
        str.__str__(key): item
        for key, item in entries
        if isinstance(key, str) and item is not _LEAVE_OUT
    }


def _fact_time(value: dt.date, time: FactTime) -> object:
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return time((value - _EPOCH) // _MICROSECOND * 1000)
