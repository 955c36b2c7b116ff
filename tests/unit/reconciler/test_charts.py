"""Bars over time: the finest unit that can be told apart."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from streamwarden.reconciler.charts import BARS_MAX, chart_of, pieces_of


def days(*dates: dt.date) -> list[dict[str, Any]]:
    """A report's days, each with ten events and one finding."""
    return [
        {"day": date.isoformat(), "events": 10, "counts": {"now-rejected": 1}} for date in dates
    ]


def test_days_without_events_have_bars_too() -> None:
    """Where few days are between the first and the last."""
    chart = chart_of(days(dt.date(2026, 3, 1), dt.date(2026, 3, 4)))

    assert (chart.unit, chart.whole) == ("day", True)
    assert [(bar.name, bar.events, bar.findings) for bar in chart.bars] == [
        ("2026-03-01", 10, 1),
        ("2026-03-02", 0, 0),
        ("2026-03-03", 0, 0),
        ("2026-03-04", 10, 1),
    ]


@pytest.mark.parametrize(
    ("step", "count", "unit"), [(1, 300, "week"), (7, 200, "month"), (31, 200, "year")]
)
def test_the_unit_grows_with_the_range(step: int, count: int, unit: str) -> None:
    """No more bars than can be told apart, and nothing is lost."""
    chart = chart_of(days(*(dt.date(1990, 1, 1) + dt.timedelta(n * step) for n in range(count))))

    assert chart.unit == unit
    assert len(chart.bars) <= BARS_MAX
    assert sum(bar.findings for bar in chart.bars) == count


def test_one_wrong_clock_does_not_stretch_the_axis() -> None:
    """Beyond a few weeks there are bars only for what has events."""
    chart = chart_of(days(dt.date(1, 1, 1), dt.date(2026, 3, 1), dt.date(9999, 12, 31)))

    assert [bar.name for bar in chart.bars] == ["0001-01-01", "2026-02-23", "9999-12-27"]


def test_findings_without_a_date_are_counted() -> None:
    """They have no bar."""
    chart = chart_of([{"day": "", "events": 3, "counts": {"forged": 2}}])

    assert (chart.bars, chart.undated) == ((), 2)


def test_pieces_lie_end_to_end() -> None:
    """In the order of kinds, as parts of the whole."""
    pieces = pieces_of({"now-masked": 1, "forged": 3}, 8)

    assert [(p.kind, p.start, p.size) for p in pieces] == [
        ("forged", 0.0, 37.5),
        ("now-masked", 37.5, 12.5),
    ]
