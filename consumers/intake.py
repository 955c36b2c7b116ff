"""From a client's message to a guarded one: decides, hands over or parks, and keeps the offsets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streamwarden.errors import ConfigurationError, DeliveryError

from ..policy.decision import Decision
from ..policy.guard import Guard
from ..policy.parking import Kind, parked_topic
from ..policy.waiting import parks_keys, wait_behind
from ..producers.codes import STATE, error_of
from ..producers.parking import Parking
from ..producers.unparked import why_unparked
from ..schemas.event import Event, Record
from .assigned import Assigned, Place
from .judging import BatchJudge
from .messages import GuardedMessage
from .offsets import PartitionOffsets
from .waiting import WaitingKeys

__all__ = ["Intake", "NoTransactionError"]

log = logging.getLogger("streamwarden")

#: Parked events on their way; beyond it nothing is read until some are acknowledged.
_PENDING_MAX = 1000
_SLICE_S = 0.1


class NoTransactionError(ConfigurationError):
    """Reading by hand within transactions, outside of any, or in one that has failed."""


class _Failure(NamedTuple):
    """An event that could not be parked in `topic`; its place, and the bookkeeping of then."""

    offsets: PartitionOffsets
    place: TopicPartition
    topic: str
    error: KafkaError


class Intake:
    """See the module's first line. `park` writes through `parking`; `assigned` has the offsets.

    `keys` makes what knows of waiting keys, at the first plan that asks for it.
    """

    def __init__(
        self,
        guard: Guard,
        parking: Parking,
        assigned: Assigned,
        *,
        group: str | None,
        keys: Callable[[Callable[[Record], None]], WaitingKeys],
    ) -> None:
        self._guard = guard
        self._evaluate = guard.evaluator("consume")
        short = self._evaluate == guard.evaluate
        #: Judges batches.
        self.batches = BatchJudge(guard, assigned, self.judge_event, short=short)
        self._parking, self._assigned, self._group = parking, assigned, group
        self._failures: list[_Failure] = []
        self._in_transactions = False
        self._connect: Callable[[Callable[[Record], None]], WaitingKeys] = keys
        self._keys: WaitingKeys | None = None

    def use_parking(self, parking: Parking) -> None:
        """Park by another way, in transactions, from now on."""
        self._parking, self._in_transactions = parking, True

    @property
    def full(self) -> bool:
        """True while so many parked events wait that nothing more should be read."""
        return self._parking.pending >= _PENDING_MAX

    def judge_event(
        self,
        message: Message,
        event: Event,
        offsets: PartitionOffsets,
        decision: Decision | None = None,
    ) -> GuardedMessage | None:
        """The message of `event` as the application may have it; None when the event is parked.

        `decision` is the one that was made on it, where one was.
        """
        if decision is None:
            if offsets.waiting and self._waits(event, offsets):
                return None
            decision = self._evaluate(event, "consume")
            if decision.plan is not offsets.plan and self._begins(decision, offsets):
                return None
        if decision.effect.passes:
            if offsets.waiting:
                self._let_go(event, offsets)
            assert event.offset is not None
            offsets.delivered(event.offset)
            return GuardedMessage(
                message, offsets, decision.plan, event.now, decision, decision.masked_value
            )
        self._park_in_turn(decision, offsets)
        self._guard.refused(decision)
        return None

    def _waits(self, event: Event, offsets: PartitionOffsets) -> bool:
        """Whether `event` waits behind another one of its key; then it is parked."""
        assert self._keys is not None
        first = self._keys.behind(event, offsets)
        if first is None:
            return False
        plan = self._guard.plan(event.topic, "consume", event.now)
        if not parks_keys(plan):
            return False
        self._park_in_turn(wait_behind(plan, event, first), offsets, kind="waiting")
        return True

    def _begins(self, decision: Decision, offsets: PartitionOffsets) -> bool:
        """The first event that a plan decided on: it may have to wait all the same."""
        if self._keys is None:
            if not parks_keys(decision.plan):
                offsets.plan = decision.plan
                return False
            self._keys = self._connect(self._drop)
        self._keys.begin(decision.plan, offsets, decision.event)
        return bool(offsets.waiting) and self._waits(decision.event, offsets)

    def _let_go(self, event: Event, offsets: PartitionOffsets) -> None:
        assert self._keys is not None
        record = self._keys.passed(event, offsets)
        if record is not None:
            self._drop(record)

    def _drop(self, record: Record) -> None:
        """Write a record on which nothing hangs."""
        with suppress(BufferError, KafkaException):
            self._parking.note(record, _unheard)

    def forget_keys(self, partitions: Iterable[TopicPartition]) -> None:
        """These partitions are not read any more."""
        if self._keys is not None:
            self._keys.forget({(each.topic, each.partition) for each in partitions})

    def settled(self) -> None:
        """What was written in a transaction is in the log now, or will never be."""
        if self._keys is not None:
            self._keys.unsettled = False

    def close(self) -> None:
        """Let go of what knows of waiting keys."""
        if self._keys is not None:
            self._keys.close()

    def abandon(self) -> None:
        """In a child process: everything is the parent's."""
        if self._keys is not None:
            self._keys.abandon()

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Use other credentials from the next authentication on."""
        self._parking.set_sasl_credentials(username, password)
        if self._keys is not None:
            self._keys.set_sasl_credentials(username, password)

    def park_by_handler(self, message: GuardedMessage, error: str) -> None:
        """Park an event that the handler could not deal with."""
        offsets = self._assigned.of(message.topic(), message.partition())
        self._park_in_turn(message.decision, offsets, kind="handler", error=error)
        offsets.done(message.offset() + 1)

    def _park_in_turn(
        self,
        decision: Decision,
        offsets: PartitionOffsets,
        *,
        kind: Kind | None = None,
        error: str | None = None,
    ) -> None:
        """Park the event, and let later ones of its key wait where the policy says so."""
        event = decision.event
        note: Record | None = None
        if offsets.waiting is not None and self._keys is not None:
            note = self._keys.wait(event, offsets)
        assert event.offset is not None
        if offsets.parked(event.offset) or kind == "handler":
            self._park(decision, offsets, kind=kind, error=error, note=note)

    def _park(
        self,
        decision: Decision,
        offsets: PartitionOffsets,
        *,
        kind: Kind | None,
        error: str | None,
        note: Record | None,
    ) -> None:
        done: Callable[..., None] = partial(self._written, decision, offsets, kind)
        park, group = self._parking.park, self._group
        if note is None:
            self._write(
                decision, offsets, lambda: park(decision, done, kind=kind, group=group, error=error)
            )
            return
        both = _Both(done, note.topic)
        self._write(
            decision, offsets, lambda: park(decision, both, kind=kind, group=group, error=error)
        )
        self._write(decision, offsets, lambda: self._parking.note(note, both.noted))
        assert self._keys is not None
        self._keys.unsettled = self._in_transactions

    def _write(
        self, decision: Decision, offsets: PartitionOffsets, write: Callable[[], None]
    ) -> None:
        while True:
            try:
                write()
            except BufferError:
                # Every write ends within the client's delivery timeout, so there will be room.
                self._parking.poll(_SLICE_S)
            except KafkaException as raised:
                offsets.unparked(decision.event.offset or 0)
                if error_of(raised).code() != STATE:
                    raise
                raise NoTransactionError(
                    "an event is refused, and no transaction is open to park it in",
                    remedy="call `begin_transaction()` before reading, or abort the transaction"
                    " that failed; the event is read again",
                ) from raised
            else:
                return

    def _written(
        self,
        decision: Decision,
        offsets: PartitionOffsets,
        kind: Kind | None,
        error: KafkaError | None,
        topic: str | None = None,
    ) -> None:
        event = decision.event
        assert event.partition is not None
        assert event.offset is not None
        name: Kind = kind or ("held" if decision.effect == "hold" else "quarantined")
        if error is None:
            self._guard.count(f"parked/{event.topic}/{name}")
            offsets.acknowledged(event.offset)
            return
        self._guard.count("dropped/parking/failed")
        if self._assigned.is_current(event.topic, event.partition, offsets):
            offsets.failed(event.offset)
            place = TopicPartition(event.topic, event.partition, event.offset)
            topic = topic or parked_topic(decision.plan.settings, event.topic, name)
            self._failures.append(_Failure(offsets, place, topic, error))

    def serve(self) -> None:
        """Take in what became of parked events."""
        if self._parking.pending:
            self._parking.poll(0)

    def drain(self, timeout_s: float) -> bool:
        """Wait until every parked event is written or failed; False at the deadline."""
        return self._parking.flush(time.monotonic() + timeout_s) == 0

    def stop_before_failures(
        self, client: Consumer, moved: Callable[[TopicPartition], None]
    ) -> None:
        """After a failed write: go back to before the event, and say so.

        `moved` hears of each partition whose position changed. Raises DeliveryError.
        """
        failures, self._failures = self._failures, []
        first: dict[Place, _Failure] = {}
        for failure in failures:
            place = failure.place
            if not self._assigned.is_current(place.topic, place.partition, failure.offsets):
                continue
            known = first.get((place.topic, place.partition))
            if known is None or place.offset < known.place.offset:
                first[place.topic, place.partition] = failure
        for failure in first.values():
            client.seek(failure.place)
            failure.offsets.sought(failure.place.offset, by_application=False)
            moved(failure.place)
        if first:
            raise _not_parked(min(first.values(), key=lambda f: (f.place.topic, f.place.partition)))

    def forget_failures(self) -> None:
        """What could not be written is read again anyway."""
        self._failures.clear()

    @property
    def failing(self) -> bool:
        """True where `stop_before_failures` has something to say."""
        return bool(self._failures)


class _Both:
    """Tells `done` once a parked event is written, and what others of its key wait for."""

    __slots__ = ("_done", "_error", "_left", "_topic")

    def __init__(self, done: Callable[..., None], topic: str) -> None:
        self._done, self._topic, self._left = done, topic, 2
        self._error: tuple[KafkaError | None, str | None] = None, None

    def __call__(self, error: KafkaError | None) -> None:
        self._tell(error, None)

    def noted(self, error: KafkaError | None) -> None:
        """The record about its key is written, or not."""
        self._tell(error, self._topic)

    def _tell(self, error: KafkaError | None, topic: str | None) -> None:
        self._left -= 1
        if error is not None:
            self._error = error, topic
        if not self._left:
            self._done(*self._error)


def _unheard(_error: KafkaError | None) -> None:
    """Nothing hangs on it."""


def _not_parked(failure: _Failure) -> DeliveryError:
    place = failure.place
    why, remedy = why_unparked(failure.error, failure.topic, place.topic)
    return DeliveryError(
        f"the event at {place.topic}[{place.partition}]@{place.offset} is refused and could not be "
        f"parked: {why}",
        remedy=f"{remedy}, and read on; nothing was passed over",
    )
