"""History against the log of decisions: events that no entry tells of, entries without an event.

An event and the entry of its decision have in common the topic, the guard's clock reading, the
effect, and (unless fields were masked after the decision) the value's digest. Both sides are
reduced to that and sorted into buckets on disk, so that memory stays bounded however long they are.
"""

from __future__ import annotations

import heapq
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from streamwarden.errors import ConfigurationError, ReconcileError
from streamwarden.urls import shown_url

from ..policy.parking import parse_parked
from ..policy.stamp import STAMP_HEADER, Stamp, StampError
from .batch import Batch, Swept
from .checkpoint import Spool
from .findings import Finding
from .log_differences import LogDifferences
from .reading import Reader
from .replay import Judging
from .seen import Seen
from .slices import Partition, Slice, all_topics, cut, freeze

__all__ = ["LogCheck", "Noting", "check_log", "check_log_place"]

#: A fingerprint, the clock reading in milliseconds, and the offset or the entry's number.
_NOTE: Final = struct.Struct("<16sqqb")
#: Buckets of ten million events then have some tens of thousands each.
_BUCKETS: Final = 128
_EXAMPLES_MAX: Final = 20
_STAMPS_MAX: Final = 4096
#: How far clocks and the way to the broker may be apart.
_MARGIN_MS: Final = 60_000
#: Guards log all others, and of these a sample.
_SAMPLED: Final = frozenset({"none", "allow"})
_EFFECTS: Final = ("none", "allow", "warn", "mask", "hold", "reject")


class _Note(NamedTuple):
    fingerprint: bytes
    at: int
    number: int
    effect: str


def _fingerprint(topic: str, at: int, effect: str, digest: str) -> bytes:
    known = digest if effect != "mask" else ""
    return blake2b(f"{topic}\n{at}\n{effect}\n{known}".encode(), digest_size=16).digest()


class Noting:
    """A judge that also notes, for each event that a guard decided on, what an entry must match."""

    def __init__(self, judge: Judging, out: BinaryIO) -> None:
        self._judge, self._out = judge, out
        self._stamps: dict[bytes | None, Stamp | None] = {}

    @property
    def unverifiable(self) -> int:
        """See `Judging`."""
        return self._judge.unverifiable

    @property
    def skipped(self) -> int:
        """See `Judging`."""
        return self._judge.skipped

    def takes(self, record: Seen, /) -> bool:
        """See `Judging`."""
        return self._judge.takes(record)

    def sweep(self, _batch: Batch, /) -> Swept | None:
        """See `Judging`: every event is noted."""
        return None

    def finding(self, record: Seen, /) -> Finding | None:
        """See `Judging`."""
        parked = parse_parked(record.headers)
        if parked is None:
            self._delivered(record)
        elif parked.decision is not None and parked.decision.get("stage") == "produce":
            self._note(parked.origin_topic, parked.decision, record)
        return self._judge.finding(record)

    def _delivered(self, record: Seen) -> None:
        stamps = [value for name, value in record.headers if name == STAMP_HEADER]
        if len(stamps) != 1:
            return
        stamp = self._stamp(stamps[0])
        if stamp is None or stamp.stage != "produce" or stamp.ap is not None:
            return
        at = record.now // 1_000_000 if stamp.at is None else stamp.at
        digest = "" if record.value is None else sha256(record.value).hexdigest()
        self._write(record, at, stamp.effect.value, record.topic, digest)

    def _note(self, topic: str, said: Mapping[str, Any], record: Seen) -> None:
        at, effect = said.get("at"), said.get("effect")
        if isinstance(at, int) and effect in _EFFECTS:
            digest = "" if record.value is None else sha256(record.value).hexdigest()
            self._write(record, at, str(effect), topic, digest)

    def _write(self, record: Seen, at: int, effect: str, topic: str, digest: str) -> None:
        fingerprint = _fingerprint(topic, at, effect, digest)
        self._out.write(_NOTE.pack(fingerprint, at, record.offset or 0, _EFFECTS.index(effect)))

    def _stamp(self, data: bytes | None) -> Stamp | None:
        if data in self._stamps:
            return self._stamps[data]
        try:
            stamp = Stamp.parse(data)
        except StampError:
            stamp = None
        if len(self._stamps) < _STAMPS_MAX:
            self._stamps[data] = stamp
        return stamp


@dataclass(slots=True)
class LogCheck:
    """What the comparison came to. Times are milliseconds; entries outside them are not judged.

    `unlogged` counts events without an entry by effect, those of `lossless_since` and later also
    in `missed`, plain allows among them with `has_allows` only; `unfound` are entries whose event is not there. Examples are by lowest
    coordinates, of events those first that are missed.
    """

    place: str
    since: int
    until: int
    lossless_since: int | None
    has_allows: bool = False
    entries: int = 0
    unreadable: int = 0
    matched: int = 0
    missed: int = 0
    unfound: int = 0
    unlogged: dict[str, int] = field(default_factory=dict[str, int])
    events: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    lost: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])
    problem: str = ""

    def misses(self, note: _Note) -> bool:
        """True where the log should have an entry for an event."""
        if self.lossless_since is None or note.at < self.lossless_since:
            return False
        return self.has_allows or note.effect not in _SAMPLED

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON has it."""
        said: dict[str, Any] = {
            "place": self.place,
            "since": self.since,
            "until": self.until,
            "lossless_since": self.lossless_since,
            "has_allows": self.has_allows,
            "entries": self.entries,
            "unreadable": self.unreadable,
            "matched": self.matched,
            "missed": self.missed,
            "events_without_entry": {name: self.unlogged[name] for name in sorted(self.unlogged)},
            "entries_without_event": self.unfound,
            "examples": {
                "events": [
                    {"topic": topic, "partition": partition, "offset": offset}
                    for topic, partition, offset in self.events
                ],
                "entries": [
                    {"entry": number, "at": at, "effect": effect}
                    for number, at, effect in self.lost
                ],
            },
        }
        if self.problem:
            said["problem"] = self.problem
        return said


def check_log_place(place: str) -> None:
    """Raises ConfigurationError for what names no log."""
    if place.startswith("kafka://"):
        host, slash, topic = place[8:].partition("/")
        if host and slash and topic and "@" not in place:  # users are client settings
            return
        place = shown_url(place)
    elif Path(place.removeprefix("file:")).is_file():
        return
    raise ConfigurationError(
        f"there is no decision log at `{place}`",
        remedy="write `file:PATH` of a file that is there, or `kafka://HOST:PORT/TOPIC`",
    )


def check_log(
    place: str,
    slices: Sequence[Slice],
    partitions: Sequence[Partition],
    spool: Spool,
    *,
    config: Mapping[str, Any],
    window: tuple[int | None, int | None],
    now_ms: int,
    lossless_since: int | None,
    has_allows: bool,
    timeout_s: float,
    differences: Path | None = None,
) -> LogCheck:
    """Compare what was noted of `slices` with the log at `place`; write each difference to a file."""
    topics = {piece.topic for piece in slices if not piece.parked}
    with tempfile.TemporaryDirectory(prefix="streamwarden-") as folder:
        buckets = _Buckets(Path(folder))
        low = _bucket_events(slices, partitions, spool, buckets)
        since = max(low, 0 if window[0] is None else window[0])
        until = now_ms - _MARGIN_MS
        if window[1] is not None:
            until = min(until, window[1])
        found = LogCheck(place, since, max(since, until), lossless_since, has_allows)
        try:
            _bucket_entries(place, topics, buckets, found, config, timeout_s)
        except (ReconcileError, OSError) as error:
            found.problem = str(error)
        else:
            if found.entries and found.unreadable == found.entries:
                found.problem = f"nothing in `{place}` is an entry of a decision log"
        buckets.close()
        told = None if differences is None else LogDifferences(Path(folder), _EFFECTS)
        _join(slices, buckets, found, told)
        if told is not None and differences is not None:
            told.write(differences, slices)
    return found


class _Buckets:
    """Notes of both sides by the first bits of their fingerprints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._files: dict[tuple[str, int], BinaryIO] = {}

    def add(self, side: str, note: bytes, tail: bytes = b"") -> None:
        """Put one note where its mates on the other side go."""
        key = side, note[0] % _BUCKETS
        out = self._files.get(key)
        if out is None:
            path = self._folder / f"{side}-{key[1]}"
            out = self._files[key] = self._stack.enter_context(path.open("wb"))
        out.write(note + tail)

    def close(self) -> None:
        """Nothing is added any more."""
        self._stack.close()

    def read(self, side: str, bucket: int, size: int) -> Iterator[bytes]:
        """The notes of a bucket in the order in which they were added."""
        path = self._folder / f"{side}-{bucket}"
        if path.exists():
            with path.open("rb") as notes:
                while note := notes.read(size):
                    yield note


_INDEX: Final = struct.Struct("<q")

#: What a line that is no decision brings about, whatever it is.
_NO_ENTRY: Final = (
    *(msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError),
    struct.error,
)


def _bucket_events(
    slices: Sequence[Slice], partitions: Sequence[Partition], spool: Spool, buckets: _Buckets
) -> int:
    """Sort the notes of events into buckets; from when on all events of the log are among them.

    Where the beginning of a partition was not read, that is since its first event that was.
    """
    earliest: dict[tuple[str, int], int] = {}
    for place, piece in enumerate(slices):
        at = piece.topic, piece.partition
        for note in spool.notes(piece, _NOTE.size):
            moment = _NOTE.unpack(note)[1]
            earliest[at] = min(moment, earliest.get(at, moment))
            buckets.add("event", note, _INDEX.pack(place))
    low = 0
    for part in partitions:
        if part.first > 0 and not part.parked:
            first = earliest.get((part.topic, part.number))
            low = max(low, 2**62 if first is None else first + _MARGIN_MS)
    return low


def _bucket_entries(
    place: str,
    topics: set[str],
    buckets: _Buckets,
    found: LogCheck,
    config: Mapping[str, Any],
    timeout_s: float,
) -> None:
    for number, line in enumerate(_lines(place, config, timeout_s), 1):
        if not line.strip():
            continue
        found.entries += 1
        note = _entry(line, topics, number)
        if note is None:
            found.unreadable += 1
        elif note:
            buckets.add("entry", note)


def _entry(line: bytes, topics: set[str], number: int) -> bytes | None:
    """The note of an entry; empty where it is about something else, None where it says too little."""
    try:
        said: Any = msgspec.json.decode(line)
        stage, at, effect, event = said["stage"], said["at"], said["effect"], said.get("event")
        if stage != "produce" or (event is not None and event["topic"] not in topics):
            return b""
        if event is None:
            return None
        digest = event["sha256"] or ""
        fingerprint = _fingerprint(event["topic"], at, effect, digest)
        return _NOTE.pack(fingerprint, at, number, _EFFECTS.index(effect))
    except _NO_ENTRY:
        return None


def _lines(place: str, config: Mapping[str, Any], timeout_s: float) -> Iterator[bytes]:
    if not place.startswith("kafka://"):
        with Path(place.removeprefix("file:")).open("rb") as log:
            yield from log
        return
    host, _, topic = place[8:].partition("/")
    there = {**config, "bootstrap.servers": host}
    known = all_topics(there, timeout_s=timeout_s)
    if topic not in known:
        raise ReconcileError(f"there is no topic `{topic}` with decisions", remedy="check its name")
    pieces = cut(freeze(there, {topic: known[topic]}, timeout_s=timeout_s))
    reader = Reader(there, timeout_s=timeout_s)
    try:
        for piece in pieces:
            reading = reader.read(piece)
            for record in reading:
                yield record.value or b""
            if reading.problem:
                raise ReconcileError(
                    f"the decision log was not read to its end: {reading.problem}",
                    remedy="run again when its brokers answer",
                )
    finally:
        reader.close()


def _join(
    slices: Sequence[Slice], buckets: _Buckets, found: LogCheck, told: LogDifferences | None
) -> None:
    events: list[tuple[bool, str, int, int]] = []
    lost: list[tuple[int, int, str]] = []
    for bucket in range(_BUCKETS):
        entries = [_unpacked(note) for note in buckets.read("entry", bucket, _NOTE.size)]
        open_ = Counter(note.fingerprint for note in entries)
        unlogged = _unmatched(buckets.read("event", bucket, _NOTE.size + _INDEX.size), open_, found)
        for note, index in unlogged:
            found.unlogged[note.effect] = found.unlogged.get(note.effect, 0) + 1
            missed = found.misses(note)
            found.missed += missed
            piece = slices[index]
            if told is not None:
                told.event(index, note.number, note.at, note.effect, missed=missed)
            events.append((not missed, piece.topic, piece.partition, note.number))
        for note in reversed(entries):
            if open_[note.fingerprint] > 0 and found.since <= note.at < found.until:
                open_[note.fingerprint] -= 1
                found.unfound += 1
                if told is not None:
                    told.entry(note.number, note.at, note.effect)
                lost.append((note.number, note.at, note.effect))
        if told is not None:
            told.cut()
        events = heapq.nsmallest(_EXAMPLES_MAX, events)
        lost = heapq.nsmallest(_EXAMPLES_MAX, lost)
    found.events = [(topic, partition, offset) for _, topic, partition, offset in events]
    found.lost = lost


def _unmatched(
    notes: Iterable[bytes], open_: Counter[bytes], found: LogCheck
) -> Iterator[tuple[_Note, int]]:
    """The events without an entry, each with the place of its slice."""
    for data in notes:
        note = _unpacked(data[: _NOTE.size])
        if open_[note.fingerprint] > 0:
            open_[note.fingerprint] -= 1
            found.matched += 1
        else:
            yield note, _INDEX.unpack(data[_NOTE.size :])[0]


def _unpacked(note: bytes) -> _Note:
    fingerprint, at, number, effect = _NOTE.unpack(note)
    return _Note(fingerprint, at, number, _EFFECTS[effect])
