"""Making the topics that parked events and decisions go to, so that none of them can disappear."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from streamwarden.errors import QuarantineError

from ..policy.bundle import Bundle
from ..policy.guard import Guard
from ..policy.model import Mode
from ..policy.parking import Kind, parked_topic
from ..policy.waiting import waiting_topic
from .codes import error_of
from .connection import PARKING_OVERHEAD_BYTES, ConfigMap, connection_of
from .log_target import LogTarget
from .record_time import EMBEDDED_CLUSTER

__all__ = [
    "KINDS",
    "Difference",
    "State",
    "TopicReport",
    "TopicState",
    "differences",
    "ensure_log_topic",
    "ensure_topics",
    "log_differences",
    "parking_topics",
    "too_few_replicas",
    "wanted_settings",
]

State: TypeAlias = Literal["created", "missing", "fits", "differs"]

_DAY_MS = 86_400_000
#: How long a quarantined event stays at least, counted from its own timestamp.
_QUARANTINE_MIN_MS = 30 * _DAY_MS
#: A topic made for decisions keeps them so long; its owner may want less, or more.
_LOG_KEPT_MS = 90 * _DAY_MS
#: What the log's producer sends at most, with the framing of a batch: Kafka's own default.
_LOG_MAX_BYTES = 1_048_588
#: Past this the broker takes whatever time an event has.
_ANY_TIME = 2**63 - 1
#: Every origin has a topic of each.
KINDS: tuple[Kind, ...] = ("quarantined", "held")


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting of a parking topic that is there, with which parked events are not safe."""

    setting: str
    found: str
    wanted: str
    why: str


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One parking topic: made now, already there, or (with `dry_run`) missing.

    `settings` are those that it was, or would be, made with. The topic of a decision log has the
    kind `decisions` and no origin; what it is made with is the broker's choice where it says 0.
    """

    topic: str
    origin: str
    kind: Kind | Literal["decisions"]
    state: State
    partitions: int
    replication: int
    settings: tuple[tuple[str, str], ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is: partitions, the fewest replicas of one, and its settings by name."""

    partitions: int
    replication: int
    settings: dict[str, str]


def ensure_topics(
    config: ConfigMap,
    guard: Guard,
    topics: Sequence[str],
    *,
    dry_run: bool = False,
    timeout_s: float = 30.0,
) -> tuple[TopicReport, ...]:
    """Make the quarantine and held topics of `topics`; report those that are there and differ.

    They get the origin's partitions and replicas. Nothing that exists is changed. Raises
    QuarantineError for an origin topic that is not there, and where the broker refuses.
    """
    with _told("the parking topics"):
        cluster = _Cluster(config, time.monotonic() + timeout_s)
        origins = {topic: cluster.find(topic) for topic in topics}
        missing = [topic for topic, found in origins.items() if found is None]
        if missing:
            raise QuarantineError(
                f"there is no topic `{missing[0]}`", remedy="make it first; its parking follows it"
            )
        return tuple(
            _one(cluster, origin, found, topic, kind, dry_run)
            for origin, found in origins.items()
            if found is not None
            for topic, kind in parking_topics(guard.bundle, origin)
        )


def parking_topics(bundle: Bundle, origin: str) -> list[tuple[str, Kind]]:
    """What there is to be for parked events of `origin`, with the kind of each.

    The kind `waiting` is where it is written down which keys wait, where a policy asks for that.
    """
    found: list[tuple[str, Kind]] = [
        (parked_topic(bundle.settings, origin, kind), kind) for kind in KINDS
    ]
    asked = (p for p in bundle.covering(origin) if p.park == "key" and p.mode is not Mode.OFF)
    if next(asked, None) is not None:
        found.append((waiting_topic(bundle.settings, origin), "waiting"))
    return found


def ensure_log_topic(
    target: LogTarget, *, dry_run: bool = False, timeout_s: float = 30.0
) -> TopicReport:
    """Make the topic of a decision log, or report what of one that is there loses decisions.

    It gets as many partitions and replicas as the broker gives by default. Raises QuarantineError
    where the broker refuses.
    """
    wanted = {
        "cleanup.policy": "delete",
        "max.message.bytes": str(_LOG_MAX_BYTES),
        "retention.ms": str(_LOG_KEPT_MS),
    }
    with _told(f"the topic `{target.topic}`"):
        cluster = _Cluster(target.config, time.monotonic() + timeout_s)
        found = cluster.find(target.topic)
        if found is not None:
            said = tuple(log_differences(found))
            return TopicReport(
                target.topic,
                "",
                "decisions",
                "differs" if said else "fits",
                found.partitions,
                found.replication,
                (),
                said,
            )
        if not dry_run:
            cluster.create(target.topic, TopicState(-1, -1, {}), wanted)
    state: State = "missing" if dry_run else "created"
    return TopicReport(target.topic, "", "decisions", state, 0, 0, tuple(wanted.items()))


@contextmanager
def _told(what: str) -> Generator[None]:
    """Tell what the brokers refuse in words of this command."""
    try:
        yield
    except (KafkaException, TimeoutError) as raised:
        error = error_of(raised) if isinstance(raised, KafkaException) else None
        said = "no answer in time" if error is None else error.str()
        raise QuarantineError(
            f"{what} cannot be made or looked at: {said}",
            remedy="check the servers and the rights to describe and to create topics",
        ) from raised


class _Cluster:
    """The questions and orders to the brokers, all within one deadline."""

    def __init__(self, config: ConfigMap, deadline: float) -> None:
        self._admin, self._deadline = AdminClient(connection_of(config)), deadline

    def _left_s(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def find(self, topic: str) -> TopicState | None:
        cluster = self._admin.list_topics(timeout=self._left_s())
        if str(cluster.cluster_id).startswith(EMBEDDED_CLUSTER):
            raise QuarantineError(
                "the embedded broker has no topic settings",
                remedy="make its topics by `create_topic`",
            )
        metadata = cluster.topics.get(topic)
        if metadata is None or metadata.error is not None:
            return None
        replicas = [len(partition.replicas) for partition in metadata.partitions.values()]
        return TopicState(len(replicas), min(replicas, default=1), self._settings(topic))

    def _settings(self, topic: str) -> dict[str, str]:
        describe: Callable[..., dict[Any, Future[Any]]] = self._admin.describe_configs  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        resource = ConfigResource(ResourceType.TOPIC, topic)
        left = self._left_s()
        (answer,) = describe([resource], request_timeout=left).values()
        entries: dict[str, Any] = answer.result(left)
        return {name: str(entry.value) for name, entry in entries.items()}

    def create(self, topic: str, origin: TopicState, settings: dict[str, str]) -> None:
        new = NewTopic(topic, origin.partitions, origin.replication, config=settings)
        create: Callable[..., dict[str, Future[None]]] = self._admin.create_topics  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        left = self._left_s()
        create([new], operation_timeout=left, request_timeout=left)[topic].result(left)


def _one(
    cluster: _Cluster, origin: str, base: TopicState, topic: str, kind: Kind, dry_run: bool
) -> TopicReport:
    wanted = wanted_settings(base.settings, kind)
    found = cluster.find(topic)
    if found is not None:
        said = tuple(differences(found, base, wanted))
        state: State = "differs" if said else "fits"
        return TopicReport(
            topic, origin, kind, state, found.partitions, found.replication, (), said
        )
    if not dry_run:
        cluster.create(topic, base, wanted)
    state = "missing" if dry_run else "created"
    return TopicReport(
        topic, origin, kind, state, base.partitions, base.replication, tuple(wanted.items())
    )


def wanted_settings(origin: dict[str, str], kind: Kind) -> dict[str, str]:
    """What the parking topic of a kind is made with; `origin` are the settings of its origin."""
    if kind == "waiting":
        settings = {"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"}
        if "min.insync.replicas" in origin:
            settings["min.insync.replicas"] = origin["min.insync.replicas"]
        return settings
    size = _number(origin.get("max.message.bytes")) or 1_048_588
    wanted = {
        "cleanup.policy": "delete",
        "max.message.bytes": str(min(size + PARKING_OVERHEAD_BYTES, 2**31 - 1)),
        "message.timestamp.type": "CreateTime",
        "retention.bytes": "-1",
        "retention.ms": "-1",
    }
    if kind != "held":
        wanted["retention.ms"] = str(_quarantine_retention_ms(origin))
    if "min.insync.replicas" in origin:
        wanted["min.insync.replicas"] = origin["min.insync.replicas"]
    # Parked events keep their times, which their origin may have taken long ago. Brokers before 3.6
    # do not know these settings.
    if "message.timestamp.before.max.ms" in origin:
        wanted["message.timestamp.before.max.ms"] = str(_ANY_TIME)
    if "message.timestamp.after.max.ms" in origin:
        wanted["message.timestamp.after.max.ms"] = origin["message.timestamp.after.max.ms"]
    return wanted


def _quarantine_retention_ms(origin: dict[str, str]) -> int:
    """30 days beyond what the origin keeps.

    Parked records have the event's own timestamp, and retention goes by it: an event that was
    parked when it was as old as its topic allows would otherwise be gone the next minute.
    """
    kept = _number(origin.get("retention.ms"))
    if kept is None or kept < 0 or "delete" not in origin.get("cleanup.policy", "delete"):
        return -1
    return kept + _QUARANTINE_MIN_MS


def differences(found: TopicState, base: TopicState, wanted: dict[str, str]) -> list[Difference]:
    """What of a parking topic is not as `wanted_settings` says, or less safe than its origin `base`."""
    said: list[Difference] = []

    def differs(name: str, why: str, better: Callable[[int, int], bool] | None = None) -> None:
        present, asked = found.settings.get(name, ""), wanted.get(name, "")
        if present == asked or name not in wanted:
            return
        have, need = _number(present), _number(asked)
        if better is not None and have is not None and need is not None and better(have, need):
            return
        said.append(Difference(name, present, asked, why))

    if wanted["cleanup.policy"] == "compact":
        differs("cleanup.policy", "it would be forgotten which keys wait")
    else:
        differs("cleanup.policy", "compaction would drop events that share a key")
    differs("max.message.bytes", "a parked event carries its decision", lambda h, n: h >= n)
    differs("retention.ms", "parked events would be removed", _keeps_as_long)
    differs("retention.bytes", "parked events would be removed", lambda h, n: n < 0 and h < 0)
    differs("message.timestamp.type", "parked events keep their own timestamps")
    for name in ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms"):
        if name in wanted:
            differs(name, "events of other times could not be parked", lambda h, n: h >= n)
    said += too_few_replicas(found)
    if found.replication < base.replication:
        said.append(
            Difference(
                "replication",
                str(found.replication),
                str(base.replication),
                "parked events would be less safe than others",
            )
        )
    return said


def log_differences(found: TopicState) -> list[Difference]:
    """What of the topic of a decision log loses decisions, or does not take them."""
    said: list[Difference] = []
    policy, size = found.settings.get("cleanup.policy", ""), found.settings.get("max.message.bytes")
    if "compact" in policy:
        why = "compaction would keep the last decision of each topic"
        said.append(Difference("cleanup.policy", policy, "delete", why))
    if size is not None and (_number(size) or 0) < _LOG_MAX_BYTES:
        why = "decisions with a long why-trail would be refused"
        said.append(Difference("max.message.bytes", size, str(_LOG_MAX_BYTES), why))
    return said + too_few_replicas(found)


def too_few_replicas(found: TopicState) -> list[Difference]:
    """That a topic demands more replicas than it has, where it does: nothing can be written."""
    wanted = _number(found.settings.get("min.insync.replicas"))
    if wanted is None or wanted <= found.replication:
        return []
    why = "the broker refuses every write, for want of replicas"
    return [Difference("min.insync.replicas", str(wanted), str(found.replication), why)]


def _keeps_as_long(have: int, need: int) -> bool:
    return have < 0 or (need >= 0 and have >= need)


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
