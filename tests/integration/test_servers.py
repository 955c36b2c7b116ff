"""The real servers that other tests rely on do what their fixtures say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from textwrap import dedent
from typing import cast
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from redis import Redis

from tests.servers.kafka import StartKafka
from tests.servers.redis_server import RedisServer, StartRedis
from tests.servers.registry import RegistryServer
from tests.servers.topics import ConsumeAll, Kafka, MakeTopic, create_topic, leader_of, read_topic

ROOT = Path(__file__).parents[2]
WAIT_S = 30.0


def produce(bootstrap: str, topic: str, *values: bytes, **settings: object) -> list[int | None]:
    """Send values; the error code of each delivery report, None for those that arrived."""
    codes: list[int | None] = []

    def report(error: KafkaError | None, _: Message) -> None:
        codes.append(error.code() if error else None)

    client = Producer({"bootstrap.servers": bootstrap, "log_level": 0, **settings})
    for value in values:
        client.produce(topic, value, on_delivery=report)
    client.flush(WAIT_S)
    client.close()
    return codes


def test_records_are_read_back_as_they_were_written(
    kafka: Kafka, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Every part of a record survives, in every partition, in order."""
    topic = make_topic("orders", partitions=2)
    client = Producer({"bootstrap.servers": kafka.bootstrap})
    client.produce(topic, b"a", b"k", 1, timestamp=1000, headers=[("h", b"1"), ("h", None)])
    client.produce(topic, None, b"k", 1, timestamp=2000)
    client.produce(topic, b"b", None, 0, timestamp=3000)
    client.flush(WAIT_S)
    client.close()

    records = consume_all(topic)

    assert topic.startswith("orders-")
    assert records == [
        (0, 0, None, b"b", [], 3000),
        (1, 0, b"k", b"a", [("h", b"1"), ("h", None)], 1000),
        (1, 1, b"k", None, [], 2000),
    ]


def test_topic_settings_reach_the_broker(kafka: Kafka, make_topic: MakeTopic) -> None:
    """A topic with a size limit refuses what is above it."""
    topic = make_topic(config={"max.message.bytes": "1000"})

    assert produce(kafka.bootstrap, topic, b"x" * 5000) == [KafkaError.MSG_SIZE_TOO_LARGE]


def test_an_aborted_transaction_is_seen_by_uncommitted_readers_only(
    kafka: Kafka, topic: str, consume_all: ConsumeAll
) -> None:
    """The broker is a real one: the embedded broker shows aborted records to everybody."""
    client = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic})
    client.init_transactions(WAIT_S)
    for value, end in ((b"kept", client.commit_transaction), (b"lost", client.abort_transaction)):
        client.begin_transaction()
        client.produce(topic, value)
        client.flush(WAIT_S)
        end(WAIT_S)
    client.close()

    assert [r.value for r in consume_all(topic)] == [b"kept"]
    assert [r.value for r in consume_all(topic, isolation="read_uncommitted")] == [b"kept", b"lost"]


def test_a_group_joins_within_a_second_or_two(kafka: Kafka, topic: str) -> None:
    """No rebalance delay, and the group's coordinator is there from the start."""
    produce(kafka.bootstrap, topic, b"one")
    settings = {"group.id": topic, "auto.offset.reset": "earliest"}
    started = time.monotonic()

    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, **settings})
    consumer.subscribe([topic])
    message = consumer.poll(WAIT_S)
    consumer.close()

    assert message is not None
    assert message.value() == b"one"
    assert time.monotonic() - started < 10  # the default delay alone is 3 s


@pytest.mark.slow
def test_a_cluster_survives_the_leader(start_kafka: StartKafka) -> None:
    """With one of three nodes killed writes go on; started again, it takes part again."""
    cluster = start_kafka(3)
    create_topic(cluster.bootstrap, "payments")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    leader = leader_of(admin, "payments")
    assert produce(cluster.bootstrap, "payments", b"one", acks="all") == [None]

    cluster.nodes[leader - 1].kill()
    assert produce(cluster.bootstrap, "payments", b"two", acks="all") == [None]
    cluster.nodes[leader - 1].start()

    assert [r.value for r in read_topic(cluster.bootstrap, "payments")] == [b"one", b"two"]
    assert len(admin.list_topics(timeout=WAIT_S).brokers) == 3


@pytest.mark.slow
def test_a_killed_broker_comes_back_with_its_records(start_kafka: StartKafka) -> None:
    """The folder stays, so that what was acknowledged is there after a crash."""
    cluster = start_kafka()
    create_topic(cluster.bootstrap, "payments")
    assert produce(cluster.bootstrap, "payments", b"one") == [None]

    cluster.node.kill()
    down = produce(cluster.bootstrap, "payments", b"lost", **{"message.timeout.ms": 500})
    cluster.node.start()

    assert down == [KafkaError._MSG_TIMED_OUT]
    assert [r.value for r in read_topic(cluster.bootstrap, "payments")] == [b"one"]


def test_a_paused_broker_goes_on_where_it_was(start_kafka: StartKafka) -> None:
    """A frozen broker delays a record; resumed, it takes it."""
    cluster = start_kafka()
    create_topic(cluster.bootstrap, "payments")

    cluster.node.pause()
    paused = produce(cluster.bootstrap, "payments", b"lost", **{"message.timeout.ms": 500})
    cluster.node.resume()

    assert paused == [KafkaError._MSG_TIMED_OUT]
    assert produce(cluster.bootstrap, "payments", b"one") == [None]


def test_users_have_the_rights_they_are_given(start_kafka: StartKafka) -> None:
    """Without a right a write is refused; with it, it arrives; a wrong password never connects."""
    cluster = start_kafka(users={"app": "secret"})
    create_topic(cluster.bootstrap, "payments")
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "app",
        "sasl.password": "secret",
        "message.timeout.ms": 5000,
    }

    refused = produce(cluster.node.sasl_bootstrap, "payments", b"no", **login)
    grant = AclBinding(
        ResourceType.TOPIC,
        "payments",
        ResourcePatternType.LITERAL,
        "User:app",
        "*",
        AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    made = cast("dict[AclBinding, Future[None]]", admin.create_acls([grant]))
    made[grant].result(WAIT_S)
    taken = produce(cluster.node.sasl_bootstrap, "payments", b"yes", **login)
    wrong = login | {"sasl.password": "guess", "message.timeout.ms": 500}
    unknown = produce(cluster.node.sasl_bootstrap, "payments", b"no", **wrong)

    assert refused == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
    assert taken == [None]
    assert unknown == [KafkaError._MSG_TIMED_OUT]


def test_a_proxied_broker_can_be_slow_silent_and_unreachable(start_kafka: StartKafka) -> None:
    """Each fault shows, and each ends; the direct way is not touched by any."""
    cluster = start_kafka(proxied=True)
    create_topic(cluster.bootstrap, "payments")
    proxy, through = cluster.node.proxy, cluster.node.proxied_bootstrap
    assert produce(through, "payments", b"one") == [None]

    proxy.delay_s = 0.2
    started = time.monotonic()
    assert produce(through, "payments", b"two") == [None]
    assert time.monotonic() - started > 0.4
    proxy.delay_s = 0.0

    proxy.flowing = False
    assert produce(through, "payments", b"lost", **{"message.timeout.ms": 500}) == [
        KafkaError._MSG_TIMED_OUT
    ]
    assert produce(cluster.bootstrap, "payments", b"three") == [None]
    proxy.flowing = True

    proxy.cut()
    assert produce(through, "payments", b"lost", **{"message.timeout.ms": 500}) == [
        KafkaError._MSG_TIMED_OUT
    ]
    proxy.heal()
    assert produce(through, "payments", b"four") == [None]
    values = [r.value for r in read_topic(cluster.bootstrap, "payments")]
    assert [v for v in values if v != b"lost"] == [b"one", b"two", b"three", b"four"]


def test_settings_of_the_broker_can_be_overridden(start_kafka: StartKafka) -> None:
    """Old timestamps are refused where the broker is told to."""
    cluster = start_kafka(config={"log.message.timestamp.before.max.ms": "60000"})
    create_topic(cluster.bootstrap, "payments")
    client = Producer({"bootstrap.servers": cluster.bootstrap})
    codes: list[int | None] = []

    client.produce(
        "payments",
        b"old",
        timestamp=1000,
        on_delivery=lambda error, _: codes.append(error.code() if error else None),
    )
    client.flush(WAIT_S)
    client.close()

    assert codes == [KafkaError.INVALID_TIMESTAMP]


def test_a_redis_answers_on_its_socket_and_its_port(redis: RedisServer) -> None:
    """Both ways lead to the same data."""
    with Redis(unix_socket_path=redis.socket_path) as here, Redis.from_url(redis.url) as there:
        here.set("test:servers", "1")

        assert there.get("test:servers") == b"1"


def test_a_killed_redis_keeps_its_data_when_told_to(start_redis: StartRedis) -> None:
    """Killed and started again, an append-only Redis has what was written."""
    server = start_redis("--appendonly", "yes", "--appendfsync", "always")
    with Redis(unix_socket_path=server.socket_path) as client:
        client.set("name", "value")
        server.kill()
        server.start()

        assert client.get("name") == b"value"


def test_a_registry_gives_back_the_schema_it_was_given(registry: RegistryServer) -> None:
    """It speaks the API of Confluent's clients."""
    schema = '{"type":"record","name":"Payment","fields":[{"name":"amount","type":"long"}]}'
    url = f"{registry.url}/subjects/servers-value/versions"
    body = json.dumps({"schema": schema}).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    with urlopen(Request(url, body, headers), timeout=WAIT_S) as answer:
        number = json.load(answer)["id"]
    with urlopen(f"{registry.url}/schemas/ids/{number}", timeout=WAIT_S) as answer:
        found = json.load(answer)["schema"]

    assert json.loads(found) == json.loads(schema)


def test_a_killed_run_takes_its_kafka_with_it(start_kafka: StartKafka) -> None:
    """A run ended by SIGKILL leaves neither the broker nor its folder behind."""
    start_kafka()  # says why where there can be none

    pid, folder = run_and_kill(
        """
        from tests.servers.kafka import kafka_cluster
        with kafka_cluster() as cluster:
            wait(cluster.node)
        """
    )

    assert_gone(pid, folder)
    assert not folder.parent.exists()


def test_a_killed_run_takes_its_redis_with_it(start_redis: StartRedis) -> None:
    """Likewise, of a Redis."""
    start_redis()

    pid, folder = run_and_kill(
        """
        from tests.servers.redis_server import redis_server
        with redis_server() as server:
            wait(server)
        """
    )

    assert_gone(pid, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("required", "outcome", "status"), [("0", "skipped", 0), ("1", "error", 1)]
)
def test_a_missing_server_is_told_and_fails_where_it_is_required(
    required: str, outcome: str, status: int
) -> None:
    """Without the program a test is skipped with what to install; a gate takes that as failed."""
    test = "test_a_redis_answers_on_its_socket_and_its_port"

    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"{__file__}::{test}", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "/nonexistent", "STREAMWARDEN_REQUIRE_SERVERS": required},
        check=False,
    )

    assert f"1 {outcome}" in done.stdout.splitlines()[-1]
    assert "`redis-server` is not on PATH; install Redis" in done.stdout
    assert done.returncode == status


def run_and_kill(script: str) -> tuple[int, Path]:
    """Run a script until it calls `wait(server)`, kill it; the server's pid and folder."""
    prelude = """
        import time
        def wait(server):
            print(server.pid, server.folder, flush=True)
            time.sleep(60)
    """
    run = subprocess.Popen(
        [sys.executable, "-c", dedent(prelude) + dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert run.stdout is not None
    pid, folder = run.stdout.readline().split()
    run.kill()
    run.communicate()
    return int(pid), Path(folder)


def assert_gone(pid: int, folder: Path) -> None:
    """Wait until a process has ended and its folder is removed."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and (alive(pid) or folder.exists()):
        time.sleep(0.05)
    time.sleep(0.05)  # the folder around it goes a moment later
    assert not alive(pid)
    assert not folder.exists()


def alive(pid: int) -> bool:
    """True while there is a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
