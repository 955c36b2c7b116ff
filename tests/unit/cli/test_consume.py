"""A topic is read as a group, with only what policy lets through."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from confluent_kafka import KafkaError, Producer

from streamwarden.embedded import EmbeddedBroker
from tests.servers.topics import read_topic

from .conftest import Run

pytestmark = pytest.mark.slow

VALUES = [
    b'{"amount":1,"country":"DE"}',
    b'{"amount":1,"country":"DE","card":"4111111111111111"}',
    b'{"amount":99999,"country":"DE"}',
    b'{"amount":1,"country":"KP"}',
    b'{"amount":2000,"country":"DE"}',
]


@pytest.fixture
def broker(embedded_broker: EmbeddedBroker) -> EmbeddedBroker:
    for topic in ("payments", "quarantine.payments", "held.payments"):
        embedded_broker.create_topic(topic, 2)
    return embedded_broker


def fill(broker: EmbeddedBroker, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for value in values:
        producer.produce("payments", value, b"\xff", 0, headers=[("h", b"1"), ("h", None)])
    assert producer.flush(20) == 0
    producer.close()


class Consume:
    """`streamwarden consume --group g`, with the embedded broker's short sessions."""

    def __init__(self, run: Run, policies: Path, broker: EmbeddedBroker) -> None:
        self._run, self._policies, self._broker = run, policies, broker

    def __call__(self, *arguments: object) -> Result:
        settings = [f"-X{name}={value}" for name, value in self._broker.group_settings.items()]
        return self._run(
            *("consume", "--topic", "payments", "--group", "g", "-b", self._broker.bootstrap),
            *("--policies", self._policies, *settings, *arguments),
        )


@pytest.fixture
def consume(run: Run, policies: Path, broker: EmbeddedBroker) -> Consume:
    return Consume(run, policies, broker)


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_what_passes_is_shown_and_what_does_not_is_parked(
    consume: Consume, broker: EmbeddedBroker
) -> None:
    """Masked, with the decision; the end of the topic is the end."""
    fill(broker, *VALUES)

    result = consume("--until-end", "--json")

    said = lines(result)
    assert result.exit_code == 2
    assert [each["offset"] for each in said] == [0, 1, 4]
    assert said[1]["value"] == '{"amount":1,"country":"DE","card":"************1111"}'
    assert [each["decision"]["effect"] for each in said] == ["allow", "mask", "warn"]
    assert list(said[0]) == [
        *("topic", "partition", "offset", "timestamp", "key", "value", "headers", "decision")
    ]
    assert said[0]["key"] == {"base64": "/w=="}
    assert said[0]["headers"] == [["h", "1"], ["h", None]]
    assert said[0]["decision"]["stage"] == "consume"
    assert "3 events let through, 2 held or rejected" in result.stderr
    for topic in ("quarantine.payments", "held.payments"):
        assert len(read_topic(broker.bootstrap, topic, isolation="read_uncommitted")) == 1


def test_the_group_goes_on_where_it_was(consume: Consume, broker: EmbeddedBroker) -> None:
    """Nothing is shown twice, and nothing is left out."""
    fill(broker, *VALUES)

    first = consume("--json", "--max", 2)
    second = consume("--json", "--until-end")
    third = consume("--json", "--until-end")

    assert [each["offset"] for each in lines(first)] == [0, 1]
    assert [each["offset"] for each in lines(second)] == [4]
    assert lines(third) == []
    assert (second.exit_code, third.exit_code) == (2, 0)


def test_what_was_consumed_can_be_published_again(
    consume: Consume, run: Run, broker: EmbeddedBroker, policies: Path
) -> None:
    """A line of `consume --json` is a record of `publish`."""
    fill(broker, VALUES[0])
    line = consume("--until-end", "--json").stdout

    result = run(
        *("publish", "-b", broker.bootstrap, "--policies", policies, "--format", "record", "-"),
        stdin=line.encode(),
    )

    assert result.exit_code == 0
    first, second = read_topic(broker.bootstrap, "payments", isolation="read_uncommitted")
    assert (second.key, second.value) == (first.key, first.value)
    assert second.headers[:2] == first.headers


def test_for_people_an_event_is_a_line(consume: Consume, broker: EmbeddedBroker) -> None:
    """Where it is, what was decided, key and value, escaped."""
    fill(broker, VALUES[0][:-1] + b',"x":"\x1b[2J"}'.replace(b"\x1b", b"\\u001b"))

    result = consume("--until-end")

    assert result.stdout.startswith("payments[0]@0 allow  ")
    assert result.stdout.count("\n") == 1
    assert "\x1b" not in result.stdout


def test_a_parking_topic_that_refuses_ends_it(consume: Consume, broker: EmbeddedBroker) -> None:
    """Before the event, which the next run reads again."""
    fill(broker, VALUES[0], VALUES[3], VALUES[0])
    broker.fail_topic("quarantine.payments", KafkaError.TOPIC_AUTHORIZATION_FAILED)

    failed = consume("--until-end", "--json")
    broker.fail_topic("quarantine.payments", KafkaError.NO_ERROR)
    again = consume("--until-end", "--json")

    assert failed.exit_code == 1
    assert "error: " in failed.stderr
    offsets = [each["offset"] for each in lines(failed) + lines(again)]
    assert sorted(set(offsets)) == [0, 2]
    assert (
        len(read_topic(broker.bootstrap, "quarantine.payments", isolation="read_uncommitted")) == 1
    )


def test_a_broker_that_is_not_there_ends_it(run: Run, policies: Path) -> None:
    """After --timeout, with what the client says."""
    started = time.monotonic()

    result = run(
        *("consume", "-t", "payments", "--group", "g", "-b", "localhost:1", "--timeout", "1s"),
        *("--policies", policies, "--until-end"),
    )

    assert result.exit_code == 1
    assert 1 <= time.monotonic() - started < 5
    assert "no connection to localhost:1 within 1 s" in result.stderr
    assert "check -b" in result.stderr


def test_a_topic_that_no_policy_covers_is_told(
    run: Run, policies: Path, broker: EmbeddedBroker
) -> None:
    """Once, before anything is shown: what is shown was judged by nothing."""
    broker.create_topic("paymnets")
    result = run(
        *("consume", "-b", broker.bootstrap, "-t", "paymnets", "--group", "g"),
        *("--policies", str(policies), "--until-end"),
    )

    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("no policy") == 1
    assert "no policy covers topic `paymnets`: nothing judges its events" in result.stderr
