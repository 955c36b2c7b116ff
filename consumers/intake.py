"""From a client's message to a guarded one: decides, hands over or parks, and keeps the offsets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
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
from ..producers.codes import STATE, UNKNOWN_TOPIC, error_of
from ..producers.parking import Parking
from ..schemas.event import Event
from .assigned import Assigned, Place
from .messages import GuardedMessage
from .offsets import PartitionOffsets

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
    """See the module's first line. `park` writes through `parking`; `assigned` has the offsets."""

    def __init__(
        self, guard: Guard, parking: Parking, assigned: Assigned, *, group: str | None
    ) -> None:
        self._guard, self._now = guard, guard.now
        self._evaluate = guard.evaluator("consume")
        self._parking, self._assigned, self._group = parking, assigned, group
        self._failures: list[_Failure] = []

    def use_parking(self, parking: Parking) -> None:
        """Park by another way from now on."""
        self._parking = parking

    @property
    def full(self) -> bool:
        """True while so many parked events wait that nothing more should be read."""
        return self._parking.pending >= _PENDING_MAX

    def judge(self, message: Message) -> GuardedMessage | None:
        """The message as the application may have it; None when its event is parked."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        kind, timestamp = message.timestamp()
        decision = self._evaluate(
            Event(
                topic,
                message.value(),
                message.key(),
                message.headers() or (),  # type: ignore[arg-type]  # read ones have bytes or None
                None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
                self._now(),
                partition,
                offset,
            ),
            "consume",
        )
        offsets = self._assigned.of(topic, partition)
        if decision.effect.passes:
            offsets.delivered(offset)
            return GuardedMessage(message, decision, offsets)
        if offsets.parked(offset):
            self._park(decision, offsets)
        self._guard.refused(decision)
        return None

    def park_by_handler(self, message: GuardedMessage, error: str) -> None:
        """Park an event that the handler could not deal with."""
        offsets = self._assigned.of(message.topic(), message.partition())
        offsets.parked(message.offset())
        offsets.done(message.offset() + 1)
        self._park(message.decision, offsets, kind="handler", error=error)

    def _park(
        self,
        decision: Decision,
        offsets: PartitionOffsets,
        *,
        kind: Kind | None = None,
        error: str | None = None,
    ) -> None:
        done = partial(self._written, decision, offsets, kind)
        while True:
            try:
                self._parking.park(decision, done, kind=kind, group=self._group, error=error)
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
            topic = parked_topic(decision.plan.settings, event.topic, name)
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


def _not_parked(failure: _Failure) -> DeliveryError:
    place = failure.place
    if failure.error.code() in UNKNOWN_TOPIC:
        why = f"there is no topic `{failure.topic}`"
        remedy = f"make it (`streamwarden topics ensure --topic {place.topic}`) and read on"
    else:
        why = failure.error.name()
        remedy = "make the parking topics writable (`streamwarden topics ensure`) and read on"
    return DeliveryError(
        f"the event at {place.topic}[{place.partition}]@{place.offset} is refused and could not be "
        f"parked: {why}",
        remedy=f"{remedy}; nothing was passed over",
    )
