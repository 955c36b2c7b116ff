"""The guarded consumer for asyncio: confluent_kafka.aio.AIOConsumer's call shape, and `run`."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeAlias, TypeVar

from confluent_kafka import Message, TopicPartition
from confluent_kafka.aio import AIOConsumer

from streamwarden.errors import ConfigurationError

from ..policy.guard import Guard
from ..producers.async_producer import AsyncGuardedProducer, BorrowedProducer
from ..producers.callbacks import CLIENT_CALLBACKS
from ..producers.clients import deadline_of
from ..producers.connection import ConfigMap
from ..producers.loop_producer import LoopProducer
from ..producers.worker import Interrupted, Worker
from .consumer import GuardedConsumer
from .handlers import begun
from .messages import GuardedMessage
from .reader import Polled, Reader

__all__ = ["AsyncGuardedConsumer", "AsyncHandler", "AsyncRebalanceCallback"]

log = logging.getLogger("streamwarden")

#: `handler(message)`, or `handler(message, producer)` in a transaction; coroutine function or not.
AsyncHandler: TypeAlias = Callable[..., object]
#: `on_assign(consumer, partitions)` and the like; coroutine function or not.
AsyncRebalanceCallback: TypeAlias = Callable[[Any, list[TopicPartition]], object]

_T = TypeVar("_T")
_Handled = TypeVar("_Handled", bound=AsyncHandler)

#: A wait of the worker is cut into slices, so that other calls get their turn.
_SLICE_S = 0.1


class _ServingReader(Reader):
    """A reader that makes other calls of the worker while it runs for long."""

    serve: Callable[[], None] | None = None

    def _look_after(self) -> None:
        if self.serve is not None:
            self.serve()
        super()._look_after()

    def stay(self, wait_s: float) -> None:
        """As Reader.stay."""
        if self.serve is not None:
            self.serve()
        super().stay(wait_s)


class _Reading:
    """One read, as the worker and the loop know it; they are ordered by `number`."""

    __slots__ = ("abandoned", "messages", "number")

    def __init__(self) -> None:
        self.messages: list[Polled] = []
        self.number = 0
        self.abandoned = False  # nobody waits for it any more


class _Core(GuardedConsumer):
    """The consumer that the worker uses: what it reads is not done before the loop has it."""

    _reader_class = _ServingReader

    def __init__(self, config: ConfigMap | None, /, *, worker: Worker, **settings: Any) -> None:
        self._producer_class = partial(LoopProducer, worker=worker)
        self._lent: tuple[LoopProducer, BorrowedProducer] | None = None
        #: What became of what was read: True where the application has it.
        self.told: deque[tuple[bool, _Reading]] = deque()
        self._readings = 0
        super().__init__(config, **settings)
        self._hands_out, self._reader.auto_store = self._reader.auto_store, False

    def do(self, call: Callable[..., _T], *arguments: object) -> _T:
        """Make a call, after what was said about the messages before it."""
        missed: list[_Reading] = []
        while self.told:
            arrived, reading = self.told.popleft()
            if not arrived:
                missed.append(reading)
            elif self._hands_out:
                for message in reading.messages:
                    if isinstance(message, GuardedMessage):
                        self._reader.handed(message)
        for reading in sorted(missed, key=lambda each: each.number, reverse=True):
            self._reader.take_back(reading.messages)
        return call(*arguments)

    def check_handler(self, handler: object) -> None:
        """Raise ConfigurationError for one that cannot be run."""
        self._check_handler(handler, awaited=True)

    def read_into(
        self, reading: _Reading, read: Callable[..., list[Polled]], *arguments: object
    ) -> list[Polled]:
        """Read, so that it is known of `reading` what was read for it."""
        if reading.abandoned:
            return []
        reading.messages = read(*arguments)
        reading.number = self._readings = self._readings + 1
        return reading.messages

    def serving(self, serve: Callable[[], None] | None) -> None:
        """Call `serve` now and then while reading."""
        assert isinstance(self._reader, _ServingReader)
        self._reader.serve = serve

    def borrowed(self, producer: LoopProducer) -> BorrowedProducer:
        """What a handler gets as the producer of its transaction."""
        if self._lent is None or self._lent[0] is not producer:
            self._lent = producer, BorrowedProducer(producer)
        return self._lent[1]


class AsyncGuardedConsumer:
    """Decides on every event by `guard`: hands it on, masked, or parks it and goes on.

    Made as GuardedConsumer, with the same guarantees, and used as confluent_kafka.aio.AIOConsumer:
    each method is awaited. `await run(handler)` reads, handles and commits; the handler, and all
    callbacks, may be coroutine functions and run on the loop. Calls are made by a thread, one after
    another, so that the loop is never blocked; those from within a handler or a callback too.

    A `poll()` or `consume()` that is cancelled loses nothing: what it had read comes with the next
    one. With `transactional_id` the handler is called with the message and an AsyncGuardedProducer
    in the open transaction; `producer` is an AsyncGuardedProducer. For one event loop: that in
    which it is first used.
    """

    def __init__(
        self,
        config: ConfigMap | None = None,
        /,
        *,
        guard: Guard,
        parking: ConfigMap | None = None,
        parking_unreachable: Literal["stop", "block"] | None = None,
        on_handler_error: Literal["stop", "quarantine"] | None = None,
        handler_retries: int = 3,
        handler_backoff_s: float = 0.2,
        producer: AsyncGuardedProducer | None = None,
        transactional_id: str | None = None,
        **settings: Any,
    ) -> None:
        # With a producer its worker is used: transactions move the reader, too.
        self._shared = producer
        worker = Worker("an AsyncGuardedConsumer") if producer is None else producer.core.worker
        given = dict(config or {})
        for each in (given, settings):
            for name in CLIENT_CALLBACKS:
                if callable(each.get(name)):
                    each[name] = worker.on_loop(each[name])
        self.guard, self._worker = guard, worker
        self._handler: AsyncHandler | None = None
        self._running: asyncio.Future[int] | None = None
        self._closing: asyncio.Future[None] | None = None
        self._core = _Core(
            given,
            worker=worker,
            guard=guard,
            parking=parking,
            parking_unreachable=parking_unreachable,
            on_handler_error=on_handler_error,
            handler_retries=handler_retries,
            handler_backoff_s=handler_backoff_s,
            producer=None if producer is None else producer.core,
            transactional_id=transactional_id,
            **settings,
        )

    async def _call(self, call: Callable[..., _T], *arguments: object) -> _T:
        return await self._worker.call(self._core.do, call, *arguments)

    async def subscribe(
        self,
        topics: list[str],
        on_assign: AsyncRebalanceCallback | None = None,
        on_revoke: AsyncRebalanceCallback | None = None,
        on_lost: AsyncRebalanceCallback | None = None,
    ) -> None:
        """As GuardedConsumer.subscribe. A rebalance waits for its callbacks."""
        given = [self._rebalance(each) for each in (on_assign, on_revoke, on_lost)]
        await self._call(self._core.subscribe, topics, *given)

    def _rebalance(
        self, callback: AsyncRebalanceCallback | None
    ) -> Callable[[Any, list[TopicPartition]], None] | None:
        if callback is None:
            return None
        # The client keeps what is made here: a dropped consumer shall go nevertheless.
        reference, worker = weakref.ref(self), self._worker

        def called(_core: Any, partitions: list[TopicPartition]) -> None:
            try:
                worker.wait_for(lambda: callback(reference(), partitions))
            except Interrupted:
                log.warning("a rebalance callback was interrupted")

        return called

    async def unsubscribe(self) -> None:
        """As the client's."""
        await self._call(self._core.unsubscribe)

    async def poll(self, timeout: float | None = -1) -> Polled | None:
        """As GuardedConsumer.poll."""
        deadline = deadline_of(timeout)
        while True:
            left = max(0.0, deadline - time.monotonic())
            found = await self._read(self._poll_once, min(left, _SLICE_S))
            if found or time.monotonic() >= deadline:
                return found[0] if found else None

    def _poll_once(self, timeout: float) -> list[Polled]:
        found = self._core.poll(timeout)
        return [] if found is None else [found]

    async def consume(self, num_messages: int = 1, timeout: float | None = -1) -> list[Polled]:
        """As GuardedConsumer.consume: the fast way to read by hand."""
        deadline = deadline_of(timeout)
        while True:
            left = max(0.0, deadline - time.monotonic())
            found = await self._read(self._core.consume, num_messages, min(left, _SLICE_S))
            if found or time.monotonic() >= deadline:
                return found

    async def _read(self, read: Callable[..., list[Polled]], *arguments: object) -> list[Polled]:
        # The word about a read is given before the next one is asked for, so that nothing that
        # was read for somebody who stopped waiting comes out of order.
        core, reading = self._core, _Reading()
        found = self._worker.call(core.do, core.read_into, reading, read, *arguments)
        try:
            await asyncio.shield(found)
        except asyncio.CancelledError:
            # INVARIANT: in this order, so that a read that has not begun does not begin any more.
            reading.abandoned = True
            core.told.append((False, reading))
            found.add_done_callback(_seen)
            raise
        core.told.append((True, reading))
        return reading.messages

    async def run(
        self,
        handler: AsyncHandler | None = None,
        *,
        max_messages: int | None = None,
        idle_timeout_s: float | None = None,
        until_end: bool = False,
    ) -> int:
        """As GuardedConsumer.run; the handler is awaited where it gives something to await.

        Cancelled, it cancels the handler, which counts as not done, and ends the run.
        """
        chosen = handler or self._handler
        if self._running is not None:
            raise RuntimeError("the consumer is running already")
        if chosen is not None:
            self._core.check_handler(chosen)
        core, worker, context = self._core, self._worker, copy_context()
        cancelled = False

        def handle(message: GuardedMessage, *producer: LoopProducer) -> None:
            handler = chosen
            assert handler is not None
            given = [core.borrowed(each) for each in producer]

            def begin() -> object:
                if cancelled:  # just now, when there was nothing to cancel yet
                    raise asyncio.CancelledError
                return begun(handler(message, *given), awaited=True)

            worker.wait_for(begin, context)

        def run() -> int:
            core.serving(worker.serve)
            try:
                return core.run(
                    None if chosen is None else handle,
                    max_messages=max_messages,
                    idle_timeout_s=idle_timeout_s,
                    until_end=until_end,
                )
            finally:
                core.serving(None)

        self._running = running = worker.call(core.do, run)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled = True
            if not running.done():  # else the next run would be stopped
                core.stop()
                worker.interrupt()
                await asyncio.wait([running])
            raise
        finally:
            self._running = None

    def handler(self, function: _Handled) -> _Handled:
        """A decorator: `function` is what `run()` without a handler runs."""
        self._handler = function
        return function

    def stop(self) -> None:
        """End `run` after the event that is being handled; from any thread or signal handler."""
        self._core.stop()

    async def commit(
        self,
        message: Message | GuardedMessage | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        """As GuardedConsumer.commit."""
        return await self._call(self._core.commit, message, offsets, asynchronous)

    async def store_offsets(
        self,
        message: Message | GuardedMessage | None = None,
        offsets: list[TopicPartition] | None = None,
    ) -> None:
        """As GuardedConsumer.store_offsets."""
        await self._call(self._core.store_offsets, message, offsets)

    async def assign(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        await self._call(self._core.assign, partitions)

    async def unassign(self) -> None:
        """As the client's; what is parked is written before."""
        await self._call(self._core.unassign)

    async def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        await self._call(self._core.incremental_assign, partitions)

    async def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """As the client's; what is parked is written before."""
        await self._call(self._core.incremental_unassign, partitions)

    async def seek(self, partition: TopicPartition) -> None:
        """As the client's."""
        await self._call(self._core.seek, partition)

    async def pause(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        await self._call(self._core.pause, partitions)

    async def resume(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        await self._call(self._core.resume, partitions)

    async def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """As the client's, capped: a position is what transactions commit."""
        return await self._call(self._core.position, partitions)

    async def assignment(self) -> list[TopicPartition]:
        """As the client's."""
        return await self._call(self._core.assignment)

    async def committed(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """As the client's."""
        return await self._call(self._core.committed, partitions, timeout)

    async def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> Any:
        """As the client's."""
        return await self._call(self._core.get_watermark_offsets, partition, timeout, cached)

    async def offsets_for_times(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """As the client's."""
        return await self._call(self._core.offsets_for_times, partitions, timeout)

    async def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """As the client's."""
        return await self._call(self._core.list_topics, topic, timeout)

    async def cluster_id(self, timeout: float = -1) -> str:
        """As the client's."""
        return await self._call(self._core.cluster_id, timeout)

    async def consumer_group_metadata(self) -> Any:
        """As the client's."""
        return await self._call(self._core.consumer_group_metadata)

    async def memberid(self) -> str:
        """As the client's."""
        return await self._call(self._core.memberid)

    async def set_sasl_credentials(self, username: str, password: str) -> None:
        """As the client's, for the producer of parked events too."""
        await self._call(self._core.set_sasl_credentials, username, password)

    async def close(self) -> None:
        """As GuardedConsumer.close, after a run that is under way has ended.

        What was begun is ended also when this is cancelled; a second call waits for the first.
        """
        if self._running is not None and self._closing is None:
            if asyncio.current_task() in self._worker.awaited:
                raise ConfigurationError(
                    "a handler cannot close the consumer that runs it",
                    remedy="call `stop()`, and close after `run()`",
                )
            self.stop()
            await asyncio.wait([self._running])
        if self._closing is None:  # nor was it begun during the wait
            call = partial(self._core.do, self._core.close)
            if self._worker.stopped:  # with the producer that it shares
                self._closing = asyncio.get_running_loop().run_in_executor(None, call)
            else:
                self._closing = self._worker.call(call)
            if self._shared is None:
                self._worker.stop()  # after that call
        elif self._closing.done():
            return
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        self._worker.bind()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except Exception as raised:
            if error is None:
                raise
            # The first error is the one to see.
            log.exception("a callback raised while the consumer was closed", exc_info=raised)

    if not TYPE_CHECKING:  # type checkers shall find that the attribute is missing

        def __getattr__(self, name: str) -> NoReturn:
            # A method of the client that is not guarded would be a way around the policy.
            why = ""
            if not name.startswith("_") and hasattr(AIOConsumer, name):
                why = ": the client's is not guarded; use `poll()`, `consume()` or `run()`"
            raise AttributeError(f"AsyncGuardedConsumer has no `{name}`{why}", name=name, obj=self)


def _seen(found: asyncio.Future[list[Polled]]) -> None:
    """What a read raises that nobody waits for is raised by the next one again."""
    if not found.cancelled():
        found.exception()
