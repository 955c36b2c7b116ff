"""Findings: the table of kinds, and one event that is not as policy or its own stamp says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["DRIFT", "KINDS", "NOT_DRIFT", "Finding"]

#: In the order in which they are tried: the first that fits is the event's.
KINDS: Final = (
    "forged",
    "misrecorded",
    "unchecked",
    "overridden",
    "undecidable",
    "now-rejected",
    "now-held",
    "now-masked",
    "now-allowed",
)
#: What today's policy can say against an event that was let through.
DRIFT: Final = ("now-rejected", "now-held", "now-masked")
#: Told, and no reason to fail a run.
NOT_DRIFT: Final = frozenset({"overridden", "now-allowed"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One event, why it was found, and what today's policy says besides.

    `current` makes today's decision when it is written down; explaining it costs more than finding
    it. `rules` are the rules behind today's decision, `policy/rule`; `detail` says what is wrong
    with the stamp or cannot be known.
    """

    kind: str
    topic: str
    partition: int
    offset: int
    timestamp: int | None
    stamped: Mapping[str, Any] | None
    drift: str | None
    rules: tuple[str, ...]
    change: str
    detail: str
    current: Callable[[], dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """The finding as a line of the findings file."""
        current = self.current()
        return {
            "kind": self.kind,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp,
            "key": current["event"]["key"],
            "stamped": None if self.stamped is None else dict(self.stamped),
            "current": current,
            "drift": self.drift,
            "change": self.change,
            "detail": self.detail,
        }
