"""The guarded consumer: confluent_kafka.Consumer's call shape, with policy before every handler."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar

from confluent_kafka import Consumer, Message, TopicPartition

from streamwarden.errors import ConfigurationError

from ..policy.guard import Guard, check_guard
from ..producers.callbacks import CLIENT_CALLBACKS, Callbacks
from ..producers.clients import deadline_of
from ..producers.connection import ConfigMap, connection_of, consumer_parking_config, merged
from ..producers.failing import failure_mode
from ..producers.parking import Parking
from ..producers.producer import GuardedProducer
from .exactly_once import (
    ExactlyOnce,
    TransactionalHandler,
    check_prefix,
    reading_config,
    transactional_config,
)
from .handlers import check_handler
from .messages import GuardedMessage
from .reader import DRAIN_TIMEOUT_S, Polled, Reader
from .rebalance import RebalanceCallback, Rebalancing
from .runner import Handler, Runner
from .running import Failing, RunLimits

__all__ = ["GuardedConsumer", "GuardedMessage"]

log = logging.getLogger("streamwarden")

#: How long the end waits for the decision log, which the guard goes on writing.
_LOG_FLUSH_S = 5.0
#: Once its queue is full the client does not fetch for a second, by its own setting, and a guard
#: has emptied the queue before that.
_CLIENT_DEFAULTS: Mapping[str, object] = {"fetch.queue.backoff.ms": 100}
_Handled = TypeVar("_Handled", bound=Handler | TransactionalHandler)


class GuardedConsumer:
    """Decides on every event by `guard`: hands it on, masked, or parks it and goes on.

    Made and used as confluent_kafka.Consumer, whose settings it takes; `fetch.queue.backoff.ms` is
    100 where it is not given, so that a long backlog is read without pauses. `poll()` and
    `consume()` give GuardedMessage, which has `.decision`; messages with an `error()` are the
    client's own. `run(handler)` reads, handles and commits. `parking` adds settings to the producer
    of parked events. What is committed, by whichever way, is capped at the first parked event that
    is not safely written.

    `parking_unreachable`: `stop` raises DeliveryError before the event that could not be parked,
    `block` waits for the parking topics. `on_handler_error`, `handler_retries` and
    `handler_backoff_s` are for `run`. Without these keywords STREAMWARDEN_PARKING_UNREACHABLE and
    STREAMWARDEN_ON_HANDLER_ERROR count.

    With `transactional_id`, a prefix, `run(handler)` is exactly once: the handler is called with
    the message and a guarded producer in an open transaction, and what it produces, what is parked
    and the offsets are committed together; `parking` then are settings of that producer. To
    control transactions by hand, give a transactional GuardedProducer as `producer`: begin a
    transaction before reading, send `position()` to it; after an abort reading goes back to where
    the transaction began.
    """

    _reader_class: type[Reader] = Reader
    _producer_class: Callable[..., GuardedProducer] = GuardedProducer

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
        producer: GuardedProducer | None = None,
        transactional_id: str | None = None,
        **settings: Any,
    ) -> None:
        check_guard(guard)
        unreachable = failure_mode("parking_unreachable", parking_unreachable, ("stop", "block"))
        on_error = failure_mode("on_handler_error", on_handler_error, ("stop", "quarantine"))
        failing = Failing(on_error, retries=handler_retries, backoff_s=handler_backoff_s)
        if producer is not None and transactional_id is not None:
            raise ConfigurationError(
                "`producer` and `transactional_id` exclude each other", remedy="give one of them"
            )
        self.guard = guard
        self._handler: Any = None
        self._callbacks = callbacks = Callbacks(guard.count)
        given = merged(config, settings)
        check_prefix(transactional_id, given)
        for name in CLIENT_CALLBACKS:
            if callable(given.get(name)):
                given[name] = callbacks.safe(given[name])
        self._in_transactions = producer is not None or transactional_id is not None
        if self._in_transactions:
            given = reading_config(given)
        self._reader = self._reader_class(
            {
                **_CLIENT_DEFAULTS,
                **given,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
            },
            guard=guard,
            parking=Parking(
                consumer_parking_config(given, parking),
                callbacks=callbacks,
                count=guard.count,
                keys=guard.stamp_keys,
                pointers=True,
                block=unreachable == "block",
            ),
            callbacks=callbacks,
            auto_store=_flag(given.get("enable.auto.offset.store", True)),
            auto_commit=_flag(given.get("enable.auto.commit", True)),
            tells_end=_flag(given.get("enable.partition.eof", False)),
        )
        self._runner = Runner(self._reader, failing)
        self._exactly_once: ExactlyOnce | None = None
        if producer is not None:
            reader = self._reader
            reader.in_transactions = True
            reader.use_parking(producer.parking_for_consumer(reader.section, reader.rewind))
        elif transactional_id is not None:
            writing = transactional_config(transactional_id, given, parking or {})
            base = connection_of(given)
            producer_class = self._producer_class

            def make() -> GuardedProducer:
                return producer_class({**base, **writing}, guard=guard)

            self._exactly_once = ExactlyOnce(self._reader, guard, make, failing)

    @property
    def _client(self) -> Consumer:
        return self._reader.client

    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback | None = None,
        on_revoke: RebalanceCallback | None = None,
        on_lost: RebalanceCallback | None = None,
    ) -> None:
        """As the client's; the callbacks get this consumer.

        When partitions are revoked, what is parked is written and what may be is committed.
        """
        watch = Rebalancing(self._reader, self, self._callbacks, on_assign, on_revoke, on_lost)
        self._client.subscribe(
            topics, on_assign=watch.assigned, on_revoke=watch.revoked, on_lost=watch.lost
        )
        self._reader.subscribed = True

    def unsubscribe(self) -> None:
        """As the client's."""
        self._reader.settle()
        self._client.unsubscribe()
        self._reader.subscribed = False

    def poll(self, timeout: float | None = -1) -> Polled | None:
        """The next event that passes; None when there was none for `timeout` seconds.

        Raises DeliveryError before an event that is refused and could not be parked.
        """
        self._check_by_hand()
        return self._reader.read(deadline_of(timeout))

    def consume(self, num_messages: int = 1, timeout: float | None = -1) -> list[Polled]:
        """Up to `num_messages` events that pass; fewer where some of a batch were parked.

        Waits for the first of them, not for the batch to be full.
        """
        if not 0 <= num_messages <= 1_000_000:
            raise ValueError("num_messages must be between 0 and 1000000 (1M)")
        self._check_by_hand()
        return self._reader.read_batch(num_messages, deadline_of(timeout))

    def run(
        self,
        handler: Handler | TransactionalHandler | None = None,
        *,
        max_messages: int | None = None,
        idle_timeout_s: float | None = None,
        until_end: bool = False,
    ) -> int:
        """Give each event that passes to `handler`; gives how many were handled.

        An event is done when the handler returns. When it raises, it is tried again with the
        partitions paused; after the last attempt its exception is raised here, with the position
        before the event, or the event is parked (`on_handler_error`). Ends by `stop()`, after
        `max_messages`, after `idle_timeout_s` without an event, or with `until_end` where the
        partitions ended when they were assigned. Raises ConfigurationError where nothing was
        subscribed to or assigned, or the handler is a coroutine function.
        """
        chosen: Any = handler or self._handler
        if chosen is None:
            raise ConfigurationError(
                "there is nothing to run",
                remedy="give a handler, or name one by `@consumer.handler`",
            )
        once = self._exactly_once
        self._check_handler(chosen)
        if once is None and self._in_transactions:
            raise ConfigurationError(
                "`run` does not begin the transactions of `producer`",
                remedy="read by `poll()`, or give `transactional_id` instead of `producer`",
            )
        if not self._reader.subscribed and not self._client.assignment():
            raise ConfigurationError(
                "there is nothing to read: no topic is subscribed to, no partition assigned",
                remedy="call `subscribe()` or `assign()` before `run()`",
            )
        limits = RunLimits(max_messages, idle_timeout_s, until_end)
        if once is not None:
            return self._runner.run_with(lambda stopping: once.run(chosen, limits, stopping))
        return self._runner.run(chosen, limits)

    def _check_handler(self, handler: object, *, awaited: bool = False) -> None:
        given = ("message",) if self._exactly_once is None else ("message", "producer")
        check_handler(handler, given, awaited=awaited)

    def handler(self, function: _Handled) -> _Handled:
        """A decorator: `function` is what `run()` without a handler runs."""
        self._handler = function
        return function

    def stop(self) -> None:
        """End `run` after the event that is being handled; from any thread or signal handler."""
        self._runner.stop()

    def commit(
        self,
        message: Message | GuardedMessage | None = None,
        offsets: list[TopicPartition] | None = None,
        asynchronous: bool = True,
    ) -> list[TopicPartition] | None:
        """As the client's, capped at what is safely parked.

        What was left out for that is committed by a later poll, commit or close, once it is. With `asynchronous=False` parked events are written first, so that the cap is rarely felt.
        """
        if message is not None and offsets is not None:
            raise ValueError("message and offsets are mutually exclusive")
        self._check_commits()
        if not asynchronous:
            self._reader.intake.drain(DRAIN_TIMEOUT_S)
        if message is None and offsets is None:
            self._reader.finish_handed()
            self._reader.store()
            self._reader.catching_up.asked_for_all()
            return self._client.commit(asynchronous=asynchronous)  # type: ignore[call-overload, no-any-return]
        given = self._given(message, offsets)
        capped = [self._reader.assigned.capped(each) for each in given]
        self._reader.catching_up.asked(given)
        return self._client.commit(offsets=capped, asynchronous=asynchronous)  # type: ignore[call-overload, no-any-return]

    def store_offsets(
        self,
        message: Message | GuardedMessage | None = None,
        offsets: list[TopicPartition] | None = None,
    ) -> None:
        """As the client's, capped at what is safely parked, and stored further as that goes on."""
        if (message is None) == (offsets is None):
            raise ValueError("one of message and offsets is needed")
        self._check_commits()
        given = self._given(message, offsets)
        self._client.store_offsets(offsets=[self._reader.assigned.capped(each) for each in given])

    def _check_by_hand(self) -> None:
        if self._exactly_once is not None:
            raise ConfigurationError(
                "a consumer with `transactional_id` reads in `run(handler)` only",
                remedy="give a handler, or `producer` instead to control transactions by hand",
            )

    def _check_commits(self) -> None:
        if self._in_transactions:
            raise ConfigurationError(
                "offsets are committed in the transaction",
                remedy="call `send_offsets_to_transaction()` of the producer",
            )

    @staticmethod
    def _given(
        message: Message | GuardedMessage | None, offsets: list[TopicPartition] | None
    ) -> list[TopicPartition]:
        if message is not None:
            error, offset = message.error(), message.offset()
            if error is not None or offset is None:
                raise ValueError("cannot commit a message with an error")
            offsets = [TopicPartition(message.topic() or "", message.partition() or 0, offset + 1)]
        return offsets or []

    def assign(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        self._let_go(None)
        self._reader.grouped = False
        self._client.assign(partitions)
        self._reader.assigned_now(partitions)

    def unassign(self) -> None:
        """As the client's; what is parked is written before."""
        self._let_go(None)
        self._client.unassign()

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        self._client.incremental_assign(partitions)
        self._reader.assigned_now(partitions)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """As the client's; what is parked is written before."""
        self._let_go(partitions)
        self._client.incremental_unassign(partitions)

    def _let_go(self, partitions: list[TopicPartition] | None) -> None:
        self._reader.settle(partitions)
        self._reader.gone(self._client.assignment() if partitions is None else partitions)

    def seek(self, partition: TopicPartition) -> None:
        """As the client's."""
        self._reader.seek(partition)

    def pause(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        self._reader.pause(partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        """As the client's."""
        self._reader.resume(partitions)

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """As the client's, capped: a position is what transactions commit."""
        return [self._reader.position(each) for each in self._client.position(partitions)]

    def assignment(self) -> list[TopicPartition]:
        """As the client's."""
        return self._client.assignment()

    def committed(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """As the client's."""
        return self._client.committed(partitions, timeout)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> Any:
        """As the client's."""
        return self._client.get_watermark_offsets(partition, timeout, cached)

    def offsets_for_times(
        self, partitions: list[TopicPartition], timeout: float = -1
    ) -> list[TopicPartition]:
        """As the client's."""
        return self._client.offsets_for_times(partitions, timeout)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """As the client's."""
        if topic is None:
            return self._client.list_topics(timeout=timeout)
        return self._client.list_topics(topic, timeout=timeout)

    def cluster_id(self, timeout: float = -1) -> str:
        """As the client's."""
        return self._client.cluster_id(timeout)

    def consumer_group_metadata(self) -> Any:
        """As the client's; KafkaException once this member has lost its membership."""
        return self._reader.group_metadata()

    def memberid(self) -> str:
        """As the client's."""
        return self._client.memberid()

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """As the client's, for the producer of parked events too."""
        self._client.set_sasl_credentials(username, password)
        self._reader.intake.set_sasl_credentials(username, password)

    def close(self) -> None:
        """As the client's; what is parked is written before."""
        self._reader.close()
        if self._exactly_once is not None:
            self._exactly_once.close()
        self._reader.guard.flush_log(_LOG_FLUSH_S)
        self._callbacks.raise_first()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception as raised:
            if error is None:
                raise
            # The first error is the one to see.
            log.exception("a callback raised while the consumer was closed", exc_info=raised)

    def __del__(self) -> None:
        reader: Reader | None = getattr(self, "_reader", None)
        if reader is not None and not reader.closed and (left := reader.unwritten()):
            warnings.warn(
                f"a GuardedConsumer was dropped with {left} parked events that are not written; "
                "call close(), or use it in `with`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    if not TYPE_CHECKING:  # type checkers shall find that the attribute is missing

        def __getattr__(self, name: str) -> NoReturn:
            # A method of the client that is not guarded would be a way around the policy.
            why = ""
            if not name.startswith("_") and hasattr(Consumer, name):
                why = ": the client's is not guarded; use `poll()`, `consume()` or `run()`"
            raise AttributeError(f"GuardedConsumer has no `{name}`{why}", name=name, obj=self)


def _flag(value: object) -> bool:
    """A boolean property as the client reads it."""
    return str(value).lower() in ("true", "1", "t")
