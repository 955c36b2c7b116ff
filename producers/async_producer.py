"""The guarded producer for asyncio: confluent_kafka.aio.AIOProducer's call shape, and headers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.aio import AIOProducer

from streamwarden.errors import ConfigurationError

from ..policy.decision import Decision
from ..policy.guard import Guard
from .batches import BatchStoppedError, Given, read_batch
from .clients import deadline_of
from .codes import PURGED, error_of
from .connection import ConfigMap
from .loop_producer import LoopProducer
from .refusal import PolicyRejected, RefusedMessage, is_refusal
from .worker import Worker

__all__ = ["AsyncGuardedProducer", "BorrowedProducer", "Delivery"]

log = logging.getLogger("streamwarden")

_NO_PARTITION = -1
_CLOSE_TIMEOUT_S = 30.0
#: A wait of the worker is cut into slices, so that other calls get their turn.
_SLICE_S = 0.1
#: Events after which others on the loop get their turn. A power of two, less one.
_BREATH_MASK = 255

_INSTEAD = {"produce_batch": ": call `produce_many()`, which keeps headers"}


class Delivery(asyncio.Future[Any]):
    """What becomes of one event; `decision` is there at once.

    Awaited, it gives the client's Message once the event is delivered. It raises PolicyRejected
    once a held or rejected event is parked, and KafkaException for one that is nowhere. A refused
    event that nobody awaits is logged at WARNING, rate-limited, and one that could not be parked at
    ERROR, awaited or not; other failures are told by the loop, or by the commit of a transaction.
    """

    __slots__ = ("_home", "decision")

    decision: Decision
    _home: LoopProducer

    @classmethod
    def of(cls, home: LoopProducer, loop: asyncio.AbstractEventLoop) -> Delivery:
        """One that `home` tells. Not an `__init__`, which would double what it costs."""
        made = cls(loop=loop)
        made._home = home
        return made

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        """The client's report, on whichever thread."""
        home = self._home
        if error is None and get_ident() == home.thread and not self.done():
            self.set_result(message)
        else:
            home.report(self, error, message)

    def settle(self, error: KafkaError | None, message: Any) -> None:
        """The outcome is known."""
        parked = isinstance(message, RefusedMessage) and is_refusal(error)
        if self.done():  # cancelled: nobody waits for it any more
            if parked:
                self._home.unheard(message.decision)
        elif error is None:
            self.set_result(message)
        elif parked:
            self.set_exception(PolicyRejected(message.decision))
        else:
            self.set_exception(KafkaException(error))
            if self._home.transactional:
                self.exception()  # the commit tells, so that nobody has to ask for it


class _RefusedDelivery(Delivery):
    """Of an event that was refused: the guard logs what became of it, so that the loop need not.

    Only what the caller gave up is not logged.
    """

    __slots__ = ()

    def __del__(self) -> None:
        if self._log_traceback and (raised := self._exception) is not None:
            if isinstance(raised, PolicyRejected):
                self.exception()
                self._home.unheard(self.decision)
            elif error_of(raised).code() not in PURGED:
                self.exception()
        super().__del__()


class AsyncGuardedProducer:
    """Decides on every event by `guard`, then sends it stamped and masked, or parks it.

    Made as GuardedProducer, used as confluent_kafka.aio.AIOProducer: `await produce()` gives a
    Delivery, to be awaited for the outcome or not; its `decision` is there at once. Headers are
    kept, and there is no buffer of its own that would hold events back. `produce()` decides and
    sends on the loop; all that waits for somebody is done on a thread. On a full queue it waits up
    to `queue_full_wait_s`, without blocking the loop, before its BufferError.

    With `on_reject="raise"` it raises PolicyRejected for held and rejected events once they are
    parked, or KafkaException where they could not be. Callbacks of the configuration may be
    coroutine functions; they run on the loop. For one event loop: that in which it is first used.
    """

    def __init__(
        self,
        config: ConfigMap | None = None,
        /,
        *,
        guard: Guard,
        on_reject: Literal["return", "raise"] = "return",
        parking: ConfigMap | None = None,
        parking_unreachable: Literal["error", "block"] | None = None,
        queue_full_wait_s: float = 1.0,
        **settings: Any,
    ) -> None:
        if on_reject not in ("return", "raise"):
            raise ConfigurationError(f"`on_reject` is `{on_reject}`", remedy="use return or raise")
        self._use(
            LoopProducer(
                config,
                guard=guard,
                worker=Worker("an AsyncGuardedProducer"),
                parking=parking,
                parking_unreachable=parking_unreachable,
                queue_full_wait_s=queue_full_wait_s,
                **settings,
            ),
            raises=on_reject == "raise",
        )

    def _use(self, core: LoopProducer, *, raises: bool) -> None:
        self.guard = core.guard
        self._core, self._worker, self._raises = core, core.worker, raises
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Future[bool] | None = None
        self._produced, self._thread = 0, -1
        self._ready = core.ready

    async def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = _NO_PARTITION,
        timestamp: int = 0,
        headers: Any = None,
        *,
        facts: Mapping[str, object] | None = None,
    ) -> Delivery:
        """Decide on an event and send or park it; gives a Delivery.

        As the client's, with headers; `facts` are what the service knows beside the event. Raises
        what GuardedProducer.produce raises, with `on_reject="raise"` once the event is parked.
        """
        core, loop = self._core, self._loop
        # Not `get_running_loop()`, which asks the system for the process each time.
        if loop is None or not loop.is_running() or get_ident() != self._thread:
            loop = self._loop = self._worker.bind()
            self._thread = get_ident()
        if topic not in self._ready:
            await core.prepare(topic, value, key, headers)
        delivery = Delivery.of(core, loop)
        try:
            decision = core.produce(
                topic, value, key, partition, None, delivery, timestamp, headers, facts=facts
            )
        except BufferError as full:

            def again() -> Decision:
                return core.produce(
                    topic, value, key, partition, None, delivery, timestamp, headers, facts=facts
                )

            decision = await core.when_there_is_room(full, again)
        delivery.decision = decision
        if core.idle:
            core.wake()
        self._produced += 1
        if not self._produced & _BREATH_MASK:
            core.serve()
            await asyncio.sleep(0)
        if not decision.effect.passes:
            delivery.__class__ = _RefusedDelivery
            core.park_soon()
            if self._raises:
                await delivery
        return delivery

    async def produce_many(
        self, topic: str, events: Iterable[Given], partition: int = _NO_PARTITION
    ) -> list[Delivery]:
        """Produce each of `events` in its order; gives their deliveries.

        An event is its value, or a mapping of `value`, `key`, `headers`, `partition`, `timestamp`
        and `facts`; `partition` is for those that have none. Raises TypeError before anything is
        sent, and BatchStoppedError, which says how far it came.
        """
        given = read_batch(events, reports=False)
        taken: list[Delivery] = []
        for event in given:
            try:
                one: dict[str, Any] = {"partition": partition, **event}
                taken.append(await self.produce(topic, **one))
            except PolicyRejected as rejected:
                taken.append(self._parked(rejected))
                raise BatchStoppedError(taken, len(given), rejected) from rejected
            except Exception as error:
                raise BatchStoppedError(taken, len(given), error) from error
        return taken

    def _parked(self, rejected: PolicyRejected) -> Delivery:
        delivery = Delivery.of(self._core, self._worker.bind())
        delivery.decision = rejected.decision
        delivery.set_exception(rejected)
        delivery.exception()  # it is raised already, so that nobody has to ask for it
        return delivery

    async def poll(self, timeout: float | None = 0) -> int:
        """Serve callbacks, waiting up to `timeout` seconds for the first; gives their number.

        Reports are told without it, too.
        """
        deadline = deadline_of(timeout)
        while True:
            left = max(0.0, deadline - time.monotonic())
            served = await self._worker.call(self._core.poll, min(left, _SLICE_S))
            if served or time.monotonic() >= deadline:
                return served

    async def flush(self, timeout: float | None = -1) -> int:
        """Wait until everything is sent or parked and told; gives how many are not after all."""
        deadline = deadline_of(timeout)
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            left = await self._worker.call(self._core.flush, min(left_s, _SLICE_S))
            if not left or time.monotonic() >= deadline:
                return left

    def __len__(self) -> int:
        """Events, parked ones too, whose outcome has not been told yet."""
        return len(self._core)

    def __bool__(self) -> bool:
        return True

    async def purge(
        self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True
    ) -> None:
        """Give up what is not sent, parked events too; their deliveries tell each."""
        await self._worker.call(self._core.purge, in_queue, in_flight, blocking)

    async def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """As the client's."""
        return await self._worker.call(self._core.list_topics, topic, timeout)

    async def cluster_id(self, timeout: float = -1) -> str:
        """As the client's."""
        return await self._worker.call(self._core.cluster_id, timeout)

    async def set_sasl_credentials(self, username: str, password: str) -> None:
        """As the client's, for the producer of parked events too."""
        await self._worker.call(self._core.set_sasl_credentials, username, password)

    async def init_transactions(self, timeout: float = -1) -> None:
        """As the client's."""
        await self._worker.call(self._core.init_transactions, timeout)

    async def begin_transaction(self) -> None:
        """As the client's. Events that are parked from now on share the transaction's fate."""
        await self._worker.call(self._core.begin_transaction)

    async def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """As the client's."""
        call = self._core.send_offsets_to_transaction
        await self._worker.call(call, positions, group_metadata, timeout)

    async def commit_transaction(self, timeout: float = -1) -> None:
        """As GuardedProducer.commit_transaction."""
        await self._worker.call(self._core.commit_transaction, timeout)

    async def abort_transaction(self, timeout: float = -1) -> None:
        """As the client's: events parked in the transaction are gone, as those sent in it are."""
        await self._worker.call(self._core.abort_transaction, timeout)

    @property
    def transaction_failed(self) -> bool:
        """True once a record of the open transaction was not written."""
        return self._core.transaction_failed

    @property
    def core(self) -> LoopProducer:
        """What a consumer that shares its transactions needs."""
        return self._core

    async def close(self, timeout: float = _CLOSE_TIMEOUT_S) -> bool:
        """Flush for up to `timeout` seconds and let go; True when everything was sent.

        As GuardedProducer.close. What was begun is ended also when this is cancelled; a second call
        waits for the first.
        """
        closing = self._closing
        if closing is None:
            closing = self._closing = self._worker.call(self._core.close, timeout)
            self._worker.stop()  # after that call
        elif closing.done():
            return True
        return await asyncio.shield(closing)

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
            log.exception("a callback raised while the producer was closed", exc_info=raised)

    if not TYPE_CHECKING:  # type checkers shall find that the attribute is missing

        def __getattr__(self, name: str) -> NoReturn:
            # A method of the client that is not guarded would be a way around the policy.
            why = _INSTEAD.get(name, "")
            if not why and not name.startswith("_") and hasattr(AIOProducer, name):
                why = ": the client's is not guarded; call `produce()`"
            raise AttributeError(f"AsyncGuardedProducer has no `{name}`{why}", name=name, obj=self)


class BorrowedProducer(AsyncGuardedProducer):
    """The producer that a handler is given: its consumer's, for as long as the handler runs."""

    def __init__(self, core: LoopProducer) -> None:
        self._use(core, raises=False)

    async def close(self, timeout: float = _CLOSE_TIMEOUT_S) -> bool:  # noqa: ARG002 - as its base
        """Not to be called: the consumer closes it."""
        raise ConfigurationError("this producer is the consumer's", remedy="close the consumer")
