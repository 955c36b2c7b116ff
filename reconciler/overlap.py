"""What two runs have read of history: both of them, or only one.

Only on what both read can a finding be gone. A run that goes on from another shares nothing with
it; one after retention lacks what the earlier one began with.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

__all__ = ["Extent", "Overlap", "extents", "overlap"]

#: Gaps of offsets that may have held events which nobody judged.
_LOST = frozenset({"retention", "unread"})


@dataclass(frozen=True, slots=True)
class Extent:
    """The offsets that a run read of one partition: `ranges` in order, none of them empty.

    `end` is where the partition stood then, exclusive.
    """

    ranges: tuple[range, ...] = ()
    end: int = 0

    @classmethod
    def of(cls, part: Mapping[str, Any]) -> Self:
        """What was read of a partition, given as a report has it."""
        found: list[range] = []
        first = part["first"]
        lost = sorted((gap["from"], gap["to"]) for gap in part["gaps"] if gap["reason"] in _LOST)
        for start, end in chain(lost, [(part["end"], part["end"])]):
            if first < start:
                found.append(range(first, min(start, part["end"])))
            first = max(first, end)
        return cls(tuple(found), part["end"])

    def __contains__(self, offset: int) -> bool:
        """True where `offset` was read."""
        place = bisect_right(self.ranges, offset, key=lambda each: each.start)
        return place > 0 and offset in self.ranges[place - 1]

    def __len__(self) -> int:
        """How many offsets were read."""
        return sum(map(len, self.ranges))

    def shared(self, other: Extent) -> Iterator[range]:
        """The ranges that are in both."""
        mine, theirs = iter(self.ranges), iter(other.ranges)
        one, two = next(mine, None), next(theirs, None)
        while one is not None and two is not None:
            first, end = max(one.start, two.start), min(one.stop, two.stop)
            if first < end:
                yield range(first, end)
            if one.stop <= two.stop:
                one = next(mine, None)
            else:
                two = next(theirs, None)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Offsets by who read them, an earlier run or a later one.

    `unseen` are those that only the earlier one read. What only the later one read is `later`
    behind the end of the earlier one, or in a partition that it did not have, else `older`.
    """

    both: int = 0
    unseen: int = 0
    later: int = 0
    older: int = 0

    @property
    def comparable(self) -> bool:
        """False where the runs have nothing in common: no finding can be said to be gone."""
        return bool(self.both) or not self.unseen


def extents(report: Mapping[str, Any]) -> dict[tuple[str, int], Extent]:
    """What a report read, by topic and partition."""
    return {(part["topic"], part["partition"]): Extent.of(part) for part in report["partitions"]}


def overlap(before: Mapping[str, Any], after: Mapping[str, Any]) -> Overlap:
    """How the report `after` and the earlier one, `before`, overlap."""
    then, now = extents(before), extents(after)
    both = unseen = later = older = 0
    for place in {*then, *now}:
        one, two = then.get(place, Extent()), now.get(place, Extent())
        shared = sum(map(len, one.shared(two)))
        behind = sum(len(range(max(each.start, one.end), each.stop)) for each in two.ranges)
        both += shared
        unseen += len(one) - shared
        later += behind
        older += len(two) - shared - behind
    return Overlap(both, unseen, later, older)
