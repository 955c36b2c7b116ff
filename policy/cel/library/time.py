"""Timestamps and durations: reading, writing and their parts.

Calendar arithmetic is done on whole seconds since the epoch, in UTC or shifted by a zone's offset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from ..arithmetic import duration_of, timestamp_of
from ..types import DURATION, INT, STRING, TIMESTAMP
from ..values import CelError, Duration, Timestamp
from .registry import Library, identity

__all__ = [
    "TIME",
    "duration_from_string",
    "duration_text",
    "meant_timestamp",
    "milliseconds",
    "milliseconds_in",
    "milliseconds_of_duration",
    "timestamp_from_int",
    "timestamp_from_string",
    "timestamp_text",
]

TIME: Final = Library()

_SECOND: Final = 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

for _name, _type in (("timestamp", TIMESTAMP), ("duration", DURATION)):
    TIME.add(_name, (_type,), _type, identity, form="function")


@TIME.function("timestamp", STRING, result=TIMESTAMP)
def timestamp_from_string(text: str) -> object:
    """RFC 3339; digits of a second beyond the ninth are dropped."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return CelError("conversion", "the text is no RFC 3339 timestamp")
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, zone = match.group(7), match.group(8)
    offset = 0 if zone in "Zz" else _offset(zone)
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return CelError("range", "the timestamp is not on the calendar")
    if hour > 23 or minute > 59 or second > 59 or offset is None:
        return CelError("range", "the timestamp is not on the clock")
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset
    return timestamp_of(seconds * _SECOND + int((fraction or "0")[:9].ljust(9, "0")))


_MINUTES: Final = re.compile("[0-9]{2}:[0-9]{2}")


def meant_timestamp(text: str) -> str:
    """The RFC 3339 text that is nearest to `text`; an example where nothing is near."""
    day, time = text.strip()[:10], text.strip()[11:]
    if _MINUTES.fullmatch(time):
        time += ":00"
    candidates = (text, f"{day}T{time}", f"{day}T{time}Z", f"{day}T00:00:00Z")
    readable = (c for c in candidates if not isinstance(timestamp_from_string(c), CelError))
    return next(readable, "2026-01-01T00:00:00Z")


@TIME.function("timestamp", INT, result=TIMESTAMP)
def timestamp_from_int(seconds: int) -> object:
    """Seconds since the epoch."""
    return timestamp_of(seconds * _SECOND)


_PART: Final = re.compile("([0-9]{0,20})(?:\\.([0-9]{0,20}))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3_600 * _SECOND,
}
_PARTS_MAX: Final = 100  # `1h1h1h…` is a duration; nobody writes more than one of each unit.


@TIME.function("duration", STRING, result=DURATION)
def duration_from_string(text: str) -> object:
    """Numbers with units, as in `1h30m` or `-1.5s`."""
    unreadable = CelError("conversion", "the text is no duration such as `1h30m` or `1.5s`")
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return Duration(0)
    position = total = 0
    for _ in range(_PARTS_MAX):
        match = _PART.match(unsigned, position)
        if match is None or not (match[1] or match[2]):
            return unreadable
        unit = _UNITS[match[3]]
        fraction = match[2] or ""
        total += int(match[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        position = match.end()
        if position == len(unsigned):
            return duration_of(-total if text[0] == "-" else total)
    return unreadable


def timestamp_text(time: Timestamp) -> str | CelError:
    """RFC 3339 in UTC, with as many digits of a second as needed.

    Times from events can lie beyond the years that CEL knows: they compare, and have no text.
    """
    seconds, rest = divmod(time.ns, _SECOND)
    try:
        moment = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
    except OverflowError:
        return _BEYOND
    return f"{moment.isoformat()}{_fraction(rest)}Z"


def duration_text(duration: Duration) -> str:
    """Seconds, with as many digits as needed."""
    seconds, rest = divmod(abs(duration.ns), _SECOND)
    return f"{'-' if duration.ns < 0 else ''}{seconds}{_fraction(rest)}s"


_BEYOND: Final = CelError("range", "the timestamp is outside the years 0001 to 9999")


def _fraction(nanoseconds: int) -> str:
    return f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""


_FIXED_OFFSET: Final = re.compile(r"([+-]?)([0-9]{1,2}):([0-9]{2})")


def _offset(zone: str) -> int | None:
    """Seconds east of UTC for `+02:00`; None for anything else."""
    match = _FIXED_OFFSET.fullmatch(zone)
    if match is None or int(match[2]) > 23 or match[3] > "59":
        return None
    seconds = int(match[2]) * 3_600 + int(match[3]) * 60
    return -seconds if match[1] == "-" else seconds


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    """A zone of the time zone database; None where it has none of that name."""
    if not name.isascii() or len(name) > 64:
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return None


def _local(time: Timestamp, zone: str) -> datetime | CelError:
    """The civil time in `zone`; fractions of a second are left out."""
    try:
        moment = _EPOCH + timedelta(seconds=time.ns // _SECOND)
        offset = _offset(zone)
        if offset is not None:
            return moment + timedelta(seconds=offset)
        info = _zone(zone or "UTC")
        if info is None:
            return CelError("invalid_argument", "there is no such time zone")
        return moment.astimezone(info)
    except OverflowError:
        return CelError("range", "the local time is outside the years 0001 to 9999")


def _truncated(ns: int, unit: int) -> int:
    return ns // unit if ns >= 0 else -(-ns // unit)


def _declare(name: str, part: Callable[[datetime], int], unit: int | None) -> None:
    """A getter of a timestamp with and without zone; of a duration, how many `unit`s it has."""

    def of_timestamp(time: Timestamp) -> object:
        try:
            return part(_EPOCH + timedelta(seconds=time.ns // _SECOND))
        except OverflowError:
            return _BEYOND

    def of_timestamp_in(time: Timestamp, zone: str) -> object:
        local = _local(time, zone)
        return local if isinstance(local, CelError) else part(local)

    TIME.add(name, (TIMESTAMP,), INT, of_timestamp, form="method")
    TIME.add(name, (TIMESTAMP, STRING), INT, of_timestamp_in, form="method")
    if unit is not None:
        length = unit

        def of_duration(duration: Duration) -> int:
            return _truncated(duration.ns, length)

        TIME.add(name, (DURATION,), INT, of_duration, form="method")


_declare("getFullYear", lambda moment: moment.year, None)
_declare("getMonth", lambda moment: moment.month - 1, None)
_declare("getDate", lambda moment: moment.day, None)
_declare("getDayOfMonth", lambda moment: moment.day - 1, None)
_declare("getDayOfWeek", lambda moment: moment.isoweekday() % 7, None)
_declare("getDayOfYear", lambda moment: moment.timetuple().tm_yday - 1, None)
_declare("getHours", lambda moment: moment.hour, 3_600 * _SECOND)
_declare("getMinutes", lambda moment: moment.minute, 60 * _SECOND)
_declare("getSeconds", lambda moment: moment.second, _SECOND)


@TIME.method("getMilliseconds", TIMESTAMP, result=INT)
def milliseconds(time: Timestamp) -> int:
    """The milliseconds within the second."""
    return time.ns % _SECOND // 10**6


@TIME.method("getMilliseconds", TIMESTAMP, STRING, result=INT)
def milliseconds_in(time: Timestamp, zone: str) -> object:
    """The same: zones differ by whole seconds."""
    local = _local(time, zone)
    return local if isinstance(local, CelError) else milliseconds(time)


@TIME.method("getMilliseconds", DURATION, result=INT)
def milliseconds_of_duration(duration: Duration) -> int:
    """The milliseconds beside whole seconds, with the duration's sign."""
    whole = _truncated(duration.ns, 10**6)
    return whole % 1_000 if whole >= 0 else -(-whole % 1_000)
