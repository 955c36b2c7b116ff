"""Reading with the client: messages in, guarded messages out, and what parked events need between."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamwarden.errors import DeliveryError

from ..policy.guard import Guard
from ..producers.callbacks import Callbacks
from ..producers.codes import ASSIGNMENT_LOST, NO_OFFSET, PARTITION_EOF, error_of
from ..producers.connection import ConfigMap
from ..producers.forks import watch_forks
from ..producers.parking import Parking, inherited
from ..schemas.event import Record
from .assigned import Assigned, Place
from .catching_up import CatchingUp
from .closing import absent_client, close_client, leaves_before_close
from .holding import Holding
from .intake import Intake
from .messages import GuardedMessage
from .pausing import Pausing
from .waiting import WaitingKeys

__all__ = ["DRAIN_TIMEOUT_S", "Polled", "Reader"]

log = logging.getLogger("streamwarden")

#: What `poll()` gives: a guarded message, or one of the client's with an error.
Polled: TypeAlias = GuardedMessage | Message

#: A wait is cut into slices, so that outcomes of parked events are seen, and signals too.
_SLICE_S = 0.1
_PARKING_SLICE_S = 0.01
_BATCH_SLICE_S = 0.5
#: Offsets are handed to the client for its own commits this often while messages keep coming.
_STORE_EVERY_S = 0.1
#: How long parked events may hold up a rebalance, a synchronous commit or the end.
DRAIN_TIMEOUT_S = 10.0


class Reader:
    """See the module's first line. Not thread-safe, as the client's own reading is not.

    `auto_store` marks an event done when it is handed out, as the client does; `auto_commit` says
    that the client commits by itself what is stored; `tells_end` that the application wants to
    hear of partition ends.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        guard: Guard,
        parking: Parking,
        callbacks: Callbacks,
        auto_store: bool,
        auto_commit: bool,
        tells_end: bool,
    ) -> None:
        self.guard, self.parking, self.callbacks = guard, parking, callbacks
        self.auto_store, self.auto_commit, self._tells_end = auto_store, auto_commit, tells_end
        self.assigned = Assigned()
        self.catching_up = CatchingUp(self.assigned)
        self.intake = Intake(
            guard,
            parking,
            self.assigned,
            group=config.get("group.id"),
            keys=partial(self._waiting_keys, config),
        )
        self._leaves = leaves_before_close(config)
        self.closed = False
        #: Ends of partitions that were reached, for `run(until_end=True)`.
        self.ends: set[Place] = set()
        #: Grows with every change of the assignment.
        self.generation = 0
        #: Where reading began, by partition, since the last `section`.
        self.began: dict[Place, int] = {}
        #: True where a group gives the partitions, and not the application.
        self.grouped = False
        #: True from `subscribe()` to `unsubscribe()`.
        self.subscribed = False
        #: Within transactions positions and offsets are theirs, and not capped here.
        self.in_transactions = False
        #: Called before partitions go, and after they were lost.
        self.on_settle: Callable[[], None] | None = None
        self.on_gone: Callable[[list[TopicPartition]], None] | None = None
        self._ready: deque[Polled] = deque()
        self._handed: dict[Place, int] = {}
        self._pausing = Pausing()
        self._stored_at = 0.0
        self._holding = Holding(guard)
        self.client = Consumer(config)
        watch_forks(self)

    def _waiting_keys(self, config: ConfigMap, drop: Callable[[Record], None]) -> WaitingKeys:
        group = config.get("group.id")
        return WaitingKeys(config, lambda: self.client, guard=self.guard, group=group, drop=drop)

    def read(self, deadline: float) -> Polled | None:
        """The next message for the application, or None at the deadline."""
        while True:
            self._look_after()
            if self._ready:
                return self._hand_out(self._ready.popleft())
            if self.intake.full or self._holding:
                self.stay(_PARKING_SLICE_S)
                raw = None
            else:
                raw = self._fetch(deadline)
            if raw is not None:
                taken = self._take_all([raw])
                if self.callbacks.failing:
                    self._ready.extend(taken)
                    self.callbacks.raise_first()
                if taken:
                    return self._hand_out(taken[0])
            elif time.monotonic() >= deadline:
                self.callbacks.raise_first()
                self._look_after()
                if not self._ready:
                    return None
            else:
                self.callbacks.raise_first()

    def read_batch(self, count: int, deadline: float) -> list[Polled]:
        """Up to `count` messages; fewer at the deadline, or when a batch had parked events."""
        while True:
            self._look_after()
            taken: list[Polled] = []
            if not self._ready and not self.intake.full and not self._holding:
                self._pausing.over(self.client)
                taken = self._take_all(self._fetch_batch(count, deadline))
                if self.callbacks.failing:
                    self._ready.extend(taken)
                    self.callbacks.raise_first()
            elif self.intake.full or self._holding:
                self.stay(_PARKING_SLICE_S)
            if not taken and self._ready:
                taken = [self._ready.popleft() for _ in range(min(count, len(self._ready)))]
            if taken or time.monotonic() >= deadline:
                if self.auto_store:
                    self._hand_out_all(taken)
                return taken

    def _fetch_batch(self, count: int, deadline: float) -> list[Message]:
        """What is there; where there is nothing, the first that comes within a moment."""
        found = self.client.consume(count, 0)
        left = deadline - time.monotonic()
        if found or left <= 0:
            return found
        found, generation = self.client.consume(1, min(left, _BATCH_SLICE_S)), self.generation
        if not found or count == 1:
            return found
        try:
            more = self.client.consume(count - 1, 0)
        except BaseException:
            self._put_back(found)
            raise
        if generation != self.generation:  # its partition may be another member's by now
            kept = {(each.topic, each.partition) for each in self.client.assignment()}
            found = [each for each in found if (each.topic(), each.partition()) in kept]
        return found + more

    def _fetch(self, deadline: float) -> Message | None:
        if self._pausing:
            self._pausing.over(self.client)
        raw = self.client.poll(0)
        if raw is None and (left := deadline - time.monotonic()) > 0:
            if not self.in_transactions:
                self._keep_up()
            slice_s = _PARKING_SLICE_S if self.parking.pending else _SLICE_S
            raw = self.client.poll(min(left, slice_s))
        return raw

    def _take_all(self, messages: list[Message]) -> list[Polled]:
        """The messages as the application may have them, in their order.

        After an exception, those before it are ready to be handed out.
        """
        taken: list[Polled] = []
        batches, at = self.intake.batches, 0
        if self.in_transactions:
            for message in messages:
                if message.error() is None:
                    self._note(message)
        while at < len(messages):
            try:
                batches.judge(messages, at, taken)
            except BaseException as raised:
                self._ready.extend(taken)
                stopped_at = batches.stopped_at
                self._put_back(messages[stopped_at:])
                self._holding.over(messages[at:stopped_at])
                if self._holding.begins(raised, messages[stopped_at]):
                    return []
                raise
            if self._holding.waits:
                self._holding.over(messages[at : batches.stopped_at])
            at = batches.stopped_at + 1
            if at <= len(messages) and (told := self._told(messages[at - 1])) is not None:
                taken.append(told)
        return taken

    def _told(self, message: Message) -> Message | None:
        """What the client says in a message's place, where the application wants to hear it."""
        error = message.error()
        if error is not None and error.code() == PARTITION_EOF:
            self.ends.add((message.topic() or "", message.partition() or 0))
            return message if self._tells_end else None
        return message

    def _note(self, message: Message) -> None:
        place = message.topic() or "", message.partition() or 0
        self.began.setdefault(place, message.offset() or 0)

    def use_parking(self, parking: Parking) -> None:
        """Park by another way from now on."""
        self.parking = parking
        self.intake.use_parking(parking)

    def position(self, given: TopicPartition) -> TopicPartition:
        """A position of the client as it may be committed; before what is not handed out yet."""
        if not self.in_transactions:
            return self.assigned.position(given)
        for message in self._ready:
            if (message.topic(), message.partition()) == (given.topic, given.partition):
                return TopicPartition(given.topic, given.partition, message.offset() or 0)
        return given

    def group_metadata(self) -> Any:
        """The client's, as it goes into a transaction; KafkaException where it is of no worth.

        A member that lost its membership has no id, also before it hears of that in its next poll.
        Another one may have its partitions by then, and brokers do not always refuse offsets
        without an id: those without a generation too are for them of somebody outside of the group.
        """
        metadata = self.client.consumer_group_metadata()
        if self.grouped and not self.client.memberid():
            raise KafkaException(KafkaError(ASSIGNMENT_LOST, "not a member of the group any more"))
        return metadata

    def section(self) -> None:
        """What is read from now on is read again after `rewind`."""
        self.began.clear()
        self.intake.settled()
        self.guard.tick()

    def rewind(self) -> None:
        """Read again all that was read in this section: its transaction is undone."""
        began, self.began = self.began, {}
        self.intake.forget_failures()
        self.intake.settled()
        self._ready.clear()
        for (topic, partition), offset in began.items():
            place = TopicPartition(topic, partition, offset)
            self.assigned.forget([place])
            self.seek_back(place)

    def _put_back(self, messages: Iterable[Message]) -> None:
        """What could not even be decided (there is no policy, say) is read again."""
        first: dict[Place, TopicPartition] = {}
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if message.error() is None and topic and partition is not None and offset is not None:
                first.setdefault((topic, partition), TopicPartition(topic, partition, offset))
        for place in first.values():
            self.seek_back(place)

    def _hand_out(self, message: Polled) -> Polled:
        if self.auto_store and isinstance(message, GuardedMessage):
            self.handed(message)
        return message

    def _hand_out_all(self, messages: Iterable[Polled]) -> None:
        """As each by itself: of a partition, the last one says it all."""
        last: dict[int, GuardedMessage] = {}
        for message in messages:
            if isinstance(message, GuardedMessage):
                last[id(message.offsets)] = message
        for message in last.values():
            self.handed(message)

    def handed(self, message: GuardedMessage) -> None:
        """The application has `message`, where that means that it is done."""
        if self.auto_commit:
            message.offsets.finished(message.offset() + 1)
        else:
            # The application commits, perhaps less than it was given: that is not known yet.
            self._handed[message.topic(), message.partition()] = message.offset() + 1

    def take_back(self, messages: Iterable[Polled]) -> None:
        """Messages that did not reach the application are the next to be handed out."""
        current = self.assigned.is_current
        self._ready.extendleft(
            message
            for message in reversed(list(messages))
            if not isinstance(message, GuardedMessage)
            or current(message.topic(), message.partition(), message.offsets)
        )

    def finish_handed(self) -> None:
        """The application is through with everything that was handed out."""
        for place, upto in self._handed.items():
            offsets = self.assigned.get(*place)
            if offsets is not None:
                offsets.done(upto)
        self._handed.clear()

    def park_by_handler(self, message: GuardedMessage, error: str) -> None:
        """Park an event that the handler could not deal with."""
        self.intake.park_by_handler(message, error)
        if message.offsets.waiting:
            # What was read since was judged before anything of its key had to wait.
            self.seek_back(
                TopicPartition(message.topic(), message.partition(), message.offset() + 1)
            )

    def finished(self, message: GuardedMessage) -> None:
        """The application is through with `message` and all before it in its partition."""
        message.offsets.finished(message.offset() + 1)

    def _look_after(self) -> None:
        """Outcomes of parked events, offsets to store; raises for what could not be parked."""
        if self.parking.pending:
            self.intake.serve()
        if self.intake.failing:
            self.intake.stop_before_failures(self.client, self._moved_back)
        if not self.in_transactions and time.monotonic() - self._stored_at >= _STORE_EVERY_S:
            self._keep_up()

    def store(self) -> None:
        """Hand what may be committed to the client."""
        self._stored_at = time.monotonic()
        self.assigned.store(self.client)

    def _keep_up(self) -> None:
        """Store what may be committed, and commit what the application's commits left out."""
        self.guard.tick()
        self.store()
        if not self.auto_commit and (further := self.catching_up.due()):
            try:
                self.client.commit(offsets=further, asynchronous=True)
            except KafkaException as raised:
                log.debug("parked events were not committed past: %s", error_of(raised).str())

    def _moved(self, place: TopicPartition, *, keep_before: bool = False) -> None:
        """Reading goes on elsewhere: what was fetched from there is not handed out.

        `keep_before`: what lies before `place` is, since it will not be read again.
        """
        self._ready = deque(
            message
            for message in self._ready
            if (message.topic(), message.partition()) != (place.topic, place.partition)
            or (keep_before and (message.offset() or 0) < place.offset)
        )

    def _moved_back(self, place: TopicPartition) -> None:
        self._moved(place, keep_before=True)

    def stay(self, wait_s: float) -> None:
        """Stay a member of the group for a while without reading: all is paused, and polled."""
        self._pausing.all(self.client, self.generation)
        raw = self.client.poll(wait_s)
        if raw is not None:
            self._ready.extend(self._take_all([raw]))
        self.intake.serve()

    def pause(self, partitions: list[TopicPartition]) -> None:
        """The application wants nothing from these."""
        self._pausing.pause(self.client, partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        """The application reads these again."""
        self._pausing.resume(self.client, partitions)

    def seek(self, place: TopicPartition, *, by_application: bool = True) -> None:
        """Read on at `place`."""
        self.client.seek(place)
        offsets = self.assigned.of(place.topic, place.partition)
        offsets.sought(place.offset, by_application=by_application)
        self._moved(place, keep_before=not by_application)
        self.ends.discard((place.topic, place.partition))

    def seek_back(self, place: TopicPartition) -> None:
        """Read on at `place`, which was read already; not where the partition is gone by now."""
        try:
            self.seek(place, by_application=False)
        except KafkaException as error:
            log.debug("%s[%d] is gone: %s", place.topic, place.partition, error)

    def settle(self, partitions: list[TopicPartition] | None = None) -> None:
        """Write what is parked, and commit what may be, of `partitions` or of all."""
        if self.in_transactions:
            if self.on_settle is not None:
                self.on_settle()
            return
        self.intake.drain(DRAIN_TIMEOUT_S)
        self.store()
        assigned, behind = self.assigned, self.catching_up
        wanted = assigned.frontiers(partitions) if self.auto_commit else behind.due(partitions)
        if wanted:
            self.commit_now(wanted)

    def check_parked(self) -> None:
        """Raise DeliveryError where a refused event that was read is not safely parked."""
        if self.in_transactions:
            return
        if self.intake.failing:
            self.intake.stop_before_failures(self.client, self._moved_back)
        if left := self.parking.pending:
            raise DeliveryError(
                f"{left} refused events were not parked within {DRAIN_TIMEOUT_S:g} s",
                remedy="look after the parking topics; these events will be read again",
            )

    def commit_now(self, offsets: list[TopicPartition]) -> None:
        """Commit `offsets`; that there are none is no failure."""
        try:
            self.client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as raised:
            if error_of(raised).code() != NO_OFFSET:
                raise

    def assigned_now(self, partitions: list[TopicPartition]) -> None:
        """These partitions are read from now on."""
        self.generation += 1
        self.assigned.forget(partitions)
        places = {(each.topic, each.partition) for each in partitions}
        for place in places:
            self._handed.pop(place, None)
        self._pausing.forget(places)
        self._holding.forget(places)
        self.ends -= places

    def gone(self, partitions: list[TopicPartition]) -> None:
        """These partitions are not read any more."""
        if self.on_gone is not None:
            self.on_gone(partitions)
        self.assigned_now(partitions)
        self.intake.forget_keys(partitions)
        for each in partitions:
            self._moved(each)
            self.began.pop((each.topic, each.partition), None)

    def is_assigned(self, topic: str, partition: int, generation: int) -> bool:
        """Whether a partition that was read in `generation` still is, without a break."""
        if generation == self.generation:
            return True
        return self.assigned.get(topic, partition) is not None

    def unwritten(self) -> int:
        """Parked events that are not written yet."""
        self.intake.serve()
        return len(self.parking)

    def close(self) -> None:
        """Write what is parked, commit what may be, leave the group."""
        if self.closed:
            return
        try:
            self.settle()
        except (KafkaException, RuntimeError) as error:
            log.warning("offsets could not be committed at the end: %s", error)
        self.closed = True
        left = len(self.parking)
        if left:
            log.error("%d parked events were not written; they will be read again", left)
            self.parking.purge(in_queue=True, in_flight=True, blocking=True)
        close_client(self.client, leaves=self.grouped and self._leaves)
        self.intake.close()
        self.parking.close()

    def after_fork(self) -> None:
        """In a child: the parent's client is neither used nor destroyed."""
        if not self.closed:
            inherited.append(self.client)
            self.intake.abandon()
            self.parking.abandon()
            self.client = absent_client()
            self.closed = True
