"""Writing what people decided: reviews by themselves, or in one transaction with the event.

A transaction needs no record of an intent and no second step: the event and the record of its
release are there together, or neither is. Its id is that of the parking topic, so that of two
who release at the same time, on whatever hosts, the later one shuts the earlier one out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from streamwarden.errors import QuarantineError

from ..policy.keys import KeyRing
from ..schemas.event import Record
from .codes import FENCED, TIMED_OUT, error_of
from .connection import ConfigMap, connection_of
from .reviews import Review, encode_review

__all__ = ["ReleaseWriter", "TakenOverError", "write_reviews"]

log = logging.getLogger("streamwarden")

#: Released events may be as large as their topic takes; the brokers know.
_MESSAGE_MAX_BYTES = 100_000_000
_TRANSACTION_TIMEOUT_MS = 60_000
_POLL_S = 0.1
_SHUT_OUT = frozenset({FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


class _Quiet:
    """What a client has to say, for who asks for debugging: it would write to stderr.

    That another release shuts this one out is fatal to the client, and an outcome here.
    """

    @staticmethod
    def log(_level: int, text: str, *args: object) -> None:
        log.debug(text, *args)


class TakenOverError(QuarantineError):
    """Another release of the same parking topic began; this one wrote nothing more."""


def write_reviews(
    config: ConfigMap,
    reviews: Sequence[tuple[str, Review]],
    keys: KeyRing | None,
    *,
    timeout_s: float,
) -> None:
    """Write each review into its parking topic. Raises QuarantineError unless all are there."""
    errors: list[KafkaError] = []

    def told(error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            errors.append(error)

    producer = Producer({**connection_of(config), "enable.idempotence": True, "linger.ms": 0})
    deadline = time.monotonic() + timeout_s
    try:
        for topic, review in reviews:
            value, headers = encode_review(review, topic, keys)
            send: Callable[..., None] = producer.produce
            send(topic, value, None, review.partition, on_delivery=told, headers=headers)
            producer.poll(0)
        left = producer.flush(max(0.0, deadline - time.monotonic()))
    except (KafkaException, BufferError) as raised:
        raise _refused(error_of(raised)) from raised
    if left:
        raise _refused(KafkaError(TIMED_OUT))
    if errors:
        raise _refused(errors[0])


def _refused(error: KafkaError) -> QuarantineError:
    return QuarantineError(
        f"what was decided could not be recorded: {error.str()}",
        remedy="check the right to write to the parking topics; nothing was done",
    )


class ReleaseWriter:
    """Writes events and their reviews in transactions on one parking topic. A context manager.

    From `__enter__` on every other release of that topic, begun before, writes nothing more, and
    all that it wrote can be read.
    """

    def __init__(
        self, config: ConfigMap, topic: str, keys: KeyRing | None, *, deadline: float
    ) -> None:
        self._topic, self._keys, self._deadline = topic, keys, deadline
        self._producer = Producer(
            {
                "logger": _Quiet(),
                **connection_of(config),
                "transactional.id": f"streamwarden-release-{topic}",
                "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                "message.max.bytes": _MESSAGE_MAX_BYTES,
                "linger.ms": 0,
            }
        )

    def __enter__(self) -> Self:
        self._call(self._producer.init_transactions)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not `close()`: it waits a minute for what can no longer be sent. A transaction that is
        # still open is undone by the broker, at the latest when the next release begins.
        self._producer.purge()
        self._producer.poll(0)

    def write(
        self, entries: Sequence[tuple[Record | None, Review]], notes: Sequence[Record] = ()
    ) -> KafkaError | None:
        """All of `entries` (an event to send, or None, and its review) in one transaction.

        `notes` are records to go with them.

        Gives the error of a transaction that will be undone, since a record of it failed: this
        writer is of no more use then. Raises TakenOverError, and QuarantineError where it is not
        known what became of it.
        """
        errors: list[KafkaError] = []

        def told(error: KafkaError | None, _message: Any) -> None:
            if error is not None:
                errors.append(error)

        try:
            self._producer.begin_transaction()
            for record, review in entries:
                self._send(record, review, told)
            for note in notes:
                self._send_record(note, told)
            # A commit waits in vain for what comes behind a record that failed: look first.
            while len(self._producer) and not errors and time.monotonic() < self._deadline:
                self._producer.poll(_POLL_S)
            if not errors:
                self._call(self._producer.commit_transaction)
        except (KafkaException, BufferError) as raised:
            errors.append(error_of(raised))
        if errors and errors[0].code() in _SHUT_OUT:
            raise self._taken_over()
        return errors[0] if errors else None

    def _send(self, record: Record | None, review: Review, told: Callable[..., None]) -> None:
        send: Callable[..., None] = self._producer.produce
        if record is not None:
            self._send_record(record, told)
        value, headers = encode_review(review, self._topic, self._keys)
        send(self._topic, value, None, review.partition, on_delivery=told, headers=headers)
        self._producer.poll(0)

    def _send_record(self, record: Record, told: Callable[..., None]) -> None:
        send: Callable[..., None] = self._producer.produce
        send(
            record.topic,
            record.value,
            record.key,
            -1 if record.partition is None else record.partition,
            on_delivery=told,
            timestamp=record.timestamp or 0,
            headers=record.headers,
        )

    def _call(self, operation: Callable[[float], None]) -> None:
        """Call again while the client says that this may help, up to the deadline."""
        while True:
            left = self._deadline - time.monotonic()
            try:
                return operation(max(left, _POLL_S))
            except KafkaException as raised:
                error = error_of(raised)
                if error.code() in _SHUT_OUT:
                    raise self._taken_over() from raised
                if error.txn_requires_abort():
                    raise
                if not error.retriable() or left <= 0:
                    raise QuarantineError(
                        f"the transaction on `{self._topic}` did not come to an end: {error.str()}",
                        remedy="list the parked events again to see which were released",
                    ) from raised

    def _taken_over(self) -> TakenOverError:
        return TakenOverError(
            f"another release from `{self._topic}` began meanwhile",
            remedy="list the parked events again to see which were released",
        )
