"""Running a handler: retries with the group kept, offsets after success, a clean stop."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

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

__all__ = ["Failing", "Handler", "Runner"]

log = logging.getLogger("streamwarden")

#: `handler(message)`; what it returns is ignored.
Handler: TypeAlias = Callable[[GuardedMessage], object]

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
_SLICE_S = 0.2
_BACKOFF_MAX_S = 30.0
_METADATA_TIMEOUT_S = 10.0
_ERROR_TEXT_MAX_CHARS = 300


class Failing:
    """What is done when the handler raises: `retries` with growing pauses, then `then`."""

    __slots__ = ("backoff_s", "retries", "then")

    def __init__(self, then: str, *, retries: int, backoff_s: float) -> None:
        if retries < 0 or backoff_s < 0:
            raise ConfigurationError("`handler_retries` and `handler_backoff_s` are not negative")
        self.then, self.retries, self.backoff_s = then, retries, backoff_s

    def pause_s(self, attempt: int, jitter: float) -> float:
        """The pause after attempt 1, 2, …: doubled each time, up to half of it left to chance."""
        full = min(self.backoff_s * 2.0 ** min(attempt - 1, 30), _BACKOFF_MAX_S)
        return full * (1.0 - jitter / 2)


class Runner:
    """Reads with `reader` and hands each message to a handler. `stop` may come from any thread."""

    def __init__(
        self, reader: Reader, failing: Failing, *, chance: Callable[[], float] = random.random
    ) -> None:
        self._reader, self._failing, self._chance = reader, failing, chance
        self._stopping = threading.Event()
        self._running = False

    def stop(self) -> None:
        """End `run` after the message that is being handled."""
        self._stopping.set()

    def run(
        self,
        handler: Handler,
        *,
        max_messages: int | None,
        idle_timeout_s: float | None,
        until_end: bool,
    ) -> int:
        """Handle messages until told to stop; gives how many were handled."""
        if self._running:
            raise RuntimeError("the consumer is running already")
        reader = self._reader
        stored_by_hand, reader.auto_store = reader.auto_store, False
        self._running = True
        try:
            return self._loop(handler, max_messages, idle_timeout_s, _Ends(reader, until_end))
        finally:
            self._running = False
            self._stopping.clear()
            reader.auto_store = stored_by_hand
            self._settle()

    def _settle(self) -> None:
        try:
            self._reader.settle()
        except KafkaException as error:
            # They are stored: a later commit takes them, and until then events are read again.
            log.warning("offsets could not be committed: %s", error)

    def _loop(
        self,
        handler: Handler,
        max_messages: int | None,
        idle_timeout_s: float | None,
        ends: _Ends,
    ) -> int:
        handled = 0
        idle_until = math.inf if idle_timeout_s is None else time.monotonic() + idle_timeout_s
        while not self._stopping.is_set() and (max_messages is None or handled < max_messages):
            now = time.monotonic()
            message = self._reader.read(min(now + _SLICE_S, max(idle_until, now)))
            if message is None:
                if time.monotonic() >= idle_until or ends.reached():
                    break
            elif not isinstance(message, GuardedMessage):
                self._told(message)
            else:
                if self._handle(handler, message):
                    handled += 1
                if idle_timeout_s is not None:
                    idle_until = time.monotonic() + idle_timeout_s
                if ends.reached():
                    break
        return handled

    def _told(self, message: Any) -> None:
        """An error in a message's place: those that pass by themselves are logged."""
        error: KafkaError = message.error()
        if error.code() == PARTITION_EOF:
            return
        if error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise KafkaException(error)
        log.warning("while reading: %s", error)

    def _handle(self, handler: Handler, message: GuardedMessage) -> bool:
        """True when the message was handled (or parked for the handler's error)."""
        reader, attempt = self._reader, 0
        generation = reader.generation
        while True:
            attempt += 1
            try:
                handler(message)
            except Exception as error:  # noqa: BLE001 - whatever the handler raises
                if self._stopping.is_set() or attempt > self._failing.retries:
                    return self._give_up(message, error, attempt)
                reader.guard.count("handler/retried")
                pause_s = self._failing.pause_s(attempt, self._chance())
                log.warning(
                    "the handler raised %s at %s[%d]@%d, attempt %d of %d, next in %.1f s",
                    type(error).__name__,
                    message.topic(),
                    message.partition(),
                    message.offset(),
                    attempt,
                    self._failing.retries + 1,
                    pause_s,
                )
                self._stay(pause_s)
                if not reader.is_assigned(message.topic(), message.partition(), generation):
                    return False  # it is another member's event now
            except BaseException:  # interrupted: the event is not handled
                reader.seek_back(_place(message))
                raise
            else:
                reader.finished(message)
                return True

    def _stay(self, pause_s: float) -> None:
        until = time.monotonic() + pause_s
        while (left := until - time.monotonic()) > 0 and not self._stopping.is_set():
            self._reader.stay(min(left, _SLICE_S))

    def _give_up(self, message: GuardedMessage, error: Exception, attempts: int) -> bool:
        reader = self._reader
        place = f"{message.topic()}[{message.partition()}]@{message.offset()}"
        if self._failing.then == "quarantine" and not self._stopping.is_set():
            reader.intake.park_by_handler(message, _said(message, error))
            reader.guard.count("handler/quarantined")
            log.error("the handler raised %s at %s; parked", type(error).__name__, place)
            return True
        reader.guard.count("handler/stopped")
        reader.seek_back(_place(message))
        error.add_note(f"streamwarden: attempt {attempts} at {place}; stopped before that event")
        raise error


def _place(message: GuardedMessage) -> TopicPartition:
    return TopicPartition(message.topic(), message.partition(), message.offset())


def _said(message: GuardedMessage, error: Exception) -> str:
    """What the parked record says about the handler's error.

    The text of an exception often quotes the event: on a topic with sensitive fields only its
    type is kept.
    """
    name = type(error).__name__
    if message.decision.plan.privacy.paths:
        return f"the handler raised {name}"
    return f"the handler raised {name}: {error}"[:_ERROR_TEXT_MAX_CHARS]


class _Ends:
    """Whether every assigned partition was read to where its end was when it was assigned."""

    def __init__(self, reader: Reader, wanted: bool) -> None:
        self._reader, self._wanted = reader, wanted
        self._generation = -1
        self._ends: dict[Place, int] = {}

    def reached(self) -> bool:
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
