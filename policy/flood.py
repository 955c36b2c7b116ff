"""The flood breaker: notices when most events are refused, before they fill the parking topics.

Counting costs nothing while events pass: how many there were is read off the tallies that plans
keep anyway, now and then, and when an event is refused. Marks of those counts, a few in each
window, say how many there were at the window's beginning.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import NamedTuple

from streamwarden.errors import FloodError
from streamwarden.settings import SourceSettings

from .bundle import Bundle
from .model import Effect, Mode
from .plan import Plan
from .plan_table import PlanTable

__all__ = ["FloodBreaker"]

log = logging.getLogger("streamwarden")

_STAGES = ("produce", "consume", "reconcile")
#: Marks in one window, which begins at the first of them.
_MARKS = 30
#: A bundle that was taken so long before a flood is named as what may have caused it.
_JUST_BEFORE_S = 600.0
_REFUSING = (Effect.HOLD, Effect.REJECT)


class _Mark(NamedTuple):
    """How many events there were by then, and how many of them were refused."""

    at: float
    events: int
    refused: int


class _Window:
    """The events of one stage. `refused` only grows; `check_at` is when to look at them again."""

    __slots__ = ("check_at", "mark_at", "marks", "refused")

    def __init__(self) -> None:
        self.marks: deque[_Mark] = deque()
        self.refused = 0
        self.check_at = 0
        self.mark_at = 0.0


class FloodBreaker:
    """Opens when more than `flood_ratio` of at least `flood_events` events in `flood_window_s` are.

    Refused events are counted apart for each stage, so that what a handler reads does not hide
    what it writes. Without locks on the way of an event: a check that meets another one is left
    out, and the next refused event makes it.
    """

    def __init__(
        self,
        settings: SourceSettings,
        *,
        gauges: MutableMapping[str, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ratio, self._least = settings.flood_ratio, settings.flood_events
        self._window_s, self._warns = settings.flood_window_s, settings.flood == "warn"
        self._gauges, self._clock = gauges, clock
        self._every_s = self._window_s / _MARKS
        self._lock = threading.Lock()
        self._table: PlanTable | None = None
        self._before: Bundle | None = None
        self._swapped_at = self._tick_at = 0.0
        self._windows: dict[str, _Window] = {stage: _Window() for stage in _STAGES}
        #: The stage that is flooded; None while none is.
        self.open: str | None = None

    def swapped(self, table: PlanTable) -> None:
        """Another version decides from now on: what the one before it refused is forgotten."""
        if self._table is not None and self._table.digest != table.digest:
            self._before, self._swapped_at = self._table.bundle, self._clock()
        self._table = table
        self.reset()

    def reset(self) -> None:
        """Close, and count anew from here."""
        now = self._clock()
        windows = {stage: _Window() for stage in _STAGES}
        for stage, window in windows.items():
            self._mark(stage, window, now)
        self._windows, self.open = windows, None
        self._gauges["flood_open"] = 0

    def tick(self) -> None:
        """Take a mark if it is time for one. To be called now and then while events come."""
        now = self._clock()
        if now < self._tick_at:
            return
        self._tick_at = now + self._every_s
        if self._lock.acquire(blocking=False):
            try:
                for stage, window in self._windows.items():
                    self._mark(stage, window, now)
                self._look_whether_over(now)
            finally:
                self._lock.release()

    def refused(self, stage: str) -> FloodError | None:
        """Count a refused event; gives why the breaker opens with it, once."""
        window, now = self._windows[stage], self._clock()
        marks = now >= window.mark_at
        if (window.refused + 1 < window.check_at and not marks) or self.open is not None:
            window.refused += 1
            return None
        if not self._lock.acquire(blocking=False):
            window.refused += 1
            return None
        try:
            if marks:
                self._mark(stage, window, now, besides=1)
            window.refused += 1
            return self._check(stage, window, now)
        finally:
            self._lock.release()

    def _check(self, stage: str, window: _Window, now: float) -> FloodError | None:
        events, refused = self._seen(stage, window, now)
        if events >= self._least and refused > self._ratio * events:
            self.open = stage
            self._gauges["flood_open"] = 1
            return self._error(stage, events, refused)
        # So many have to be refused before it can come to that, should no other event pass.
        passed = events - refused
        enough = max(self._ratio * passed / (1 - self._ratio), self._least - passed)
        window.check_at = window.refused + max(1, int(enough - refused))
        return None

    def _look_whether_over(self, now: float) -> None:
        """With `warn` nothing has stopped, and a flood ends by itself."""
        if self.open is not None and self._warns:
            events, refused = self._seen(self.open, self._windows[self.open], now)
            if refused <= self._ratio * events:
                log.warning("the flood of refused events at %s is over", self.open)
                self.open = None
                self._gauges["flood_open"] = 0

    def _seen(self, stage: str, window: _Window, now: float) -> tuple[int, int]:
        """Events in the window that ends now, and how many of them were refused."""
        marks = window.marks
        while len(marks) > 1 and marks[0].at <= now - self._window_s:
            marks.popleft()
        refused = window.refused - marks[0].refused
        return max(self._events(stage) - marks[0].events, refused), refused

    def _mark(self, stage: str, window: _Window, now: float, *, besides: int = 0) -> None:
        """Take a mark of what there was but for the last `besides` events."""
        marks, events = window.marks, self._events(stage) - besides
        if marks and events < marks[-1].events:
            marks.clear()  # plans were given up, and their counts with them
        while marks and marks[0].at <= now - self._window_s:
            marks.popleft()
        marks.append(_Mark(now, events, window.refused))
        window.mark_at, window.check_at = now + self._every_s, 0

    def _plans(self, stage: str) -> list[Plan]:
        table = self._table
        return [] if table is None else [plan for plan in table.built() if plan.stage == stage]

    def _events(self, stage: str) -> int:
        return sum(
            plan.tally.clear + sum(list(plan.tally.other.values())) for plan in self._plans(stage)
        )

    def _error(self, stage: str, events: int, refused: int) -> FloodError:
        table, before = self._table, self._before
        label = "" if table is None else table.label
        said = (
            f"{refused:,} of the last {events:,} events at {stage} were refused by {label}"
            f"{self._worst(stage)}"
        )
        remedy = "mend the policy or what sends these events, then call `guard.reset_flood()`"
        ago_s = self._clock() - self._swapped_at
        if before is not None and ago_s <= _JUST_BEFORE_S:
            said += f", which was activated {ago_s:.0f} s ago in place of {before.label}"
            if before.number:
                remedy = (
                    f"if the policy is wrong, go back to the one before "
                    f"(`streamwarden bundle activate {before.number}`); else mend what sends "
                    "these events and call `guard.reset_flood()`"
                )
        return FloodError(said, remedy=remedy)

    def _worst(self, stage: str) -> str:
        """The rule that refused most, since this version is in use."""
        most, worst = 0, ""
        for plan in self._plans(stage):
            for planned, count in zip(plan.rules, plan.tally.matches, strict=True):
                if planned.rule.effect in _REFUSING and planned.mode is Mode.ENFORCE:
                    named = f"{planned.policy.id}/{planned.rule.id}"
                    most, worst = max((most, worst), (count, named))
        return f", most often by `{worst}`" if worst else ""
