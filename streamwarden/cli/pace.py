"""How a reconciliation goes, in words: events, events per second, findings so far, time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..reconciler import Progress

__all__ = ["Pace"]

#: Before it, no rate is worth telling.
_SETTLED_S = 0.5


class Pace:
    """Tells progress by what has been since the first sign of it; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, Progress] | None = None

    def told(self, progress: Progress) -> str:
        """Such as `382,000 events, 20,105/s, 12 findings, 0:01:20 left`."""
        if self._first is None:
            self._first = (self._clock(), progress)
        began, first = self._first
        took = self._clock() - began
        said = [f"{progress.records:,} event{'' if progress.records == 1 else 's'}"]
        if took >= _SETTLED_S:
            said.append(f"{(progress.records - first.records) / took:,.0f}/s")
        said.append(f"{progress.findings:,} finding{'' if progress.findings == 1 else 's'}")
        got_past = progress.offsets - first.offsets
        if took >= _SETTLED_S and got_past > 0:
            left = took * (progress.offsets_total - progress.offsets) / got_past
            said.append(f"{_time(left)} left")
        return ", ".join(said)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
