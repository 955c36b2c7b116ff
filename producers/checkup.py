"""What of a cluster would fail at the first bad event, found before it: topics, rights, settings, sizes.

Asks only: nothing is written, made, committed or joined.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, AdminClient, ConfigResource, ResourceType

from ..policy.bundle import Bundle
from ..policy.parking import Kind
from .codes import ALL_BROKERS_DOWN, error_of
from .connection import PARKING_OVERHEAD_BYTES, ConfigMap, connection_of, reader_config
from .log_target import LogTarget
from .record_time import EMBEDDED_CLUSTER
from .repairs import Check, Commands, Status, operation_name
from .topics import (
    Difference,
    TopicState,
    differences,
    log_differences,
    parking_topics,
    too_few_replicas,
    wanted_settings,
)

__all__ = [
    "Asked",
    "Reached",
    "check_cluster",
    "check_log_topic",
    "check_store_topic",
    "reach_cluster",
]

#: The client's own default of `message.max.bytes`.
_MESSAGE_MAX_BYTES: Final = 1_000_000
#: One question; a refusal is noticed between two of them.
_SLICE_S: Final = 1.0
_DENIED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
#: No topic has it, so that a commit to it changes nothing; the right to commit is looked at first.
_NO_SUCH_PARTITION: Final = 2**31 - 2
#: What a parking topic is to be like depends on these settings of its origin.
_OF_ORIGIN: Final[Mapping[Kind, tuple[str, ...]]] = {
    "quarantined": ("max.message.bytes", "retention.ms"),
    "held": ("max.message.bytes",),
    "waiting": (),
}
_ANY_TIME_BEFORE: Final = "message.timestamp.before.max.ms"
_NEEDED: Final = {
    "produce": (AclOperation.WRITE, AclOperation.DESCRIBE),
    "consume": (AclOperation.READ, AclOperation.DESCRIBE),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a cluster is to be fit for. Without `bundle` nothing is said about parking."""

    topics: Sequence[str]
    stages: Collection[str]
    bundle: Bundle | None
    group: str | None
    commands: Commands


@dataclass(frozen=True, slots=True)
class Reached:
    """A cluster that was asked for, and whether its brokers answer."""

    config: ConfigMap
    cluster: _Cluster
    check: Check


def reach_cluster(config: ConfigMap, commands: Commands, deadline: float) -> Reached:
    """Look for the brokers until `deadline` (monotonic), by which all further questions end too."""
    cluster = _Cluster(config, deadline)
    return Reached(config, cluster, cluster.reach(commands))


def check_cluster(reached: Reached, asked: Asked) -> list[Check]:
    """Look at brokers, topics, their parking topics, and the consumer group."""
    cluster, config = reached.cluster, reached.config
    found = [reached.check]
    if reached.check.status != "ok":
        return found
    try:
        for topic in asked.topics:
            origin = cluster.look_at(topic)
            found += _origin_checks(origin, asked, config)
            if asked.bundle is not None and not origin.absent:
                found += _parking_checks(cluster, origin, asked.bundle, asked.commands)
        if asked.group is not None and asked.topics:
            found.append(_group_check(cluster, asked.topics[0], asked.group, asked.commands))
    except (KafkaException, TimeoutError) as raised:
        said = error_of(raised).str() if isinstance(raised, KafkaException) else "no answer in time"
        found.append(
            Check("brokers", "fail", asked.commands.servers, said, "not everything was looked at")
        )
    return found


def check_store_topic(config: ConfigMap, topic: str, deadline: float) -> list[Check]:
    """Look at the topic of a bundle store: it must keep everything, in one order.

    Raises KafkaException, and TimeoutError once `deadline` (monotonic) is over.
    """
    commands = Commands.of(config)
    cluster = _Cluster(config, deadline)
    reached = cluster.reach(commands)
    if reached.status != "ok":
        return [Check("store", "fail", topic, reached.found, "guards take no new policy")]
    found = cluster.look_at(topic)
    read = (AclOperation.DESCRIBE, AclOperation.READ)
    if found.error is not None:
        compacted = {"cleanup.policy": "compact", "max.message.bytes": "16777216"}
        repair = (
            commands.create(topic, compacted)
            if found.absent
            else commands.grant(read, "topic", topic)
        )
        means = "guards find no policy there"
        return [Check("store", "fail", topic, found.error, means, (repair,))]
    said: list[Check] = []
    rights = _rights_check(found, read, "guards take no new policy", commands)
    if rights.status == "fail":
        said.append(rights)
    settings = found.settings
    if found.partitions != 1:
        why = f"{found.partitions} partitions, and should have one"
        said.append(Check("store", "fail", topic, why, "claims of numbers have no order"))
    if settings is None:
        means = "whether versions of policy are forgotten is not known"
        said.append(_not_told("store", "warn", topic, means, commands))
    elif settings.get("cleanup.policy") != "compact":
        why = f"cleanup.policy is {settings.get('cleanup.policy')}, and should be compact"
        change = commands.configure(topic, {"cleanup.policy": "compact"})
        said.append(
            Check("store", "fail", topic, why, "versions of policy are forgotten", (change,))
        )
    may = "this user may publish" if found.may(AclOperation.WRITE) else "this user may only read"
    return said or [Check("store", "ok", topic, f"compacted, one partition; {may}")]


def check_log_topic(target: LogTarget, means: str, deadline: float) -> list[Check]:
    """Look at the topic of a decision log; `means` is what it means that entries cannot be written.

    Raises KafkaException, and TimeoutError once `deadline` (monotonic) is over.
    """
    name, commands = target.topic, Commands.of(target.config)
    cluster = _Cluster(target.config, deadline)
    reached = cluster.reach(commands)
    if reached.status != "ok":
        return [Check("decision log", reached.status, name, reached.found, means)]
    topic = cluster.look_at(name)
    needed = (AclOperation.DESCRIBE, AclOperation.WRITE)
    if topic.error is not None:
        repair = (
            commands.ensure_log(target.shown)
            if topic.absent
            else commands.grant(needed, "topic", name)
        )
        return [Check("decision log", "fail", name, topic.error, means, (repair,))]
    rights = _rights_check(topic, needed, means, commands)
    said = [] if rights.status == "ok" else [rights]
    if topic.state is None:
        means = "whether it takes and keeps all decisions is not known"
        said.append(_not_told("decision log", "warn", name, means, commands))
    else:
        found = log_differences(topic.state)
        said += [_difference_check("decision log", name, each, commands) for each in found]
    return said or [Check("decision log", "ok", name, "takes and keeps decisions")]


# ------------------------------------------------------------------ the cluster


@dataclass(frozen=True, slots=True)
class _Topic:
    """What is known of a topic; `error` says why it is nothing.

    `settings` None: this user is not told; `rights` None: the broker does not say.
    """

    name: str
    partitions: int = 0
    replicas: int = 0
    settings: dict[str, str] | None = None
    rights: frozenset[AclOperation] | None = None
    error: str | None = None
    absent: bool = False

    @property
    def state(self) -> TopicState | None:
        if self.settings is None:
            return None
        return TopicState(self.partitions, self.replicas, self.settings)

    def may(self, operation: AclOperation) -> bool:
        return self.rights is None or operation in self.rights


class _Cluster:
    """The questions to the brokers, all within one deadline (monotonic)."""

    def __init__(self, config: ConfigMap, deadline: float) -> None:
        self._complaint, self._refused = "", False
        self.config: dict[str, Any] = {
            "log_level": 0,
            **connection_of(config),
            "error_cb": self._heard,
        }
        self._deadline = deadline
        self._admin: AdminClient | None = None

    def _heard(self, error: KafkaError) -> None:
        if error.code() != ALL_BROKERS_DOWN:
            self._complaint = error.str().partition(" (after ")[0]
        self._refused = self._refused or error.name() in (
            "_AUTHENTICATION",
            "SASL_AUTHENTICATION_FAILED",
        )

    def left_s(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @property
    def admin(self) -> AdminClient:
        assert self._admin is not None  # reach() made it
        return self._admin

    def reach(self, commands: Commands) -> Check:
        """Whether a broker answers, and knows who asks."""
        means = "nothing can be written, parked or read"
        try:
            self._admin = admin = AdminClient(self.config)
        except KafkaException as raised:
            said = error_of(raised).str()
            return Check("brokers", "fail", commands.servers, said, "check -X and -F")
        while True:
            try:
                answer = admin.list_topics(timeout=min(self.left_s(), _SLICE_S))
                break
            except TimeoutError:
                said = self._complaint or "no answer in time"
                return Check("brokers", "fail", commands.servers, said, means)
            except KafkaException:
                admin.poll(0)
                if self._refused:
                    means = "the brokers refuse these credentials: check sasl.* and ssl.*"
                    return Check("brokers", "fail", commands.servers, self._complaint, means)
        if str(answer.cluster_id).startswith(EMBEDDED_CLUSTER):
            said = "the embedded broker, which has no settings and no rights to look at"
            return Check("brokers", "warn", commands.servers, said)
        brokers = len(answer.brokers)
        said = f"{brokers} {'broker answers' if brokers == 1 else 'brokers answer'}"
        return Check("brokers", "ok", commands.servers, said)

    def look_at(self, name: str) -> _Topic:
        """A topic, its settings, and what this user may do with it."""
        left = self.left_s()
        describe: Callable[..., dict[str, Future[Any]]] = self.admin.describe_topics  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        asked = describe(
            TopicCollection([name]), include_authorized_operations=True, request_timeout=left
        )
        try:
            answer = asked[name].result(left)
        except KafkaException as raised:
            error = error_of(raised)
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return _Topic(name, error="there is no such topic", absent=True)
            if error.code() in _DENIED:
                return _Topic(name, error="this user may not see it", rights=frozenset())
            raise
        replicas = min((len(each.replicas) for each in answer.partitions), default=1)
        rights = answer.authorized_operations
        return _Topic(
            name,
            len(answer.partitions),
            replicas,
            self._settings(name),
            None if rights is None else frozenset(rights),
        )

    def _settings(self, topic: str) -> dict[str, str] | None:
        describe: Callable[..., dict[Any, Future[Any]]] = self.admin.describe_configs  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        left = self.left_s()
        asked = describe([ConfigResource(ResourceType.TOPIC, topic)], request_timeout=left)
        (answer,) = asked.values()
        try:
            entries: dict[str, Any] = answer.result(left)
        except KafkaException as raised:
            if error_of(raised).code() in _DENIED:
                return None
            raise
        return {name: str(entry.value) for name, entry in entries.items()}

    def may_commit(self, topic: str, group: str) -> bool:
        """True where this user may read as the group."""
        left = self.left_s()
        describe: Callable[..., dict[str, Future[Any]]] = self.admin.describe_consumer_groups  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        asked = describe([group], include_authorized_operations=True, request_timeout=left)
        try:
            rights = asked[group].result(left).authorized_operations
        except KafkaException as raised:
            if error_of(raised).code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return False
            if error_of(raised).code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            rights = None
        if rights is not None:
            return AclOperation.READ in rights
        # Nothing is said of the rights to a group that is not there yet.
        return self._commits_in_vain(topic, group)

    def _commits_in_vain(self, topic: str, group: str) -> bool:
        """True where a commit that cannot take place fails for that reason alone."""
        consumer = Consumer({**reader_config(self.config, group), "error_cb": self._heard})
        nowhere = TopicPartition(topic, _NO_SUCH_PARTITION, 0)
        try:
            consumer.commit(offsets=[nowhere], asynchronous=False)
        except KafkaException as raised:
            error = error_of(raised).code()
            if error not in (*_DENIED, KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise
            return error != KafkaError.GROUP_AUTHORIZATION_FAILED
        finally:
            consumer.close()
        return True


# ------------------------------------------------------------------ what is said of it


def _origin_checks(topic: _Topic, asked: Asked, config: ConfigMap) -> list[Check]:
    commands, name = asked.commands, topic.name
    needed = sorted({each for stage in asked.stages for each in _NEEDED[stage]}, key=str)
    if topic.error is not None:
        if topic.absent:
            means = "events to it are refused by the broker, or it is made with settings of chance"
            repair = commands.create(name)
        else:
            means, repair = "every event fails", commands.grant(needed, "topic", name)
        return [Check("topic", "fail", name, topic.error, means, (repair,))]
    found = [Check("topic", "ok", name, _counted(topic.partitions, "partition"))]
    found.append(_rights_check(topic, needed, "every event fails", commands))
    if topic.state is None:
        means = "stamps carry the time of the decision"
        found.append(_not_told("settings", "warn", name, means, commands))
        if "produce" in asked.stages:
            said = (
                f"the client sends up to {_sent(config):,} bytes, what the topic takes is not told"
            )
            means = (
                "whether larger events than it takes come back after they were sent is not known"
            )
            found.append(Check("record size", "warn", name, said, means))
    elif "produce" in asked.stages:
        found.append(_size_check(name, topic.state.settings, config, commands))
        few = too_few_replicas(topic.state)
        found += [_difference_check("settings", name, each, commands) for each in few]
    return found


def _rights_check(
    topic: _Topic, needed: Sequence[AclOperation], means: str, commands: Commands
) -> Check:
    missing = [each for each in needed if not topic.may(each)]
    if missing:
        found = f"no right to {' and '.join(operation_name(each) for each in missing)}"
        repair = commands.grant(missing, "topic", topic.name)
        return Check("rights", "fail", topic.name, found, means, (repair,))
    if topic.rights is None:
        means = "the first event will tell"
        return Check("rights", "warn", topic.name, "the broker does not tell rights", means)
    return Check("rights", "ok", topic.name, " and ".join(operation_name(each) for each in needed))


def _not_told(check: str, status: Status, topic: str, means: str, commands: Commands) -> Check:
    """That this user may not see the settings of a topic."""
    repair = commands.grant([AclOperation.DESCRIBE_CONFIGS], "topic", topic)
    return Check(check, status, topic, "its settings are not told", means, (repair,))


def _sent(config: ConfigMap) -> int:
    """The largest record that this client sends, in bytes."""
    return int(config.get("message.max.bytes", _MESSAGE_MAX_BYTES))


def _size_check(
    topic: str, settings: Mapping[str, str], config: ConfigMap, commands: Commands
) -> Check:
    sent = _sent(config)
    taken = int(settings.get("max.message.bytes", _MESSAGE_MAX_BYTES))
    if sent > taken:
        found = f"the client sends up to {sent:,} bytes, the topic takes {taken:,}"
        means = "larger events come back as MSG_SIZE_TOO_LARGE, after they were sent"
        change = commands.configure(
            topic, {"max.message.bytes": str(sent + PARKING_OVERHEAD_BYTES)}
        )
        return Check("record size", "warn", topic, found, means, (change,))
    return Check("record size", "ok", topic, f"up to {sent:,} bytes; the topic takes {taken:,}")


def _parking_checks(
    cluster: _Cluster, origin: _Topic, bundle: Bundle, commands: Commands
) -> list[Check]:
    """Look at what parks events of `origin`; what cannot be looked at fails too."""
    said: list[Check] = []
    for name, kind in parking_topics(bundle, origin.name):
        refused = "held" if kind == "held" else "rejected"
        lost = f"{refused} events cannot be parked: producers get errors, consumers stop"
        needed: tuple[AclOperation, ...] = (AclOperation.DESCRIBE, AclOperation.WRITE)
        if kind == "waiting":
            lost = "no key can wait (`park: key`): consumers stop at the first refused event"
            needed = (AclOperation.DESCRIBE, AclOperation.READ, AclOperation.WRITE)
        topic = cluster.look_at(name)
        if topic.error is not None:
            repair = (
                commands.ensure(origin.name)
                if topic.absent
                else commands.grant(needed, "topic", name)
            )
            said.append(Check("parking", "fail", name, topic.error, lost, (repair,)))
            continue
        said.append(_rights_check(topic, needed, lost, commands))
        if topic.state is None:
            means = "whether it keeps what is parked is not known"
            said.append(_not_told("parking", "fail", name, means, commands))
            continue
        said += _settings_checks(topic.state, origin, name, kind, commands)
    return said


def _settings_checks(
    found: TopicState, origin: _Topic, name: str, kind: Kind, commands: Commands
) -> list[Check]:
    base = origin.state
    unknown: tuple[str, ...] = ()
    if base is None:
        # Where the parking topic has this setting, its origin has it too.
        both = {k: v for k, v in found.settings.items() if k == _ANY_TIME_BEFORE}
        base, unknown = TopicState(origin.partitions, origin.replicas, both), _OF_ORIGIN[kind]
    wanted = wanted_settings(base.settings, kind)
    known = {setting: value for setting, value in wanted.items() if setting not in unknown}
    less = differences(found, base, known)
    said = [_difference_check("parking", name, each, commands) for each in less]
    if unknown:
        what = f"settings of {origin.name} are not told: {', '.join(unknown)}"
        means = "whether it takes and keeps every event that is parked is not known"
        repair = commands.grant([AclOperation.DESCRIBE_CONFIGS], "topic", origin.name)
        said.append(Check("parking", "fail", name, what, means, (repair,)))
    return said or [Check("parking", "ok", name, "keeps what is parked")]


def _difference_check(check: str, topic: str, each: Difference, commands: Commands) -> Check:
    what = f"{each.setting} is {each.found}, and should be {each.wanted}"
    if each.setting == "replication":
        return Check(check, "warn", topic, what, each.why)
    repair = commands.configure(topic, {each.setting: each.wanted})
    return Check(check, "fail", topic, what, each.why, (repair,))


def _group_check(cluster: _Cluster, topic: str, group: str, commands: Commands) -> Check:
    if cluster.may_commit(topic, group):
        return Check("group", "ok", group, "Read")
    repair = commands.grant([AclOperation.READ], "group", group)
    means = "nothing can be consumed as this group"
    return Check("group", "fail", group, "no right to Read", means, (repair,))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
