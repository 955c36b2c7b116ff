"""Histories for tests: topics in memory, written by guards of several versions and by others."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.compiler.framed import FramedValues
from streamwarden.policy.decision import Decision
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import load_directories
from streamwarden.policy.plan_table import PlanTable
from streamwarden.policy.routing import forward, route
from streamwarden.reconciler.batch import Batch
from streamwarden.reconciler.findings import Finding
from streamwarden.reconciler.history import History
from streamwarden.reconciler.judge import Judge, Terms
from streamwarden.reconciler.parked import ParkedJudge
from streamwarden.reconciler.replay import Judging
from streamwarden.reconciler.seen import Seen
from streamwarden.schemas.event import Headers, Record
from streamwarden.schemas.registry import SchemaSource

__all__ = [
    "NOON",
    "Message",
    "Past",
    "as_bytes",
    "batches",
    "make_bundle",
    "policy",
    "sweeps_alike",
]

#: 2026-03-01T12:00:00Z in nanoseconds: what guards in tests read from their clocks.
NOON = 1_772_366_400_000_000_000
_MILLISECOND = 1_000_000


def policy(*rules: str, name: str = "limits", more: str = "") -> str:
    """A policy document on topic `t`, with rules in YAML's flow style."""
    listed = "".join(f"  - {rule}\n" for rule in rules)
    return f"policy: {name}\nowner: team\ntopics: [t]\n{more}rules:\n{listed}"


@functools.lru_cache(maxsize=512)
def make_bundle(*documents: str, number: int = 0, settings: str = "") -> Bundle:
    """The bundle `b` of policy documents given as text."""
    with tempfile.TemporaryDirectory() as folder:
        for place, text in enumerate(documents):
            (Path(folder) / f"{place}.yaml").write_text(text)
        (Path(folder) / "bundle.yaml").write_text(f"bundle: b\n{settings}")
        return load_directories([Path(folder)]).with_number(number)


def as_bytes(value: object) -> bytes | None:
    """A value as producers send it: bytes and None as they are, anything else as JSON."""
    return value if isinstance(value, bytes) or value is None else json.dumps(value).encode()


@dataclass(frozen=True, slots=True)
class Message:
    """A record as the client gives it."""

    record: Seen

    def key(self) -> bytes | None:
        return self.record.key

    def value(self) -> bytes | None:
        return self.record.value

    def headers(self) -> Headers | None:
        return list(self.record.headers) or None

    def timestamp(self) -> tuple[int, int]:
        if self.record.timestamp is None:
            return 0, -1
        return (2 if self.record.appended else 1), self.record.timestamp


def batches(records: Sequence[Seen]) -> list[Batch]:
    """`records` as they are read: together where their times are of one kind."""
    found: list[Batch] = []
    for _, same in groupby(records, lambda record: (record.timestamp is None, record.appended)):
        together = list(same)
        offsets = [record.offset or 0 for record in together]
        batch = Batch.of(together[0].topic, 0, offsets, [Message(record) for record in together])
        if batch is not None:
            assert list(batch) == [batch[at] for at in range(len(batch))]
            found.append(batch)
    return found


def sweeps_alike(
    judge: Judging,
    records: Sequence[Seen],
    found: Sequence[Finding | None],
    unverifiable: Sequence[int],
) -> None:
    """Whatever a judge says of whole batches, it says of each event, too."""
    offsets = [record.offset for record in records]
    told = dict(zip(offsets, zip(found, unverifiable, strict=True), strict=True))
    for batch in batches(records):
        before = judge.unverifiable
        swept = judge.sweep(batch)
        assert judge.unverifiable == before
        if swept is None:
            continue
        clean = [told[o] for at, o in enumerate(batch.offsets) if at not in set(swept.suspects)]
        assert list(swept.suspects) == sorted(set(swept.suspects))
        assert [finding for finding, _ in clean if finding is not None] == []
        assert swept.unverifiable == sum(counted for _, counted in clean)


class Past:
    """Records by topic, in the order in which they were written."""

    def __init__(self, *versions: Bundle, schemas: SchemaSource | None = None) -> None:
        self.versions = versions
        self.schemas = schemas
        self.topics: dict[str, list[Seen]] = {}

    def write(self, record: Record, *, appended_at: int | None = None) -> Seen:
        """Append a record as Kafka does; `appended_at` (nanoseconds) is the broker's time."""
        log = self.topics.setdefault(record.topic, [])
        timestamp = NOON // _MILLISECOND if record.timestamp is None else record.timestamp
        if appended_at is not None:
            timestamp = appended_at // _MILLISECOND
        headers = record.headers or ()
        seen = Seen(
            record.topic,
            record.value,
            record.key,
            headers,
            timestamp,
            timestamp * _MILLISECOND,
            record.partition or 0,
            len(log),
            None,
            appended_at is not None,
        )
        log.append(seen)
        return seen

    def bypass(
        self,
        value: object,
        *,
        stamp: str | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        key: bytes | None = None,
        timestamp: int | None = None,
    ) -> Seen:
        """Write to `t` past any guard, with whatever stamp one likes."""
        made = list(headers)
        if stamp is not None:
            made.append(("streamwarden", stamp.encode()))
        return self.write(Record("t", None, key, as_bytes(value), made, timestamp))

    def guarded(
        self,
        bundle: Bundle,
        value: object,
        *,
        at: int = NOON,
        carries_at: bool = False,
        appended_at: int | None = None,
        settings: Mapping[str, Any] | None = None,
        **event: Any,
    ) -> Decision:
        """Write to `t` through a guard; refused events go where the guard parks them."""
        given: Mapping[str, Any] = settings or {}
        guard = Guard(bundle, clock=lambda: at, schemas=self.schemas, **given)
        decision = guard.decide(topic="t", value=as_bytes(value), **event)
        carries_at = carries_at or appended_at is not None
        for record in route(decision, stamp_keys=guard.stamp_keys, at=carries_at).records:
            self.write(record, appended_at=appended_at)
        return decision

    def released(self, bundle: Bundle, value: object, *, field: str = "ap", id: str = "x1") -> Seen:  # noqa: A002
        """Write a refused event to `t` nevertheless, as a release or an override does."""
        decision = Guard(bundle, clock=lambda: NOON).decide(topic="t", value=as_bytes(value))
        record = forward(decision, at=True)
        stamp = decision.plan.stamp(decision.effect, at=decision.at)
        text = stamp.encode().decode() + f";{field}={id}"
        headers: list[tuple[str, bytes | None]] = [
            (name, text.encode() if name == "streamwarden" else data)
            for name, data in record.headers
        ]
        return self.write(record._replace(headers=headers))

    def history(self, today: Bundle, *, store: bool = True) -> History:
        """What a store tells of the versions."""
        if not store:
            return History(today)
        numbers = {version.number: version for version in self.versions}
        return History(
            today,
            published=[(v.name, n, v.digest) for n, v in numbers.items()],
            fetch=numbers.__getitem__,
        )

    def findings(
        self, today: Bundle, *, store: bool = True, terms: Terms | None = None
    ) -> list[Finding]:
        """What is found in all topics, by topic and offset."""
        return [found for found, _ in self.judged(today, store=store, terms=terms) if found]

    def judged(
        self, today: Bundle, *, store: bool = True, terms: Terms | None = None
    ) -> Iterable[tuple[Finding | None, Seen]]:
        """Each record with its finding."""
        terms = terms or Terms(now=NOON)
        history = self.history(today, store=store)
        framed = None if self.schemas is None else FramedValues(self.schemas)
        history.framed = framed
        table = PlanTable(today, detective=True, replay=True, framed=framed)
        for topic in sorted(self.topics):
            if topic == "t":
                judge: Judge | ParkedJudge = Judge(topic, history, table, terms)
            else:
                judge = ParkedJudge({"t"}, history, table, terms)
            found: list[Finding | None] = []
            unverifiable: list[int] = []
            for record in self.topics[topic]:
                before = judge.unverifiable
                found.append(judge.finding(record))
                unverifiable.append(judge.unverifiable - before)
            sweeps_alike(judge, self.topics[topic], found, unverifiable)
            yield from zip(found, self.topics[topic], strict=True)

    def kinds(self, today: Bundle, **how: Any) -> list[str]:
        """The kinds of what is found, in order."""
        return [finding.kind for finding in self.findings(today, **how)]
