"""Reading nothing for a moment, for want of a schema or of room in the decision log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from confluent_kafka import Message

from streamwarden.errors import DecisionLogFullError, SchemaUnavailableError

from ..policy.guard import Guard
from .assigned import Place

__all__ = ["Holding"]

log = logging.getLogger("streamwarden")

#: Between tries to get a schema that was not to be had; a source does not ask more often itself.
_HOLD_S = 0.5
#: Likewise for room in a decision log that must not lose anything; and between lines about that.
_LOG_HOLD_S, _LOG_TOLD_EVERY_S = 0.05, 60.0


class Holding:
    """What cannot be decided now is decided later: how long that is, and for how long it may be."""

    __slots__ = ("_guard", "_log_told_at", "_until", "_waits_until")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        # For a schema, across tries: by partition, since others may go on meanwhile.
        self._waits_until: dict[Place, float] = {}
        self._until = 0.0  # nothing is read, until the next try
        self._log_told_at = float("-inf")

    def __bool__(self) -> bool:
        """True while nothing is read."""
        if self._until == 0.0:
            return False
        if time.monotonic() < self._until:
            return True
        self._until = 0.0
        return False

    @property
    def waits(self) -> bool:
        """True where a schema is waited for, for any partition."""
        return bool(self._waits_until)

    def over(self, decided: Iterable[Message]) -> None:
        """These were decided on."""
        self.forget((each.topic() or "", each.partition() or 0) for each in decided)

    def forget(self, places: Iterable[Place]) -> None:
        """What is read next of these partitions has not been waited for."""
        for place in places:
            self._waits_until.pop(place, None)

    def begins(self, raised: BaseException, message: Message) -> bool:
        """Whether `message`, of which that was raised, is tried again in a moment.

        Raises it where a schema was waited for long enough.
        """
        if isinstance(raised, SchemaUnavailableError):
            self._for_schema(raised, (message.topic() or "", message.partition() or 0))
        elif isinstance(raised, DecisionLogFullError):
            self._for_log(raised)
        else:
            return False
        return True

    def _for_schema(self, error: SchemaUnavailableError, place: Place) -> None:
        now = time.monotonic()
        until = self._waits_until.get(place)
        if until is None:
            until = self._waits_until[place] = now + self._guard.failing.schema_wait_s
            self._guard.count("schema/waited")
            log.warning("waiting for a schema: %s", error)
        if now >= until:
            self._waits_until.clear()
            raise error
        self._until = min(now + _HOLD_S, until)

    def _for_log(self, error: DecisionLogFullError) -> None:
        """However long that takes."""
        now = time.monotonic()
        if now - self._log_told_at >= _LOG_TOLD_EVERY_S:
            log.warning("waiting for the decision log: %s", error)
            self._log_told_at = now
        self._guard.count("fallbacks/decision_log_wait")
        self._until = now + _LOG_HOLD_S
