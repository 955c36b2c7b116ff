"""Looking at parked events: which there are, what was decided on them, and what became of them."""

from __future__ import annotations

import heapq
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaException, Message

from streamwarden.errors import QuarantineError

from ..policy.guard import Guard
from ..policy.parking import Kind, Parked, decision_doubt, parked_topic, parse_parked
from ..policy.waiting import key_digest
from .codes import error_of
from .connection import ConfigMap
from .parking import POINTER_HEADER, POINTER_KEY_HEADER
from .reading import BoundedReader, Span
from .reviews import Review, is_review, parse_review

__all__ = [
    "Listing",
    "ParkedEvent",
    "Quarantine",
    "Selection",
    "check_places",
    "list_parked",
    "load_values",
    "opened",
    "scan",
]

_Header = tuple[str, bytes | None]

#: Kinds of the topic of held events.
_HELD: Final[tuple[Kind, ...]] = ("held", "waiting")
#: Parked events that one operation looks at; more than people can, and than memory may bear.
_EVENTS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The parked events of one origin topic, and how to reach them.

    `config` says how to reach the cluster, as a client takes it. `guard` is the current policy:
    its bundle names the parking topics (unless they are given) and judges releases. Every
    operation ends within `timeout_s`.
    """

    config: ConfigMap
    guard: Guard
    topic: str
    quarantine: str | None = None
    held: str | None = None
    timeout_s: float = 30.0

    def topic_of(self, kind: Kind) -> str:
        """The topic where events of this kind are parked."""
        given = self.held if kind in ("held", "waiting") else self.quarantine
        return given or parked_topic(self.guard.settings, self.topic, kind)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which parked events: those that fit every condition given.

    `at` are coordinates (partition, offset) in the parking topic. `rule` is a rule's id, or
    `policy/rule`. `since` is when it was parked, in milliseconds. `kind` None is every kind. `max`
    takes the oldest.
    """

    at: frozenset[tuple[int, int]] = frozenset()
    kind: Kind | None = None
    rule: str | None = None
    since: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """One parked event. `reviews` are what people did with it so far, oldest first.

    `value_size` is None for a tombstone; key, value and headers themselves are there only where
    they were asked for; `digest` stands for the key of an event that was parked at consume.
    `pointer` is True where the parked record only points to the event. `kind` is what it counts as
    where it is; what its own header claims is in `parked`. `doubt` says why the decision cannot be
    verified with the guard's stamp keys; it is empty where it can, without keys, and for pointers,
    whose event has to be fetched first.
    """

    kind: Kind
    topic: str
    partition: int
    offset: int
    timestamp: int | None
    parked: Parked
    value_size: int | None
    pointer: bool = False
    reviews: tuple[Review, ...] = ()
    digest: str | None = None
    doubt: str = ""
    key: bytes | None = field(default=None, repr=False)
    value: bytes | None = field(default=None, repr=False)
    headers: tuple[_Header, ...] = field(default=(), repr=False)

    @property
    def place(self) -> tuple[int, int]:
        """Partition and offset of the parked record."""
        return self.partition, self.offset

    @property
    def state(self) -> str:
        """waiting, released or discarded."""
        closing = self.closed_by
        return "waiting" if closing is None else closing.action

    @property
    def closed_by(self) -> Review | None:
        """What released or discarded the event."""
        for review in self.reviews:
            if review.action in ("released", "discarded"):
                return review
        return None

    @property
    def approved_by(self) -> tuple[str, ...]:
        """Who approved the release so far, each name once."""
        names = (s.by for r in self.reviews if r.action == "approved" for s in r.signatures)
        return tuple(dict.fromkeys(names))

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules of the recorded decision, as `policy/rule`."""
        matches: object = (self.parked.decision or {}).get("matches")
        if not isinstance(matches, list):
            return ()
        found = cast("list[object]", matches)
        named = [cast("dict[str, object]", match) for match in found if isinstance(match, dict)]
        return tuple(f"{match.get('policy')}/{match.get('rule')}" for match in named)

    @property
    def parked_at(self) -> int:
        """When it was parked, in milliseconds, as far as that is known."""
        return self.parked.at or self.timestamp or 0


@dataclass(frozen=True, slots=True)
class Listing:
    """Parked events, the oldest first.

    `foreign` counts records of the topics that are not parked events of this origin; `unverified`
    counts reviews that were not made with one of the guard's keys: they do not count. `misplaced`
    are those of `events` that call themselves of a kind that their topic is not for, `doubtful`
    those whose decision was not made with one of the guard's keys. `complete` is False when there
    were more than `max`, or than an operation looks at.
    """

    events: tuple[ParkedEvent, ...]
    foreign: int = 0
    misplaced: int = 0
    unverified: int = 0
    doubtful: int = 0
    complete: bool = True


def list_parked(
    quarantine: Quarantine, selection: Selection | None = None, *, all_states: bool = False
) -> Listing:
    """The selected events that wait; with `all_states` also those released or discarded.

    Raises QuarantineError when the topics cannot be read.
    """
    with opened(quarantine) as reader:
        return scan(reader, quarantine, selection or Selection(), all_states=all_states)


@contextmanager
def opened(quarantine: Quarantine) -> Generator[BoundedReader]:
    """A reader for one operation; what goes wrong with reading becomes a QuarantineError."""
    deadline = time.monotonic() + quarantine.timeout_s
    try:
        with BoundedReader(quarantine.config, deadline=deadline) as reader:
            yield reader
    except TimeoutError:
        raise QuarantineError(
            f"the parked events of `{quarantine.topic}` were not read within "
            f"{quarantine.timeout_s:g} s",
            remedy="give more time (`--timeout`), or select less (`--since`, `--at`)",
        ) from None
    except KafkaException as raised:
        error = error_of(raised)
        raise QuarantineError(
            f"the parked events of `{quarantine.topic}` cannot be read: {error.str()}",
            remedy="check the servers and the rights to read",
        ) from raised


def check_places(selection: Selection, events: Iterable[ParkedEvent]) -> None:
    """Raise QuarantineError where coordinates were given and no event that fits is there."""
    missing = sorted(selection.at - {event.place for event in events})
    if missing:
        shown = ", ".join(f"{partition}:{offset}" for partition, offset in missing[:5])
        more = f" and {len(missing) - 5} other places" if len(missing) > 5 else ""
        raise QuarantineError(
            f"nothing that fits is parked at {shown}{more}", remedy="list what there is first"
        )


class _Scan:
    """What is found while the parking topics are read."""

    def __init__(self, quarantine: Quarantine, selection: Selection) -> None:
        self._quarantine, self._selection = quarantine, selection
        self._keys = quarantine.guard.stamp_keys
        self.events: list[ParkedEvent] = []
        self.reviews: dict[tuple[str, int, int], list[Review]] = {}
        self.foreign = self.unverified = 0
        self.complete = True

    def take(self, message: Message, topic: str) -> None:
        headers: list[_Header] = list(message.headers() or ())  # type: ignore[arg-type]  # read ones have bytes or None
        if is_review(headers):
            review = parse_review(message.value(), headers, topic, self._keys)
            if review is None or review.verified is False:
                self.unverified += 1
            elif review.partition == message.partition():
                place = topic, review.partition, review.offset
                self.reviews.setdefault(place, []).append(review)
            return
        event = _event(message, headers, topic, self._quarantine)
        if event is None or event.parked.origin_topic != self._quarantine.topic:
            self.foreign += 1
        elif _fits(event, self._selection):
            if len(self.events) < _EVENTS_MAX:
                self.events.append(event)
            else:
                self.complete = False

    def listing(self, *, all_states: bool) -> Listing:
        events: Iterable[ParkedEvent] = (
            replace(event, reviews=tuple(self.reviews.get((event.topic, *event.place), ())))
            for event in self.events
        )
        if not all_states:
            events = (event for event in events if event.state == "waiting")
        wanted = sorted(events, key=_age)
        limit = self._selection.max
        complete = self.complete and (limit is None or len(wanted) <= limit)
        taken = tuple(wanted if limit is None else heapq.nsmallest(limit, wanted, key=_age))
        return Listing(
            taken,
            self.foreign,
            sum(_is_misplaced(event, self._quarantine) for event in taken),
            self.unverified,
            sum(event.doubt != "" for event in taken),
            complete,
        )


def scan(
    reader: BoundedReader,
    quarantine: Quarantine,
    selection: Selection,
    *,
    all_states: bool,
    topics: Sequence[str] = (),
) -> Listing:
    """Read the parking topics that `selection` is about, or `topics`, to their present ends."""
    found = _Scan(quarantine, selection)
    kinds: tuple[Kind, ...] = ("quarantined", "held")
    if selection.kind is not None:
        kinds = ("held",) if selection.kind in _HELD else ("quarantined",)
    topics = topics or list(dict.fromkeys(quarantine.topic_of(kind) for kind in kinds))
    spans = {topic: reader.bounds(topic) for topic in topics}
    if not any(spans.values()):
        raise QuarantineError(
            f"topic `{quarantine.topic}` has no parking topics ({', '.join(topics)})",
            remedy="`streamwarden topics ensure` makes them",
        )
    for topic, bounds in spans.items():
        for message in reader.read(topic, _narrowed(bounds, selection)):
            found.take(message, topic)
    return found.listing(all_states=all_states)


def _narrowed(bounds: dict[int, Span], selection: Selection) -> dict[int, Span]:
    """Where coordinates are given, nothing before them needs to be read; reviews come after."""
    if not selection.at:
        return bounds
    first: dict[int, int] = {}
    for partition, offset in selection.at:
        first[partition] = min(offset, first.get(partition, offset))
    return {
        number: Span(max(span.first, first[number]), span.end)
        for number, span in bounds.items()
        if number in first
    }


def _kind_in(topic: str, said: Kind, quarantine: Quarantine, *, doubt: str) -> Kind:
    """The kind of a record in a parking topic whose header says `said`.

    A header is a claim of whoever wrote the record, and what is held needs names to be released:
    in the topic of held events nothing counts as less, but for what waits behind another event.
    Where one topic takes all there is only the claim. With keys, a claim that does not verify makes
    it held. A held record among the quarantined is one of a time when they had one topic.
    """
    if doubt and (said == "waiting" or topic == quarantine.topic_of("held")):
        return "held"
    if topic == quarantine.topic_of("quarantined") or said in _HELD:
        return said
    return "held"


def _is_misplaced(event: ParkedEvent, quarantine: Quarantine) -> bool:
    """True where the record says that it belongs into the other parking topic."""
    return quarantine.topic_of(event.parked.kind) != event.topic


def _event(
    message: Message, headers: list[_Header], topic: str, quarantine: Quarantine
) -> ParkedEvent | None:
    parked = parse_parked(headers)
    if parked is None:
        return None
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    kind, timestamp = message.timestamp()
    key, value, keys = message.key(), message.value(), quarantine.guard.stamp_keys
    pointer = any(name == POINTER_HEADER for name, _ in headers)
    doubt = ""
    if keys is not None and not pointer:
        doubt = decision_doubt(headers, keys, parked.origin_topic, key, value)
    return ParkedEvent(
        kind=_kind_in(topic, parked.kind, quarantine, doubt=doubt),
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        parked=parked,
        value_size=None if value is None else len(value),
        pointer=pointer,
        digest=None if parked.origin_offset is None else _digest(key, headers),
        doubt=doubt,
    )


def _digest(key: bytes | None, headers: Iterable[_Header]) -> str | None:
    """What stands for the key of a parked event; a pointer may have nothing else of it."""
    if key is not None:
        return key_digest(key)
    for name, value in headers:
        if name == POINTER_KEY_HEADER and value is not None:
            return value.decode("ascii", "replace")
    return None


def _fits(event: ParkedEvent, selection: Selection) -> bool:
    if selection.at and event.place not in selection.at:
        return False
    if selection.kind is not None and event.kind != selection.kind:
        return False
    if selection.since is not None and event.parked_at < selection.since:
        return False
    if selection.rule is None:
        return True
    return any(selection.rule in (rule, rule.partition("/")[2]) for rule in event.rules)


def _age(event: ParkedEvent) -> tuple[int, str, int, int]:
    return event.parked_at, event.topic, event.partition, event.offset


def load_values(
    reader: BoundedReader, events: Iterable[ParkedEvent]
) -> Iterator[tuple[ParkedEvent, ParkedEvent | None]]:
    """Each of `events` with key, value and headers; None where its record is gone by now."""
    wanted = list(events)
    loaded: dict[tuple[str, int, int], ParkedEvent] = {}
    for topic in dict.fromkeys(event.topic for event in wanted):
        places = {event.place: event for event in wanted if event.topic == topic}
        bounds = reader.bounds(topic)
        spans: dict[int, Span] = {}
        for number in {partition for partition, _ in places}:
            if number in bounds:
                offsets = [offset for partition, offset in places if partition == number]
                first = max(min(offsets), bounds[number].first)
                spans[number] = Span(first, min(max(offsets) + 1, bounds[number].end))
        for message in reader.read(topic, spans):
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            event = places.get((partition, offset))
            if event is not None:
                loaded[topic, partition, offset] = replace(
                    event,
                    key=message.key(),
                    value=message.value(),
                    headers=tuple(message.headers() or ()),  # type: ignore[arg-type]  # as above
                )
    for event in wanted:
        yield event, loaded.get((event.topic, *event.place))
