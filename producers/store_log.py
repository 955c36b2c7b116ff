"""The one partition that a bundle store in Kafka lives in: read to its end, appended to, prepared."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamwarden.errors import StoreError

from ..policy.store_records import UNREACHABLE
from .codes import ALL_BROKERS_DOWN, PARTITION_EOF, TRANSPORT, error_of, settled
from .connection import ConfigMap, connection_of, reader_config
from .target import topic_settings

__all__ = ["Entry", "StoreLog", "TooLargeError"]

_GROUP: Final = "streamwarden-store"
_SLICE_S: Final = 0.1
#: The client's own limit is off: the topic's is what counts, and what can be raised.
_RECORD_MAX_BYTES: Final = 100_000_000
#: What a topic made here takes: far above a bundle, whose records are compressed besides.
_TOPIC_MAX_BYTES: Final = 16 * 1024 * 1024
_ABSENT: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART,)
#: How long connections may rest between two errors; the client's own goes up to ten seconds.
_RECONNECT_MS: Final = 500


class Entry(NamedTuple):
    """One record of the log."""

    offset: int
    key: bytes | None
    value: bytes | None


class TooLargeError(Exception):
    """The topic does not take a record of that size."""


class StoreLog:
    """See the module's first line. Nothing connects before it is used. Not thread-safe.

    `shown` names the store in messages. Whatever takes until a deadline (monotonic) raises
    StoreError then.
    """

    def __init__(self, config: ConfigMap, topic: str, shown: str) -> None:
        self.topic, self._shown = topic, shown
        self._place = TopicPartition(topic, 0)
        self._complaint = ""
        quiet = {"log_level": 0, "error_cb": self._heard, "reconnect.backoff.max.ms": _RECONNECT_MS}
        self._config: dict[str, Any] = {**quiet, **config}
        self._consumer: Consumer | None = None
        # Asks where the end is. A broker answers a connection in order: on the one that waits for
        # records to come, the question would wait as long.
        self._asker: Consumer | None = None
        self._producer: Producer | None = None
        self._assigned = self._prepared = False
        self._next = 0

    # ---------------------------------------------------------------- reading

    def read(self, deadline: float, *, until: int | None = None) -> tuple[bool, list[Entry]]:
        """What was appended since the last reading, up to `until` (the present end).

        True beside it where the log is another than before, so that it begins anew.
        """
        with self._telling():
            if not self._open(deadline):
                return False, []
            assert self._consumer is not None
            anew = False
            if until is None:
                _, until = self._bounds(deadline)
                if until < self._next:  # the topic was deleted and made again
                    self._restart()
                    anew = True
            entries: list[Entry] = []
            while self._next < until:
                message = self._consumer.poll(min(self._left(deadline), _SLICE_S))
                if message is not None:
                    self._take(message, entries)
            return anew, entries

    def wait(self, timeout_s: float) -> list[Entry]:
        """What is appended next, after at most so long; [] where nothing is, or no topic."""
        with self._telling():
            if not self._assigned or self._consumer is None:
                time.sleep(timeout_s)
                return []
            entries: list[Entry] = []
            message = self._consumer.poll(timeout_s)
            while message is not None and len(entries) < 1000:
                self._take(message, entries)
                message = self._consumer.poll(0)
            return entries

    def at(self, offset: int, deadline: float) -> Entry | None:
        """The record at `offset`; None where compaction has removed it."""
        with self._telling():
            if not self._open(deadline):
                return None
            assert self._consumer is not None
            back = TopicPartition(self.topic, 0, self._next)
            try:
                self._consumer.seek(TopicPartition(self.topic, 0, offset))
                while True:
                    message = self._consumer.poll(min(self._left(deadline), _SLICE_S))
                    found = None if message is None else message.offset()
                    if message is None or found is None or found < offset:
                        continue
                    if message.error() is not None or found > offset:
                        return None
                    return Entry(offset, _bytes(message.key()), _bytes(message.value()))
            finally:
                self._consumer.seek(back)

    def _bounds(self, deadline: float) -> tuple[int, int]:
        asker = self._asker
        assert asker is not None
        self._left(deadline)
        return settled(lambda left_s: asker.get_watermark_offsets(self._place, left_s), deadline)

    def _take(self, message: Message, entries: list[Entry]) -> None:
        error, offset = message.error(), message.offset()
        if error is not None:
            if error.code() == PARTITION_EOF:
                self._next = max(self._next, offset or 0)
            elif error.code() not in (ALL_BROKERS_DOWN, TRANSPORT):
                raise KafkaException(error)
        elif offset is not None and offset >= self._next:
            self._next = offset + 1
            entries.append(Entry(offset, _bytes(message.key()), _bytes(message.value())))

    def _open(self, deadline: float) -> bool:
        """Connect and begin to read; False where there is no topic."""
        if self._assigned:
            return True
        if self._consumer is None or self._asker is None:
            # A record that is appended wakes a waiting fetch; a short wait would only poll.
            settings = {
                **reader_config(self._config, _GROUP),
                "error_cb": self._heard,
                "fetch.wait.max.ms": 500,
            }
            self._consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
            self._asker = Consumer(settings)
        self._left(deadline)
        partitions = settled(self._partitions, deadline)
        if not partitions:
            return False
        if partitions != 1:
            raise StoreError(
                f"the store {self._shown} has {partitions} partitions",
                remedy="make its topic with one: only within one partition has a log an order",
            )
        self._restart()
        return True

    def _partitions(self, timeout_s: float) -> int:
        """How many the topic has; 0 where it is not there."""
        assert self._asker is not None
        found = self._asker.list_topics(self.topic, timeout=timeout_s).topics[self.topic]
        if found.error is None:
            return len(found.partitions)
        if found.error.code() in _ABSENT:
            return 0
        raise KafkaException(found.error)

    def _restart(self) -> None:
        assert self._consumer is not None
        self._consumer.assign([TopicPartition(self.topic, 0, OFFSET_BEGINNING)])
        self._assigned, self._next = True, 0

    # ---------------------------------------------------------------- writing

    def append(self, records: Sequence[tuple[str, bytes | None]], deadline: float) -> int:
        """Write records, acknowledged by all in-sync replicas; gives the last one's offset.

        Raises TooLargeError, and StoreError where it is not known whether they were written.
        """
        offsets: list[int] = []
        failures: list[KafkaError] = []

        def report(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            if error is not None:
                failures.append(error)
            elif offset is not None:
                offsets.append(offset)

        with self._telling():
            producer = self._writer()
            try:
                for key, value in records:
                    producer.produce(
                        self.topic, key=key, value=value, partition=0, on_delivery=report
                    )
                while len(offsets) + len(failures) < len(records) and time.monotonic() < deadline:
                    producer.poll(min(max(0.0, deadline - time.monotonic()), _SLICE_S))
                if len(offsets) + len(failures) < len(records):
                    producer.purge()  # else it may be sent later, when nobody waits any more
                    producer.poll(_SLICE_S)
            except KafkaException as error:
                failures.append(error_of(error))
            if failures and failures[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise TooLargeError
            if len(offsets) < len(records):
                raise self._unknown(failures)
            return max(offsets, default=-1)

    def discard(self, key: str) -> None:
        """Let compaction remove a record that no reader counts; nobody waits for it."""
        with self._telling():
            self._writer().produce(self.topic, key=key, value=None, partition=0)

    def prepare(self, deadline: float) -> None:
        """Make the topic where it is not there; raise StoreError for one that would forget."""
        if self._prepared:
            return
        with self._telling():
            if not self._open(deadline):
                self._create(deadline)
                while not self._open(deadline):
                    time.sleep(_SLICE_S / 2)
            settings = topic_settings(self._config, self.topic, self._left(deadline)) or {}
            keeps = settings.get("retention.ms", "-1"), settings.get("retention.bytes", "-1")
            if "delete" in settings.get("cleanup.policy", "") and keeps != ("-1", "-1"):
                raise StoreError(
                    f"the topic of the store {self._shown} forgets: its cleanup.policy is "
                    f"`{settings['cleanup.policy']}`",
                    remedy="set cleanup.policy=compact on it",
                )
        self._prepared = True

    def _create(self, deadline: float) -> None:
        admin = AdminClient(connection_of(self._config))
        create: Callable[..., dict[str, Future[None]]] = admin.create_topics  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        settings = {"cleanup.policy": "compact", "max.message.bytes": str(_TOPIC_MAX_BYTES)}
        new = NewTopic(self.topic, 1, config=settings)
        left = self._left(deadline)
        try:
            create([new], operation_timeout=left, request_timeout=left)[self.topic].result(left)
        except KafkaException as error:
            if error_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def _writer(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                {
                    "compression.type": "zstd",
                    "message.max.bytes": _RECORD_MAX_BYTES,
                    "linger.ms": 0,
                    **self._config,
                    "enable.idempotence": True,
                    "acks": "all",
                }
            )
        return self._producer

    # ------------------------------------------------------------------- both

    def close(self) -> None:
        """Let go of the clients; what was only discarded may not be written."""
        if self._producer is not None:
            self._producer.flush(1)
        for client in (self._consumer, self._asker):
            if client is not None:
                client.close()
        self._producer = self._consumer = self._asker = None
        self._assigned = False

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            raise self._unreachable("it does not answer in time")
        return left

    def _heard(self, error: KafkaError) -> None:
        # That all brokers are down is only the sum of what was said about each of them.
        if error.code() != ALL_BROKERS_DOWN:
            # How long it took differs each time; what is said once is logged once.
            self._complaint = error.str().partition(" (after ")[0]

    def _unknown(self, failures: Sequence[KafkaError]) -> StoreError:
        why = failures[0].str() if failures else "it does not answer in time"
        return StoreError(
            f"the store {self._shown} did not confirm the change ({why}{self._said()})",
            remedy="it may have been written all the same: look at its history, then try again",
            code=UNREACHABLE,
        )

    def _unreachable(self, why: str) -> StoreError:
        return StoreError(
            f"the store {self._shown} cannot be used: {why}{self._said()}",
            remedy="check servers, rights and network",
            code=UNREACHABLE,
        )

    def _said(self) -> str:
        # A client tells its complaints when it is polled.
        for client in (self._asker, self._producer):
            if client is not None:
                client.poll(0)
        said, self._complaint = self._complaint, ""
        return f"; the client says: {' '.join(said.split())[:200]}" if said else ""

    @contextmanager
    def _telling(self) -> Generator[None]:
        try:
            yield
        except KafkaException as raised:
            error = error_of(raised)
            raise self._unreachable(f"{error.str()} ({error.name()})") from None
        except TimeoutError:
            raise self._unreachable("it does not answer in time") from None


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
