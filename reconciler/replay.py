"""One slice replayed: records in, an account out. Pure: no Kafka, no clock, no files.

slice, records, judge  →  tally, and findings in the order of their offsets
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from streamwarden.errors import SchemaUnavailableError

from ..policy.compiler import UnavailableError
from .breakdown import DAY_MS
from .findings import Finding
from .seen import Seen
from .tally import Tally

__all__ = ["TICK_EVENTS", "Judging", "Window", "replay"]

#: Events between two signs of progress.
TICK_EVENTS = 4096

_NEVER = 1 << 62

#: Milliseconds: from (inclusive) and until (exclusive) by the record's timestamp.
Window = tuple[int | None, int | None]


class Judging(Protocol):
    """Finds what is wrong with events of one topic, and counts what it can say nothing about."""

    @property
    def unverifiable(self) -> int:
        """Events whose stamp could neither be confirmed nor refuted."""
        ...

    @property
    def skipped(self) -> int:
        """Records that are none of the run's business."""
        ...

    def finding(self, record: Seen, /) -> Finding | None:
        """What is wrong with one record, or None."""
        ...


def replay(
    records: Iterable[Seen],
    judge: Judging,
    *,
    parked: bool = False,
    window: Window = (None, None),
    sink: Callable[[Finding], None] | None = None,
    tick: Callable[[int], None] | None = None,
    draw: Callable[[int | None], bool] | None = None,
    takes: Callable[[Finding], bool] | None = None,
) -> Tally:
    """The account of `records`, which come in the order of their offsets.

    `sink` takes every finding; `tick` is told now and then how many records were seen since. Where
    the schema of a record cannot be had now, nothing is guessed: the replay stops there. `draw`
    says by their offsets which records are judged, `takes` which findings count.
    """
    tally = Tally()
    finding, add = judge.finding, tally.add
    unverifiable, skipped = judge.unverifiable, judge.skipped
    windowed = window != (None, None)
    narrowed = windowed or draw is not None
    population = passed_over = seen = ticked = 0
    due = TICK_EVENTS if tick is not None else _NEVER
    # Events are counted by day where the day changes, not one by one.
    since = until = 0
    moment: int | None = None
    counted = 0
    for seen, record in enumerate(records, 1):
        if tick is not None and seen >= due:
            tick(seen - ticked)
            ticked, due = seen, seen + TICK_EVENTS
        timestamp = record.timestamp
        if narrowed:
            if windowed and not _within(timestamp, window):
                passed_over += 1
                continue
            population += 1
            if draw is not None and not draw(record.offset):
                passed_over += 1
                continue
        if timestamp is None or not since <= timestamp < until:
            so_far = seen - 1 - passed_over - (judge.skipped - skipped)
            tally.count_day(moment, so_far - counted)
            counted, moment = so_far, timestamp
            since = 0 if timestamp is None else timestamp - timestamp % DAY_MS
            until = 0 if timestamp is None else since + DAY_MS
        try:
            found = finding(record)
        except (SchemaUnavailableError, UnavailableError) as error:
            passed_over += 1
            tally.stopped = (record.offset or 0, str(error))
            break
        if found is not None:
            if takes is not None and not takes(found):
                tally.leave_out(found)
                continue
            add(found)
            if sink is not None:
                sink(found)
    if tick is not None:
        tick(seen - ticked)
    events = seen - passed_over
    tally.events = events - (judge.skipped - skipped)
    if draw is not None:
        tally.population, tally.drawn = population, events
    tally.count_day(moment, tally.events - counted)
    tally.parked = tally.events if parked else 0
    tally.unverifiable = judge.unverifiable - unverifiable
    return tally


def _within(timestamp: int | None, window: Window) -> bool:
    since, until = window
    if timestamp is None:
        return True
    return (since is None or timestamp >= since) and (until is None or timestamp < until)
