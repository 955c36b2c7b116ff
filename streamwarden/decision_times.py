"""How long decisions take: a few of them a second, so that all others cost what they always do."""

from __future__ import annotations

import os
import random
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final

from .policy.tallies import LEDGER

__all__ = ["TIMES", "DecisionTimes"]

#: Upper bounds in microseconds.
_BOUNDS_US: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000)
_BOUNDS_NS: Final = [bound * 1000 for bound in _BOUNDS_US]
_EVERY_S: Final = 0.1
#: Plans whose next decision is timed, each time: with more, chance decides which.
_PLANS_MAX: Final = 64
#: A generator of its own: the service's shared one, and its seed, are left alone.
_chance = random.Random()  # noqa: S311 — sampling


class DecisionTimes:
    """Times one decision of each plan every tenth of a second, from a thread."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_NS) + 1)
        self._total_ns = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="streamwarden-times", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Time no more decisions."""
        with self._lock:
            self._thread = None

    def tell(self, nanoseconds: int) -> None:
        """Take in the time of one decision."""
        self._counts[bisect_left(_BOUNDS_NS, nanoseconds)] += 1
        self._total_ns += nanoseconds

    def buckets(self) -> tuple[Sequence[tuple[str, float]], float]:
        """Cumulative counts by upper bound in seconds, as text, and the sum of all in seconds."""
        bounds = [f"{bound / 1_000_000:g}" for bound in _BOUNDS_US]
        counts = accumulate(self._counts)
        return list(zip([*bounds, "+Inf"], counts, strict=True)), self._total_ns / 1e9

    def _run(self) -> None:
        wait = threading.Event().wait
        while not wait(_EVERY_S) and self._thread is threading.current_thread():
            for plan in LEDGER.plans(_PLANS_MAX, _chance.sample):
                plan.time_next(self.tell)

    def after_fork(self) -> None:
        """In a child: the parent's thread is not there."""
        running, self._thread = self._thread is not None, None
        self._lock = threading.Lock()
        if running:
            self.start()


#: Those of this process.
TIMES = DecisionTimes()


def _after_fork_in_child() -> None:
    TIMES.after_fork()


_register: Callable[..., Any] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_after_fork_in_child)
