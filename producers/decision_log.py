"""The decision log: decisions that are no plain allow, with why, to a topic or a file.

    guard = Guard.from_directory("policies/", decision_log="kafka://broker:9092/decisions")

Whoever decides only puts the decision into a room; a thread explains it, turns it into JSON and
writes. It comes a few times a second and takes all there is, or at once where a room is half full:
each time that it wakes it takes the interpreter away from those who decide. Enforced decisions (and
what else is no sample) have a room of their own, so that samples never push them out. When their
room is full, entries are dropped and counted, or with `unreachable="block"` nothing more is decided
that would have to be logged.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal
from zlib import crc32

from streamwarden.errors import ConfigurationError, DecisionLogFullError

from ..policy.decision import Decision
from ..policy.decision_json import decision_json
from ..policy.model import Mode
from ..policy.tallies import LEDGER
from .forks import watch_forks
from .log_file import FileWriter
from .log_target import LogTarget, log_target
from .log_topic import TopicWriter
from .log_writer import Line, LogWriter

__all__ = ["DecisionLog", "open_decision_log"]

log = logging.getLogger("streamwarden")

#: Events wait with their decisions: what they may hold in memory, in each room.
_ROOM_MAX_BYTES: Final = 32 * 1024 * 1024
_HALF_BYTES: Final = _ROOM_MAX_BYTES // 2
#: About what a decision holds besides the bytes of its event.
_OVERHEAD_BYTES: Final = 1024
#: Below the client's default of `message.max.bytes`, with room for what is not ASCII.
_LINE_MAX_BYTES: Final = 512 * 1024
_BATCH: Final = 500
#: Entries wait this long for others, or until a room is half full. By then a refused event is
#: parked with its decision, which does not have to be written down again.
_LINGER_S: Final = 0.2
_PAUSE_S: Final = 0.1
_SLICE_S: Final = 0.002
_CLOSE_S: Final = 5.0
#: The thread ends at its next look; what it has in hand must not be counted before.
_JOIN_S: Final = 10.0
_COMPLAIN_EVERY_S: Final = 60.0


class _Room:
    """Decisions that wait, in order; bounded by number and bytes."""

    __slots__ = ("bytes", "entries", "half", "most", "reason")

    def __init__(self, most: int, reason: str) -> None:
        self.entries: deque[tuple[Decision, int]] = deque()
        self.bytes, self.most, self.reason = 0, most, reason
        self.half = (most + 1) // 2

    def put(self, decision: Decision) -> int:
        """How many wait by then; 0 where there is no room."""
        event = decision.event
        size = _OVERHEAD_BYTES + len(event.value or b"") + len(event.key or b"")
        entries, total = self.entries, self.bytes + size
        if entries and (len(entries) >= self.most or total > _ROOM_MAX_BYTES):
            return 0
        entries.append((decision, size))
        self.bytes = total
        return len(entries)

    @property
    def full(self) -> bool:
        """True where no further decision fits, however small its event; a single one always does."""
        return bool(self.entries) and (
            len(self.entries) >= self.most or self.bytes + _OVERHEAD_BYTES > _ROOM_MAX_BYTES
        )

    def take(self, most: int) -> list[Decision]:
        """Up to `most` decisions, the oldest first."""
        taken: list[Decision] = []
        while self.entries and len(taken) < most:
            decision, size = self.entries.popleft()
            self.bytes -= size
            taken.append(decision)
        return taken


class DecisionLog:
    """See the module's first lines; several guards may share one. Thread-safe.

    `url` and `options` are those of `log_target`. Nothing is opened before the first entry, and
    what was closed opens again with the next. `counters` take what is dropped.
    """

    def __init__(
        self,
        url: str,
        *,
        unreachable: Literal["drop", "block"] = "drop",
        counters: defaultdict[str, int] | None = None,
        **options: object,
    ) -> None:
        if unreachable not in ("drop", "block"):
            raise ConfigurationError(
                f"`decision_log_unreachable` is `{unreachable}`", remedy="use drop or block"
            )
        self.target: LogTarget = log_target(url, options)
        self._block = unreachable == "block"
        self._enforced = _Room(self.target.room, "full")
        self._sampled = _Room(self.target.room, "sample_full")
        self._in_hand = 0  # decisions that the thread is writing
        self._lock = threading.Lock()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._complained: dict[str, float] = {}
        if counters is None:
            counters = defaultdict(int)
            LEDGER.take_counters(self, counters)
        #: What was dropped, `dropped/decision_log/REASON`.
        self.counters = counters
        self._writer = self._open_writer()
        watch_forks(self)

    def _open_writer(self) -> LogWriter:
        target, failed = self.target, _weakly(self)
        if target.path is not None:
            return FileWriter(target.path, block=self._block, failed=failed)
        return TopicWriter(
            target.config, target.topic, room=target.room, block=self._block, failed=failed
        )

    # ---------------------------------------------------------------- taking

    @property
    def takes_clear(self) -> bool:
        """True where plain allows are sampled."""
        return self.target.allow > 0

    @property
    def topics(self) -> Collection[str]:
        """The topic that it writes to, if it is one."""
        return (self.target.topic,) if self.target.topic else ()

    def take(self, decision: Decision) -> None:
        """Note a decision. Raises DecisionLogFullError where it must not be lost and there is no room."""
        room = self._room_of(decision)
        if room is None:
            return
        _ = decision.id  # drawn here, since a parked record has to show the same one
        with self._lock:
            waiting = room.put(decision)
        if not waiting:
            if self._block and room is self._enforced:
                raise DecisionLogFullError(
                    f"the decision log `{self.target.shown}` takes no more entries",
                    remedy="bring it back, or set `decision_log_unreachable` to `drop`",
                )
            self.failed(room.reason, "more decisions than it takes", 1)
        elif waiting == 1:
            self._start()
            self._wake.set()
        if waiting >= room.half or room.bytes > _HALF_BYTES:
            self._hurry.set()

    def _room_of(self, decision: Decision) -> _Room | None:
        """The room of a decision; None where it is no part of the sample."""
        entries = decision.outcome.entries
        if not entries:
            if decision.undecodable is not None:
                return self._enforced
            share = self.target.allow
        else:
            for entry in entries:
                if entry.mode is not Mode.SHADOW:
                    return self._enforced
            share = self.target.shadow
        return self._sampled if _in_sample(decision, share) else None

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until enforced decisions have room again."""
        deadline = time.monotonic() + timeout_s
        while self._enforced.full:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, 0.01))
        return True

    # ---------------------------------------------------------------- writing

    def _start(self) -> None:
        with self._lock:
            _busy.add(self)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_run,
                    args=(weakref.ref(self), self._wake, self._hurry),
                    name="streamwarden-decisions",
                    daemon=True,
                )
                self._thread.start()

    @property
    def crowded(self) -> bool:
        """True where a whole batch waits."""
        return len(self._enforced.entries) + len(self._sampled.entries) >= _BATCH

    def step(self) -> bool:
        """Write what waits, once; False where there was nothing to do. For the thread alone."""
        with self._lock:
            batch = self._enforced.take(_BATCH)
            batch += self._sampled.take(_BATCH - len(batch))
            self._in_hand = len(batch)
            if not batch and not self._writer.pending:
                _busy.discard(self)
                return False
        lines = [line for decision in batch if (line := self._line(decision)) is not None]
        thread = self._thread
        while lines:
            del lines[: self._writer.write(lines)]
            self._writer.serve()
            self._in_hand = len(lines)
            if lines:
                time.sleep(_PAUSE_S)
                if self._thread is not thread:  # closed meanwhile
                    return False
        self._in_hand = 0
        self._writer.serve()
        return True

    def _line(self, decision: Decision) -> Line | None:
        try:
            data = decision_json(decision, _LINE_MAX_BYTES)
        except Exception as error:
            log.exception("a decision cannot be written down")
            self.failed("internal", type(error).__name__, 1)
            return None
        return Line(decision.event.topic, data)

    def failed(self, reason: str, why: str, dropped: int) -> None:
        """Count what is dropped; say why, now and then. 0 are dropped where they are tried again."""
        if dropped:
            self.counters[f"dropped/decision_log/{reason}"] += dropped
        now = time.monotonic()
        if now - self._complained.get(reason, -_COMPLAIN_EVERY_S) >= _COMPLAIN_EVERY_S:
            self._complained[reason] = now
            what = "drops entries" if dropped else "waits"
            log.warning("the decision log %s (%s): %s", what, reason, why)

    # ---------------------------------------------------------------- ending

    def _left(self) -> int:
        with self._lock:
            waiting = len(self._enforced.entries) + len(self._sampled.entries)
        return waiting + self._in_hand + self._writer.pending

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written and, in a topic, acknowledged."""
        deadline = time.monotonic() + timeout_s
        while self._left():
            self._hurry.set()
            self._wake.set()
            if time.monotonic() >= deadline:
                return False
            time.sleep(_SLICE_S)
        return True

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Write what is there for up to `timeout_s`, and let go; the rest is dropped, and counted."""
        self.flush(timeout_s)
        with self._lock:
            thread, self._thread = self._thread, None
            left = len(self._enforced.take(len(self._enforced.entries)))
            left += len(self._sampled.take(len(self._sampled.entries)))
        self._hurry.set()
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
        left += self._in_hand
        self._in_hand = 0
        self._writer.close()
        _busy.discard(self)
        if left:
            self.failed("closed", f"{left} more were waiting when it was closed", left)

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that writes; None while there is none."""
        return self._thread

    def after_fork(self) -> None:
        """In a child: what waits, and the thread that would write it, are the parent's."""
        self._lock = threading.Lock()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._thread, self._in_hand = None, 0
        for room in (self._enforced, self._sampled):
            room.entries.clear()
            room.bytes = 0
        self._writer.abandon()
        _busy.discard(self)


#: Logs that have something to write: they are not let go of before it is written.
_busy: set[DecisionLog] = set()


def _run(
    reference: weakref.ref[DecisionLog], wake: threading.Event, hurry: threading.Event
) -> None:
    """The thread of a log, for as long as there is somebody who uses it."""
    while True:
        if wake.wait(1.0):
            hurry.wait(_LINGER_S)  # others may come
        working = True
        while working:
            wake.clear()
            hurry.clear()
            owner = reference()
            if owner is None or owner.thread is not threading.current_thread():
                return
            crowded = False
            try:
                working = owner.step()
                crowded = owner.crowded
            except Exception:
                log.exception("the decision log cannot be written")
            del owner
            if working and not crowded:
                hurry.wait(_LINGER_S)


def _weakly(owner: DecisionLog) -> Callable[[str, str, int], None]:
    """The log's own complaint office, for a writer that shall not keep it alive."""
    reference = weakref.ref(owner)

    def failed(reason: str, why: str, dropped: int) -> None:
        present = reference()
        if present is not None:
            present.failed(reason, why, dropped)

    return failed


def _in_sample(decision: Decision, share: float) -> bool:
    """True for `share` of all events, and always the same ones: those with the lowest CRC-32.

    A replay can compute it as well, and it costs an allow a quarter of what a SHA-256 does.
    """
    if share <= 0.0:
        return False
    event = decision.event
    data = event.value if event.value is not None else event.key or b""
    return crc32(data) < share * 2**32


def open_decision_log(
    url: str,
    options: Mapping[str, object],
    *,
    unreachable: Literal["drop", "block"],
    counters: defaultdict[str, int],
) -> DecisionLog:
    """The log of one guard. Raises ConfigurationError."""
    return DecisionLog(url, unreachable=unreachable, counters=counters, **options)


def _flush_at_exit() -> None:
    for left in list(_busy):
        left.close()


atexit.register(_flush_at_exit)
