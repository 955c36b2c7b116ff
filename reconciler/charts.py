"""Findings over time as bars: geometry only, for whoever draws them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .findings import KINDS, WOULD_CHANGE

__all__ = ["BARS_MAX", "Bar", "Chart", "Piece", "chart_of", "pieces_of"]

#: More bars than this cannot be told apart on a phone.
BARS_MAX = 62
_WHOLE = 100.0
_KINDS = (*KINDS, WOULD_CHANGE)


@dataclass(frozen=True, slots=True)
class Piece:
    """One kind in a bar: where it begins and how much of the whole it is, in percent."""

    kind: str
    count: int
    start: float
    size: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One day, week, month or year: its name, its events, its findings from the bottom up."""

    name: str
    events: int
    findings: int
    pieces: tuple[Piece, ...]
    events_size: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars in order of time. `unit` is what a bar stands for, a week by its Monday.

    `whole`: days without events have bars too. `undated` counts findings whose records have no date.
    """

    unit: str
    bars: tuple[Bar, ...]
    findings_max: int
    events_max: int
    whole: bool
    undated: int
    kinds: tuple[str, ...]


def pieces_of(counts: Mapping[str, int], whole: int) -> tuple[Piece, ...]:
    """The kinds of `counts`, laid end to end, as parts of `whole`."""
    pieces: list[Piece] = []
    start = 0.0
    for kind in _KINDS:
        count = counts.get(kind, 0)
        if count:
            size = _WHOLE * count / max(whole, 1)
            pieces.append(Piece(kind, count, round(start, 3), round(size, 3)))
            start += size
    return tuple(pieces)


def chart_of(days: Iterable[Mapping[str, Any]]) -> Chart:
    """The chart of a report's `days`, in the finest unit that leaves bars to be told apart."""
    dated: dict[dt.date, Mapping[str, Any]] = {}
    undated = 0
    for day in days:
        if day["day"]:
            dated[dt.date.fromisoformat(day["day"])] = day
        else:
            undated += sum(day["counts"].values())
    unit, names = _scale(sorted(dated))
    events: dict[str, int] = dict.fromkeys(names, 0)
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for date, day in dated.items():
        name = _UNITS[unit](date)
        if name in events:
            events[name] += day["events"]
            for kind, number in day["counts"].items():
                counts[name][kind] = counts[name].get(kind, 0) + number
    totals = {name: sum(row.values()) for name, row in counts.items()}
    findings_max, events_max = max(totals.values(), default=0), max(events.values(), default=0)
    bars = tuple(
        Bar(
            name,
            events[name],
            totals[name],
            pieces_of(counts[name], findings_max),
            round(_WHOLE * events[name] / max(events_max, 1), 3),
        )
        for name in names
    )
    found = {kind for row in counts.values() for kind in row}
    kinds = tuple(kind for kind in _KINDS if kind in found)
    return Chart(unit, bars, findings_max, events_max, unit == "day", undated, kinds)


def _scale(dates: Sequence[dt.date]) -> tuple[str, list[str]]:
    """What a bar stands for, and the names of all bars.

    Days follow on each other where they are few; else there are bars only for what has events,
    since one wrong clock would stretch the axis over decades.
    """
    if not dates:
        return "day", []
    span = (dates[-1] - dates[0]).days + 1
    if span <= BARS_MAX:
        return "day", [(dates[0] + dt.timedelta(days=n)).isoformat() for n in range(span)]
    names: list[str] = []
    for unit in ("week", "month", "year"):
        names = list(dict.fromkeys(_UNITS[unit](date) for date in dates))
        if len(names) <= BARS_MAX:
            return unit, names
    return "year", names[-BARS_MAX:]


def _week(date: dt.date) -> str:
    return max(date - dt.timedelta(days=date.weekday()), dt.date.min).isoformat()


_UNITS: dict[str, Callable[[dt.date], str]] = {
    "day": dt.date.isoformat,
    "week": _week,
    "month": lambda date: date.isoformat()[:7],
    "year": lambda date: date.isoformat()[:4],
}
