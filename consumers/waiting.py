"""Keys that wait behind a refused event (`park: key`), as the consumer of their partition knows them.

The bookkeeping of a partition has the keys of which events wait; here is what is written down about
them, and read when a partition is begun. Where nobody asks for it there is not even a client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from streamwarden.errors import DeliveryError

from ..policy.guard import Guard
from ..policy.plan import Plan
from ..policy.waiting import (
    KeyPlace,
    Parked,
    closed_record,
    key_digest,
    parked_record,
    parks_keys,
    read_record,
    released_of,
    waiting_topic,
)
from ..producers.codes import PARTITION_EOF, error_of, settled
from ..producers.connection import ConfigMap, connection_of, reader_config
from ..producers.parking import inherited
from ..schemas.event import Event, Record
from .assigned import Place
from .offsets import PartitionOffsets

__all__ = ["WaitingKeys"]

#: How long what is written down may take to be read; a transaction may be open on it meanwhile.
_READ_TIMEOUT_S = 30.0
_SLICE_S = 0.1
#: While events of a waiting key come, what became of it is looked at so often at least.
_LOOK_EVERY_S = 0.5
#: An end behind transaction markers is told by a fetch that finds nothing.
_FETCH_WAIT_MS = 50
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class _Known:
    """What is written down about a key: how far it was parked, how far it is through."""

    parked: Parked | None = None
    through: int = -1

    @property
    def waits(self) -> Parked | None:
        return self.parked if self.parked is not None and self.parked.last > self.through else None


class WaitingKeys:
    """See the module's first lines. `client` gives the consumer that events come from.

    `drop` takes records that remove what need not stay written down; it matters little whether they
    are written.
    """

    def __init__(
        self,
        config: ConfigMap,
        client: Callable[[], Consumer],
        *,
        guard: Guard,
        group: str | None,
        drop: Callable[[Record], None],
    ) -> None:
        self._config, self._client, self._guard = config, client, guard
        self._group, self._drop = group or "", drop
        self._reader: Consumer | None = None
        self._admin: AdminClient | None = None
        self._known: dict[Place, dict[str, _Known]] = {}
        self._homes: dict[Place, Place] = {}  # where it is written down
        self._next: dict[Place, int] = {}  # of those, how far they were read
        #: Records that this consumer has in an open transaction; they are read once it is over.
        self.unsettled = False

    def close(self) -> None:
        """Let go of the clients."""
        reader, self._reader, self._admin = self._reader, None, None
        if reader is not None:
            reader.close()

    def abandon(self) -> None:
        """In a child process: the clients are the parent's."""
        inherited.extend(client for client in (self._reader, self._admin) if client is not None)
        self._reader = self._admin = None

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Use other credentials from the next authentication on."""
        self._config = {**self._config, "sasl.username": username, "sasl.password": password}
        for client in (self._reader, self._admin):
            if client is not None:
                client.set_sasl_credentials(username, password)

    def forget(self, places: set[Place]) -> None:
        """These partitions are not read any more."""
        for place in places & self._known.keys():
            del self._known[place]
            home = self._homes.pop(place)
            if home not in self._homes.values() and self._reader is not None:
                self._reader.incremental_unassign([TopicPartition(*home)])
                self._next.pop(home, None)

    def begin(self, plan: Plan, offsets: PartitionOffsets, event: Event) -> None:
        """Another plan decides in this partition: let keys wait where it asks for that.

        Raises DeliveryError where it cannot be read which keys do.
        """
        if not parks_keys(plan):
            offsets.waiting = None
        elif offsets.waiting is None:
            assert event.partition is not None
            self._read(event.topic, event.partition, offsets, event.offset or 0)
            known = self._known[event.topic, event.partition]
            offsets.waiting = {
                digest: waits for digest, each in known.items() if (waits := each.waits) is not None
            }
            self._tidy(event, offsets.waiting)
        offsets.plan = plan

    def behind(self, event: Event, offsets: PartitionOffsets) -> int | None:
        """The offset of the event that `event` has to wait behind, or None.

        `offsets.waiting` is not empty.
        """
        waiting = offsets.waiting
        if event.key is None or not waiting:
            return None
        digest = key_digest(event.key)
        found, offset = waiting.get(digest), event.offset or 0
        if found is None or offset <= found.first:
            return None  # the first one is judged again where it is read again
        assert event.partition is not None
        if offset >= offsets.looked_to or time.monotonic() >= offsets.look_at:
            self._read(event.topic, event.partition, offsets, offset)
            self._tidy(event, waiting)
            found = waiting.get(digest)
            if found is None:
                return None
        released = released_of(event, self._group)
        if released is not None and found.first <= released <= found.last:
            return None
        return found.first

    def passed(self, event: Event, offsets: PartitionOffsets) -> Record | None:
        """`event` passes: where it is the one that others wait behind, they need not any more."""
        waiting = offsets.waiting
        if event.key is None or not waiting:
            return None
        digest = key_digest(event.key)
        found = waiting.get(digest)
        if found is None or event.offset != found.first:
            return None
        del waiting[digest]
        return self._record(event, closed_record(self._place(event, digest), found.last))

    def wait(self, event: Event, offsets: PartitionOffsets) -> Record | None:
        """Events of its key wait from now on; gives what is to be written down.

        None where nothing is: the event has no key, or with `waiting_keys_full` `pass` there are
        too many; else that raises DeliveryError.
        """
        waiting = offsets.waiting
        if event.key is None or waiting is None or event.partition is None:
            return None
        digest, offset = key_digest(event.key), event.offset or 0
        found = waiting.get(digest)
        if found is None:
            if self._through(event, digest) >= offset:
                return None  # read again, and dealt with by people meanwhile
            if self._full(event, len(waiting)):
                return None
            found = Parked(offset, offset, 1)
        elif offset > found.last:
            found = Parked(found.first, offset, found.count + 1)
        waiting[digest] = found
        return self._record(event, parked_record(self._place(event, digest), found))

    def _full(self, event: Event, count: int) -> bool:
        failing = self._guard.failing
        if count < failing.waiting_keys_max:
            return False
        if failing.waiting_keys_full == "pass":
            self._guard.count("dropped/waiting/full")
            return True
        self._guard.count("fallbacks/waiting_stopped")
        raise DeliveryError(
            f"events of {count:,} keys of {event.topic}[{event.partition}] wait, and now of one"
            " more",
            remedy="release or discard them (`streamwarden quarantine list --topic "
            f"{event.topic}`), or raise `waiting_keys_max`; nothing was passed over",
        )

    def _through(self, event: Event, digest: str) -> int:
        known = self._known.get((event.topic, event.partition or 0), {}).get(digest)
        return -1 if known is None else known.through

    def _place(self, event: Event, digest: str) -> KeyPlace:
        return KeyPlace(self._group, event.partition or 0, digest)

    def _record(self, event: Event, said: tuple[bytes, bytes | None]) -> Record:
        topic = waiting_topic(self._guard.settings, event.topic)
        return Record(topic, event.partition, said[0], said[1], [], None)

    # Reading what is written down.

    def _read(self, topic: str, partition: int, offsets: PartitionOffsets, offset: int) -> None:
        """Read on to where it ends now, which is valid for all events that are there by now."""
        deadline = time.monotonic() + _READ_TIMEOUT_S
        place = TopicPartition(topic, partition)
        try:
            _, end = settled(lambda s: self._client().get_watermark_offsets(place, s), deadline)
            self._catch_up((topic, partition), deadline)
        except (KafkaException, TimeoutError) as raised:
            why = error_of(raised).str() if isinstance(raised, KafkaException) else "no answer"
            raise DeliveryError(
                f"which keys of {topic}[{partition}] wait cannot be read: {why}",
                remedy=f"make the topic for it (`streamwarden topics ensure --topic {topic}`) and"
                " give this client the right to read it; nothing was passed over",
            ) from raised
        offsets.looked_to = max(end, offset + 1)
        offsets.look_at = time.monotonic() + _LOOK_EVERY_S
        self._settle((topic, partition), offsets)

    def _settle(self, place: Place, offsets: PartitionOffsets) -> None:
        """Let go of keys that were released since."""
        waiting = offsets.waiting
        if not waiting:
            return
        for digest, each in self._known[place].items():
            found = waiting.get(digest)
            if found is not None and each.through >= found.last:
                del waiting[digest]
            elif found is not None and each.through >= found.first:
                # Which one comes next is known to whoever released: at most it is the last.
                waiting[digest] = Parked(min(each.through + 1, found.last), found.last, found.count)

    def _tidy(self, event: Event, waiting: Mapping[str, Parked]) -> None:
        """Remove what is written down of keys that wait no more, once all of that was read past."""
        known = self._known[event.topic, event.partition or 0]
        for digest, each in list(known.items()):
            if each.waits is None and each.through < (event.offset or 0) and digest not in waiting:
                del known[digest]
                place = self._place(event, digest)
                # In this order: what was parked must never seem to wait again.
                self._drop(self._record(event, parked_record(place, None)))
                self._drop(self._record(event, closed_record(place, None)))

    def _catch_up(self, place: Place, deadline: float) -> None:
        home = self._home(place, deadline)
        reader = self._reader
        assert reader is not None
        end = self._end(home, deadline)
        if self._next[home] >= end:
            return
        reader.resume([TopicPartition(*home)])
        try:
            while self._next[home] < end:
                if time.monotonic() >= deadline:
                    raise TimeoutError
                for message in reader.consume(500, _SLICE_S):
                    self._take(message)
        finally:
            reader.pause([TopicPartition(*home)])

    def _home(self, place: Place, deadline: float) -> Place:
        if self._reader is None:
            self._reader = Consumer(
                {
                    **reader_config(self._config, "streamwarden-waiting"),
                    "fetch.wait.max.ms": _FETCH_WAIT_MS,
                }
            )
            self._admin = AdminClient(connection_of(self._config))
        home = self._homes.get(place)
        if home is None:
            topic = waiting_topic(self._guard.settings, place[0])
            found = self._reader.list_topics(timeout=deadline - time.monotonic()).topics.get(topic)
            if found is None or not found.partitions:
                raise KafkaException(
                    KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"there is no topic `{topic}`")
                )
            home = topic, place[1] % len(found.partitions)
            self._known[place] = {}
            again = home in self._next
            self._homes[place] = home
            self._next[home] = 0
            if again:  # another partition is written down there too: read all of it once more
                self._reader.incremental_unassign([TopicPartition(*home)])
            self._reader.incremental_assign([TopicPartition(*home, OFFSET_BEGINNING)])
        return home

    def _end(self, home: Place, deadline: float) -> int:
        """Where it ends, with what open transactions have written, unless that is our own."""
        isolation = (
            IsolationLevel.READ_COMMITTED if self.unsettled else IsolationLevel.READ_UNCOMMITTED
        )

        def ask(left_s: float) -> int:
            assert self._admin is not None
            place = TopicPartition(*home)
            asked = cast(
                "Mapping[TopicPartition, Future[Any]]",
                self._admin.list_offsets(
                    {place: _LATEST}, isolation_level=isolation, request_timeout=max(left_s, 0.1)
                ),
            )
            return int(asked[place].result(left_s).offset)

        return settled(ask, deadline)

    def _take(self, message: Message) -> None:
        home = message.topic() or "", message.partition() or 0
        offset, error = message.offset() or 0, message.error()
        if error is not None:
            if error.code() != PARTITION_EOF:
                raise KafkaException(error)
            self._next[home] = max(self._next.get(home, 0), offset)
            return
        self._next[home] = offset + 1
        read = read_record(message.key(), message.value())
        if read is None or read[0].group != self._group:
            return
        key, kind, said = read
        origin = next(
            (p for p, h in self._homes.items() if h == home and p[1] == key.partition), None
        )
        if origin is None:
            return
        known = self._known[origin].setdefault(key.digest, _Known())
        if kind == "closed":
            known.through = max(known.through, said) if isinstance(said, int) else -1
        else:
            known.parked = said if isinstance(said, Parked) else None
        if known.parked is None and known.through < 0:
            del self._known[origin][key.digest]
