"""`doctor` against real servers: what is wrong is said beforehand, and what it prints repairs it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streamwarden.cli import main
from streamwarden.cli.output import SECRETS
from tests.servers.kafka import StartKafka
from tests.servers.redis_server import StartRedis
from tests.servers.registry import RegistryServer
from tests.servers.topics import Kafka, MakeTopic, create_topic, read_topic, unique_name

LIMITS = """
policy: limits
owner: risk
topics: ["pay*"]
rules:
  - id: over-limit
    when: value.amount > 50000
    effect: hold
"""


@pytest.fixture
def policies(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "limits.yaml").write_text(LIMITS)
    (folder / "bundle.yaml").write_text("bundle: payments\n")
    yield folder
    SECRETS.forget()


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def examine(*arguments: object, status: int) -> list[dict[str, Any]]:
    """The checks of a `doctor --json` that ended with `status`."""
    result = call("doctor", *arguments, "--json")
    assert result.exit_code == status, result.output
    checks: list[dict[str, Any]] = json.loads(result.stdout)
    return checks


def wrong(checks: list[dict[str, Any]], status: str = "fail") -> set[tuple[str, str]]:
    return {(each["check"], each["subject"]) for each in checks if each["status"] == status}


def test_what_doctor_prints_repairs_what_it_found(
    kafka: Kafka, make_topic: MakeTopic, policies: Path
) -> None:
    """Without parking topics it fails; after its own commands nothing does."""
    topic = make_topic("pay")
    flags = ("-b", kafka.bootstrap, "-t", topic, "--policies", policies)

    before = examine(*flags, status=2)
    commands = {command for each in before for command in each["repair"]}
    assert wrong(before) == {("parking", f"quarantine.{topic}"), ("parking", f"held.{topic}")}
    assert len(commands) == 1
    program, *arguments = shlex.split(commands.pop())
    assert program == "streamwarden"
    assert call(*arguments).exit_code == 0

    after = examine(*flags, "--group", unique_name("group"), status=0)
    assert {each["status"] for each in after} == {"ok"}
    assert "nothing will fail" in call("doctor", *flags).stdout


def test_parking_topics_of_a_topic_that_no_policy_covers_are_a_warning(
    kafka: Kafka, make_topic: MakeTopic, policies: Path
) -> None:
    """Every event of it passes, and none is parked: nothing will fail."""
    topic = make_topic("other")

    checks = examine("-b", kafka.bootstrap, "-t", topic, "--policies", policies, status=0)
    (policies / "bundle.yaml").write_text("bundle: payments\nuncovered: reject\n")
    rejected = examine("-b", kafka.bootstrap, "-t", topic, "--policies", policies, status=2)

    parking = {("parking", f"quarantine.{topic}"), ("parking", f"held.{topic}")}
    assert wrong(checks) == set()
    assert parking | {("policies", topic)} <= wrong(checks, "warn")
    assert all(
        each["means"].startswith(f"once a policy covers {topic}, ")
        for each in checks
        if each["check"] == "parking"
    )
    assert parking <= wrong(rejected)


def test_topics_that_lose_events_or_do_not_take_them_are_told(
    kafka: Kafka, make_topic: MakeTopic, policies: Path
) -> None:
    """Compaction, retention and record sizes, each with the command that changes it."""
    topic = make_topic("pay", config={"max.message.bytes": "100000", "retention.ms": "86400000"})
    create_topic(kafka.bootstrap, f"held.{topic}", config={"cleanup.policy": "compact"})
    small = {
        "max.message.bytes": "1000",
        "message.timestamp.before.max.ms": "60000",
        "min.insync.replicas": "2",
        "retention.ms": "86400000",
    }
    create_topic(kafka.bootstrap, f"quarantine.{topic}", config=small)

    checks = examine("-b", kafka.bootstrap, "-t", topic, "--policies", policies, status=2)

    found = {each["found"].partition(",")[0] for each in checks if each["status"] == "fail"}
    assert "cleanup.policy is compact" in found
    assert "max.message.bytes is 1000" in found
    assert "retention.ms is 86400000" in found
    assert "message.timestamp.before.max.ms is 60000" in found
    assert "min.insync.replicas is 2" in found
    assert wrong(checks, "warn") == {("record size", topic)}
    commands = [command for each in checks for command in each["repair"]]
    named = f"--entity-name held.{topic} --add-config cleanup.policy=delete"
    assert any(named in command for command in commands)
    assert any("--add-config retention.ms=2678400000" in command for command in commands)


def test_what_is_not_there_is_told(kafka: Kafka, policies: Path) -> None:
    """A topic that nobody made, and one that no policy covers."""
    topic, other = unique_name("pay"), unique_name("orders")

    checks = examine(
        *("-b", kafka.bootstrap, "-t", topic, "-t", other, "--policies", policies), status=2
    )

    assert wrong(checks) == {("topic", topic), ("topic", other)}
    assert wrong(checks, "warn") == {("policies", other)}
    (command,) = next(
        each["repair"] for each in checks if each["subject"] == topic and each["repair"]
    )
    assert (
        f"kafka-topics.sh --bootstrap-server {kafka.bootstrap} --create --topic {topic}" in command
    )


def test_the_decision_log_is_looked_at(
    kafka: Kafka, make_topic: MakeTopic, policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that is not there and is made by the command that is shown; one that forgets; a file."""
    topic, log = make_topic("pay"), unique_name("decisions")
    call("topics", "ensure", "-b", kafka.bootstrap, "-t", topic, "--policies", policies)
    flags = ("-b", kafka.bootstrap, "-t", topic, "--policies", policies, "--decision-log")
    url = f"kafka://{kafka.bootstrap}/{log}"

    missing = examine(*flags, url, status=2)
    assert wrong(missing) == {("decision log", log)}
    (command,) = next(each["repair"] for each in missing if each["check"] == "decision log")
    program, *arguments = shlex.split(command)
    assert program == "streamwarden"
    assert call(*arguments, "--dry-run").exit_code == 2
    assert call(*arguments).exit_code == 0
    assert "fits" in call(*arguments).stdout
    assert wrong(examine(*flags, url, status=0)) == set()

    forgets = make_topic("log", config={"cleanup.policy": "compact", "max.message.bytes": "9000"})
    wrong_log = f"kafka://{kafka.bootstrap}/{forgets}"
    checks = [each for each in examine(*flags, wrong_log, status=2) if each["status"] == "fail"]
    assert [each["found"].partition(",")[0] for each in checks] == [
        "cleanup.policy is compact",
        "max.message.bytes is 9000",
    ]
    assert all("--entity-name " + forgets in each["repair"][0] for each in checks)

    monkeypatch.setenv("STREAMWARDEN_DECISION_LOG", "file:nowhere/decisions.jsonl")
    nowhere = examine(*flags[:-1], status=2)
    assert wrong(nowhere) == {("decision log", "file")}


def test_missing_rights_are_told_and_nothing_is_left_behind(
    start_kafka: StartKafka, policies: Path
) -> None:
    """Of a user with SASL: rights to topics, parking topics and the group, then the password."""
    cluster = start_kafka(users={"app": "s3cr3t-w0rd"})
    servers = cluster.node.sasl_bootstrap
    for name in ("pay", "quarantine.pay", "held.pay"):
        create_topic(cluster.bootstrap, name, config=_parking(name))
    settings = ("security.protocol=SASL_PLAINTEXT", "sasl.mechanisms=PLAIN", "sasl.username=app")
    user = [word for setting in settings for word in ("-X", setting)]
    password = ("-X", "sasl.password=s3cr3t-w0rd")
    flags = ("-b", servers, "-t", "pay", "--policies", policies, "--group", "desk", *user)

    nothing = examine(*flags, *password, status=2)
    assert ("topic", "pay") in wrong(nothing)
    (command,) = next(each["repair"] for each in nothing if each["check"] == "topic")
    assert "--allow-principal User:app" in command
    assert "--operation Write" in command
    assert "--command-config admin.properties" in command

    log, store = f"kafka://{servers}/decisions", f"kafka://{servers}/policy"
    for name in ("decisions", "policy"):
        create_topic(cluster.bootstrap, name, config={"cleanup.policy": "compact"})
    own = ("-b", servers, *user, *password, "--store", store, "--decision-log", log)
    repairs = {each["check"]: each["repair"] for each in examine(*own, status=2) if each["repair"]}
    for check, right, name in (("store", "Read", "policy"), ("decision log", "Write", "decisions")):
        (command,) = repairs[check]
        assert f"--operation {right} --topic {name}" in command
        assert "--command-config admin.properties" in command

    _grant(cluster.bootstrap, ResourceType.TOPIC, "pay", "WRITE", "READ", "DESCRIBE_CONFIGS")
    _grant(cluster.bootstrap, ResourceType.TOPIC, "held.pay", "WRITE", "DESCRIBE_CONFIGS")
    _grant(cluster.bootstrap, ResourceType.TOPIC, "quarantine.pay", "READ", "DESCRIBE_CONFIGS")
    some = examine(*flags, *password, status=2)
    assert wrong(some) == {("rights", "quarantine.pay"), ("group", "desk")}

    _grant(cluster.bootstrap, ResourceType.TOPIC, "quarantine.pay", "WRITE")
    _grant(cluster.bootstrap, ResourceType.GROUP, "desk", "READ")
    assert wrong(examine(*flags, *password, status=0)) == set()

    for name in ("pay", "quarantine.pay", "held.pay"):
        assert read_topic(cluster.bootstrap, name) == []
    admin: Any = AdminClient({"bootstrap.servers": cluster.bootstrap})
    assert "desk" not in [group.group_id for group in admin.list_consumer_groups().result(30).valid]

    refused = call("doctor", *flags, "-X", "sasl.password=wr0ng-w0rd", "--timeout", "20s")
    assert refused.exit_code == 2
    assert "the brokers refuse these credentials" in refused.stdout
    assert "wr0ng-w0rd" not in refused.output


def test_settings_that_are_not_told_hide_no_other_check(
    start_kafka: StartKafka, policies: Path
) -> None:
    """Without DescribeConfigs parking is looked at all the same; what cannot be compared is told, and fails."""
    cluster = start_kafka(users={"app": "s3cr3t-w0rd"})
    create_topic(cluster.bootstrap, "pay", config=_parking("pay"))
    settings = ("security.protocol=SASL_PLAINTEXT", "sasl.mechanisms=PLAIN", "sasl.username=app")
    secret = [word for each in (*settings, "sasl.password=s3cr3t-w0rd") for word in ("-X", each)]
    own = ("-b", cluster.node.sasl_bootstrap, *secret)
    flags = (*own, "-t", "pay", "--policies", policies, "--group", "desk")
    parking = {("parking", "quarantine.pay"), ("parking", "held.pay")}
    _grant(cluster.bootstrap, ResourceType.TOPIC, "pay", "READ", "WRITE", "DESCRIBE")
    _grant(cluster.bootstrap, ResourceType.GROUP, "desk", "READ")

    unseen = examine(*flags, status=2)
    assert wrong(unseen) == parking
    assert wrong(unseen, "warn") == {("settings", "pay"), ("record size", "pay")}
    assert {("topic", "pay"), ("rights", "pay"), ("group", "desk")} <= wrong(unseen, "ok")
    assert _said(unseen, "record size") == [
        "the client sends up to 1,000,000 bytes, what the topic takes is not told"
    ]

    create_topic(cluster.bootstrap, "quarantine.pay", config=_parking("quarantine.pay"))
    create_topic(cluster.bootstrap, "held.pay", config={"cleanup.policy": "compact"})
    for name in ("quarantine.pay", "held.pay"):
        _grant(cluster.bootstrap, ResourceType.TOPIC, name, "WRITE")
    untold = examine(*flags, status=2)
    assert wrong(untold) == parking
    assert _said(untold, "parking") == ["its settings are not told"] * 2
    commands = [each["repair"][0] for each in untold if each["check"] == "parking"]
    assert all("--operation DescribeConfigs --topic " in command for command in commands)

    for name in ("quarantine.pay", "held.pay"):
        _grant(cluster.bootstrap, ResourceType.TOPIC, name, "DESCRIBE_CONFIGS")
    apart = examine(*flags, status=2)
    assert _said(apart, "parking") == [
        "settings of pay are not told: max.message.bytes, retention.ms",
        "cleanup.policy is compact, and should be delete",
        "settings of pay are not told: max.message.bytes",
    ]

    _grant(cluster.bootstrap, ResourceType.TOPIC, "pay", "DESCRIBE_CONFIGS")
    assert wrong(examine(*flags, status=2)) == {("parking", "held.pay")}

    log, store = (f"kafka://{cluster.node.sasl_bootstrap}/{name}" for name in ("log", "policy"))
    for name in ("log", "policy"):
        create_topic(cluster.bootstrap, name, config={"cleanup.policy": "compact"})
        _grant(cluster.bootstrap, ResourceType.TOPIC, name, "READ", "WRITE")
    hidden = examine(*own, "--store", store, "--decision-log", log, status=2)
    assert {("store", "policy"), ("decision log", "log")} <= wrong(hidden, "warn")


def _said(checks: list[dict[str, Any]], check: str) -> list[str]:
    return [each["found"] for each in checks if each["check"] == check and each["status"] != "ok"]


def _parking(name: str) -> dict[str, str]:
    if name == "pay":
        return {"retention.ms": "86400000"}
    return {"max.message.bytes": "2000000", "retention.ms": "-1"}


def _grant(servers: str, kind: ResourceType, name: str, *operations: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
    rights = [
        AclBinding(
            *(kind, name, ResourcePatternType.LITERAL, "User:app", "*"),
            *(AclOperation[operation], AclPermissionType.ALLOW),
        )
        for operation in operations
    ]
    grant: Callable[..., dict[AclBinding, Future[None]]] = admin.create_acls  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    for granted in grant(rights).values():
        granted.result(30)
    anyone: Any = None
    every = AclBindingFilter(
        *(ResourceType.ANY, anyone, ResourcePatternType.ANY, anyone, anyone),
        *(AclOperation.ANY, AclPermissionType.ANY),
    )
    found: Callable[..., Future[list[AclBinding]]] = admin.describe_acls  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    deadline = time.monotonic() + 30
    while not set(rights) <= set(found(every).result(30)):
        assert time.monotonic() < deadline, "the broker does not know the rights"
        time.sleep(0.05)


def test_a_dead_broker_is_told_in_time(policies: Path) -> None:
    """With what was looked at besides."""
    checks = examine(
        *("-b", "127.0.0.1:1", "-t", "pay", "--policies", policies, "--timeout", "2s"), status=2
    )

    assert wrong(checks) == {("brokers", "127.0.0.1:1")}
    assert ("policies", str(policies)) in wrong(checks, "ok")


def test_stores_are_looked_at(
    kafka: Kafka, make_topic: MakeTopic, policies: Path, start_redis: StartRedis
) -> None:
    """Empty, filled and dead ones in Redis; a topic that would forget."""
    topic = make_topic("pay")
    call("topics", "ensure", "-b", kafka.bootstrap, "-t", topic, "--policies", policies)
    redis = start_redis(tcp=True)
    url = f"{redis.url}?bundle=payments"
    flags = ("-b", kafka.bootstrap, "-t", topic, "--store")

    empty = examine(*flags, url, status=2)
    assert [c["found"] for c in empty if c["status"] == "fail"] == ["no bundle is active"]
    publish = ("bundle", "publish", "--policies", policies, "--store", url, "--yes")
    assert call(*publish).exit_code == 0
    filled = examine(*flags, url, status=0)
    assert "payments@1 is active, epoch 1" in [c["found"] for c in filled]
    assert "this user may publish" in [c["found"] for c in filled]
    redis.stop()
    dead = examine(*flags, url, status=2)
    assert ("store", "redis") in wrong(dead)

    wide = make_topic("store", partitions=2)
    broken = examine(*flags, f"kafka://{kafka.bootstrap}/{wide}?bundle=payments", status=2)
    assert ("store", wide) in wrong(broken)
    kept = unique_name("store")
    in_kafka = f"kafka://{kafka.bootstrap}/{kept}?bundle=payments"
    publish = ("bundle", "publish", "--policies", policies, "--store", in_kafka, "--yes")
    assert call(*publish).exit_code == 0
    assert wrong(examine(*flags, in_kafka, status=0)) == set()


def test_schemas_are_looked_for(
    kafka: Kafka, make_topic: MakeTopic, policies: Path, registry: RegistryServer
) -> None:
    """A registry that answers and lacks the subject, and one that is dead."""
    topic = make_topic("pay")
    call("topics", "ensure", "-b", kafka.bootstrap, "-t", topic, "--policies", policies)
    flags = ("-b", kafka.bootstrap, "-t", topic, "--policies", policies, "--schemas")

    assert ("schemas", "registry") in wrong(examine(*flags, registry.url, status=0), "ok")
    dead = examine(*flags, "http://127.0.0.1:1", status=2)
    assert wrong(dead) == {("schemas", "streamwarden-doctor")}

    (policies / "bundle.yaml").write_text("bundle: payments\ntopics:\n  'pay*': {value: avro}\n")
    absent = examine(*flags, registry.url, status=0)
    assert wrong(absent, "warn") == {("schemas", f"{topic}-value")}
    unnamed = examine(*flags[:-1], status=2)
    assert wrong(unnamed) == {("schemas", topic)}


def test_without_a_broker_named_it_cannot_be_run(
    policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMWARDEN_BOOTSTRAP_SERVERS", raising=False)
    result = call("doctor", "--policies", policies)

    assert result.exit_code == 1
    assert "no broker was named" in result.stderr
