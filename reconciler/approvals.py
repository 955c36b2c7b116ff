"""The approvals that people gave: releases, as parking topics record them beside the parked events.

A released event carries the id of its release (`ap=`). The release is recorded behind the parked
record: where to, when, and by which policy; and the parked record has key, time and value of the
event. So an id that was made up, or copied onto another event, is told from an honest one.

Parking topics are read when the first such id is seen, to the ends that they have then: an event is
released together with the record of it. First those of the event's own topic; where an id is not
there, those of all topics, since an event may be released to another one.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streamwarden.errors import ReconcileError

from ..policy.bundle import Bundle
from ..policy.keys import KeyRing
from ..policy.parking import parse_parked
from ..policy.stamp import Stamp
from ..policy.topics import fits_template
from ..producers.parking import POINTER_HEADER
from ..producers.reviews import Review, is_review, parse_review
from .reading import Reader
from .seen import Seen
from .slices import Partition, Slice, all_topics, freeze

__all__ = ["Approval", "Approvals", "digest_of"]

#: Records of other topics' parking topics that are read for an id that nothing else knows: some
#: minutes. Beyond it nothing is held against the id.
_OFFSETS_MAX: Final = 5_000_000
_NO_TIME: Final = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Approval:
    """One release. `to`, `at` (milliseconds), `effect` and `bundle` are what its stamp says.

    `event` is digests of key and value, and the timestamp (None: it has none), of what was
    released; None where the parked record is gone, or only points to the event.
    """

    to: str | None
    at: int
    effect: str | None
    bundle: str | None
    event: tuple[int, int, int | None] | None

    def is_of(self, event: Seen, stamp: Stamp, *, masks: bool) -> bool:
        """True where this is the release of `event`, as far as can be told.

        `masks`: its policies mask fields, so that another value than the parked one went out.
        """
        said = (self.to or event.topic, self.at, self.effect or stamp.effect.value)
        if said != (event.topic, stamp.at, stamp.effect.value):
            return False
        if self.bundle is not None and self.bundle != stamp.label:
            return False
        if self.event is None:
            return True
        key, value, timestamp = self.event
        if key != digest_of(event.key) or (not masks and value != digest_of(event.value)):
            return False
        return event.appended or timestamp is None or timestamp == event.timestamp


class Approvals:
    """Finds approvals; see the module's first lines. Pickled, it leaves what it has read behind.

    `bundles` are versions whose parking topics count; `keys` are those that reviews must be signed
    with, if any.
    """

    def __init__(self, bundles: Iterable[Bundle], keys: KeyRing | None) -> None:
        self._templates = tuple(
            dict.fromkeys((b.settings.quarantine, b.settings.held) for b in bundles)
        )
        self._keys = keys
        self._config: Mapping[str, Any] = {}
        self._timeout_s = 0.0
        self._forget()

    def _forget(self) -> None:
        self._known: dict[str, Approval] = {}
        #: Parking topics that there are, with their partitions; those that were read; whether
        #: each record that was ever in them is still there.
        self._topics: dict[str, list[int]] | None = None
        self._read: set[str] = set()
        self._whole = True

    def reach(self, config: Mapping[str, Any], timeout_s: float) -> None:
        """How to reach the cluster."""
        self._config, self._timeout_s = config, timeout_s

    def of(self, topic: str, name: str) -> Approval | bool:
        """The approval called `name` of an event in `topic`; False where there surely is none.

        True where that cannot be told: records of approvals may be gone, or could not be read.
        """
        found = self._known.get(name)
        if found is None:
            self._look(topic)
            found = self._known.get(name)
        if found is None:
            self._look(None)
            found = self._known.get(name)
        return found if found is not None else not self._whole

    def _look(self, topic: str | None) -> None:
        """Read the parking topics of `topic`, or all; each only once."""
        if self._topics is None:
            self._topics = self._listed()
        wanted = self._topics.keys() - self._read
        if topic is not None:
            wanted &= {each.replace("{topic}", topic) for pair in self._templates for each in pair}
        self._read |= wanted
        if wanted:
            self._take({name: self._topics[name] for name in sorted(wanted)}, bounded=topic is None)

    def _listed(self) -> dict[str, list[int]]:
        """Every parking topic that there is, with its partitions."""
        try:
            topics = all_topics(self._config, timeout_s=self._timeout_s)
        except ReconcileError:
            self._whole = False
            return {}
        templates = {each for pair in self._templates for each in pair}
        return {
            name: numbers
            for name, numbers in topics.items()
            if any(fits_template(template, name) for template in templates)
        }

    def _take(self, topics: Mapping[str, list[int]], *, bounded: bool) -> None:
        try:
            parts = freeze(self._config, topics, timeout_s=self._timeout_s)
        except ReconcileError:
            self._whole = False
            return
        if any(part.problem or part.start for part in parts):
            self._whole = False
        if bounded and sum(part.end - part.first for part in parts) > _OFFSETS_MAX:
            self._whole = False
            return
        reader = Reader(self._config, timeout_s=self._timeout_s)
        try:
            for part in parts:
                if part.first < part.end:
                    self._take_partition(reader, part)
        finally:
            reader.close()

    def _take_partition(self, reader: Reader, part: Partition) -> None:
        parked = _Fingerprints()
        reading = reader.read(Slice(0, part.topic, part.number, part.first, part.end))
        for record in reading:
            if not is_review(record.headers):
                parked.add(record)
                continue
            review = parse_review(record.value, record.headers, part.topic, self._keys)
            if review is None or review.verified is False or review.action != "released":
                continue
            if review.partition == part.number:
                self._known[review.id] = _approval(review, parked)
        if reading.problem or any(gap.reason == "retention" for gap in reading.gaps):
            self._whole = False

    def __getstate__(self) -> dict[str, Any]:
        return {"templates": self._templates, "keys": self._keys}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._templates, self._keys = state["templates"], state["keys"]
        self._config, self._timeout_s = {}, 0.0
        self._forget()


class _Fingerprints:
    """What parked records of one partition were, at 32 bytes for each."""

    def __init__(self) -> None:
        self._offsets, self._times = array("q"), array("q")
        self._keys, self._values = array("Q"), array("Q")

    def add(self, record: Seen) -> None:
        parked = parse_parked(record.headers)
        if parked is None or any(name == POINTER_HEADER for name, _ in record.headers):
            return
        given = parked.origin_timestamp
        timestamp = record.timestamp if given is None else given
        self._offsets.append(record.offset or 0)
        self._times.append(_NO_TIME if timestamp is None else min(timestamp, 1 << 62))
        self._keys.append(digest_of(record.key))
        self._values.append(digest_of(record.value))

    def of(self, offset: int) -> tuple[int, int, int | None] | None:
        at = bisect_left(self._offsets, offset)
        if at == len(self._offsets) or self._offsets[at] != offset:
            return None
        timestamp = self._times[at]
        return self._keys[at], self._values[at], None if timestamp == _NO_TIME else timestamp


def _approval(review: Review, parked: _Fingerprints) -> Approval:
    return Approval(review.to, review.at, review.effect, review.bundle, parked.of(review.offset))


def digest_of(data: bytes | None) -> int:
    """What stands for a key or a value, 64 bits; zero for none."""
    if data is None:
        return 0
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") | 1
