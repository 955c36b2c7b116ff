"""Planting histories in a real Kafka, and reconciling them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import msgspec
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.guard import Guard
from streamwarden.policy.routing import route
from streamwarden.reconciler import ReconcileOptions, Report, reconcile
from streamwarden.schemas.event import Record

from ..unit.reconciler.histories import as_bytes

__all__ = ["Planter", "delete_below", "policy_for", "versions_of"]


def policy_for(topic: str, *rules: str, name: str = "limits", more: str = "") -> str:
    """A policy document on `topic`, with rules in YAML's flow style."""
    listed = "".join(f"  - {rule}\n" for rule in rules)
    return f"policy: {name}\nowner: team\ntopics: [{topic}]\n{more}rules:\n{listed}"


def versions_of(store: DirectoryStore, *bundles: Bundle) -> list[Bundle]:
    """`bundles` published one after the other, the last one active."""
    made = [store.publish(bundle, by="ann", reason="test") for bundle in bundles]
    store.activate(made[-1].number, by="ann", reason="test")
    return made


def delete_below(bootstrap: str, topic: str, partition: int, offset: int) -> None:
    """Move the start of a log, as retention does."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    delete = cast("Callable[..., dict[Any, Future[Any]]]", admin.delete_records)
    (future,) = delete([TopicPartition(topic, partition, offset)]).values()
    future.result(30)


class Planter:
    """Writes to one topic of a cluster, through guards and past them, and says where it went."""

    def __init__(self, bootstrap: str, topic: str, store: DirectoryStore | None = None) -> None:
        self.bootstrap, self.topic, self.store = bootstrap, topic, store
        self.places: list[tuple[str, int, int]] = []
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 0})

    def write(self, record: Record, producer: Producer | None = None) -> tuple[str, int, int]:
        """One record to Kafka; its coordinates."""
        places: list[tuple[str, int, int]] = []

        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            places.append((message.topic(), message.partition(), message.offset()))

        client = producer or self._producer
        client.produce(
            record.topic,
            record.value,
            record.key,
            partition=record.partition or 0,
            headers=list(record.headers),
            timestamp=record.timestamp or 0,
            on_delivery=delivered,
        )
        client.flush(30)
        self.places += places
        (place,) = places
        return place

    def guarded(
        self,
        bundle: Bundle,
        value: object,
        *,
        at: bool = False,
        clock: int | None = None,
        settings: dict[str, Any] | None = None,
        producer: Producer | None = None,
        partition: int | None = None,
        **event: Any,
    ) -> tuple[str, int, int]:
        """One event through a guard on `bundle`, to wherever that sends it."""
        now = time.time_ns() if clock is None else clock
        given: dict[str, Any] = settings or {}
        guard = Guard(bundle, clock=lambda: now, **given)
        decision = guard.decide(topic=self.topic, value=as_bytes(value), **event)
        (record,) = route(decision, stamp_keys=guard.stamp_keys, at=at).records
        if partition is not None:
            record = record._replace(partition=partition)
        return self.write(record, producer)

    def bypass(
        self,
        value: object,
        *,
        stamp: str | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        producer: Producer | None = None,
        key: bytes | None = None,
        timestamp: int | None = None,
    ) -> tuple[str, int, int]:
        """One event past any guard, with whatever stamp one likes."""
        made = list(headers)
        if stamp is not None:
            made.append(("streamwarden", stamp.encode()))
        return self.write(Record(self.topic, 0, key, as_bytes(value), made, timestamp), producer)

    @contextlib.contextmanager
    def transaction(self, *, commit: bool) -> Generator[Producer]:
        """A transactional producer, with a transaction that ends one way or the other."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "transactional.id": f"{self.topic}-{time.time_ns()}",
                "log_level": 0,
            }
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        yield producer
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)

    def options(self, today: Bundle | None = None, **more: Any) -> ReconcileOptions:
        """What a run on the topic is asked for."""
        config = {"bootstrap.servers": self.bootstrap, "log_level": 0}
        settings: dict[str, Any] = {"config": config, "topics": (self.topic,), **more}
        return ReconcileOptions(bundle=today, store=self.store, **settings)

    def reconcile(self, today: Bundle | None = None, **more: Any) -> Report:
        """A run on the topic."""
        return reconcile(self.options(today, **more))

    def found(
        self, today: Bundle | None, tmp_path: Path, **more: Any
    ) -> tuple[Report, dict[tuple[str, int, int], str]]:
        """A run on the topic, and the kind of finding by coordinates, from its findings file."""
        path = tmp_path / "findings.jsonl"
        report = self.reconcile(today, findings=path, **more)
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        found = {(n["topic"], n["partition"], n["offset"]): str(n["kind"]) for n in lines}
        assert len(found) == len(lines), "one finding an event"
        order = [self.topic, f"quarantine.{self.topic}", f"held.{self.topic}"]
        assert list(found) == sorted(found, key=lambda place: (order.index(place[0]), *place[1:]))
        counted = {kind: n for kind, n in report.counts().items() if n}
        assert counted == {kind: list(found.values()).count(kind) for kind in counted}
        assert sum(counted.values()) == len(found)
        return report, found
