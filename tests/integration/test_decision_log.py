"""The decision log in a topic of a real Kafka, and what happens when its brokers do not answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamwarden import GuardedConsumer, GuardedProducer
from streamwarden.policy.decision import Decision
from tests.guards import BAD, CARD, CLEAN, LARGE, SHADY, event
from tests.servers.cache import free_port
from tests.servers.kafka import StartKafka
from tests.servers.topics import ConsumeAll, Kafka, MakeTopic, create_topic, read_topic

from .conftest import Guarded

WAIT_S = 30.0
MakeGuarded = Callable[..., Guarded]


def silent(*_: object) -> None:
    """A delivery report that nobody reads."""


def wait_for(met: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not met():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.05)


def entries(values: list[bytes | None]) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for value in values]


def test_decisions_of_producer_and_consumer_are_in_the_topic(
    kafka: Kafka, make_guarded: MakeGuarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Each once, keyed by the event's topic, in order; of the glob's topics it is none."""
    decisions = make_topic("decisions", partitions=3)
    guarded = make_guarded(decision_log=f"kafka://{kafka.bootstrap}/{decisions}")
    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        made = [
            producer.produce(guarded.topic, value, on_delivery=silent)
            for value in (CLEAN, BAD, LARGE, CARD, SHADY, b"no JSON")
        ]
    config = {**guarded.config, "group.id": guarded.topic, "auto.offset.reset": "earliest"}
    with GuardedConsumer(config, guard=guarded.guard) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(silent, until_end=True)
    guarded.guard.close()

    records = consume_all(decisions)
    logged = entries([record.value for record in records])
    assert {record.key for record in records} == {guarded.topic.encode()}
    assert [line["id"] for line in logged if line["stage"] == "produce"] == [
        decision.id for decision in made if not decision.clear
    ]
    assert [line["effect"] for line in logged if line["stage"] == "consume"] == ["mask", "warn"]


def test_a_log_that_cannot_be_reached_is_dropped_and_counted(
    make_guarded: MakeGuarded, consume_all: ConsumeAll
) -> None:
    """By default events go on as if there were no log; every entry that is missing is counted."""
    guarded = make_guarded(
        decision_log={
            "url": "kafka://127.0.0.1:1/decisions",
            "client": {"message.timeout.ms": 300},
            "room": 100,
        }
    )

    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        for number in range(400):
            producer.produce(guarded.topic, event(currency="XXX", n=number), on_delivery=silent)
        assert producer.flush(WAIT_S) == 0
    guarded.guard.close()

    counters = guarded.guard.counters
    dropped = {name: n for name, n in counters.items() if name.startswith("dropped/decision_log/")}
    assert len(consume_all(guarded.quarantine)) == 400
    assert sum(dropped.values()) == 400
    assert dropped["dropped/decision_log/unreachable"] > 0


@pytest.mark.slow
def test_a_frozen_broker_holds_up_what_must_be_logged(
    make_guarded: MakeGuarded, start_kafka: StartKafka, consume_all: ConsumeAll
) -> None:
    """With `block` producers and consumers wait, and nothing is missing afterwards."""
    cluster = start_kafka()
    decisions = create_topic(cluster.bootstrap, "decisions")
    guarded = make_guarded(
        decision_log={"url": f"kafka://{cluster.bootstrap}/{decisions}", "room": 20},
        decision_log_unreachable="block",
    )
    guard, made = guarded.guard, list[Decision]()
    producer = GuardedProducer(guarded.config, guard=guard, queue_full_wait_s=0.2)

    def produce(count: int) -> None:
        values = (event(shady=number) for number in range(count))
        made.extend(producer.produce(guarded.topic, value) for value in values)

    produce(5)
    assert guard.flush_log(WAIT_S)
    cluster.node.pause()
    with pytest.raises(BufferError, match="decision log"):
        produce(5000)
    assert producer.produce(guarded.topic, CLEAN).clear  # what is not logged does not wait
    producer.flush(WAIT_S)
    config = {**guarded.config, "group.id": guarded.topic, "auto.offset.reset": "earliest"}
    consumer = GuardedConsumer(config, guard=guard)
    consumer.subscribe([guarded.topic])
    wait_for(
        lambda: consumer.poll(0.2) is None and guard.counters["fallbacks/decision_log_wait"] > 0
    )
    cluster.node.resume()
    assert guard.flush_log(WAIT_S)
    produce(1)
    producer.flush(WAIT_S)
    handled: list[int] = []
    read = len(consume_all(guarded.topic))
    wait_for(lambda: _take(consumer, handled) == read)
    producer.close()
    consumer.close()
    guard.close()

    logged = entries([record.value for record in read_topic(cluster.bootstrap, decisions)])
    produced = [line["id"] for line in logged if line["stage"] == "produce"]
    consumed = [line["event"]["offset"] for line in logged if line["stage"] == "consume"]
    assert produced == [decision.id for decision in made]
    assert sorted(set(consumed)) == [n for n in range(read) if n != len(made) - 1]
    assert not any(name.startswith("dropped/decision_log") for name in guard.counters)


def _take(consumer: GuardedConsumer, handled: list[int]) -> int:
    message = consumer.poll(0.1)
    if message is not None and message.error() is None:
        handled.append(message.offset() or 0)
    return 0 if not handled else handled[-1] + 1


def test_a_command_logs_and_serves_metrics_while_it_runs(
    tmp_path: Path,
    kafka: Kafka,
    make_guarded: MakeGuarded,
    make_topic: MakeTopic,
    consume_all: ConsumeAll,
) -> None:
    """`consume` with --metrics-port and --decision-log: both say what happened."""
    guarded, decisions, port = make_guarded(), make_topic("decisions"), free_port()
    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        for value in (CLEAN, CLEAN, CARD, SHADY):
            producer.produce(guarded.topic, value)
    command = [
        *(sys.executable, "-m", "streamwarden", "consume", "--json", "-b", kafka.bootstrap),
        *("-t", guarded.topic, "--group", guarded.topic),
        *("--policies", str(tmp_path / guarded.topic), "--metrics-port", str(port)),
        *("--decision-log", f"kafka://{kafka.bootstrap}/{decisions}"),
    ]
    said = (tmp_path / "said").open("wb")
    with said, subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as running:
        try:
            wait_for(lambda: (tmp_path / "said").read_bytes().count(b"\n") >= 4)
            found = _scrape(port)
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(WAIT_S)

    labels = {"topic": guarded.topic, "stage": "consume"}
    assert {
        effect: found("decisions_total", effect=effect, **labels)
        for effect in ("allow", "mask", "warn", "reject")
    } == {"allow": 2, "mask": 1, "warn": 1, "reject": 0}
    assert found("rule_matches_total", policy="limits", rule="shady", mode="enforce") == 1
    assert found("guard_mode", mode="enforce") == 1
    logged = entries([record.value for record in consume_all(decisions)])
    assert [line["effect"] for line in logged] == ["mask", "warn"]


def _scrape(port: int) -> Callable[..., float]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S).read()
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[f"streamwarden_{name}", frozenset(labels.items())]

    return value
