"""Times and durations mean one thing, and say what to write when they mean none."""

from __future__ import annotations

import pytest

from streamwarden.cli.times import parse_duration, parse_instant

NOW_MS = 1_767_225_600_000  # 2026-01-01


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01", NOW_MS),
        ("2026-01-01T00:00:00Z", NOW_MS),
        ("2026-01-01T01:00:00+01:00", NOW_MS),
        ("2026-01-01 00:00", NOW_MS),
        ("2026-01-01T00:00:00.123456Z", NOW_MS + 123),
        ("1767225600000", NOW_MS),
        ("0", 0),
        ("now", NOW_MS),
        ("1h", NOW_MS - 3_600_000),
        ("-1h", NOW_MS - 3_600_000),
        ("+1d", NOW_MS + 86_400_000),
        ("1.5m", NOW_MS - 90_000),
        ("2w", NOW_MS - 14 * 86_400_000),
    ],
)
def test_every_form_is_read_as_an_instant(text: str, expected: int) -> None:
    """Dates are UTC; a span is ago, unless it has a plus."""
    assert parse_instant(text, lambda: NOW_MS * 1_000_000) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "write `2026-03-01`"),
        ("yesterday", "write `2026-03-01`"),
        ("2026", "write `2026-01-01`"),
        ("1767225600", "write `1767225600000`"),
        ("99999999999999999999", "milliseconds"),
        ("2026-13-01", "write `2026-03-01`"),
        ("1969-12-31", "before 1970"),
        ("--1h", "write `2026-03-01`"),
        ("+", "write `2026-03-01`"),
        ("999999999w", "outside the calendar"),
        ("١٢٣٤٥٦٧٨٩٠١٢٣", "write `2026-03-01`"),
    ],
)
def test_what_is_no_instant_says_what_to_write(text: str, hint: str) -> None:
    """Seconds taken for milliseconds would be a time in 1970."""
    with pytest.raises(ValueError, match="no time|a year|calendar|1970") as raised:
        parse_instant(text, lambda: NOW_MS * 1_000_000)

    assert hint in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"), [("30", 30.0), ("30s", 30.0), ("500ms", 0.5), ("1.5m", 90.0), ("0", 0.0)]
)
def test_a_duration_is_in_seconds(text: str, expected: float) -> None:
    """Without a unit it is seconds."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1e3", "1y", "s"])
def test_what_is_no_duration_says_what_to_write(text: str) -> None:
    """No guesses."""
    with pytest.raises(ValueError, match="write seconds"):
        parse_duration(text)
