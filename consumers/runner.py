"""Running a handler: retries with the group kept, offsets after success, a clean stop."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from confluent_kafka import KafkaException, TopicPartition

from streamwarden.errors import DeliveryError

from .handlers import begun
from .messages import GuardedMessage
from .reader import Reader
from .running import Ends, Failing, RunLimits, handler_said, pass_error, raised_where

__all__ = ["Handler", "Runner"]

log = logging.getLogger("streamwarden")

#: `handler(message)`; what it returns is ignored, unless it is a coroutine or generator.
Handler: TypeAlias = Callable[[GuardedMessage], object]

_SLICE_S = 0.2


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

    @property
    def stopping(self) -> bool:
        """True once `stop` was called."""
        return self._stopping.is_set()

    def run(self, handler: Handler, limits: RunLimits) -> int:
        """Handle messages until told to stop; gives how many were handled."""
        ends = Ends(self._reader, limits.until_end)
        return self.run_with(lambda _: self._loop(handler, limits, ends))

    def run_with(self, loop: Callable[[Callable[[], bool]], int]) -> int:
        """Run `loop`, which asks what it is given whether to stop; one at a time."""
        if self._running:
            raise RuntimeError("the consumer is running already")
        reader = self._reader
        stored_by_hand, reader.auto_store = reader.auto_store, False
        self._running = True
        try:
            handled = loop(self._stopping.is_set)
        finally:
            self._running = False
            self._stopping.clear()
            reader.auto_store = stored_by_hand
            self._settle()
        reader.check_parked()
        return handled

    def _settle(self) -> None:
        try:
            self._reader.settle()
        except KafkaException as error:
            # They are stored: a later commit takes them, and until then events are read again.
            log.warning("offsets could not be committed: %s", error)

    def _loop(self, handler: Handler, limits: RunLimits, ends: Ends) -> int:
        handled = 0
        idle_until = limits.idle_deadline()
        while not self.stopping and limits.left(handled) > 0:
            now = time.monotonic()
            message = self._reader.read(min(now + _SLICE_S, max(idle_until, now)))
            if message is None:
                if time.monotonic() >= idle_until or ends.reached():
                    break
            elif not isinstance(message, GuardedMessage):
                pass_error(message)
            else:
                handled += self._handle(handler, message)
                idle_until = limits.idle_deadline()
                if ends.reached():
                    break
        return handled

    def _handle(self, handler: Handler, message: GuardedMessage) -> bool:
        """True when the message was handled (or parked for the handler's error)."""
        reader, attempt = self._reader, 0
        generation = reader.generation
        while True:
            attempt += 1
            try:
                begun(handler(message))
            except Exception as error:  # noqa: BLE001 - whatever the handler raises
                if self._stopping.is_set() or attempt > self._failing.retries:
                    return self._give_up(message, error, attempt)
                reader.guard.count("handler/retried")
                pause_s = self._failing.pause_s(attempt, self._chance())
                log.warning(
                    "the handler raised %s at %s[%d]@%d, attempt %d of %d, next in %.1f s",
                    raised_where(error),
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
            try:
                reader.park_by_handler(message, handler_said(message, error))
            except DeliveryError:
                reader.seek_back(_place(message))
                raise
            reader.guard.count("handler/quarantined")
            log.error("the handler raised %s at %s; parked", raised_where(error), place)
            return True
        reader.guard.count("handler/stopped")
        reader.seek_back(_place(message))
        error.add_note(f"streamwarden: attempt {attempts} at {place}; stopped before that event")
        raise error


def _place(message: GuardedMessage) -> TopicPartition:
    return TopicPartition(message.topic(), message.partition(), message.offset())
