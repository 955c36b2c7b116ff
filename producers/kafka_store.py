"""A bundle store in a topic of one partition that is compacted: `kafka://HOST:PORT/TOPIC`.

    payments/content/DIGEST              the stored form of a bundle, with number 0
    payments/bundle/00000015/TOKEN       a claim of number 15: its publication, JSON
    payments/activation/00000003/TOKEN   a claim of epoch 3: its activation, JSON

A log has no compare-and-set; it has an order. Whoever publishes reads to the end, appends a claim
of the next number under a key of its own, and reads on until the claim: the first claim of a number
in the order of the log has it, for every reader alike. A loser claims the next number.

Compaction cannot change who was first. It keeps order, and the last record of each key: the key of
a winning claim is never written again. A losing claim is removed by its own writer, which takes
away only what no reader counts. Content is kept under its digest: written twice it is the same, and
it is acknowledged before a claim names it.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from streamwarden.errors import StoreError

from ..policy.bundle import Bundle
from ..policy.canonical import canonical_json
from ..policy.fields import BUNDLE_NAME
from ..policy.store import (
    Activation,
    ActiveBundle,
    Clock,
    Publication,
    StoreAddress,
    register_store,
)
from ..policy.store_records import (
    activation_json,
    activation_of,
    bundle_of,
    check_digest,
    check_said,
    conflict,
    damaged,
    missing,
    number_of_digest,
    only_name,
    publication_json,
    publication_of,
    record_of,
    wrong_name,
)
from .connection import connection_of
from .store_log import Entry, StoreLog, TooLargeError

__all__ = ["KafkaStore"]

_Kind: TypeAlias = Literal["bundle", "activation"]
_LOCATION: Final = re.compile(r"//([^/@?]+)/([a-zA-Z0-9._-]{1,249})/?")
_CLAIM: Final = re.compile(r"([^/]+)/(bundle|activation)/([0-9]{8,15})/([0-9a-f]{32})")
_CONTENT: Final = re.compile(r"([^/]+)/content/([0-9a-f]{64})")
#: A publisher that loses so many races in a row is not racing but looping.
_ATTEMPTS_MAX: Final = 10_000
#: Kafka's first answer takes connections, metadata and a fetch; a running guard does not wait.
_READ_S, _WRITE_S = 5.0, 30.0
#: Bundles kept after they were read, and contents that were read and not asked for yet.
_BUNDLES_MAX, _CONTENTS_MAX = 16, 4
#: Client settings besides those of the connection that a store takes.
_OPTIONS: Final = frozenset({"timeout_s", "message.max.bytes", "compression.type"})


@dataclass(slots=True)
class _Claim:
    """The first claim of a number or epoch."""

    token: str
    record: bytes


@dataclass(slots=True)
class _Known:
    """What the log says about one bundle: claims by number, offsets of contents by digest."""

    bundle: dict[int, _Claim] = field(default_factory=dict[int, _Claim])
    activation: dict[int, _Claim] = field(default_factory=dict[int, _Claim])
    contents: dict[str, int] = field(default_factory=dict[str, int])

    def claims(self, kind: _Kind) -> dict[int, _Claim]:
        return self.bundle if kind == "bundle" else self.activation


class KafkaStore:
    """See the module's first lines. The name may be left out where the store holds one bundle."""

    def __init__(self, address: StoreAddress) -> None:
        self._name = address.bundle
        self._clock: Clock = address.clock
        self.shown = f"`{address.shown}`"
        place = _LOCATION.fullmatch(address.location)
        if place is None:
            raise StoreError(
                f"the store {self.shown} is malformed",
                remedy="write `kafka://HOST:PORT/TOPIC?bundle=NAME`; users are client settings",
            )
        given: dict[str, object] = {**address.options, **address.client}
        address.allow(*connection_of(given), *_OPTIONS)
        self._read_s = _seconds(given.pop("timeout_s", _READ_S), self.shown)
        given["bootstrap.servers"] = place[1]
        self._lock = threading.RLock()
        self._log = StoreLog(given, place[2], self.shown)
        self._known: dict[str, _Known] = {}
        self._bundles: OrderedDict[tuple[str, int, str], Bundle] = OrderedDict()
        self._contents: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    # ---------------------------------------------------------------- writing

    def publish(
        self, bundle: Bundle, *, by: str, reason: str, expected: int | None = None
    ) -> Bundle:
        """See `BundleStore.publish`. A bundle beyond the topic's limit is StoreError."""
        check_said(by, reason)
        if self._name is not None and bundle.name != self._name:
            raise wrong_name(bundle, self._name)
        name = bundle.name

        def record(number: int) -> dict[str, object]:
            publication = Publication(name, number, bundle.digest, self._clock(), by, reason)
            return publication_json(publication)

        with self._lock:
            deadline = time.monotonic() + _WRITE_S
            self._log.prepare(deadline)
            self._refresh(deadline)
            if expected is not None:
                # Before a content that nobody would use is written.
                self._check(name, "bundle", expected, f"bundle `{name}`")
            if bundle.digest not in self._of(name).contents:
                self._write_content(bundle, deadline)
            number = self._claim(name, "bundle", record, expected, f"bundle `{name}`", deadline)
        return bundle.with_number(number)

    def activate(
        self, number: int, *, by: str, reason: str, expected: int | None = None
    ) -> Activation:
        """See `BundleStore.activate`."""
        check_said(by, reason)
        bundle = self.get(number)
        made: list[Activation] = []

        def record(epoch: int) -> dict[str, object]:
            made.append(Activation(epoch, number, bundle.digest, self._clock(), by, reason))
            return activation_json(made[-1])

        what = f"the activation of `{bundle.name}`"
        with self._lock:
            deadline = time.monotonic() + _WRITE_S
            self._refresh(deadline)
            self._claim(bundle.name, "activation", record, expected, what, deadline)
        return made[-1]

    def _write_content(self, bundle: Bundle, deadline: float) -> None:
        content = bundle.with_number(0).to_json()
        try:
            self._log.append([(f"{bundle.name}/content/{bundle.digest}", content)], deadline)
        except TooLargeError:
            raise StoreError(
                f"bundle `{bundle.name}` has {len(content):,} bytes, more than the topic "
                f"`{self._log.topic}` takes",
                remedy="raise max.message.bytes of the topic, or move lists out of the bundle",
            ) from None

    def _claim(
        self,
        name: str,
        kind: _Kind,
        record: Callable[[int], dict[str, object]],
        expected: int | None,
        what: str,
        deadline: float,
    ) -> int:
        for _ in range(_ATTEMPTS_MAX):
            number = self._check(name, kind, expected, what) + 1
            token = secrets.token_hex(16)
            key = f"{name}/{kind}/{number:08}/{token}"
            try:
                offset = self._log.append([(key, canonical_json(record(number)))], deadline)
            except TooLargeError:
                raise StoreError(
                    f"the reason is larger than the topic `{self._log.topic}` takes",
                    remedy="say it in fewer words",
                ) from None
            self._refresh(deadline, until=offset + 1)
            if self._of(name).claims(kind)[number].token == token:
                return number
            self._log.discard(key)
        raise StoreError(f"no free number in {self.shown}", remedy="try again")

    def _check(self, name: str, kind: _Kind, expected: int | None, what: str) -> int:
        """The highest number so far; StoreError SW193 where another was expected."""
        highest = max(self._of(name).claims(kind), default=0)
        if expected is not None and highest != expected:
            raise conflict(what, expected, highest)
        return highest

    # ---------------------------------------------------------------- reading

    def active(self) -> ActiveBundle | None:
        """See `BundleStore.active`."""
        with self._lock:
            name = self._current_name()
            claims = {} if name is None else self._of(name).activation
            if name is None or not claims:
                return None
            epoch = max(claims)
            activation = self._activation(name, epoch)
            bundle = self._bundle(name, activation.number)
            if bundle is None:
                place = f"{name}/bundle/{activation.number:08}"
                raise damaged(place, f"it is not there, though epoch {epoch} names it")
            check_digest(activation, bundle)
            return ActiveBundle(activation, bundle)

    def get(self, number: int) -> Bundle:
        """See `BundleStore.get`."""
        with self._lock:
            name = self._current_name()
            bundle = None if name is None else self._bundle(name, number)
            if bundle is None:
                known = () if name is None else self._of(name).bundle
                raise missing(name or self._name, number, self.shown, known)
            return bundle

    def by_digest(self, prefix: str) -> Bundle | None:
        """See `BundleStore.by_digest`."""
        with self._lock:
            name = self._current_name()
            known = name or ""
            numbers: Iterable[int] = () if name is None else self._of(known).bundle
            number = number_of_digest(prefix, numbers, lambda n: self._publication(known, n))
            return None if number is None else self._bundle(known, number)

    def history(self) -> tuple[Publication, ...]:
        """See `BundleStore.history`."""
        with self._lock:
            name = self._current_name()
            if name is None:
                return ()
            return tuple(self._publication(name, n) for n in sorted(self._of(name).bundle))

    def activations(self) -> tuple[Activation, ...]:
        """See `BundleStore.activations`."""
        with self._lock:
            name = self._current_name()
            if name is None:
                return ()
            return tuple(self._activation(name, n) for n in sorted(self._of(name).activation))

    def wait_for_change(self, timeout_s: float) -> bool:
        """See `BundleStore.wait_for_change`. The log itself is the notification."""
        with self._lock:
            return self._fold(self._log.wait(timeout_s))

    def close(self) -> None:
        """See `BundleStore.close`."""
        with self._lock, suppress(StoreError):
            self._log.close()

    def _current_name(self) -> str | None:
        """Read to the end; the bundle that is meant, None where nothing was published."""
        self._refresh(time.monotonic() + self._read_s)
        if self._name is not None:
            return self._name
        return only_name((name for name, known in self._known.items() if known.bundle), self.shown)

    def _refresh(self, deadline: float, *, until: int | None = None) -> None:
        anew, entries = self._log.read(deadline, until=until)
        if anew:
            self._known.clear()
            self._bundles.clear()
            self._contents.clear()
        self._fold(entries)

    def _fold(self, entries: Iterable[Entry]) -> bool:
        """Take over what the log says; True where something was activated. Order is everything."""
        activated = False
        for entry in entries:
            key = (entry.key or b"").decode("ascii", "replace")
            # A removed record changes nothing: only claims that lost are ever removed.
            if entry.value is None:
                continue
            claim, content = _CLAIM.fullmatch(key), _CONTENT.fullmatch(key)
            name = (claim or content or [key, ""])[1]
            if not BUNDLE_NAME.fullmatch(name):
                continue
            known = self._of(name)
            if content is not None:
                known.contents[content[2]] = entry.offset
                self._keep(name, content[2], entry.value)
            elif claim is not None:
                kind: _Kind = "bundle" if claim[2] == "bundle" else "activation"
                # INVARIANT: the first claim in the log has the number, and no later one gets it.
                known.claims(kind).setdefault(int(claim[3]), _Claim(claim[4], entry.value))
                activated = activated or kind == "activation"
        return activated

    def _of(self, name: str) -> _Known:
        return self._known.setdefault(name, _Known())

    def _keep(self, name: str, digest: str, content: bytes) -> None:
        self._contents[name, digest] = content
        while len(self._contents) > _CONTENTS_MAX:
            self._contents.popitem(last=False)

    def _publication(self, name: str, number: int) -> Publication:
        place = f"{name}/bundle/{number:08}"
        publication = publication_of(record_of(self._of(name).bundle[number].record, place), place)
        if (publication.name, publication.number) != (name, number):
            raise damaged(place, "it holds another bundle")
        return publication

    def _activation(self, name: str, epoch: int) -> Activation:
        place = f"{name}/activation/{epoch:08}"
        activation = activation_of(record_of(self._of(name).activation[epoch].record, place), place)
        if activation.epoch != epoch:
            raise damaged(place, "it holds another activation")
        return activation

    def _bundle(self, name: str, number: int) -> Bundle | None:
        if number not in self._of(name).bundle:
            return None
        publication = self._publication(name, number)
        known = (name, number, publication.digest)
        if known not in self._bundles:
            place = f"{name}/content/{publication.digest}"
            record = record_of(self._content(name, publication.digest, place), place)
            self._bundles[known] = bundle_of({**record, "number": number}, publication, place)
            while len(self._bundles) > _BUNDLES_MAX:
                self._bundles.popitem(last=False)
        self._bundles.move_to_end(known)
        return self._bundles[known]

    def _content(self, name: str, digest: str, place: str) -> bytes:
        kept = self._contents.get((name, digest))
        if kept is not None:
            return kept
        deadline = time.monotonic() + self._read_s
        # A second look: where the same content was written again, compaction moves it to the end.
        for _ in range(2):
            offset = self._of(name).contents.get(digest)
            entry = None if offset is None else self._log.at(offset, deadline)
            if entry is not None and entry.value is not None:
                return entry.value
            self._refresh(deadline)
        raise damaged(place, "it is not there any more")


def _seconds(given: object, shown: str) -> float:
    with suppress(TypeError, ValueError):
        seconds = float(str(given))
        if 0 < seconds <= 60:
            return seconds
    raise StoreError(
        f"the store {shown} is malformed: `timeout_s` is no time between 0 and 60 seconds",
        remedy="write such as `timeout_s=5`",
    )


register_store("kafka", KafkaStore)
