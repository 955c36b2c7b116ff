"""Findings: the table of kinds, and one event that is not as policy or its own stamp says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "DRIFT",
    "KINDS",
    "NOT_DRIFT",
    "OF_VERSIONS",
    "WOULD_CHANGE",
    "Because",
    "Finding",
    "named_rules",
]

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
#: Only where a candidate is tried: no other kind fits, and the candidate decides differently than
#: the current policy.
WOULD_CHANGE: Final = "would-change"
#: What is found since two versions differ: only of these it is told what made the difference.
OF_VERSIONS: Final = frozenset({*DRIFT, "now-allowed", WOULD_CHANGE})
#: Told, and no reason to fail a run.
NOT_DRIFT: Final = frozenset({"overridden", "now-allowed", WOULD_CHANGE})
_SEVERITIES: Final = ("critical", "high", "medium", "low", "info")


@dataclass(frozen=True, slots=True)
class Because:
    """One rule behind a finding, and whose it is. `severity` and `class_` may not be given."""

    policy: str
    rule: str
    severity: str | None = None
    owner: str = ""
    class_: str | None = None


def named_rules(
    kind: str, drift: str | None, sure: Sequence[str], unknown: Sequence[str]
) -> tuple[str, ...]:
    """The rules by which a finding is counted: the `sure` ones, else those it hangs on.

    What is wrong whatever the rules say does not hang on any.
    """
    if sure or not (drift is not None or kind in OF_VERSIONS or kind == "undecidable"):
        return tuple(sure)
    return tuple(unknown)


@dataclass(frozen=True, slots=True)
class Finding:
    """One event, why it was found, and what today's policy says besides.

    `current` makes today's decision when it is written down; explaining it costs more than finding
    it. `because` are the rules that are surely behind it, `unknown` those that may be: that hangs on
    what was not kept. `told` gives the sure ones with their reasons, out of what `current` made.
    `change` is what made the difference between two versions; `detail` says what is wrong with the
    stamp or cannot be known, `lacking` is the id of a schema that is not at hand. `what_if` is how
    a candidate changes the decision. `carried` is a stamp that cannot be read, escaped and bounded,
    where there is one. `rules` are named as causes name them, `policy/rule`: the sure
    ones, and where there is none those that may be.
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
    because: tuple[Because, ...] = ()
    told: Callable[[Mapping[str, Any]], list[dict[str, Any]]] | None = None
    what_if: Mapping[str, Any] | None = None
    lacking: str = ""
    unknown: tuple[Because, ...] = ()
    carried: str | None = None

    @property
    def severity(self) -> str | None:
        """The highest severity of the rules behind it."""
        given = {each.severity for each in self.because}
        return next((severity for severity in _SEVERITIES if severity in given), None)

    @property
    def owners(self) -> Sequence[str]:
        """Who owns the rules behind it, each once, in order."""
        return sorted({each.owner for each in self.because if each.owner})

    def to_dict(self) -> dict[str, Any]:
        """The finding as a line of the findings file."""
        current = self.current()
        stamped = self.stamped
        said: dict[str, Any] = {
            "kind": self.kind,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp,
            "key": current["event"]["key"],
            "stamped": None if stamped is None else dict(stamped),
            "current": current,
            "drift": self.drift,
            "change": self.change,
            "detail": self.detail,
            "versions": {
                "stamped": None if stamped is None else stamped.get("bundle"),
                "current": current.get("bundle"),
            },
            "rules": [] if self.told is None else self.told(current),
            "severity": self.severity,
            "owners": self.owners,
            "unknown": [f"{each.policy}/{each.rule}" for each in self.unknown],
        }
        if self.carried is not None:
            said["carried"] = self.carried
        if self.what_if is not None:
            said["what_if"] = dict(self.what_if)
        return said
