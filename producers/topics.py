"""Making the topics that parked events go to, so that nothing parked can disappear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..policy.guard import Guard
from .connection import ConfigMap

__all__ = ["Difference", "TopicReport", "ensure_topics"]

State: TypeAlias = Literal["created", "missing", "fits", "differs"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of an existing parking topic that does not keep parked events safe."""

    setting: str
    found: str
    wanted: str
    remedy: str


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One parking topic: made now, already there, or (with `dry_run`) missing."""

    topic: str
    origin: str
    kind: Literal["quarantined", "held"]
    state: State
    partitions: int
    settings: tuple[tuple[str, str], ...] = ()
    differences: tuple[Difference, ...] = ()


def ensure_topics(
    config: ConfigMap,
    guard: Guard,
    topics: Sequence[str],
    *,
    dry_run: bool = False,
    timeout_s: float = 30.0,
) -> tuple[TopicReport, ...]:
    """Make the quarantine and held topics of `topics`; report those that are there and differ.

    Nothing that exists is changed. Raises QuarantineError for an origin topic that is not there.
    """
    raise NotImplementedError
