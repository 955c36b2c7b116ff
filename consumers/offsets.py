"""Which offset may be committed: the bookkeeping of one assigned partition, without any client.

Every event that was read is delivered to the application, or parked. The application says how far
it is through; parking says which writes are acknowledged. What may be committed is capped at the
first parked event that is not acknowledged, and goes on past those that are. Offsets have gaps
(transaction markers, compaction), so nothing here counts: it only compares.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..policy.plan import Plan
    from ..policy.waiting import Parked

__all__ = ["PartitionOffsets"]

#: Runs of delivered events that are not done, with parked ones between them. An application that
#: never commits must not grow it; beyond the limit the oldest runs are joined, which only means
#: that a parked event between them is not skipped when the commit falls right before it.
_RUNS_MAX = 1024


class PartitionOffsets:
    """See the module's first lines. One object for one assignment; a new assignment starts anew."""

    __slots__ = (
        *("_back", "_done", "_failed", "_next", "_pending", "_runs", "_split"),
        *("look_at", "looked_to", "plan", "waiting"),
    )

    def __init__(self) -> None:
        #: The plan that decided last; None at first.
        self.plan: Plan | None = None
        #: Keys of which events wait (`park: key`), by their digests; None where none may.
        self.waiting: dict[str, Parked] | None = None
        #: Up to which offset, and until when (monotonic), that is known to be so.
        self.looked_to, self.look_at = 0, 0.0
        self._next: int | None = None  # behind everything that was read
        self._done: int | None = None  # the furthest that the application said it is through
        self._back: int | None = None  # where it said that it wants to go back to
        # INVARIANT: ascending and disjoint; [first, last] of what was delivered and is not done.
        self._runs: deque[list[int]] = deque()
        self._split = True  # the next delivered event starts a run
        # INVARIANT: ascending; parked and not acknowledged, those that failed included.
        self._pending: list[int] = []
        self._failed: set[int] = set()

    @property
    def pending(self) -> int:
        """How many parked events are not acknowledged."""
        return len(self._pending)

    @property
    def read_to(self) -> int | None:
        """The offset behind the last event that was read."""
        return self._next

    @property
    def done_to(self) -> int | None:
        """The furthest that the application said it is through; None where it said nothing."""
        return self._done

    def delivered(self, first: int, last: int | None = None) -> None:
        """The event at `first` is handed to the application, or with `last` all up to that one."""
        if last is None:
            last = first
        self._read(last)
        if self._failed:  # today's policy lets it through
            for failed in [offset for offset in self._failed if first <= offset <= last]:
                self._forget(failed)
        if self._done is not None and first < self._done and self._back is None:
            if last < self._done:
                return  # read again, and done before
            first = self._done
        if self._split or not self._runs:
            self._runs.append([first, last])
            self._split = False
            if len(self._runs) > _RUNS_MAX:
                oldest = self._runs.popleft()
                self._runs[0][0] = oldest[0]
        else:
            self._runs[-1][1] = max(last, self._runs[-1][1])

    def parked(self, offset: int) -> bool:
        """The event at `offset` is to be parked; False when that is under way already."""
        self._read(offset)
        self._split = True
        if offset in self._failed:
            self._failed.discard(offset)
            return True
        if self._is_pending(offset):
            return False
        insort(self._pending, offset)
        return True

    def acknowledged(self, offset: int) -> None:
        """The parked event at `offset` is safely written."""
        self._forget(offset)

    def unparked(self, offset: int) -> None:
        """The event at `offset` was not even taken to be parked: it will be read again."""
        self._forget(offset)

    def failed(self, offset: int) -> None:
        """The event at `offset` could not be parked: nothing from it on may be committed."""
        if self._is_pending(offset):
            self._failed.add(offset)

    def sought(self, offset: int, *, by_application: bool = True) -> None:
        """Reading goes on at `offset` (negative: somewhere that is not known yet).

        What lies behind it will be read again. An application that moves on its own passes over
        what could not be parked; going back to such an event does not.
        """
        while self._runs and (offset < 0 or self._runs[-1][0] >= offset):
            self._runs.pop()
        if self._runs:
            self._runs[-1][1] = min(self._runs[-1][1], offset - 1)
        self._split = True
        self._next = offset if offset >= 0 else None
        if by_application:
            for failed in list(self._failed):
                self._forget(failed)
            self._done = self._back = None

    def done(self, upto: int) -> int:
        """The application is through with everything below `upto`; gives what may be committed.

        An `upto` below an earlier one is a wish to go back, and is kept as it is.
        """
        self.finished(upto)
        frontier = self.frontier()
        assert frontier is not None
        return frontier

    def finished(self, upto: int) -> None:
        """As `done`, for those who do not commit yet."""
        if self._done is not None and upto < self._done:
            self._back = upto
            return
        self._done, self._back = upto, None
        runs = self._runs
        while runs and runs[0][1] < upto:
            runs.popleft()
        if runs and runs[0][0] < upto:
            runs[0][0] = upto

    def cap(self, offset: int) -> int:
        """`offset`, or the first parked event that is not acknowledged where that is before it."""
        return min(offset, self._pending[0]) if self._pending else offset

    def handled(self) -> int | None:
        """As `frontier`, where parked events are written in the same transaction."""
        if self._runs:
            return self._runs[0][0]
        return self._next

    def frontier(self) -> int | None:
        """What may be committed now; None while nothing was read or done.

        It lies before everything that is delivered and not done, and before everything that is
        parked and not acknowledged; everything else that was read lies before it.
        """
        if self._back is not None:
            return self.cap(self._back)
        if self._runs:
            return self.cap(self._runs[0][0])
        known = [offset for offset in (self._next, self._done) if offset is not None]
        return self.cap(max(known)) if known else None

    def _read(self, offset: int) -> None:
        if self._next is None or offset >= self._next:
            self._next = offset + 1

    def _is_pending(self, offset: int) -> bool:
        position = bisect_left(self._pending, offset)
        return position < len(self._pending) and self._pending[position] == offset

    def _forget(self, offset: int) -> None:
        self._failed.discard(offset)
        if self._is_pending(offset):
            del self._pending[bisect_left(self._pending, offset)]
