"""What a policy is, once its documents have been read, parsed and checked.

Plain immutable values: the loader makes them, plans, explanations, reports and the reconciler read
them. Nothing here refers to YAML, files or Kafka.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from .cel.ast import Expr

__all__ = [
    "LANGUAGE",
    "Approvals",
    "BundleSettings",
    "Condition",
    "Effect",
    "MaskField",
    "Mode",
    "Path",
    "Policy",
    "ReasonPart",
    "Rule",
    "TopicFormat",
]

#: Raised by any change of the engine that can change a decision; a replay uses the bundle's own.
LANGUAGE = 1

#: A parsed path such as `value.items[].price`: names are str, positions int, `[]` is None.
Path: TypeAlias = tuple[str | int | None, ...]


class Effect(StrEnum):
    """What happens to an event, weakest first; `none` means that no rule applies to its topic.

    `passes` is True where the event is delivered.
    """

    passes: bool

    NONE = "none"
    ALLOW = "allow"
    WARN = "warn"
    MASK = "mask"
    HOLD = "hold"
    REJECT = "reject"

    def __init__(self, value: str) -> None:
        # Asked for every event, where a property would call two functions.
        self.passes = value not in ("hold", "reject")

    @property
    def rank(self) -> int:
        """Strictness: a higher rank wins a conflict."""
        return _RANK[self]


_RANK = {effect: rank for rank, effect in enumerate(Effect)}


class Mode(StrEnum):
    """How much of a verdict is acted on; the weakest of guard, bundle, policy and rule counts."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OFF = "off"

    def weakest(self, *others: Mode) -> Mode:
        """The weakest of this mode and `others`: off before shadow before enforce."""
        return max((self, *others), key=_WEAKNESS.__getitem__)


_WEAKNESS = {Mode.ENFORCE: 0, Mode.SHADOW: 1, Mode.OFF: 2}


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as written and as the tree it became (`text` is CEL, lowered where needed)."""

    text: str
    expr: Expr


@dataclass(frozen=True, slots=True)
class MaskField:
    """One field of a mask: `path` is under `value` and starts after it; `how` as written."""

    path: Path
    how: str  # drop | redact | hash | last4
    text: str  # as written, `value.card_number`


@dataclass(frozen=True, slots=True)
class ReasonPart:
    """A piece of a reason: literal text, or a path (first segment is the variable) to fill in."""

    text: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Approvals:
    """Who has to agree before a held event is released."""

    need: int = 1
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. It fires unless `condition` is false; an error counts as fired (`on_error`).

    `condition` is `when && !require`; None means always. `effect` is None for a rule that only
    lifts others (`exempts`).
    """

    id: str
    policy: str
    effect: Effect | None
    condition: Condition | None
    when: Condition | None
    require: Condition | None
    mode: Mode = Mode.ENFORCE
    on_error: str = "fire"  # fire | skip | warn | mask | hold | reject
    masks: tuple[MaskField, ...] = ()
    exempts: tuple[str, ...] = ()  # ids, or `policy/rule`
    exemptible_by: tuple[str, ...] = ()
    reason: tuple[ReasonPart, ...] = ()
    severity: str | None = None  # critical | high | medium | low | info
    remediation: str | None = None
    approvals: Approvals | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One document: its scope and its rules. Times are nanoseconds since the epoch, UTC."""

    id: str
    owner: str
    topics: tuple[str, ...]
    stages: tuple[str, ...]
    rules: tuple[Rule, ...]
    title: str | None = None
    class_: str | None = None  # platform | edge | domain | data
    schema: str | None = None
    effective_from: int | None = None  # inclusive
    effective_until: int | None = None  # exclusive
    review_by: str | None = None
    sensitive: tuple[Path, ...] = ()  # first segment is the variable
    mode: Mode = Mode.ENFORCE
    tombstones: str | None = None  # allow | check | reject; None leaves it to the bundle
    park: str = "event"  # or key: later events of a refused one's key wait behind it
    file: str = ""

    def is_overdue(self, today: str) -> bool:
        """Whether its review was due before `today` (`2026-03-01`)."""
        return self.review_by is not None and self.review_by[:10] < today

    def has_ended(self, today: str) -> bool:
        """Whether the last moment in which it was in force lies before `today` (`2026-03-01`, UTC)."""
        if self.effective_until is None or not today:
            return False
        midnight = dt.datetime.fromisoformat(today).replace(tzinfo=dt.UTC)
        return self.effective_until <= int(midnight.timestamp()) * 1_000_000_000


@dataclass(frozen=True, slots=True)
class TopicFormat:
    """How the bytes of one topic (or glob) are read: auto | json | avro | text | bytes."""

    pattern: str
    value: str = "auto"
    key: str = "auto"


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """What the `bundle:` document says; the defaults are those of a directory without one."""

    name: str
    mode: Mode = Mode.ENFORCE
    resolution: str = "strictest"  # or approval_first
    undecodable: str = "reject"  # or allow
    tombstones: str = "allow"  # or check, reject
    uncovered: str = "warn"  # or allow, reject
    guarded_from: Mapping[str, int] = field(default_factory=dict[str, int])  # topic or glob → ns
    quarantine: str = "quarantine.{topic}"
    held: str = "held.{topic}"
    waiting: str = "waiting.{topic}"
    strict_values: bool = False
    stamp: str = "packed"  # or expanded
    topics: tuple[TopicFormat, ...] = ()

    @property
    def parking(self) -> tuple[str, str, str]:
        """The templates of all topics that parking writes to."""
        return self.quarantine, self.held, self.waiting
