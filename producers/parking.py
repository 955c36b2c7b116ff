"""Writing parked events: safely, whatever the user configured, and with the outcome always told.

Outside transactions they go through an idempotent producer of the guard's own, with acks=all; in a
transactional producer they go through that producer, and share the fate of its transaction.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Producer

from ..policy.decision import Decision
from ..policy.keys import KeyRing
from ..policy.parking import Kind, park
from ..policy.waiting import key_digest
from ..schemas.event import Record
from .callbacks import Callbacks
from .codes import STATE, UNKNOWN_PARTITION, error_of
from .connection import ConfigMap
from .unparked import unparked

__all__ = ["POINTER_HEADER", "POINTER_KEY_HEADER", "Done", "Parking", "inherited"]

log = logging.getLogger("streamwarden")

#: Told once about each parked event, from `poll()` or `flush()`: None when it is acknowledged.
Done: TypeAlias = Callable[[KafkaError | None], None]

#: On a parked record that is only a pointer: how many bytes the event's value has. The value is
#: at the origin's coordinates.
POINTER_HEADER = "streamwarden-pointer"
#: On a pointer whose key is too large as well: the digest of the key, by which events of one key
#: wait behind one another.
POINTER_KEY_HEADER = "streamwarden-pointer-key"

#: Enough for the head of a decision, when all of it does not fit.
_CUT_DECISION_MAX_BYTES = 512
_POINTER_KEY_MAX_BYTES = 4096
_METADATA_TIMEOUT_S = 1.0
_METADATA_KEPT_S = 300.0
#: Where the count cannot be found out, the next attempt waits, so that not every event does.
_METADATA_UNKNOWN_S = 10.0
_RETRY_PAUSE_S = 0.5
#: Parked events that may wait for another attempt; beyond it the queue counts as full.
_AGAIN_MAX = 10_000

#: Producers of the parent process: a child must neither use nor destroy them.
inherited: list[object] = []


class _Write:
    """One parked event on its way; the client calls it with the outcome."""

    __slots__ = ("alone", "anywhere", "decision", "done", "error", "group", "kind", "line", "size")
    note: Record | None = None

    def __init__(
        self,
        line: Parking,
        decision: Decision | None,
        done: Done,
        kind: Kind | None = None,
        group: str | None = None,
        error: str | None = None,
    ) -> None:
        self.line, self.decision, self.done = line, decision, done
        self.kind: Kind | None = kind
        self.group, self.error = group, error
        self.size = 0  # 0 all of it, 1 the decision cut, 2 a pointer
        self.alone = False  # in a batch of its own
        self.anywhere = False  # in the partition of its key, since the origin's is not there

    def __call__(self, error: KafkaError | None, _message: Any) -> None:
        self.line.reported(self, error)


class _Note(_Write):
    """A record beside parked events, as it is, in the very partition that it names."""

    __slots__ = ("note",)

    def __init__(self, line: Parking, note: Record, done: Done) -> None:
        super().__init__(line, None, done)
        self.note = note


class Parking:
    """The way of parked events into their topics. Thread-safe.

    `through` is a transactional producer to write with; without it, an own producer with `config`
    is made at the first parked event, and `failed` is told of each failure. `pointers` says that a record which is too large may become
    a pointer to the event, which is then in Kafka. With `block`, a write that cannot be done is
    tried again for ever; without, its error is told.
    """

    def __init__(
        self,
        config: ConfigMap,
        *,
        callbacks: Callbacks,
        count: Callable[[str], None],
        through: Producer | None = None,
        failed: Callable[[KafkaError], None] | None = None,
        keys: KeyRing | None = None,
        pointers: bool = False,
        block: bool = False,
    ) -> None:
        self._config = {**config, "message.timeout.ms": 0} if block else dict(config)
        if block:
            self._config.pop("delivery.timeout.ms", None)
        self._callbacks, self._count, self._keys = callbacks, count, keys
        self._through, self._pointers, self._block = through, pointers, block
        self._on_failure = failed
        self._lock = threading.Lock()
        self._batched: Producer | None = None
        self._single: Producer | None = None
        self._retired: list[Producer] = []
        self._told: deque[tuple[Done, KafkaError]] = deque()
        self._again: deque[tuple[float, _Write]] = deque()
        self._partitions: dict[str, tuple[int | None, float]] = {}
        #: Parked events whose outcome is not told yet.
        self.pending = 0
        #: Asked before a write is taken, once this is being closed; raises where it is not to be.
        self.refuses: Callable[[], None] | None = None

    def __len__(self) -> int:
        """Parked events that a flush has to wait for.

        Those on their way through a transactional producer are waited for there.
        """
        return self.pending if self._through is None else len(self._told)

    def note(self, record: Record, done: Done) -> None:
        """Write `record` beside parked events: in order, as safely, and told of likewise.

        Its partition is taken modulo the count of its topic's. Raises as `park`.
        """
        self._take(_Note(self, record, done))

    def park(
        self,
        decision: Decision,
        done: Done,
        *,
        kind: Kind | None = None,
        group: str | None = None,
        error: str | None = None,
        ask_s: float = _METADATA_TIMEOUT_S,
    ) -> None:
        """Write the event of `decision` to its parking topic; `done` is called from a later poll.

        Brokers may be asked for the topic's partitions, for up to `ask_s`.

        Raises BufferError when the queue is full: then nothing was taken. KafkaException only
        where the whole producer can write nothing (no transaction open, a fatal error).
        """
        self._take(_Write(self, decision, done, kind, group, error), ask_s)

    def _take(self, write: _Write, ask_s: float = _METADATA_TIMEOUT_S) -> None:
        if len(self._again) >= _AGAIN_MAX:
            raise BufferError("too many parked events wait for their topic")
        self._add(1)  # first: whoever closes this waits for what is counted, or is seen here
        try:
            if self.refuses is not None:
                self.refuses()
            self._send(write, ask_s)
        except BaseException:
            self._add(-1)
            raise

    def poll(self, timeout_s: float = 0.0, *, ask_until: float = math.inf) -> int:
        """Tell outcomes that are there, waiting up to `timeout_s` for one; gives their number.

        Brokers may be asked for partitions besides, for up to a second and not past `ask_until`.
        """
        served = self._tell()
        self._send_again(ask_until)
        for client in self._clients():
            served += client.poll(0 if served else timeout_s)
        self._retired = [client for client in self._retired if len(client)]
        return served + self._tell()

    def flush(self, deadline: float) -> int:
        """Wait until every outcome is told, or `deadline` (monotonic); gives how many are not."""
        while len(self):
            self.poll()
            for client in self._clients():
                client.flush(max(0.0, min(deadline - time.monotonic(), 0.1)))
            self._tell()
            if time.monotonic() >= deadline:
                break
        return len(self)

    def purge(self, **which: bool) -> None:
        """Give up what is not written; each is told so from a later poll."""
        for client in self._clients():
            client.purge(**which)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Use other credentials from the next authentication on."""
        self._config |= {"sasl.username": username, "sasl.password": password}
        for client in self._clients():
            client.set_sasl_credentials(username, password)

    def close(self) -> None:
        """Let go of the producers; what is not written by then is lost."""
        self._batched = self._single = None
        self._retired.clear()

    def abandon(self, instead: Any = None) -> None:
        """Forget everything, in a child process: all of it is the parent's.

        `instead` takes the place of the transactional producer.
        """
        inherited.extend(self._clients())
        if self._through is not None and instead is not None:
            self._through = instead
        self._lock = threading.Lock()
        self.close()
        self._told.clear()
        self._again.clear()
        self.pending = 0

    def _clients(self) -> list[Producer]:
        own = [client for client in (self._batched, self._single) if client is not None]
        return own + self._retired

    def _client(self, *, alone: bool) -> Producer:
        if self._through is not None:
            return self._through
        with self._lock:
            if alone:
                if self._single is None:
                    self._single = Producer({**self._config, "batch.num.messages": 1})
                return self._single
            if self._batched is None:
                self._batched = Producer(self._config)
            return self._batched

    def _send(self, write: _Write, ask_s: float = _METADATA_TIMEOUT_S) -> None:
        client = self._client(alone=write.alone)
        while True:
            record = self._record(write)
            partition = -1 if write.anywhere else self._partition(client, record, ask_s)
            if partition < 0 and write.note is not None:
                self._failed(write, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
                return
            try:
                send: Callable[..., None] = client.produce
                send(
                    record.topic,
                    record.value,
                    record.key,
                    partition,
                    on_delivery=write,
                    timestamp=record.timestamp or 0,
                    headers=record.headers,
                )
            except KafkaException as failed:
                error = error_of(failed)
                if error.code() == STATE or error.fatal():
                    raise
                if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and self._smaller(write):
                    continue
                self._failed(write, error)
            return

    def _record(self, write: _Write) -> Record:
        if write.note is not None:
            return write.note
        assert write.decision is not None
        if write.size == 0:
            limits: dict[str, int] = {}
        else:
            limits = {"decision_max_bytes": _CUT_DECISION_MAX_BYTES}
        record = park(
            write.decision,
            kind=write.kind,
            group=write.group,
            error=write.error,
            keys=self._keys,
            **limits,
        )
        return _pointer(record, write.decision) if write.size == 2 else record

    def _smaller(self, write: _Write) -> bool:
        """Choose a smaller form for what was too large; False where there is none."""
        largest = 2 if self._pointers else 1
        if write.note is not None or write.size >= largest:
            return False
        write.size += 1
        self._count("fallbacks/parking_cut")
        return True

    def reported(self, write: _Write, error: KafkaError | None) -> None:
        """The client's report about a write. Called inside the client: never raises."""
        if error is None:
            self._finish(write.done, None)
            return
        if error.fatal():
            self._retire()
        if self._through is None and self._try_otherwise(write, error):
            try:
                self._send(write, 0.0)  # brokers cannot be asked inside the client
            except (BufferError, KafkaException) as failed:
                self._failed(write, error_of(failed))
            return
        self._failed(write, error)

    def _try_otherwise(self, write: _Write, error: KafkaError) -> bool:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            if not write.alone:
                # The broker's limit is on batches: others in it may have been the large ones.
                write.alone = True
                return True
            return self._smaller(write)
        if error.code() == UNKNOWN_PARTITION and not write.anywhere:
            # The topic was made anew with fewer partitions.
            self._partitions.clear()
            write.anywhere = True
            return True
        return False

    def _failed(self, write: _Write, error: KafkaError) -> None:
        if self._block and self._through is None and not error.fatal():
            self._count("fallbacks/parking_retried")
            self._again.append((time.monotonic() + _RETRY_PAUSE_S, write))
            return
        if self._through is not None and self._on_failure is not None:
            known = write.decision
            self._on_failure(error if known is None else unparked(known, error, write.kind))
        self._told.append((write.done, error))

    def _send_again(self, ask_until: float) -> None:
        while self._again and self._again[0][0] <= (now := time.monotonic()):
            if now >= ask_until and self._would_ask(self._again[0][1]):
                return
            _, write = self._again.popleft()
            try:
                self._send(write, ask_until - now)
            except BufferError:
                self._again.append((time.monotonic() + _RETRY_PAUSE_S, write))
                return

    def _tell(self) -> int:
        count = 0
        while self._told:
            try:
                done, error = self._told.popleft()
            except IndexError:  # another thread was faster
                break
            self._finish(done, error)
            count += 1
        return count

    def _finish(self, done: Done, error: KafkaError | None) -> None:
        self._add(-1)
        self._callbacks.run(done, error)

    def _add(self, number: int) -> None:
        with self._lock:
            self.pending += number

    def _retire(self) -> None:
        """After a fatal error a producer writes nothing more: the next event gets a new one."""
        with self._lock:
            self._retired += [c for c in (self._batched, self._single) if c is not None]
            self._batched = self._single = None
        self._count("fallbacks/parking_renewed")

    def _would_ask(self, write: _Write) -> bool:
        """Whether brokers would have to be asked where to write."""
        record = self._record(write)
        if write.anywhere or record.partition is None or record.partition < 0:
            return False
        return time.monotonic() >= self._partitions.get(record.topic, (None, 0.0))[1]

    def _partition(self, client: Producer, record: Record, ask_s: float) -> int:
        """The origin's partition modulo the parking topic's count; -1 (by key) where unknown."""
        if record.partition is None or record.partition < 0:
            return -1
        count, until = self._partitions.get(record.topic, (None, 0.0))
        if time.monotonic() >= until and ask_s > 0:
            count = self._count_partitions(client, record.topic, ask_s)
            kept = _METADATA_UNKNOWN_S if count is None else _METADATA_KEPT_S
            self._partitions[record.topic] = count, time.monotonic() + kept
        if count is None:
            self._count("fallbacks/parking_partition")
            return -1
        return record.partition % count

    def _count_partitions(self, client: Producer, topic: str, ask_s: float) -> int | None:
        try:
            found = client.list_topics(topic, timeout=min(ask_s, _METADATA_TIMEOUT_S)).topics.get(
                topic
            )
        except KafkaException:
            return None
        if found is None or found.error is not None:
            return None
        return len(found.partitions) or None


def _pointer(record: Record, decision: Decision) -> Record:
    """A record that says where the event is, instead of holding it."""
    own = {id(header) for header in decision.event.headers}
    headers = [header for header in record.headers if id(header) not in own]
    size = 0 if record.value is None else len(record.value)
    headers.append((POINTER_HEADER, str(size).encode()))
    key = record.key
    if key is not None and len(key) > _POINTER_KEY_MAX_BYTES:
        headers.append((POINTER_KEY_HEADER, key_digest(key).encode()))
        key = None
    return record._replace(key=key, value=None, headers=headers)
