"""The client's own error codes: public ones, whose names start with `_` in confluent-kafka."""

from __future__ import annotations

from confluent_kafka import KafkaError

__all__ = [
    "ALL_BROKERS_DOWN",
    "ASSIGNMENT_LOST",
    "FENCED",
    "INVALID_ARG",
    "MAX_POLL_EXCEEDED",
    "NO_OFFSET",
    "PARTITION_EOF",
    "PURGED",
    "QUEUE_FULL",
    "STATE",
    "TIMED_OUT",
    "TRANSPORT",
    "UNKNOWN_PARTITION",
    "error_of",
]

# ruff: noqa: SLF001 - see the first line
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN
ASSIGNMENT_LOST = KafkaError._ASSIGNMENT_LOST
FENCED = KafkaError._FENCED
INVALID_ARG = KafkaError._INVALID_ARG
MAX_POLL_EXCEEDED = KafkaError._MAX_POLL_EXCEEDED
NO_OFFSET = KafkaError._NO_OFFSET
PARTITION_EOF = KafkaError._PARTITION_EOF
PURGED = frozenset({KafkaError._PURGE_INFLIGHT, KafkaError._PURGE_QUEUE})
QUEUE_FULL = KafkaError._QUEUE_FULL
STATE = KafkaError._STATE
TIMED_OUT = KafkaError._TIMED_OUT
TRANSPORT = KafkaError._TRANSPORT
UNKNOWN_PARTITION = KafkaError._UNKNOWN_PARTITION


def error_of(raised: BaseException) -> KafkaError:
    """The KafkaError in what the client raised; a full queue is a BufferError without one."""
    found = raised.args[0] if raised.args else None
    if isinstance(found, KafkaError):
        return found
    if isinstance(raised, BufferError):
        return KafkaError(QUEUE_FULL)
    return KafkaError(KafkaError.UNKNOWN, str(raised))
