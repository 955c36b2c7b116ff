"""Two faults at once, on real servers: each has its declared outcome, as if it came alone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streamwarden import Guard, GuardedConsumer, GuardedProducer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.errors import DeliveryError
from streamwarden.policy.decision import Decision
from streamwarden.policy.loader import load_directories
from streamwarden.policy.store import open_store
from streamwarden.schemas.framing import with_id
from tests.guards import BAD, CLEAN, LARGE, Told, guard_for, write_policy
from tests.servers.kafka import Cluster, StartKafka
from tests.servers.redis_server import StartRedis
from tests.servers.registry import RegistryServer
from tests.servers.topics import ConsumeAll, create_topic, read_topic, unique_name

from .conftest import Guarded
from .test_rebalance import PROTOCOLS, Member, committed, until

WAIT_S = 60.0

_APP = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanisms": "PLAIN",
    "sasl.username": "app",
    "sasl.password": "secret",
    "log_level": 0,
}

_AVRO_SCHEMA = '{"type": "record", "name": "P", "fields": [{"name": "amount", "type": "long"}]}'
_AVRO_POLICY = """\
policy: p
owner: o
topics: ["{topic}"]
rules:
  - {{id: big, when: value.amount > 50, effect: reject}}
"""


@pytest.fixture
def silenced(registry: RegistryServer) -> Generator[RegistryServer]:
    """The shared registry, running again afterwards."""
    pytest.importorskip("authlib", reason="the registry client's own dependencies are missing")
    yield registry
    registry.resume()


def allow(cluster: Cluster, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    """Give the user of _APP rights."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    place = (kind, name, ResourcePatternType.LITERAL, "User:app", "*")
    rights = [AclBinding(*place, each, AclPermissionType.ALLOW) for each in operations]
    grant: Callable[..., dict[AclBinding, Future[None]]] = admin.create_acls  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    for granted in grant(rights).values():
        granted.result(WAIT_S)


@pytest.mark.slow
def test_without_the_right_to_park_while_the_store_is_away(
    start_kafka: StartKafka, start_redis: StartRedis, tmp_path: Path
) -> None:
    """The last good policy decides, and nobody passes the event: not in transactions either."""
    cluster, redis = start_kafka(users={"app": "secret"}), start_redis(tcp=True)
    for topic in ("least", "once"):
        for each in (topic, f"held.{topic}", f"quarantine.{topic}", f"to.{topic}"):
            create_topic(cluster.bootstrap, each)
            if not each.startswith("quarantine."):
                allow(cluster, ResourceType.TOPIC, each, AclOperation.WRITE, AclOperation.READ)
        allow(cluster, ResourceType.GROUP, topic, AclOperation.READ)
    allow(cluster, ResourceType.TRANSACTIONAL_ID, "*", AclOperation.WRITE)
    client: dict[str, Any] = {**_APP, "bootstrap.servers": cluster.node.sasl_bootstrap}
    url, kept = f"{redis.url}?bundle=limits", tmp_path / "kept"
    with closing(open_store(url)) as store:
        bundle = load_directories([write_policy(tmp_path / "p", "least", "once")])
        store.activate(store.publish(bundle, by="ann", reason="x").number, by="ann", reason="go")

    with Guard.from_url(url, last_known_good=kept) as running:
        running.start()
        redis.kill()
        until(lambda: running.counters.get("fallbacks/source", 0) > 0)
        produced, undone = _produced(client, running)
    with Guard.from_url(url, last_known_good=kept) as restarted:
        _consumed(cluster, client, restarted, "least")
        _consumed(cluster, client, restarted, "once", transactional_id="x")

    no_right = KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert produced == {CLEAN: 0, LARGE: KafkaError.POLICY_VIOLATION, BAD: no_right}
    assert undone[BAD] == no_right
    assert running.counters["dropped/parking/failed"] == 2
    assert restarted.counters["fallbacks/last_known_good"] == 1
    assert restarted.counters["fallbacks/source"] > 0
    for topic, passed in (("least", 3), ("once", 2)):  # the transaction of a producer is gone
        handled = [record.key for record in read_topic(cluster.bootstrap, f"to.{topic}")]
        assert (len(handled), len(set(handled))) == (passed, passed)
        assert restarted.counters[f"parked/{topic}/quarantined"] == 1
        assert len(read_topic(cluster.bootstrap, f"quarantine.{topic}")) == 1


def _produced(client: dict[str, Any], guard: Guard) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """What is told of events that are produced, and of those in a transaction."""
    told = Told(), Told()
    with GuardedProducer(client, guard=guard) as producer:
        for value in (CLEAN, BAD, LARGE):
            producer.produce("least", value, on_delivery=told[0])
        assert producer.flush(WAIT_S) == 0
    with GuardedProducer({**client, "transactional.id": "y"}, guard=guard) as producer:
        producer.init_transactions(WAIT_S)
        producer.begin_transaction()
        for value in (CLEAN, BAD):
            producer.produce("once", value, on_delivery=told[1])
        with pytest.raises(KafkaException):
            producer.commit_transaction(WAIT_S)
    least, once = (
        {message.value(): error.code() if error else 0 for error, message in each.reports}
        for each in told
    )
    return least, once


def _consumed(
    cluster: Cluster, client: dict[str, Any], guard: Guard, topic: str, **mode: Any
) -> None:
    """Stopped before what cannot be parked, and gone on when it can be."""
    with Producer({"bootstrap.servers": cluster.bootstrap}) as raw:
        for value in (CLEAN, BAD, CLEAN):
            raw.produce(topic, value)
    config = {**client, "group.id": topic, "auto.offset.reset": "earliest"}
    with (
        GuardedProducer(client, guard=guard) as own,
        GuardedConsumer(config, guard=guard, handler_retries=0, **mode) as consumer,
    ):

        def handle(message: GuardedMessage, producer: GuardedProducer = own) -> None:
            producer.produce(f"to.{topic}", b"x", str(message.offset()))

        consumer.subscribe([topic])
        said = f"to `quarantine.{topic}` .TOPIC_AUTHORIZATION_FAILED.*`streamwarden doctor --topic {topic}`"
        with pytest.raises(DeliveryError, match=said):
            consumer.run(handle, until_end=True)
        allow(cluster, ResourceType.TOPIC, f"quarantine.{topic}", AclOperation.WRITE)
        consumer.run(handle, until_end=True)


_FULL_DISK = """
import resource, sys
from streamwarden import Guard

url, kept, log, how, last = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # no file takes anything
target = {"url": f"file:{log}", "room": 20}
with Guard.from_url(
    url, last_known_good=kept, decision_log=target, decision_log_unreachable=how
) as guard:
    guard.start()
    made = 0
    try:
        for _ in range(60):
            guard.decide(topic="payments", value=b'{"amount": 60000, "currency": "USD"}')
            made += 1
    except BufferError:
        print("waits", made > 20)
    print(guard.bundle.label, guard.flush_log(0.5))
    counted = dict(guard.counters)
    if last == "room":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(guard.flush_log(30), len(open(log).readlines()) == made)
print(counted)
"""


@pytest.mark.slow
def test_a_full_disk_for_the_last_good_policy_and_the_decision_log(tmp_path: Path) -> None:
    """The newest policy decides and both are counted; a start without the store has the one before."""
    url, kept, log = f"dir:{tmp_path / 'store'}?bundle=limits", tmp_path / "kept", tmp_path / "log"
    with closing(open_store(url)) as store:
        for extra in ("", "  - {id: shout, when: value.amount == 11, effect: warn}\n"):
            folder = write_policy(tmp_path / "p", "payments", policy=extra)
            number = store.publish(load_directories([folder]), by="ann", reason="x").number
            store.activate(number, by="ann", reason="go")
            with Guard.from_url(url, last_known_good=kept if not extra else "off") as guard:
                guard.start()

    def run(how: str, last: str) -> list[str]:
        command = [sys.executable, "-c", _FULL_DISK, url, str(kept), str(log), how, last]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    dropped = run("drop", "full")
    (tmp_path / "store").rename(tmp_path / "away")
    with Guard.from_url(url, last_known_good=kept) as restarted:
        restarted.start()
        assert restarted.bundle.label == "limits@1"
        assert restarted.counters["fallbacks/last_known_good"] == 1
    (tmp_path / "away").rename(tmp_path / "store")
    blocked = run("block", "room")

    assert dropped[0] == "limits@2 True"
    counted = literal_eval(dropped[1])
    assert counted.pop("dropped/last_known_good/write_failed") == 1
    assert set(counted) == {"dropped/decision_log/full", "dropped/decision_log/write_failed"}
    assert sum(counted.values()) == 60
    assert blocked[:3] == ["waits True", "limits@2 False", "True True"]
    assert literal_eval(blocked[3]) == {"dropped/last_known_good/write_failed": 1}


@pytest.mark.slow
def test_a_clock_that_jumps_while_a_policy_is_swapped_and_the_log_is_blocked(
    make_guarded: Callable[..., Guarded],
    start_kafka: StartKafka,
    consume_all: ConsumeAll,
    tmp_path: Path,
) -> None:
    """Nothing is decided unlogged, each event by the version and the time that its stamp says."""
    log_cluster, store_url = start_kafka(), f"dir:{tmp_path / 'store'}?bundle=limits"
    decisions = create_topic(log_cluster.bootstrap, "decisions")
    guarded = make_guarded()
    summer = "effective: {from: 2026-06-01, until: 2026-07-01}\n"

    def put(policy: str) -> None:
        folder = write_policy(tmp_path / "p", guarded.topic, policy=policy)
        with closing(open_store(store_url)) as store:
            bundle = load_directories([folder])
            store.activate(store.publish(bundle, by="ann", reason="x").number, by="a", reason="go")

    put(summer)
    at = [datetime(2026, 6, 15, tzinfo=UTC)]
    guard = Guard.from_url(
        store_url,
        decision_log={"url": f"kafka://{log_cluster.bootstrap}/{decisions}", "room": 20},
        decision_log_unreachable="block",
        clock=lambda: int(at[0].timestamp()) * 1_000_000_000,
    )
    told = Told()
    made: list[Decision] = []
    with guard, GuardedProducer(guarded.config, guard=guard, queue_full_wait_s=0.1) as producer:

        def produce(count: int = 1) -> None:
            made.extend(
                producer.produce(guarded.topic, BAD, on_delivery=told) for _ in range(count)
            )

        produce()
        assert guard.flush_log(WAIT_S)
        log_cluster.node.pause()
        with pytest.raises(BufferError):
            produce(5000)
        at[0] = datetime(2026, 5, 1, tzinfo=UTC)  # back before the policy is in force
        put(summer + "title: second\n")
        until(lambda: guard.bundle.number == 2)
        produce()  # by a policy that is not in force: nothing to log
        assert made[-1].effect.value == "none"
        at[0] = datetime(2026, 6, 16, tzinfo=UTC)
        with pytest.raises(BufferError):
            produce()
        log_cluster.node.resume()
        assert guard.flush_log(WAIT_S)
        produce()
        assert guard.flush_log(WAIT_S)
        assert producer.flush(WAIT_S) == 0

    logged = [json.loads(r.value or b"") for r in read_topic(log_cluster.bootstrap, decisions)]
    assert [line["id"] for line in logged] == [d.id for d in made if d.effect.value == "reject"]
    assert (logged[-1]["bundle"], logged[0]["bundle"]) == ("limits@2", "limits@1")
    parked = consume_all(guarded.quarantine)
    assert len(parked) == len(logged) == len(told.reports) - 1
    assert guard.counters["dropped/producer/log_full"] == 2
    assert not any(name.startswith("dropped/decision_log") for name in guard.counters)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["cooperative", "consumer"])
def test_a_group_that_rebalances_while_the_registry_is_silent(
    make_guarded: Callable[..., Guarded],
    silenced: RegistryServer,
    consume_all: ConsumeAll,
    tmp_path: Path,
    protocol: str,
) -> None:
    """A member that knows no schema yet waits with what it was given, and loses none of it."""
    number = _registered(silenced)
    guarded = make_guarded(4)
    refused = {each for each in range(600) if each % 60 > 50}
    config: dict[str, Any] = {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
        **PROTOCOLS[protocol],
    }
    if protocol != "consumer":
        config["heartbeat.interval.ms"] = 300  # so that all hear of it soon
    policies = tmp_path / "avro"
    policies.mkdir()
    (policies / "p.yaml").write_text(_AVRO_POLICY.format(topic=guarded.topic))
    handled: list[int] = []

    def member() -> Member:
        guard = Guard.from_directory(policies, schemas=silenced.url, schema_timeout_s=0.3)
        made = Member(replace(guarded, guard=guard), config, handled)
        made.start()
        return made

    def send(numbers: range) -> None:
        with Producer(guarded.config) as raw:
            for each in numbers:
                raw.produce(guarded.topic, with_id(number, bytes([2 * (each % 60)])), str(each))

    first = member()
    send(range(300))
    until(lambda: len(handled) >= 100)
    silenced.pause()
    second = member()
    waited = second.guarded.guard.counters
    until(lambda: bool(second.moves))
    send(range(300, 600))
    until(lambda: waited.get("schema/waited", 0) > 0)
    first.leave()  # it takes over the rest while it waits
    until(lambda: sum(map(int, second.moves)) == 4)
    silenced.resume()
    until(lambda: len(handled) >= 600 - len(refused))
    second.leave()

    assert {each: n for each, n in Counter(handled).items() if n > 1} == {}
    assert set(handled) == set(range(600)) - refused
    parked = [int(record.key or b"") for record in consume_all(guarded.quarantine)]
    assert sorted(parked) == sorted(refused)
    found, ends = committed(config, guarded.topic, 4)
    assert found == ends
    for each in (first, second):
        each.guarded.guard.close()


def _registered(registry: RegistryServer) -> int:
    """The id of a schema that nobody has asked for."""
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    with closing(SchemaRegistryClient({"url": registry.url})) as client:
        return client.register_schema(unique_name("rebalance"), Schema(_AVRO_SCHEMA, "AVRO"))


@pytest.mark.slow
def test_a_handler_that_hangs_while_what_it_parks_is_slow(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """Exactly once: another member handles its events, and nothing of its transaction is left."""
    cluster = start_kafka(proxied=True)
    for topic in ("payments", "quarantine.payments", "held.payments", "to"):
        create_topic(cluster.bootstrap, topic)
    direct: dict[str, Any] = {"bootstrap.servers": cluster.bootstrap, "log_level": 0}
    config = {
        **direct,
        "group.id": "g",
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 1500,
        "heartbeat.interval.ms": 300,
        **PROTOCOLS["cooperative"],
    }
    hangs, released = threading.Event(), threading.Event()
    seen: dict[str, list[int]] = {"hanging": [], "other": [], "last": []}

    def send(numbers: range) -> None:
        with Producer(direct) as raw:
            for each in numbers:
                raw.produce("payments", {3: BAD, 5: LARGE}.get(each % 7, CLEAN), str(each))

    def start(
        name: str, poll_s: int, parking: str = cluster.bootstrap, **limits: Any
    ) -> tuple[GuardedConsumer, threading.Thread]:
        consumer = GuardedConsumer(
            {**config, "max.poll.interval.ms": poll_s * 1000},
            guard=guard_for(tmp_path / name, "payments"),
            transactional_id="x",
            parking={"bootstrap.servers": parking},
        )
        consumer.subscribe(["payments"])

        def handle(message: GuardedMessage, producer: GuardedProducer) -> None:
            producer.produce("to", message.value(), message.key())
            if name == "hanging" and message.key() == b"8" and not hangs.is_set():
                cluster.node.proxy.delay_s = 0.15
                hangs.set()
                released.wait(WAIT_S)
            seen[name].append(int(message.key()))

        thread = threading.Thread(target=consumer.run, args=(handle,), kwargs=limits)
        thread.start()
        return consumer, thread

    passed = [each for each in range(60) if each % 7 not in (3, 5)]
    send(range(40))
    hanging = start("hanging", 2, cluster.node.proxied_bootstrap)
    assert hangs.wait(WAIT_S)
    other = start("other", 300)
    until(lambda: seen["other"][-1:] == [39])
    released.set()
    until(lambda: hanging[0].guard.counters.get("handler/undone", 0) > 0)
    send(range(40, 60))
    until(lambda: 58 in seen["other"] + seen["hanging"])
    for consumer, thread in (other, hanging):
        consumer.stop()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        consumer.close()
    # A transaction that a rebalance undid just before the end is for whoever comes next.
    consumer, thread = start("last", 300, until_end=True)
    thread.join(WAIT_S)
    consumer.close()

    handled = [int(record.key or b"") for record in read_topic(cluster.bootstrap, "to")]
    parked = [
        int(record.key or b"")
        for topic in ("quarantine.payments", "held.payments")
        for record in read_topic(cluster.bootstrap, topic)
    ]
    assert sorted(handled) == passed
    assert sorted(parked) == [each for each in range(60) if each not in passed]
