"""Every example runs as it is, in a process of its own, against a real Kafka."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.servers.topics import ConsumeAll, Kafka, MakeTopic, Record, create_topic

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
WAIT_S = 60.0
PASSES = {"id": "a", "kind": "card", "amount": 10, "country": "DE", "currency": "EUR"}
MASKED = {**PASSES, "id": "b", "card_number": "4111111111111111"}
HELD = {**PASSES, "id": "c", "kind": "transfer", "amount": 61250.5}
REJECTED = {**PASSES, "id": "d", "currency": "GBP"}
EVENTS = [json.dumps(each).encode() for each in (PASSES, MASKED, HELD, REJECTED)]


@pytest.fixture
def payments(kafka: Kafka, make_topic: MakeTopic) -> str:
    """A topic of payments, with its parking topics."""
    topic = make_topic("payments")
    create_topic(kafka.bootstrap, f"quarantine.{topic}")
    create_topic(kafka.bootstrap, f"held.{topic}")
    return topic


def environment(kafka: Kafka, topic: str, more: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "STREAMWARDEN_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "STREAMWARDEN_TOPIC": topic,
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def run(name: str, kafka: Kafka, topic: str, *, stdin: bytes = b"", **more: str) -> Any:
    return subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=ROOT,
        env=environment(kafka, topic, more),
        input=stdin,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )


@contextmanager
def running(
    name: str, kafka: Kafka, topic: str, log: Path, **more: str
) -> Generator[subprocess.Popen[bytes]]:
    """The example in the background, its words in `log`; ended with SIGTERM where it still runs."""
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, EXAMPLES / name],
            cwd=ROOT,
            env=environment(kafka, topic, more),
            stdout=words,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not re.search(pattern, log.read_text()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def effects(records: list[Record]) -> list[str]:
    """What the stamps of the records say."""
    return [(dict(r.headers)["streamwarden"] or b"").decode().split(";")[3] for r in records]


def parked_kinds(records: list[Record]) -> list[str]:
    return [json.loads(dict(r.headers)["streamwarden-decision"] or b"")["kind"] for r in records]


def test_payments_are_published_handled_and_reconciled(
    kafka: Kafka, payments: str, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """Stamped and masked, or parked; the handler gets the rest; history is clean until policy changes."""
    published = run("publisher.py", kafka, payments, PAYMENTS="60", PAYMENTS_PER_SECOND="1000")
    assert published.returncode == 0, published.stderr
    delivered = consume_all(payments)
    quarantined = consume_all(f"quarantine.{payments}")
    held = consume_all(f"held.{payments}")

    assert len(delivered) + len(quarantined) + len(held) == 60
    assert set(effects(delivered)) == {"allow", "mask"}
    assert not any(b"4111111111111111" in (record.value or b"") for record in delivered)
    assert set(parked_kinds(quarantined)) == {"quarantined"}
    assert set(parked_kinds(held)) == {"held"}

    handled = run("handler.py", kafka, payments, UNTIL_END="1")
    assert handled.returncode == 0, handled.stderr
    assert f"{len(delivered)} payments handled" in handled.stderr.decode()

    clean = run("scheduled_reconciliation.py", kafka, payments)
    assert clean.returncode == 0, clean.stderr
    assert "clean" in clean.stderr.decode()

    stricter, findings = tmp_path / "policies", tmp_path / "findings.jsonl"
    stricter.mkdir()
    for file in (EXAMPLES / "policies").glob("*.yaml"):
        if file.name != "cases.yaml":
            (stricter / file.name).write_text(file.read_text().replace("50000", "50"))
    drift = run(
        "scheduled_reconciliation.py",
        kafka,
        payments,
        STREAMWARDEN_POLICIES=str(stricter),
        RECONCILE_FINDINGS=str(findings),
    )
    assert drift.returncode == 2, drift.stderr
    assert "now-held" in drift.stderr.decode()
    assert {json.loads(line)["kind"] for line in findings.read_text().splitlines()} == {"now-held"}


def test_services_follow_a_store_and_stop_when_told(
    kafka: Kafka, payments: str, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """SIGTERM ends each of them cleanly: what was published is counted, what was handled committed."""
    store = f"dir:{tmp_path}/store"
    publish = [sys.executable, "-m", "streamwarden", "bundle", "publish", "--yes", "--quiet"]
    subprocess.run(
        [*publish, "--policies", EXAMPLES / "policies", "--store", store],
        check=True,
        timeout=WAIT_S,
    )
    logs = {name: tmp_path / f"{name}.log" for name in ("publisher", "handler", "reconciliation")}
    more = {"STREAMWARDEN_STORE": store, "PAYMENTS_PER_SECOND": "50", "RECONCILE_EVERY_S": "600"}

    with (
        running("publisher.py", kafka, payments, logs["publisher"], **more) as publisher,
        running("handler.py", kafka, payments, logs["handler"], **more) as handler,
    ):
        wait_for(logs["handler"], r"mask \{", handler)
        wait_for(logs["publisher"], r"rejected: ", publisher)
    name = "scheduled_reconciliation.py"
    with running(name, kafka, payments, logs["reconciliation"], **more) as reconciliation:
        wait_for(logs["reconciliation"], "clean", reconciliation)

    said = logs["publisher"].read_text()
    count = re.search(r"(\d+) payments published, 0 left unsent", said)
    assert count is not None, said
    topics = (payments, f"quarantine.{payments}", f"held.{payments}")
    assert sum(len(consume_all(topic)) for topic in topics) == int(count[1])
    assert "payments@1" in said
    assert "payments handled" in logs["handler"].read_text()


def test_publishing_with_aiokafka(kafka: Kafka, payments: str, consume_all: ConsumeAll) -> None:
    """Each event is where the guard said, with its headers."""
    done = run("aiokafka_publisher.py", kafka, payments, stdin=b"\n".join(EVENTS))

    assert done.returncode == 0, done.stderr
    words = [line.split()[0] for line in done.stdout.decode().splitlines()]
    assert words == ["allow", "mask", "hold", "reject"]
    assert effects(consume_all(payments)) == ["allow", "mask"]
    assert [r.value for r in consume_all(f"held.{payments}")] == [EVENTS[2]]
    assert [r.value for r in consume_all(f"quarantine.{payments}")] == [EVENTS[3]]
    assert parked_kinds(consume_all(f"held.{payments}")) == ["held"]


def test_handling_with_faststream(
    kafka: Kafka, payments: str, consume_all: ConsumeAll, tmp_path: Path, produce_raw: Any
) -> None:
    """Refused events are parked with where they came from, the others handled with masks applied."""
    produce_raw(payments, EVENTS)
    start_at_the_beginning(kafka, payments, "fulfilment")
    log = tmp_path / "faststream.log"

    with running("faststream_handler.py", kafka, payments, log) as process:
        wait_for(log, "reject None", process)

    words = re.findall(r"^(allow|mask|hold|reject) (.*)$", log.read_text(), re.MULTILINE)
    assert [effect for effect, _ in words] == ["allow", "mask", "hold", "reject"]
    assert "************1111" in words[1][1]
    assert [r.value for r in consume_all(f"held.{payments}")] == [EVENTS[2]]
    (quarantined,) = consume_all(f"quarantine.{payments}")
    headers = dict(quarantined.headers)
    assert quarantined.value == EVENTS[3]
    assert headers["__dlq.errors.offset"] == b"3"
    assert headers["__dlq.errors.group"] == b"fulfilment"


def start_at_the_beginning(kafka: Kafka, topic: str, group: str) -> None:
    """Let a new group begin with the first record, whenever it comes."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group, "log_level": 0})
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    finally:
        consumer.close()


@pytest.fixture
def produce_raw(kafka: Kafka) -> Any:
    from confluent_kafka import Producer

    def produce(topic: str, values: list[bytes]) -> None:
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
        for value in values:
            producer.produce(topic, value)
        assert producer.flush(30) == 0

    return produce


@pytest.mark.parametrize("name", ["aiokafka_publisher.py", "faststream_handler.py"])
def test_adapters_to_other_clients_are_short(name: str) -> None:
    """Under 30 lines each, all lines counted."""
    assert len((EXAMPLES / name).read_text().splitlines()) < 30


def test_the_policies_of_the_examples_pass_their_own_tests() -> None:
    policies = str(EXAMPLES / "policies")
    command = [sys.executable, "-m", "streamwarden", "policy", "test", policies]
    assert subprocess.run(command, check=False, timeout=WAIT_S, capture_output=True).returncode == 0
