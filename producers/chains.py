"""Parked events that wait behind one another (`park: key`): which, in which order, how far they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..policy.waiting import (
    KeyPlace,
    Parked,
    closed_record,
    read_record,
    released_header,
    waiting_topic,
)
from ..schemas.event import Record
from .judging import Judged
from .quarantine import ParkedEvent, Quarantine
from .reading import BoundedReader

__all__ = ["Chain", "Chains", "read_chains", "turn_of"]

_Place = tuple[str, int, int]


@dataclass(slots=True)
class Chain:
    """The parked events of one key, by their origin offsets. `through`: no event up to it waits."""

    place: KeyPlace
    parked: Parked
    through: int
    events: list[ParkedEvent] = field(default_factory=list[ParkedEvent])

    def first_open(self, closed: Collection[_Place]) -> ParkedEvent | None:
        """The first event that is not closed, nor among those that were just now."""
        return next((each for each in self.events if not _is_closed(each, closed)), None)

    def missing(self) -> int | None:
        """The origin offset of the first event, where its record is not there (any more)."""
        first = self.parked.first
        if self.through >= first or any(e.parked.origin_offset == first for e in self.events):
            return None
        return first

    def closed_to(self, closed: Collection[_Place]) -> int | None:
        """Up to which origin offset no event waits, once those of `closed` do not; None: no news."""
        open_ = self.first_open(closed)
        offsets = [_offset(each) for each in self.events]
        limit = max(offsets, default=-1) + 1 if open_ is None else _offset(open_)
        found = max((offset for offset in offsets if offset < limit), default=-1)
        return found if found > self.through else None


@dataclass(slots=True)
class Chains:
    """The keys of one origin topic of which events wait; empty where no policy ever asked for it."""

    topic: str
    partitions: int
    known: dict[KeyPlace, tuple[Parked, int]]
    _by_event: dict[_Place, Chain] = field(default_factory=dict[_Place, Chain])

    def __bool__(self) -> bool:
        return bool(self.known)

    def arrange(self, events: Iterable[ParkedEvent]) -> None:
        """Take all parked events of the origin topic as they are now."""
        chains: dict[KeyPlace, Chain] = {}
        self._by_event.clear()
        for event in events:
            place = _key_place(event)
            known = None if place is None else self.known.get(place)
            if place is None or known is None or not known[1] < _offset(event) <= known[0].last:
                continue
            chain = chains.setdefault(place, Chain(place, *known))
            chain.events.append(event)
            self._by_event[event.topic, *event.place] = chain
        for chain in chains.values():
            chain.events.sort(key=lambda e: (_offset(e), e.parked_at, e.topic, e.place))

    def of(self, event: ParkedEvent) -> Chain | None:
        """The chain of an event; None where it waits for nobody, and nobody for it."""
        return self._by_event.get((event.topic, *event.place))

    def closing(self, events: Sequence[ParkedEvent], closed: Collection[_Place]) -> list[Record]:
        """What is to be written down when `events`, which are among `closed`, wait no more."""
        chains = {id(chain): chain for each in events if (chain := self.of(each)) is not None}
        records: list[Record] = []
        for chain in chains.values():
            through = chain.closed_to(closed)
            if through is not None:
                key, value = closed_record(chain.place, through)
                partition = chain.place.partition % self.partitions
                records.append(Record(self.topic, partition, key, value, [], None))
        return records


def turn_of(event: ParkedEvent, judged: Judged, chain: Chain, done: Collection[_Place]) -> Judged:
    """`judged`, unless an event before it in its key still waits.

    `done` are places of what was let go just now. A record that goes says that its own group is to
    let it pass.
    """
    origin = event.parked
    missing = chain.missing()
    first = chain.first_open(done)
    if missing is not None:
        where = f"{origin.origin_topic}[{origin.origin_partition}]@{missing}"
        return Judged("refused", f"it waits behind {where}, whose record is not there (`--force`)")
    if first is not None and (first.topic, first.place) != (event.topic, event.place):
        ahead = first.parked
        where = f"{ahead.origin_topic}[{ahead.origin_partition}]@{ahead.origin_offset}"
        at = f"{first.topic} {first.partition}:{first.offset}"
        return Judged("refused", f"it waits behind {where}, parked at {at}")
    record, offset = judged.record, origin.origin_offset
    if record is None or offset is None or record.topic != origin.origin_topic:
        return judged
    # Its own group lets it pass, though others of its key still wait.
    own = released_header(chain.place.group, chain.place.partition, offset)
    record.headers.append(own)
    return judged


def read_chains(reader: BoundedReader, quarantine: Quarantine) -> Chains:
    """What is written down about the keys of the quarantine's topic."""
    topic = waiting_topic(quarantine.guard.settings, quarantine.topic)
    bounds = reader.bounds(topic)
    parked: dict[KeyPlace, Parked] = {}
    through: dict[KeyPlace, int] = {}
    for message in reader.read(topic, bounds):
        read = read_record(message.key(), message.value())
        if read is None:
            continue
        place, kind, said = read
        if isinstance(said, Parked):
            parked[place] = said
        elif said is None:
            (parked if kind == "parked" else through).pop(place, None)
        else:
            through[place] = max(said, through.get(place, -1))
    known: Mapping[KeyPlace, tuple[Parked, int]] = {
        place: (each, through.get(place, -1))
        for place, each in parked.items()
        if each.last > through.get(place, -1)
    }
    return Chains(topic, len(bounds), dict(known))


def _key_place(event: ParkedEvent) -> KeyPlace | None:
    parked = event.parked
    if event.digest is None or parked.origin_partition is None or parked.origin_offset is None:
        return None
    return KeyPlace(parked.group or "", parked.origin_partition, event.digest)


def _offset(event: ParkedEvent) -> int:
    offset = event.parked.origin_offset
    return -1 if offset is None else offset


def _is_closed(event: ParkedEvent, closed: Collection[_Place]) -> bool:
    return event.closed_by is not None or (event.topic, *event.place) in closed
