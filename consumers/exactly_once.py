"""Running a handler in transactions: what it writes, what is parked, and the offsets, or nothing.

A transaction holds the events of a moment. When the handler raises, it is undone, the partitions
are read again from where it began, and events then go one by one until the failing one is through
or given up. "Exactly once" is about what is written to Kafka, not about other effects.
"""

from __future__ import annotations

import logging
import math
import random
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeAlias

from confluent_kafka import KafkaException, TopicPartition

from streamwarden.errors import ConfigurationError, DeliveryError

from ..policy.guard import Guard
from ..producers.codes import FENCED, error_of
from ..producers.connection import ConfigMap
from ..producers.producer import GuardedProducer
from .assigned import Place
from .handlers import begun
from .intake import NoTransactionError
from .messages import GuardedMessage
from .reader import Reader
from .running import Ends, Failing, RunLimits, handler_said, pass_error

__all__ = [
    "ExactlyOnce",
    "TransactionalHandler",
    "check_prefix",
    "reading_config",
    "transactional_config",
]

log = logging.getLogger("streamwarden")

#: `handler(message, producer)`; the producer is in the open transaction.
TransactionalHandler: TypeAlias = Callable[[GuardedMessage, GuardedProducer], object]

#: A commit costs some 20 ms; what waits for it is seen that much later.
_EVENTS_MAX = 200
_OPEN_MAX_S = 0.1
_SLICE_S = 0.1
_TIMEOUT_S = 30.0
_FLUSH_S = 5.0
#: After a crash nobody ends the open transaction before this time, and readers of committed
#: records wait for it.
_TRANSACTION_TIMEOUT_MS = 15_000
_NOBODY = ("", -1, -1)
_NAME_MAX_CHARS = 40


def check_prefix(prefix: object, config: ConfigMap) -> None:
    """Raise ConfigurationError for a `transactional_id` of which no id can be made.

    Warns of the client's own setting, which a consumer ignores.
    """
    if prefix is not None and (not isinstance(prefix, str) or not prefix.strip()):
        raise ConfigurationError(
            f"`transactional_id` is {prefix!r}",
            remedy="give a text that the instances of this service share, such as its name",
        )
    if prefix is None and config.get("transactional.id"):
        log.warning(
            "`transactional.id` means nothing to a consumer; with `transactional_id`, a keyword, "
            "`run(handler)` is exactly once"
        )


def transactional_config(prefix: str, config: ConfigMap, own: ConfigMap) -> dict[str, Any]:
    """The configuration of the producer: `prefix` completed to an id that no other instance has.

    With `group.instance.id` the id is the same after a restart, so that the restarted instance
    ends what the former one left open. Otherwise it is new for each instance, since two with one
    id would shut each other out.
    """
    instance = config.get("group.instance.id")
    if instance is None:
        instance = f"{socket.gethostname()[:_NAME_MAX_CHARS]}-{uuid.uuid4().hex[:12]}"
    return {
        "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
        "linger.ms": 5,
        **own,
        "transactional.id": f"{prefix}-{instance}",
    }


def reading_config(config: ConfigMap) -> dict[str, Any]:
    """The configuration of a consumer whose offsets are committed in transactions.

    Raises ConfigurationError for settings that contradict it.
    """
    if str(config.get("enable.auto.commit", "false")).lower() in ("true", "1"):
        raise ConfigurationError(
            "`enable.auto.commit` cannot be on within transactions", remedy="leave it out"
        )
    if config.get("isolation.level", "read_committed") != "read_committed":
        raise ConfigurationError(
            "`isolation.level` has to be read_committed within transactions", remedy="leave it out"
        )
    return {**config, "enable.auto.commit": False, "isolation.level": "read_committed"}


class _Undone(Exception):  # noqa: N818 - not an error: how a transaction is left
    """The open transaction cannot be committed; `message` is the event to blame, if one is.

    `broken` says that the transaction itself failed, and not the handler.
    """

    def __init__(
        self, error: Exception, message: GuardedMessage | None = None, *, broken: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error, self.broken = error, broken
        self.place, self.said = _NOBODY, ""
        if message is not None:
            self.place = _place(message)
            self.said = handler_said(message, error)

    def cause(self) -> str:
        """What went wrong, without the words of a handler's error, which often quote the event."""
        name = type(self.error).__name__
        if not self.broken:
            return name
        if isinstance(self.error, KafkaException):
            error = error_of(self.error)
            said, code = error.str(), error.name()
            return said if f"({code})" in said else f"{said} ({code})"
        return f"{name}: {self.error}"


def _place(message: GuardedMessage) -> tuple[str, int, int]:
    return message.topic(), message.partition(), message.offset()


class ExactlyOnce:
    """Reads with `reader`, handles and commits in transactions of a producer made for it.

    `make` gives a transactional GuardedProducer; after an error that leaves the old one of no use
    it is asked for another one.
    """

    def __init__(
        self,
        reader: Reader,
        guard: Guard,
        make: Callable[[], GuardedProducer],
        failing: Failing,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._reader, self._guard, self._make = reader, guard, make
        self._failing, self._chance = failing, chance
        self._producer: GuardedProducer | None = None
        self._open = False
        self._spoiled = False  # partitions of the open transaction were lost
        self._handling = False  # an event that may have written, and is not through
        #: Up to where events go one by one, since a transaction with them was undone.
        self._careful: dict[Place, int] = {}
        self._attempts: dict[tuple[str, int, int], int] = {}
        self._said: dict[tuple[str, int, int], str] = {}
        #: Where a transaction began of which it is not known whether it was committed.
        self._doubtful: dict[Place, int] = {}
        self._failures = 0  # of transactions, in a row, for which no event is to blame
        self._last: GuardedMessage | None = None
        reader.in_transactions = True
        reader.on_settle = self._settle
        reader.on_gone = self._gone

    def run(
        self, handler: TransactionalHandler, limits: RunLimits, stopping: Callable[[], bool]
    ) -> int:
        """Handle events until told to stop; gives how many were handled and committed."""
        ends = Ends(self._reader, limits.until_end)
        handled = 0
        idle_until = limits.idle_deadline()
        try:
            while not stopping() and limits.left(handled) > 0:
                try:
                    self._begin()
                    count = self._fill(handler, limits.left(handled), idle_until, stopping)
                    self._commit(count)
                except _Undone as undone:
                    self._undo(broken=undone.broken)
                    self._next_attempt(undone, stopping)
                    continue
                handled += count
                if count:
                    idle_until = limits.idle_deadline()
                if time.monotonic() >= idle_until or ends.reached():
                    break
        finally:
            self._leave()
        return handled

    def close(self) -> None:
        """Abort what is open and let go of the producer."""
        producer, self._producer = self._producer, None
        self._open = False
        if producer is not None:
            producer.close(_TIMEOUT_S)

    def _begin(self) -> None:
        if self._open:
            return
        if self._reader.closed:
            raise RuntimeError("the consumer was closed while it ran; call `stop()` to end `run()`")
        producer = self._producer or self._connect()
        self._find_out()
        self._spoiled = False
        producer.begin_transaction()
        self._open = True

    def _connect(self) -> GuardedProducer:
        producer = self._make()
        self._producer = producer
        self._reader.use_parking(
            producer.parking_for_consumer(self._reader.section, self._reader.rewind)
        )
        try:
            producer.init_transactions(_TIMEOUT_S)
        except KafkaException:
            # It goes on by itself, and until then takes nothing: the next run begins with another.
            self._producer = None
            producer.abandon()
            raise
        return producer

    def _fill(
        self,
        handler: TransactionalHandler,
        most: float,
        idle_until: float,
        stopping: Callable[[], bool],
    ) -> int:
        """Handle what comes until the transaction is to be committed; gives the number."""
        most = 1 if self._careful else min(most, _EVENTS_MAX)
        count, until = 0, math.inf
        while count < most and time.monotonic() < until and not stopping():
            try:
                message = self._reader.read(time.monotonic() + min(_SLICE_S, _OPEN_MAX_S))
            except (DeliveryError, NoTransactionError) as error:
                raise _Undone(error, broken=True) from error
            if self._spoiled:
                raise _Undone(DeliveryError("partitions were taken away"), broken=True)
            if self._reader.began and until == math.inf:
                until = time.monotonic() + _OPEN_MAX_S
            if message is None:
                if time.monotonic() >= idle_until or self._reader.ends:
                    break
                continue
            if not isinstance(message, GuardedMessage):
                pass_error(message)
                continue
            self._handle(handler, message)
            count += 1
        return count

    def _handle(self, handler: TransactionalHandler, message: GuardedMessage) -> None:
        place = _place(message)
        assert self._producer is not None
        self._last = message
        given_up = self._attempts.get(place, 0) > self._failing.retries
        if given_up and self._failing.then == "quarantine":
            self._reader.park_by_handler(message, self._said[place])
            self._guard.count("handler/quarantined")
            return
        self._handling = True
        try:
            begun(handler(message, self._producer))
        except Exception as error:
            raise _Undone(error, message) from error
        finally:
            self._handling = False
        self._reader.finished(message)

    def _commit(self, handled: int = 0) -> None:
        """Commit offsets, what the handler wrote and what was parked. Raises _Undone.

        `handled` is the number of events in the transaction: one alone is to blame for a failure.
        """
        if self._open and self._spoiled:
            raise _Undone(DeliveryError("partitions were taken away"), broken=True)
        if not self._open or not self._reader.began:
            return  # nothing was read: the transaction stays open, which costs nothing
        producer, reader = self._producer, self._reader
        assert producer is not None
        deadline = time.monotonic() + _TIMEOUT_S
        try:
            offsets = reader.assigned.handled(reader.began)
            metadata = reader.group_metadata()
            self._again(
                deadline, lambda s: producer.send_offsets_to_transaction(offsets, metadata, s)
            )
            self._again(deadline, producer.commit_transaction)
        except KafkaException as raised:
            error = error_of(raised)
            if error.code() == FENCED or (error.fatal() and not error.txn_requires_abort()):
                raise
            raise _Undone(raised, self._last if handled == 1 else None, broken=True) from raised
        self._open, self._failures = False, 0
        self._through({(each.topic, each.partition): each.offset for each in offsets})
        reader.section()

    def _through(self, committed: dict[Place, int]) -> None:
        """Events that are committed are not counted any more; then batches grow again."""
        for topic, partition, offset in list(self._attempts):
            if offset < committed.get((topic, partition), 0):
                self._attempts.pop((topic, partition, offset))
                self._said.pop((topic, partition, offset), None)
        for place, upto in list(self._careful.items()):
            if committed.get(place, 0) >= upto:
                del self._careful[place]

    def _again(self, deadline: float, operation: Callable[[float], None]) -> None:
        """Call again while the client says that this may help."""
        while True:
            left = deadline - time.monotonic()
            try:
                return operation(max(left, _SLICE_S))
            except KafkaException as raised:
                error = error_of(raised)
                if error.txn_requires_abort() or not error.retriable() or left <= 0:
                    raise

    def _undo(self, *, broken: bool = False) -> None:
        """Abort, and read again what the transaction had read.

        `broken` says that the transaction itself failed. The client does not come back from a
        record that was refused in one (librdkafka 2.16 purges what the next transaction sends), so
        that a new client takes over: with the same id, it makes the broker abort.
        """
        self._open = False
        producer, reader = self._producer, self._reader
        assert producer is not None
        began = dict(reader.began)
        for place in began:
            offsets = reader.assigned.get(*place)
            upto = None if offsets is None else offsets.read_to
            self._careful[place] = max(upto or 0, self._careful.get(place, 0))
        try:
            # Sent first: aborting while a partition is just being added is a fatal error.
            producer.flush(_FLUSH_S)
        except Exception as error:  # noqa: BLE001 - what the handler's own callbacks raise
            log.warning("a callback raised %s while a transaction ended", type(error).__name__)
        if not broken and not producer.transaction_failed:
            try:
                producer.abort_transaction(_TIMEOUT_S)
            except KafkaException as raised:
                log.warning("a transaction could not be aborted: %s", error_of(raised).str())
            else:
                return
        self._producer = None
        producer.abandon()
        reader.rewind()
        self._doubtful = began
        self._connect()
        self._find_out()

    def _find_out(self) -> None:
        """Whether a transaction that did not end before our eyes was committed after all.

        By now the broker has ended it, so that the committed offsets tell.
        """
        began = self._doubtful
        if not began:
            return
        places = [TopicPartition(*place) for place in began]
        for found in self._reader.client.committed(places, _TIMEOUT_S):
            if found.offset > began[found.topic, found.partition]:
                self._reader.assigned.forget([found])
                self._reader.seek_back(found)
        self._doubtful = {}

    def _next_attempt(self, undone: _Undone, stopping: Callable[[], bool]) -> None:
        """Wait before the events are tried again, one by one; or raise after the last attempt."""
        self._guard.count("handler/undone")
        place = undone.place
        if place == _NOBODY:
            self._failures += 1
            attempt = self._failures
        else:
            attempt = self._attempts[place] = self._attempts.get(place, 0) + 1
            self._said[place] = undone.said
        parks = self._failing.then == "quarantine" and place != _NOBODY
        if attempt > self._failing.retries and not parks:
            self._attempts.pop(place, None)
            self._failures = 0
            undone.error.add_note(f"streamwarden: attempt {attempt}; the transaction is undone")
            raise undone.error
        log.warning("the transaction is undone, attempt %d: %s", attempt, undone.cause())
        until = time.monotonic() + self._failing.pause_s(attempt, self._chance())
        while (left := until - time.monotonic()) > 0 and not stopping():
            self._reader.stay(min(left, _SLICE_S))

    def _settle(self) -> None:
        """Partitions are about to go: what was handled of them is committed now.

        Where a handler lets them go, what it has written for its own event cannot be without that
        event's offset, and all is undone.
        """
        if self._open and self._handling:
            self._spoiled = True
        elif self._open and not self._spoiled:
            try:
                self._commit()
                self._begin()  # what is read next, still in this call, may have to be parked
            except (_Undone, KafkaException) as error:
                log.warning("the transaction of a rebalance is undone: %s", error)
                self._spoiled = True

    def _gone(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:  # where they are given again, that begins with what is committed
            self._doubtful.pop((each.topic, each.partition), None)
        if self._open and self._reader.began:
            self._spoiled = True

    def _leave(self) -> None:
        """At the end of a run nothing stays open: what was read and not committed is read again."""
        if self._open:
            try:
                self._undo()
            except KafkaException as raised:
                # The broker aborts it by itself when its time is over.
                log.warning("a transaction was left open: %s", error_of(raised).str())
