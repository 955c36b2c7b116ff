"""What the topic that events are released to does with them: sizes, time, compaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from .connection import ConfigMap, connection_of
from .quarantine import ParkedEvent
from .reading import BoundedReader, Span
from .record_time import EMBEDDED_CLUSTER

__all__ = ["Target", "look_at", "newer_keys", "topic_settings"]

#: Framing of a batch of one record, beyond key, value and headers.
_FRAMING_BYTES = 200
_REQUEST_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """A topic to release to; None where the broker does not say.

    `compacted` is taken as True where it is not known: then the keys are looked at.
    """

    topic: str
    partitions: int
    compacted: bool
    record_max_bytes: int | None
    retention_ms: int | None

    def too_large(self, *parts: bytes | None) -> bool:
        """True for a record of `parts` that the topic does not take."""
        size = sum(len(part) for part in parts if part is not None) + _FRAMING_BYTES
        return self.record_max_bytes is not None and size > self.record_max_bytes

    def too_old(self, timestamp: int, now: int) -> bool:
        """True for a record (times in ms) that the topic would remove at once."""
        return self.retention_ms is not None and now - timestamp > self.retention_ms


def topic_settings(config: ConfigMap, topic: str, timeout_s: float) -> dict[str, str] | None:
    """The settings of a topic by their names; None where the broker does not give them."""
    admin = AdminClient(connection_of(config))
    describe: Callable[..., dict[Any, Future[Any]]] = admin.describe_configs  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (answer,) = describe([resource], request_timeout=min(timeout_s, _REQUEST_TIMEOUT_S)).values()
    try:
        entries: dict[str, Any] = answer.result(timeout_s)
    except (KafkaException, TimeoutError):
        return None
    return {name: str(entry.value) for name, entry in entries.items()}


def look_at(reader: BoundedReader, config: ConfigMap, topic: str) -> Target | None:
    """What there is to know about `topic`; None when it is not there."""
    metadata = reader.metadata(topic)
    if metadata is None or metadata.error is not None:
        return None
    embedded = reader.cluster_id().startswith(EMBEDDED_CLUSTER)
    settings = None if embedded else topic_settings(config, topic, reader.left_s())
    if settings is None:
        return Target(topic, len(metadata.partitions), not embedded, None, None)
    policy = settings.get("cleanup.policy", "")
    retention = _number(settings.get("retention.ms"))
    deletes = "delete" in policy and retention is not None and retention >= 0
    by_sender = settings.get("message.timestamp.type") != "LogAppendTime"
    return Target(
        topic,
        len(metadata.partitions),
        "compact" in policy,
        _number(settings.get("max.message.bytes")),
        retention if deletes and by_sender else None,
    )


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def newer_keys(
    reader: BoundedReader, topic: str, events: Iterable[ParkedEvent]
) -> set[tuple[str, int, int]]:
    """Which of `events` have, in `topic`, a newer record of their key (topic, partition, offset).

    Newer is by time, the same millisecond included, and by offset in the partition that an event
    was in itself.
    """
    by_key: dict[bytes, list[ParkedEvent]] = {}
    for event in events:
        if event.key is not None:
            by_key.setdefault(event.key, []).append(event)
    if not by_key:
        return set()
    earliest = min(_since(event) for found in by_key.values() for event in found)
    spans: dict[int, Span] = reader.bounds(topic)
    if not reader.cluster_id().startswith(EMBEDDED_CLUSTER):
        spans = reader.since(topic, spans, earliest)
    newer: set[tuple[str, int, int]] = set()
    for message in reader.read(topic, spans):
        key = message.key()
        for event in () if key is None else by_key.get(key, ()):
            if _is_newer(message, topic, event):
                newer.add((event.topic, *event.place))
    return newer


def _since(event: ParkedEvent) -> int:
    given = event.parked.origin_timestamp
    return event.parked_at if given is None else min(given, event.parked_at)


def _is_newer(message: Any, topic: str, event: ParkedEvent) -> bool:
    parked = event.parked
    if topic == parked.origin_topic and message.partition() == parked.origin_partition:
        assert parked.origin_offset is not None
        return bool(message.offset() > parked.origin_offset)
    kind, timestamp = message.timestamp()
    own = parked.origin_timestamp
    if kind == TIMESTAMP_LOG_APPEND_TIME or own is None:
        own = event.parked_at
    return bool(timestamp >= own)
