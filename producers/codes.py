"""The client's own error codes: public ones, whose names start with `_` in confluent-kafka."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

__all__ = [
    "ALL_BROKERS_DOWN",
    "ASSIGNMENT_LOST",
    "FENCED",
    "INVALID_ARG",
    "MAX_POLL_EXCEEDED",
    "MSG_TIMED_OUT",
    "NO_OFFSET",
    "PARTITION_EOF",
    "PURGED",
    "PURGE_QUEUE",
    "QUEUE_FULL",
    "STATE",
    "TIMED_OUT",
    "TRANSPORT",
    "UNKNOWN_PARTITION",
    "UNKNOWN_TOPIC",
    "error_of",
    "reworded",
    "settled",
]

# ruff: noqa: SLF001 - see the first line
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN
ASSIGNMENT_LOST = KafkaError._ASSIGNMENT_LOST
FENCED = KafkaError._FENCED
INVALID_ARG = KafkaError._INVALID_ARG
MAX_POLL_EXCEEDED = KafkaError._MAX_POLL_EXCEEDED
MSG_TIMED_OUT = KafkaError._MSG_TIMED_OUT
NO_OFFSET = KafkaError._NO_OFFSET
PARTITION_EOF = KafkaError._PARTITION_EOF
PURGE_QUEUE = KafkaError._PURGE_QUEUE
PURGED = frozenset({KafkaError._PURGE_INFLIGHT, PURGE_QUEUE})
QUEUE_FULL = KafkaError._QUEUE_FULL
STATE = KafkaError._STATE
TIMED_OUT = KafkaError._TIMED_OUT
TRANSPORT = KafkaError._TRANSPORT
UNKNOWN_PARTITION = KafkaError._UNKNOWN_PARTITION
UNKNOWN_TOPIC = frozenset({KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART})

#: What a partition answers while its leader starts, moves or returns: soon it answers properly.
_UNSETTLED = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        TRANSPORT,
    }
)
_AGAIN_S = 0.1
_T = TypeVar("_T")


def error_of(raised: BaseException) -> KafkaError:
    """The KafkaError in what the client raised; a full queue is a BufferError without one."""
    found = raised.args[0] if raised.args else None
    if isinstance(found, KafkaError):
        return found
    if isinstance(raised, BufferError):
        return KafkaError(QUEUE_FULL)
    return KafkaError(KafkaError.UNKNOWN, str(raised))


def reworded(error: KafkaError, reason: str) -> KafkaError:
    """`error` with another reason; all else of it stays."""
    return KafkaError(
        error.code(),
        reason,
        fatal=error.fatal(),
        retriable=error.retriable(),
        txn_requires_abort=error.txn_requires_abort(),
    )


def settled(ask: Callable[[float], _T], deadline: float) -> _T:
    """What `ask` (given the seconds left) answers, asked again while the partition has no leader.

    Until `deadline` (monotonic); then, and for every other error, what it raised is raised.
    """
    while True:
        try:
            return ask(max(0.0, deadline - time.monotonic()))
        except KafkaException as raised:
            if error_of(raised).code() not in _UNSETTLED:
                raise
            if time.monotonic() + _AGAIN_S >= deadline:
                raise
            time.sleep(_AGAIN_S)
