"""Lanes: all events with the same stamp, and what is known about them before they are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..policy.compiler import UnavailableError
from ..policy.model import Effect
from ..policy.plan_table import PlanTable
from ..policy.stamp import STAMP_HEADER, Stamp
from .batch import Batch, Swept
from .history import Version
from .pairs import Pair

__all__ = ["Lane", "Lanes", "sweep"]

_MILLISECOND_NS = 1_000_000
_NEVER = -1


@dataclass(slots=True)
class Lane:
    """What is known about all events with the same stamp (but for its `at=` and mac)."""

    stamp: Stamp | None
    forged: str
    version: Version | None
    then: PlanTable | None
    stage_then: str
    stage_now: str
    unverifiable: bool
    #: The version is not at hand.
    missing: bool
    #: The effect to look for, where a clean event on this lane needs nothing else.
    quick: Effect | None
    pair: Pair | None = None
    since: int = 0
    until: int = _NEVER


#: By the bytes of the stamp, and whether the broker set the times.
Lanes = Mapping[tuple[bytes | None, bool], Lane]


def sweep(batch: Batch, lanes: Lanes) -> Swept | None:
    """See `Judging.sweep`; what is on none of these lanes has to be looked at."""
    suspects: list[int] = []
    unverifiable = 0
    places = _places(batch, lanes)
    for lane, positions in places:
        part = batch if len(places) == 1 else batch.part(positions)
        found = None if lane is None else _suspects(lane, part)
        if lane is None or found is None:
            suspects += positions
            continue
        suspects += found if part is batch else [positions[at] for at in found]
        if lane.unverifiable:
            unverifiable += len(part) - len(found)
    if len(suspects) == len(batch):
        return None
    return Swept(sorted(suspects) if len(places) > 1 else suspects, unverifiable)


def _places(batch: Batch, lanes: Lanes) -> list[tuple[Lane | None, Sequence[int]]]:
    """The lanes of a batch with their positions; None for those without."""
    headers = batch.headers
    first = headers[0]
    if len(first) == 1 and headers.count(first) == len(headers):
        name, stamp = first[0]
        lane = lanes.get((stamp, batch.appended)) if name == STAMP_HEADER else None
        return [(lane, range(len(headers)))]
    found: dict[int, tuple[Lane | None, list[int]]] = {}
    for at, carried in enumerate(headers):
        stamps = [value for name, value in carried if name == STAMP_HEADER]
        lane = lanes.get((stamps[0], batch.appended)) if len(stamps) == 1 else None
        found.setdefault(id(lane), (lane, []))[1].append(at)
    return list(found.values())


def _suspects(lane: Lane, batch: Batch) -> list[int] | None:
    """The positions of events on one lane that may not be clean; None: all of them."""
    pair = lane.pair
    if (
        lane.quick is None
        or pair is None
        or batch.earliest * _MILLISECOND_NS < lane.since
        or batch.latest * _MILLISECOND_NS >= lane.until
    ):
        return None
    try:
        return pair.suspects(batch, lane.quick)
    except UnavailableError:
        return None
