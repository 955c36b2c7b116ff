"""What every way of running a handler shares: when to try again, when to stop, what to say."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streamwarden.errors import ConfigurationError

from ..producers.codes import (
    ALL_BROKERS_DOWN,
    MAX_POLL_EXCEEDED,
    PARTITION_EOF,
    TIMED_OUT,
    TRANSPORT,
    error_of,
)
from .assigned import Place
from .messages import GuardedMessage
from .reader import Reader

__all__ = ["Ends", "Failing", "RunLimits", "handler_said", "pass_error", "raised_where"]

log = logging.getLogger("streamwarden")

#: Errors that the client recovers from by itself, though it does not call them retriable.
_PASSING = frozenset(
    {
        ALL_BROKERS_DOWN,
        MAX_POLL_EXCEEDED,
        TIMED_OUT,
        TRANSPORT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # a topic that is made later
    }
)
_BACKOFF_MAX_S = 30.0
_METADATA_TIMEOUT_S = 10.0
_ERROR_TEXT_MAX_CHARS = 300


class Failing:
    """What is done when the handler raises: `retries` with growing pauses, then `then`."""

    __slots__ = ("backoff_s", "retries", "then")

    def __init__(self, then: str, *, retries: int, backoff_s: float) -> None:
        limits: dict[str, Any] = {"handler_retries": retries, "handler_backoff_s": backoff_s}
        for name, value in limits.items():
            if not isinstance(value, int | float) or not value >= 0:
                raise ConfigurationError(f"`{name}` is a number from 0 on, not {value!r}")
        self.then, self.retries, self.backoff_s = then, retries, backoff_s

    def pause_s(self, attempt: int, jitter: float) -> float:
        """The pause after attempt 1, 2, …: doubled each time, up to half of it left to chance."""
        full = min(self.backoff_s * 2.0 ** min(attempt - 1, 30), _BACKOFF_MAX_S)
        return full * (1.0 - jitter / 2)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """When a run ends by itself; None is never."""

    max_messages: int | None = None
    idle_timeout_s: float | None = None
    until_end: bool = False

    def left(self, handled: int) -> float:
        """How many events may still be handled."""
        return math.inf if self.max_messages is None else self.max_messages - handled

    def idle_deadline(self) -> float:
        """When a run ends that gets nothing from now on, on the monotonic clock."""
        return math.inf if self.idle_timeout_s is None else time.monotonic() + self.idle_timeout_s


def pass_error(message: Any) -> None:
    """An error in a message's place: logged where it passes by itself, else raised."""
    error: KafkaError = message.error()
    if error.code() == PARTITION_EOF:
        return
    if error.fatal() or not (error.retriable() or error.code() in _PASSING):
        raise KafkaException(error)
    log.warning("while reading: %s", error)


def handler_said(message: GuardedMessage, error: Exception) -> str:
    """What the parked record says about the handler's error.

    The text of an exception often quotes the event: on a topic with sensitive fields only its
    type is kept, and where it was raised.
    """
    name = raised_where(error)
    if message.decision.plan.privacy.paths:
        return f"the handler raised {name}"
    return f"the handler raised {name}: {error}"[:_ERROR_TEXT_MAX_CHARS]


def raised_where(error: BaseException) -> str:
    """The type of an exception and the line that raised it, and nothing of what it says."""
    name, at = type(error).__name__, error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return name
    return f"{name} ({PurePath(at.tb_frame.f_code.co_filename).name}, line {at.tb_lineno})"


class Ends:
    """Whether every assigned partition was read to where its end was when it was assigned."""

    def __init__(self, reader: Reader, wanted: bool) -> None:
        self._reader, self._wanted = reader, wanted
        self._generation = -1
        self._ends: dict[Place, int] = {}

    def reached(self) -> bool:
        """True when there is nothing left to read; always False unless `wanted`."""
        if not self._wanted:
            return False
        reader = self._reader
        assignment = reader.client.assignment()
        if not assignment:
            return False
        if self._generation != reader.generation:
            self._generation = reader.generation
            for each in assignment:
                self._freeze(each)
        return all(self._past(each) for each in assignment)

    def _freeze(self, each: TopicPartition) -> None:
        place = each.topic, each.partition
        if place not in self._ends:
            try:
                _, high = self._reader.client.get_watermark_offsets(each, _METADATA_TIMEOUT_S)
            except KafkaException as error:
                log.debug("no end of %s[%d]: %s", *place, error_of(error).name())
            else:
                self._ends[place] = high

    def _past(self, each: TopicPartition) -> bool:
        place = each.topic, each.partition
        if place in self._reader.ends:
            return True
        offsets = self._reader.assigned.get(*place)
        return offsets is not None and (offsets.read_to or 0) >= self._ends.get(place, 2**63)
