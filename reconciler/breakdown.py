"""Findings counted by day, and the few that are shown in full.

Tables of counts, `{name: {kind: n}}`, are bounded so that merging stays associative: of too many
days the latest are kept, and whatever is left out of one table has enough kept days beside it to
be left out of every sum.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from .findings import Finding

__all__ = [
    "DAYS_MAX",
    "DAY_MS",
    "EVENTS",
    "SHOWN_MAX_BYTES",
    "Counts",
    "add_count",
    "day_name",
    "keep_days",
    "merged_days",
    "shown",
]

#: Counts by name and kind; beside the kinds, `events` counts all events of a day.
Counts = Mapping[str, Mapping[str, int]]

EVENTS = "events"
DAY_MS = 86_400_000
#: More than ten years; of more days the latest are kept.
DAYS_MAX = 4000
#: A finding shown in a report; trails and then matches are cut where it is longer.
SHOWN_MAX_BYTES = 16_384

#: The year 9999, where calendars end.
_LATEST_MS = 253_402_300_799_999
_MATCHES_SHOWN = 5
_TEXT_MAX_CHARS = 500


def day_name(timestamp_ms: int | None) -> str:
    """The UTC date of a record's timestamp; empty where there is none in the calendar."""
    if timestamp_ms is None or not 0 <= timestamp_ms <= _LATEST_MS:
        return ""
    return dt.datetime.fromtimestamp(timestamp_ms // 1000, dt.UTC).date().isoformat()


def add_count(table: dict[str, dict[str, int]], name: str, kind: str, number: int = 1) -> None:
    """Count `number` more under `name` and `kind`."""
    row = table.setdefault(name, {})
    row[kind] = row.get(kind, 0) + number


def keep_days(table: Counts) -> dict[str, Mapping[str, int]]:
    """The latest DAYS_MAX days, in order."""
    return {name: table[name] for name in sorted(table)[-DAYS_MAX:]}


def merged_days(one: Counts, other: Counts) -> dict[str, Mapping[str, int]]:
    """Days of both."""
    return keep_days(_merged(one, other))


def _merged(one: Counts, other: Counts) -> dict[str, Mapping[str, int]]:
    merged = dict(one)
    for name, row in other.items():
        present = merged.get(name, {})
        merged[name] = {
            kind: present.get(kind, 0) + row.get(kind, 0) for kind in sorted({*present, *row})
        }
    return merged


def shown(finding: Finding) -> dict[str, Any]:
    """The finding as its line in the findings file, cut to a bounded size."""
    said = finding.to_dict()
    if len(msgspec.json.encode(said)) <= SHOWN_MAX_BYTES:
        return said
    current: dict[str, Any] = dict(said["current"])
    matches: list[dict[str, Any]] = [dict(match) for match in current.get("matches", ())]
    current["cut"] = True
    current["matches"] = [{**match, "why": None} for match in matches[:_MATCHES_SHOWN]]
    said["current"] = current
    said["rules"] = list(said.get("rules", ()))[:_MATCHES_SHOWN]
    if len(msgspec.json.encode(said)) > SHOWN_MAX_BYTES:
        current.pop("facts", None)
        said = {name: _short(value) for name, value in said.items()}
    return said


def _short(value: Any) -> Any:
    """`value` with long texts cut at every depth."""
    if isinstance(value, str):
        return value if len(value) <= _TEXT_MAX_CHARS else value[: _TEXT_MAX_CHARS - 1] + "…"
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {name: _short(member) for name, member in members.items()}
    if isinstance(value, (list, tuple)):
        return [_short(item) for item in cast("list[Any]", value)]
    return value
