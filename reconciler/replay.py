"""One slice replayed: records in, an account out. Pure: no Kafka, no clock, no files.

slice, batches of records, judge  →  tally, and findings in the order of their offsets
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from streamwarden.errors import SchemaUnavailableError

from ..policy.compiler import UnavailableError
from .batch import Batch, Swept
from .breakdown import DAY_MS
from .causes import Cause
from .findings import Finding
from .seen import Seen
from .tally import Tally

__all__ = ["TICK_EVENTS", "Judging", "Window", "replay"]

#: Events between two signs of progress.
TICK_EVENTS = 4096

#: Milliseconds that no clock reaches.
_NEVER = 1 << 62

#: Milliseconds: from (inclusive) and until (exclusive) by the record's timestamp.
Window = tuple[int | None, int | None]


class Judging(Protocol):
    """Finds what is wrong with events of one topic, and counts what it can say nothing about."""

    @property
    def unverifiable(self) -> int:
        """Events given to `finding` whose stamp could neither be confirmed nor refuted."""
        ...

    @property
    def skipped(self) -> int:
        """Records that are none of the run's business."""
        ...

    def takes(self, record: Seen, /) -> bool:
        """Whether a record is the run's business: an event, and one of the topics in question."""
        ...

    def sweep(self, batch: Batch, /) -> Swept | None:
        """Which events of a batch `finding` has to be asked about; None: all of them."""
        ...

    def finding(self, record: Seen, /) -> Finding | None:
        """What is wrong with one record, or None."""
        ...


def replay(
    batches: Iterable[Sequence[Seen]],
    judge: Judging,
    *,
    parked: bool = False,
    window: Window = (None, None),
    sink: Callable[[Finding], None] | None = None,
    tick: Callable[[int, int], None] | None = None,
    draw: Callable[[int | None], bool] | None = None,
    takes: Callable[[Finding], bool] | None = None,
    put_away: Callable[[Iterable[Cause]], None] | None = None,
) -> Tally:
    """The account of records, which come in the order of their offsets.

    `sink` takes every finding; `tick` is told now and then how many records were seen, and
    findings made, since. Where
    the schema of a record cannot be had now, nothing is guessed: the replay stops there. `draw`
    says by their offsets which records are judged, `takes` which findings count; `put_away` takes
    causes that are too many to be held.
    """
    account = _Account(judge, window, sink, draw, takes, put_away)
    seen = told = 0
    for batch in batches:
        goes_on = account.take(batch)
        seen += len(batch)
        if tick is not None and seen >= TICK_EVENTS:
            tick(seen, account.findings - told)
            seen, told = 0, account.findings
        if not goes_on:
            break
        del batch  # or it is alive while the next one is read
    if tick is not None:
        tick(seen, account.findings - told)
    return account.total(parked=parked)


class _Account:
    """What the records come to that were seen so far."""

    def __init__(
        self,
        judge: Judging,
        window: Window,
        sink: Callable[[Finding], None] | None,
        draw: Callable[[int | None], bool] | None,
        takes: Callable[[Finding], bool] | None,
        put_away: Callable[[Iterable[Cause]], None] | None,
    ) -> None:
        self._judge, self._sink, self._draw, self._takes = judge, sink, draw, takes
        since, until = window
        self._since = -_NEVER if since is None else since
        self._until = _NEVER if until is None else until
        self._tally = Tally(put_away)
        self._unverifiable = judge.unverifiable
        #: Those that count.
        self.findings = 0
        #: Events by the days since 1970.
        self._days: Counter[int | None] = Counter()

    def take(self, batch: Sequence[Seen]) -> bool:
        """Judge a batch; False where the replay has to stop."""
        if isinstance(batch, Batch) and self._draw is None:
            if batch.latest < self._since or batch.earliest >= self._until:
                return True
            if batch.earliest >= self._since and batch.latest < self._until:
                swept = self._judge.sweep(batch)
                if swept is not None:
                    return self._look(batch, swept)
        return all(map(self._take_one, batch))

    def total(self, *, parked: bool) -> Tally:
        """The account; nothing is to be added to it."""
        tally = self._tally
        for day, events in self._days.items():
            tally.count_day(None if day is None else day * DAY_MS, events)
        tally.parked = tally.events if parked else 0
        tally.unverifiable += self._judge.unverifiable - self._unverifiable
        return tally

    def _look(self, batch: Batch, swept: Swept) -> bool:
        """Judge the suspects of a batch, and count all of its events."""
        for at in swept.suspects:
            if not self._judged(batch[at]):
                if at:  # those before it count, as far as they were swept
                    part = batch.part(range(at))
                    before = self._judge.sweep(part)
                    self._count(part, 0 if before is None else before.unverifiable)
                return False
        self._count(batch, swept.unverifiable)
        return True

    def _count(self, batch: Batch, unverifiable: int) -> None:
        self._tally.events += len(batch)
        self._tally.unverifiable += unverifiable
        day = batch.earliest // DAY_MS
        if day == batch.latest // DAY_MS:
            self._days[day] += len(batch)
        else:
            self._days.update(time // DAY_MS for time in batch.times)

    def _take_one(self, record: Seen) -> bool:
        """Judge a record if it is one that was asked for; False where it cannot be judged."""
        tally, time = self._tally, record.timestamp
        if time is not None and not self._since <= time < self._until:
            return True
        if self._draw is not None and not self._draw(record.offset):
            tally.population += self._judge.takes(record)
            return True
        skipped = self._judge.skipped
        if not self._judged(record):
            return False
        if self._judge.skipped == skipped:
            tally.events += 1
            if self._draw is not None:
                tally.population += 1
                tally.drawn += 1
            self._days[None if time is None else time // DAY_MS] += 1
        return True

    def _judged(self, record: Seen) -> bool:
        """Judge a record; False where its schema cannot be had now."""
        try:
            found = self._judge.finding(record)
        except (SchemaUnavailableError, UnavailableError) as error:
            self._tally.stopped = (record.offset or 0, str(error))
            return False
        if found is None:
            return True
        self._tally.lack(found)
        if self._takes is not None and not self._takes(found):
            self._tally.leave_out(found)
            return True
        self._tally.add(found)
        self.findings += 1
        if self._sink is not None:
            self._sink(found)
        return True
