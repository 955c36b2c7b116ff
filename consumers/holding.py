"""Reading nothing for a moment, for want of a schema or of room in the decision log."""

from __future__ import annotations

import logging
import time

from streamwarden.errors import DecisionLogFullError, SchemaUnavailableError

from ..policy.guard import Guard

__all__ = ["Holding"]

log = logging.getLogger("streamwarden")

#: Between tries to get a schema that was not to be had; a source does not ask more often itself.
_HOLD_S = 0.5
#: Likewise for room in a decision log that must not lose anything; and between lines about that.
_LOG_HOLD_S, _LOG_TOLD_EVERY_S = 0.05, 60.0


class Holding:
    """What cannot be decided now is decided later: how long that is, and for how long it may be."""

    __slots__ = ("_guard", "_log_told_at", "_until", "_wait_until")

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._wait_until: float | None = None  # for a schema, across tries
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

    def over(self) -> None:
        """An event was decided on."""
        self._wait_until = None

    def begins(self, raised: BaseException) -> bool:
        """Whether what raised that is tried again in a moment.

        Raises it where a schema was waited for long enough.
        """
        if isinstance(raised, SchemaUnavailableError):
            self._for_schema(raised)
        elif isinstance(raised, DecisionLogFullError):
            self._for_log(raised)
        else:
            return False
        return True

    def _for_schema(self, error: SchemaUnavailableError) -> None:
        now = time.monotonic()
        if self._wait_until is None:
            self._wait_until = now + self._guard.failing.schema_wait_s
            self._guard.count("schema/waited")
            log.warning("waiting for a schema: %s", error)
        if now >= self._wait_until:
            self._wait_until = None
            raise error
        self._until = min(now + _HOLD_S, self._wait_until)

    def _for_log(self, error: DecisionLogFullError) -> None:
        """However long that takes."""
        now = time.monotonic()
        if now - self._log_told_at >= _LOG_TOLD_EVERY_S:
            log.warning("waiting for the decision log: %s", error)
            self._log_told_at = now
        self._guard.count("fallbacks/decision_log_wait")
        self._until = now + _LOG_HOLD_S
