"""Topics about which policies say nothing: that nothing is refused there is no reassurance."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from streamwarden.errors import StreamwardenError

from ..policy.bundle import Bundle
from ..policy.decision import Decision
from ..policy.guard import Guard
from ..policy.model import Effect
from ..policy.unjudged import unjudged
from .output import Output, counted

__all__ = ["Unjudged", "warn_of_nothing"]

#: Topics that are counted, each by itself; records may name any.
_TOPICS_MAX = 1000
#: Topics that are warned of one by one.
_TOLD_MAX = 10


def warn_of_nothing(output: Output, guard: Guard, topic: str, stage: str) -> None:
    """Said before anything is sent or shown: what passes unjudged has passed for good."""
    with suppress(StreamwardenError):  # there is no version yet: that is told where it matters
        bundle = guard.bundle
        why = unjudged([bundle], topic, stage, guard.now())
        if why is not None and bundle.settings.uncovered != "reject":
            output.warn(why)


class Unjudged:
    """Counts events that nothing judged, by topic, and tells them."""

    def __init__(self) -> None:
        self.topics: dict[str, int] = {}

    def note(self, *decisions: Decision) -> None:
        """One event, as each of several bundles decided it."""
        if all(each.effect is Effect.NONE for each in decisions):
            topic = decisions[0].event.topic
            if topic in self.topics or len(self.topics) < _TOPICS_MAX:
                self.topics[topic] = self.topics.get(topic, 0) + 1

    def tell(
        self, output: Output, bundles: Sequence[Bundle], stage: str, at_ns: int | None = None
    ) -> None:
        """Warn of each topic, the one with the most events first."""
        told = sorted(self.topics.items(), key=lambda pair: (-pair[1], pair[0]))
        for topic, count in told[:_TOLD_MAX]:
            why = unjudged(bundles, topic, stage, at_ns)
            if why is not None:
                output.warn(f"{why} ({counted(count, 'event')} decided `none`)")
        if len(told) > _TOLD_MAX:
            output.warn(
                f"nothing judges the events of {len(told) - _TOLD_MAX:,} more topics either"
            )
