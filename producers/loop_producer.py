"""A guarded producer that an event loop can use: what would wait is put off, or done elsewhere.

Decisions and sends are made on the loop: they are a few microseconds of computing. Delivery reports
are served there too, in small portions, since handing each from one thread to another would cost
more than all the rest. Everything that may wait for somebody is a call of the worker: refused
events are queued for it, and parked in their order.
"""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Container
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Any, Protocol

from confluent_kafka import KafkaError

from streamwarden.errors import ConfigurationError, DecisionLogFullError

from ..policy.compiler.framed import frame_or_error
from ..policy.decision import Decision
from ..policy.guard import Guard, check_guard
from ..schemas.event import Event
from ..schemas.framing import schema_id
from ..schemas.json_projection import DecodeError
from ..schemas.registry import Schema
from ..schemas.schema_directory import DirectorySource
from .callbacks import CLIENT_CALLBACKS, Report
from .codes import PURGE_QUEUE, error_of
from .connection import ConfigMap
from .outgoing import normal_headers
from .parking import Parking
from .producer import GuardedProducer
from .record_time import Lane
from .refusal import RefusedMessage
from .unparked import unparked
from .worker import Worker

__all__ = ["LoopProducer", "Told"]

log = logging.getLogger("streamwarden")

#: Between two looks for delivery reports: from the first to the last while there is something to
#: come, and when there is nothing (errors and statistics are told there too).
_PAUSE_MIN_S, _PAUSE_MAX_S, _IDLE_S = 0.001, 0.01, 0.2
#: How long the worker waits for a report about a parked event before it does something else.
_PARKING_S = 0.02
#: Refused events that wait to be parked; beyond it `produce()` waits for room.
_REFUSED_MAX = 1000
#: Between two tries to send what the queue had no room for.
_ROOM_S = 0.002
_LOG_ROOM_S = 0.1
#: Schemas that the registry is known to have told; it keeps more than that itself.
_KNOWN_MAX = 500
#: Settings whose callbacks would hear of deliveries a second time.
_REPORTS = ("on_delivery", "dr_cb", "dr_msg_cb")


class Told(Protocol):
    """Who waits for the outcome of an event."""

    def settle(self, error: KafkaError | None, message: Any) -> None:
        """Called once, on the loop."""
        ...


class _NoRoom(BufferError):  # noqa: N818 - a moment, not an error, unless it lasts
    """The event of `decision` could not be queued now."""

    def __init__(self, decision: Decision, lane: Lane, report: Report | None) -> None:
        super().__init__("the producer's queue is full")
        self.decision, self.lane, self.report = decision, lane, report


class LoopProducer(GuardedProducer):
    """See the module's first lines. `worker` makes the calls that wait.

    `produce()` is for the loop and never waits; `flush()`, `close()`, transactions and questions to
    the broker are for the worker.
    """

    def __init__(
        self,
        config: ConfigMap | None = None,
        /,
        *,
        guard: Guard,
        worker: Worker,
        **settings: Any,
    ) -> None:
        check_guard(guard)
        given = dict(config or {})
        for each in (given, settings):
            for name in CLIENT_CALLBACKS:
                if callable(each.get(name)):
                    each[name] = worker.on_loop(each[name])
            for name in _REPORTS:
                if each.get(name) is not None:
                    raise ConfigurationError(
                        f"`{name}` is not taken with asyncio", remedy="await what `produce()` gives"
                    )
        #: Whether reports are served by the worker: where callbacks wait for others (a token), or
        #: touch what only the worker may touch (a consumer's offsets).
        self._aside = "oauth_cb" in given or "oauth_cb" in settings
        self.worker = worker
        #: Where the loop runs.
        self.thread = -1
        self._refused: deque[tuple[Decision, Lane, Report | None]] = deque()
        self._arrived: deque[tuple[Told, KafkaError | None, Any]] = deque()
        self._waking = False
        self._pause_s = _IDLE_S
        self._timer: asyncio.TimerHandle | None = None
        self._round: asyncio.Future[None] | None = None
        #: True while nothing is to be told.
        self.idle = True
        #: True once no more events are taken that would have to be parked.
        self._closing = False
        framed = guard.framed
        self._schemas = (
            None
            if framed is None or isinstance(framed.schemas, DirectorySource)
            else framed.schemas
        )
        self._known: set[bytes] = set()
        super().__init__(given, guard=guard, **settings)
        self._safe: Callable[[Any], Any] = _as_it_is

    # What is called on the loop.

    @property
    def transactional(self) -> bool:
        """Whether what fails is told by the commit, too."""
        return self._transactional

    @property
    def ready(self) -> Container[str]:
        """The topics whose events can be decided on and sent without waiting, at any time."""
        return self._lanes if self._schemas is None else ()

    async def prepare(self, topic: str, value: object, key: object, headers: object) -> None:
        """Do what the first event of a topic, or of a schema, has to wait for."""
        if topic not in self._lanes or self.guard.in_use is None:
            await self.worker.call(self._prepare, topic)
        if self._schemas is not None:
            given = normal_headers(headers)
            await self._learn(value, given, "value")
            await self._learn(key, given, "key")

    async def _learn(self, data: object, headers: Any, field: str) -> None:
        if self._schemas is None or not isinstance(data, bytes):
            return
        try:
            frame = frame_or_error(data, headers, field)
        except DecodeError:  # the decision will say so
            return
        if frame is None or frame.identity in self._known:
            return
        found = await self.worker.call(self._schemas.schema, schema_id(frame.identity))
        if isinstance(found, Schema):
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known.add(frame.identity)

    def wake(self) -> None:
        """There is something to be told before long."""
        self.thread = get_ident()
        self.idle, self._pause_s = False, _PAUSE_MIN_S
        if self._timer is not None:
            self._timer.cancel()
        self._later()

    def serve(self) -> None:
        """Tell what is there to be told."""
        client = self._clients
        if client.closed:
            return
        served = 0
        if self._aside:
            self.park_soon()
        else:
            try:
                served = client.inner.poll(0)
            except RuntimeError:  # closed by the worker at this very moment
                return
            if self._refused or len(client.parking):
                self.park_soon()
        self.idle = not len(self)
        if served:
            self._pause_s = _PAUSE_MIN_S
        else:
            self._pause_s = _IDLE_S if self.idle else min(2 * self._pause_s, _PAUSE_MAX_S)

    def _later(self) -> None:
        loop = self.worker.loop
        assert loop is not None
        reference: weakref.ref[LoopProducer] = weakref.ref(self)
        self._timer = loop.call_later(self._pause_s, _serve, reference)

    def serve_again(self) -> None:
        """The timer went off."""
        self.serve()
        if not self._clients.closed:
            self._later()

    def park_soon(self) -> None:
        """Have the worker park what is refused, and tell what was parked."""
        if self._round is None:
            try:
                self._round = self.worker.call(self._park_round)
            except RuntimeError:  # closed: what is left is told there
                return
            self._round.add_done_callback(self._round_done)

    def _round_done(self, done: asyncio.Future[None]) -> None:
        self._round = None
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("while parking: %s", type(error).__name__, exc_info=error)
        if self._refused:
            self.park_soon()

    async def when_there_is_room(
        self, full: BufferError, produce: Callable[[], Decision]
    ) -> Decision:
        """Try again what raised `full`, for as long as `produce()` may take.

        `produce` decides anew, where nothing was decided yet. Raises BufferError.
        """
        deadline = time.monotonic() + self._queue_full_wait_s
        while True:
            if isinstance(full, DecisionLogFullError) and self.guard.sink is not None:
                await self.worker.call(self.guard.sink.wait_for_room, _LOG_ROOM_S)
            else:
                await asyncio.sleep(_ROOM_S)
                self.serve()
            try:
                return self._again(full) if isinstance(full, _NoRoom) else produce()
            except BufferError as still:
                full = still
            if time.monotonic() >= deadline:
                which = "log_full" if isinstance(full, DecisionLogFullError) else "queue_full"
                self.guard.count(f"dropped/producer/{which}")
                raise full

    def _again(self, full: _NoRoom) -> Decision:
        self._wait_and(self._forward, full.decision, full.lane, full.report)
        if not full.decision.effect.passes:
            self.guard.refused(full.decision)
        return full.decision

    def _wait_and(
        self,
        send: Any,
        decision: Decision,
        lane: Lane,
        report: Report | None,
        deadline: float | None = None,  # noqa: ARG002 - nobody waits here
    ) -> None:
        if decision.effect.passes:
            try:
                send(decision, lane, report)
            except BufferError:
                raise _NoRoom(decision, lane, report) from None
        elif len(self._refused) < _REFUSED_MAX:
            self._queue((decision, lane, report))
        else:
            raise _NoRoom(decision, lane, report)

    def _queue(self, refused: tuple[Decision, Lane, Report | None]) -> None:
        """Have an event parked. Raises RuntimeError where nobody would do so any more."""
        self._refused.append(refused)
        if self._closing:
            # Looked at last: whoever closes says so first and then takes what is there, so that
            # an event is either taken there, and told, or taken back here.
            with suppress(ValueError):
                self._refused.remove(refused)
                raise RuntimeError("the producer has been closed")

    def _evaluate_later(self, event: Event, deadline: float) -> Decision:  # noqa: ARG002 - as its base
        raise  # noqa: PLE0704 - the log's error, in whose handling this is called

    def _serve_now_and_then(self, deadline: float | None) -> None:  # noqa: ARG002 - as above
        self.guard.tick()  # reports are served by the timer

    def report(self, told: Told, error: KafkaError | None, message: Any) -> None:
        """An outcome, on whichever thread: `told` hears of it on the loop."""
        if get_ident() == self.thread:
            told.settle(error, message)
            return
        self._arrived.append((told, error, message))
        loop = self.worker.loop
        if not self._waking and loop is not None:
            self._waking = True
            try:
                loop.call_soon_threadsafe(self._take_in)
            except RuntimeError:  # the loop is closed: nobody waits
                self._arrived.clear()

    def _take_in(self) -> None:
        self._waking = False  # first: what arrives from here on wakes again
        while self._arrived:
            told, error, message = self._arrived.popleft()
            told.settle(error, message)

    # What the worker calls.

    def unheard(self, decision: Decision) -> None:
        """An event was refused and parked, and nobody waits for that."""
        self._notices.refused(decision)

    def _prepare(self, topic: str) -> None:
        self.guard.plan(topic, "produce", self.guard.now())
        if topic not in self._lanes:
            self._open_lane(topic)

    def _park_round(self) -> None:
        if self._clients.closed:  # since this round was asked for
            self._give_up()
            return
        self.park_waiting()
        if self._aside:
            self._clients.poll_aside(0)
        elif len(self._clients.parking):
            self._clients.parking.poll(_PARKING_S)

    def park_waiting(self) -> None:
        """Hand the refused events over, in their order."""
        while self._refused:
            decision, lane, report = self._refused.popleft()
            try:
                deadline = time.monotonic() + self._queue_full_wait_s
                park = partial(self._park, deadline)
                super()._wait_and(park, decision, lane, report, deadline)
            except Exception as failed:  # noqa: BLE001 - whatever it is, the caller is told
                self.guard.count("dropped/parking/failed")
                error = error_of(failed)
                self._notices.nowhere(decision, error)
                self._tell_failed(decision, report, unparked(decision, error))

    @staticmethod
    def _tell_failed(decision: Decision, report: Report | None, error: KafkaError) -> None:
        if report is not None:
            report(error, RefusedMessage(decision, error))

    def __len__(self) -> int:
        return super().__len__() + len(self._refused)

    def poll(self, timeout: float | None = -1) -> int:
        """As GuardedProducer's."""
        self.park_waiting()
        return super().poll(timeout)

    def flush(self, timeout: float | None = -1) -> int:
        """As GuardedProducer's."""
        self.park_waiting()
        return super().flush(timeout)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """As GuardedProducer's."""
        if in_queue:
            self._give_up()
        super().purge(in_queue, in_flight, blocking)

    def _give_up(self) -> None:
        while self._refused:
            decision, _, report = self._refused.popleft()
            self._tell_failed(decision, report, KafkaError(PURGE_QUEUE))

    def begin_transaction(self) -> None:
        """As GuardedProducer's."""
        self.park_waiting()
        super().begin_transaction()

    def commit_transaction(self, timeout: float = -1) -> None:
        """As GuardedProducer's."""
        self.park_waiting()
        super().commit_transaction(timeout)

    def abort_transaction(self, timeout: float = -1) -> None:
        """As GuardedProducer's."""
        self.park_waiting()
        super().abort_transaction(timeout)

    def parking_for_consumer(
        self, began: Callable[[], None], aborted: Callable[[], None]
    ) -> Parking:
        """As GuardedProducer's; what becomes of the events is told on the worker's thread."""
        self._aside = True
        return super().parking_for_consumer(began, aborted)

    def abandon(self) -> None:
        """As GuardedProducer's."""
        self._closing = True
        self._give_up()
        super().abandon()

    def close(self, timeout: float = 30.0) -> bool:
        """As GuardedProducer's."""
        self._closing = True
        if not self._clients.closed:
            self.park_waiting()
        return super().close(timeout)

    def __del__(self) -> None:
        clients = getattr(self, "_clients", None)
        if (
            clients is not None
            and not clients.closed
            and (left := clients.unsent() + len(self._refused))
        ):
            warnings.warn(
                f"an AsyncGuardedProducer was dropped with {left} events that are not sent; "
                "await close() or flush(), or use it in `async with`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )


def _as_it_is(report: Any) -> Any:
    return report  # those of deliveries never raise


def _serve(reference: weakref.ref[LoopProducer]) -> None:
    # Not a method: the timer would keep a producer that nobody uses any more.
    producer = reference()
    if producer is not None:
        producer.serve_again()
