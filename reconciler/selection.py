"""Which part of history and of its findings a run is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from streamwarden.errors import ConfigurationError

from ..policy.bundle import Bundle
from ..policy.topics import matches_glob
from .findings import Because, Finding
from .slices import Partition

__all__ = ["Selection", "narrowed", "parse_offsets", "parse_partitions"]

_SEVERITIES = ("critical", "high", "medium", "low", "info")
_CLASSES = ("platform", "edge", "domain", "data")
_NUMBERS = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
_OFFSETS = re.compile(r"([0-9]{0,18})(?:-|\.\.)([0-9]{0,18})")
_PARTITIONS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Selection:
    """What to look at; everything that is not said is not narrowed.

    `partitions` are numbers, `first` (inclusive) and `end` (exclusive) offsets in each partition.
    `policies` and `owners` are names or globs; with those, `severities` and `classes` only findings
    count of which one rule fits all of them, or may be behind them where none surely is. Others are
    counted by kind, and nothing else.
    """

    partitions: frozenset[int] = frozenset()
    first: int | None = None
    end: int | None = None
    policies: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _known("severity", self.severities, _SEVERITIES)
        _known("class", self.classes, _CLASSES)
        if self.first is not None and self.end is not None and self.first >= self.end:
            raise ConfigurationError(
                "nothing lies between the offsets", remedy="put the lower one first"
            )

    @property
    def by_place(self) -> bool:
        """True where partitions or offsets are selected: what is in parking topics has others."""
        return bool(self.partitions) or self.first is not None or self.end is not None

    @property
    def by_rule(self) -> bool:
        """True where findings are selected by the rules behind them."""
        return bool(self.policies or self.severities or self.owners or self.classes)

    def takes(self, finding: Finding) -> bool:
        """True where a rule behind `finding` fits; one that may be where none is known to be.

        What cannot be judged by any rule is not known to be none of these.
        """
        if finding.kind == "undecidable" and not finding.because and not finding.unknown:
            return True
        return any(self._fits(because) for because in finding.because or finding.unknown)

    def _fits(self, because: Because) -> bool:
        return (
            _among(because.policy, self.policies)
            and _among(because.owner, self.owners)
            and (not self.severities or because.severity in self.severities)
            and (not self.classes or because.class_ in self.classes)
        )

    def unknown(self, bundles: Iterable[Bundle]) -> list[str]:
        """The names and globs that no policy and no owner of `bundles` fits."""
        policies = [policy for bundle in bundles for policy in bundle.policies]
        known = (
            ("policy", self.policies, {policy.id for policy in policies}),
            ("owner", self.owners, {policy.owner for policy in policies}),
        )
        return [
            f"{what} `{pattern}`"
            for what, patterns, names in known
            for pattern in patterns
            if not any(matches_glob(pattern, name) for name in names)
        ]


def _known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigurationError(f"`{name}` is no {what}", remedy=f"use {', '.join(known)}")


def _among(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(matches_glob(pattern, name) for pattern in patterns)


def narrowed(partitions: Iterable[Partition], selection: Selection) -> list[Partition]:
    """The selected partitions, each with its range cut to the selected offsets.

    An offset that was asked for and that retention has removed is told as `taken`. Raises
    ConfigurationError for a partition that no topic has: of what is not there nothing is clean.
    """
    found: list[Partition] = []
    partitions = list(partitions)
    there = {part.number for part in partitions}
    if absent := selection.partitions - there:
        known = ", ".join(map(str, sorted(there)))
        raise ConfigurationError(
            f"no topic has partition {', '.join(map(str, sorted(absent)))}",
            remedy=f"name such as are there: {known or 'there are none'}",
        )
    for part in partitions:
        if selection.partitions and part.number not in selection.partitions:
            continue
        first, end = part.first, part.end
        taken = part.taken
        if selection.first is not None:
            taken = taken or (selection.first < part.start and part.end > part.start)
            first = min(max(first, selection.first), end)
        if selection.end is not None:
            end = max(min(end, selection.end), first)
        pending = part.pending if end == part.end else 0
        found.append(replace(part, first=first, end=end, taken=taken, pending=pending))
    return found


def parse_partitions(text: str) -> frozenset[int]:
    """The numbers in `0,2,5-7`. Raises ConfigurationError."""
    numbers: set[int] = set()
    for piece in text.split(","):
        found = _NUMBERS.fullmatch(piece.strip())
        low = int(found[1]) if found else 0
        high = int(found[2] or found[1]) if found else -1
        if not low <= high or high - low > _PARTITIONS_MAX:
            raise ConfigurationError(
                f"`{text}` names no partitions", remedy="write such as `0`, `0,2` or `4-7`"
            )
        numbers.update(range(low, high + 1))
    return frozenset(numbers)


def parse_offsets(text: str) -> tuple[int | None, int | None]:
    """`FIRST-END`, END not included; either may be left out. Raises ConfigurationError."""
    found = _OFFSETS.fullmatch(text.strip())
    if found is None or not (found[1] or found[2]):
        raise ConfigurationError(
            f"`{text}` is no range of offsets", remedy="write such as `100-200`, `100-` or `-200`"
        )
    return int(found[1]) if found[1] else None, int(found[2]) if found[2] else None
