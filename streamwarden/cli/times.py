"""Instants and durations as people write them on a command line."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    _IntParam = click.ParamType[int]
    _FloatParam = click.ParamType[float]
else:  # generic since click 8.5 only
    _IntParam = _FloatParam = click.ParamType

__all__ = ["Duration", "Instant", "parse_duration", "parse_instant", "today"]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,6})?)(?P<unit>ms|s|m|h|d|w)")
#: Milliseconds since the epoch before 1973 are more likely seconds since then.
_EARLIEST_MS = 100_000_000_000
#: The year 9999, where calendars of computers end.
_LATEST_MS = 253_402_300_799_999
_FORMS = (
    "write `2026-03-01`, `2026-03-01T12:00:00Z`, milliseconds since the epoch, "
    "or how long ago: `90s`, `15m`, `1h`, `7d`"
)


def parse_instant(text: str, now_ns: Callable[[], int] = time.time_ns) -> int:
    """Milliseconds since the epoch. A date is its 00:00 UTC, a time without a zone is UTC.

    `1h` and `-1h` are an hour ago, `+1h` is an hour ahead. Raises ValueError saying what to write.
    """
    text = text.strip()
    if text == "now":
        return now_ns() // 1_000_000
    if text.isascii() and text.isdigit():
        return _milliseconds(text)
    span = _SPAN.fullmatch(text.lstrip("+-"))
    if span is not None and len(text) - len(text.lstrip("+-")) <= 1:
        distance_ms = round(float(span["number"]) * _UNITS_S[span["unit"]] * 1000)
        instant = now_ns() // 1_000_000 + (distance_ms if text[0] == "+" else -distance_ms)
        if not 0 <= instant <= _LATEST_MS:
            raise ValueError(f"`{text}` is outside the calendar; {_FORMS}")
        return instant
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"`{text}` is no time; {_FORMS}") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=dt.UTC)
    distance = found - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    milliseconds = distance // dt.timedelta(milliseconds=1)
    if milliseconds < 0:
        raise ValueError(f"`{text}` is before 1970; {_FORMS}")
    return milliseconds


def _milliseconds(text: str) -> int:
    if len(text) == 4:
        raise ValueError(f"`{text}` could be a year; write `{text}-01-01`")
    if len(text) > 15 or not (int(text) == 0 or _EARLIEST_MS <= int(text) <= _LATEST_MS):
        seconds = 9 <= len(text) <= 10
        hint = f"if these are seconds, write `{text}000`" if seconds else _FORMS
        raise ValueError(f"`{text}` is no time in milliseconds since the epoch; {hint}")
    return int(text)


def parse_duration(text: str) -> float:
    """Seconds: `30`, `30s`, `1.5m`, `500ms`. Raises ValueError saying what to write."""
    text = text.strip()
    span = _SPAN.fullmatch(text if text[-1:].isalpha() else f"{text}s")
    if span is None:
        raise ValueError(f"`{text}` is no duration; write seconds, or `500ms`, `30s`, `5m`")
    return float(span["number"]) * _UNITS_S[span["unit"]]


class Instant(_IntParam):
    """An option that takes a time; its value is in milliseconds since the epoch."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """See `parse_instant`."""
        if isinstance(value, int):
            return value
        try:
            return parse_instant(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(_FloatParam):
    """An option that takes a duration; its value is in seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """See `parse_duration`."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def today() -> str:
    """The day that it is in UTC, as `2026-03-01`."""
    return dt.datetime.fromtimestamp(time.time(), dt.UTC).date().isoformat()
