"""Log lines about refused events: rate-limited, and without anything of the events' content."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from confluent_kafka import KafkaError

from ..policy.decision import Decision
from .unparked import unparked

__all__ = ["Notices"]

log = logging.getLogger("streamwarden")
#: A logger of its own, for those who say themselves what was not parked.
_unparked_log = logging.getLogger("streamwarden.unparked")

#: One line for each topic and rule in this time; the next line says how many there were.
_EVERY_S = 10.0
_KEYS_MAX = 1000


class Notices:
    """Says what would otherwise pass in silence.

    Refused events that nobody is called back about, and all that could not even be parked.
    """

    __slots__ = ("_clock", "_count", "_seen")

    def __init__(
        self, count: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count, self._clock = count, clock
        self._seen: dict[tuple[str, ...], tuple[float, int]] = {}

    def refused(self, decision: Decision) -> None:
        """An event was parked, and its producer gave no callback."""
        rules = ",".join(f"{m.policy}/{m.rule}" for m in decision.matches if m.counts)[:400]
        topic = decision.event.topic
        more = self._due("refused", topic, rules)
        if more is not None:
            log.warning(
                "an event for %s was parked (%s) by %s of %s%s",
                topic,
                decision.effect.value,
                rules,
                decision.bundle,
                more,
            )

    def nowhere(self, decision: Decision, error: KafkaError) -> None:
        """A refused event could not be parked either."""
        more = self._due("nowhere", decision.event.topic, decision.effect.value, error.name())
        if more is not None:
            # By its code alone: the log has no words that somebody else chose.
            said = unparked(decision, KafkaError(error.code())).str()
            _unparked_log.error("%s; the event is nowhere%s", said, more)

    def _due(self, *key: str) -> str | None:
        """None while a line of this kind was logged a moment ago; else what to add to it."""
        now = self._clock()
        since, held_back = self._seen.get(key, (float("-inf"), 0))
        if now - since < _EVERY_S:
            self._seen[key] = since, held_back + 1
            self._count("dropped/notices/rate_limited")
            return None
        if len(self._seen) >= _KEYS_MAX:
            self._seen.clear()
        self._seen[key] = now, 0
        return f" ({held_back} more since the last line)" if held_back else ""
