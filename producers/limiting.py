"""At most so many: which parked events are gone through until that many are let go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .chains import Chains, turn_of
from .judging import Judged
from .quarantine import ParkedEvent, load_values
from .reading import BoundedReader

__all__ = ["GOING", "first_to_go"]

#: What counts: each changes what waits. What is refused waits as before, and would be in the way of
#: all others if it counted.
GOING = frozenset({"released", "discarded", "approved"})
#: Events whose values are in memory at a time.
_BATCH = 100


def first_to_go(
    reader: BoundedReader,
    waiting: Sequence[ParkedEvent],
    most: int,
    decide: Callable[[Sequence[ParkedEvent]], list[Judged]],
    chains: Chains | None,
) -> Sequence[ParkedEvent]:
    """The first of `waiting`, until `most` of them would be let go; nothing is written.

    With `chains` only the first of a key goes, and those behind it once it would have gone.
    """
    going: set[tuple[str, int, int]] = set()
    for start in range(0, len(waiting), _BATCH):
        pairs = list(load_values(reader, waiting[start : start + _BATCH]))
        loaded = [found for _, found in pairs if found is not None]
        judged = {
            (event.topic, *event.place): each
            for event, each in zip(loaded, decide(loaded), strict=True)
        }
        for number, (event, _) in enumerate(pairs, start + 1):
            place = event.topic, *event.place
            each = judged.get(place)
            chain = None if chains is None else chains.of(event)
            if each is not None and chain is not None:
                each = turn_of(event, each, chain, going)
            if each is not None and each.outcome in GOING:
                going.add(place)
            if len(going) == most:
                return waiting[:number]
    return waiting
