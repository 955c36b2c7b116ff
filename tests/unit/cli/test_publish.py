"""Every line of every file is accounted for, whatever becomes of it."""

from __future__ import annotations

import gzip
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from confluent_kafka import KafkaError

from streamwarden.embedded import EmbeddedBroker
from tests.servers.topics import Record, read_topic

from .conftest import Run

pytestmark = pytest.mark.slow

EFFECTS = ("allow", "warn", "mask", "hold", "reject", "none")

LINES = [
    b'{"amount":1,"country":"DE"}',  # allow
    b'{"amount":2000,"country":"DE"}',  # warn, and a shadow rule
    b'{"amount":1,"country":"DE","card":"4111111111111111"}',  # mask
    b'{"amount":99999,"country":"DE"}',  # hold, and a shadow rule
    b'{"amount":1,"country":"KP"}',  # reject
    b"not json",  # reject, undecodable
]


@pytest.fixture
def broker(embedded_broker: EmbeddedBroker) -> EmbeddedBroker:
    for topic in ("payments", "quarantine.payments", "held.payments"):
        embedded_broker.create_topic(topic, 2)
    return embedded_broker


class Publish:
    """`streamwarden publish --json` to `payments`, and what it said."""

    def __init__(self, run: Run, policies: Path, servers: str) -> None:
        self._run, self._policies, self.servers = run, policies, servers

    def __call__(
        self,
        *arguments: object,
        stdin: bytes | io.BufferedIOBase = b"",
        topic: str | None = "payments",
    ) -> Any:
        return json.loads(self.result(*arguments, stdin=stdin, topic=topic).stdout)

    def result(
        self,
        *arguments: object,
        stdin: bytes | io.BufferedIOBase = b"",
        topic: str | None = "payments",
    ) -> Result:
        named = () if topic is None else ("--topic", topic)
        common = ("-b", self.servers, "--policies", self._policies, "--json")
        return self._run("publish", *named, *common, *arguments, stdin=stdin)


@pytest.fixture
def publish(run: Run, policies: Path, broker: EmbeddedBroker) -> Publish:
    return Publish(run, policies, broker.bootstrap)


def values(broker: EmbeddedBroker, topic: str) -> list[bytes]:
    """The values in a topic, sorted; `none` for a tombstone."""
    return sorted(record.value or b"none" for record in records(broker, topic))


def records(broker: EmbeddedBroker, topic: str) -> list[Record]:
    return read_topic(broker.bootstrap, topic, isolation="read_uncommitted")


def test_each_line_goes_where_policy_says(
    publish: Publish, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Byte for byte but for the masks; the summary counts all of them."""
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(LINES))

    result = publish.result(tmp_path / "events.jsonl")

    said = json.loads(result.stdout)
    assert result.exit_code == 2
    assert {name: said[name] for name in EFFECTS} == {
        "allow": 1,
        "warn": 1,
        "mask": 1,
        "hold": 1,
        "reject": 2,
        "none": 0,
    }
    assert (said["read"], said["failed"]) == (6, 0)
    assert (said["undecodable"], said["shadow"]) == (1, 2)
    assert said["bundle"] == "payments@0"
    assert len(said["digest"]) == 64
    assert sorted(values(broker, "payments")) == sorted(
        [*LINES[:2], LINES[2].replace(b"4111111111111111", b"************1111")]
    )
    assert values(broker, "held.payments") == [LINES[3]]
    assert values(broker, "quarantine.payments") == sorted(LINES[4:])


def test_a_clean_file_is_status_0(publish: Publish) -> None:
    """From standard input, and with nothing in it too."""
    assert publish.result("-", stdin=b'{"amount":1,"country":"DE"}\n').exit_code == 0
    assert publish.result("-", stdin=b"").exit_code == 0


def test_keys_come_from_the_value(publish: Publish, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Also those of parked events; one without is sent without, and said."""
    lines = [b'{"amount":1,"country":"DE","id":7}', b'{"amount":1,"country":"KP","id":"k"}']
    (tmp_path / "e.gz").write_bytes(gzip.compress(b"\n".join([*lines, LINES[0]])))

    result = publish.result("--key", "value.id", tmp_path / "e.gz")

    assert {record.key for record in records(broker, "payments")} == {b"7", None}
    assert [record.key for record in records(broker, "quarantine.payments")] == [b"k"]
    assert "nothing at `value.id` in 1 event, which went without a key" in result.stderr


def test_a_record_is_published_with_all_that_it_says(
    publish: Publish, broker: EmbeddedBroker
) -> None:
    """Headers keep their order, doubled ones too; the stamp comes last."""
    line = {
        "topic": "payments",
        "key": {"base64": "AAE="},
        "value": '{"amount":1,"country":"DE"}',
        "headers": [["a", "1"], ["a", None], ["streamwarden", "forged"]],
        "timestamp": 1_767_225_600_000,
        "partition": 1,
    }

    said = publish("--format", "record", "-", stdin=json.dumps(line).encode(), topic=None)

    (record,) = records(broker, "payments")
    assert said["allow"] == 1
    assert (record.partition, record.key, record.timestamp) == (1, b"\0\1", 1_767_225_600_000)
    assert record.headers[:2] == [("a", b"1"), ("a", None)]
    name, stamp = record.headers[2]
    assert name == "streamwarden"
    assert stamp is not None
    assert stamp.startswith(b"1;payments@0;")
    assert b";allow;produce;at=" in stamp
    assert len(record.headers) == 3


def test_a_null_value_is_a_tombstone(publish: Publish, broker: EmbeddedBroker) -> None:
    """Which policy allows by default."""
    said = publish("--format", "record", "-", stdin=b'{"key":"k","value":null}')

    assert said["allow"] == 1
    assert [(r.key, r.value) for r in records(broker, "payments")] == [(b"k", None)]


def test_lines_that_are_no_events_fail_alone(publish: Publish) -> None:
    """With the place of the first of each kind; the others are sent."""
    lines = [
        b"oops",
        b'{"value":"{}"}',
        b'{"value":1}',
        b'{"value":2}',
        b'{"value":"{}","topic":"a b"}',
    ]

    result = publish.result("--format", "record", "-", stdin=b"\n".join(lines))

    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (said["read"], said["failed"], said["hold"]) == (5, 4, 1)
    assert "standard input:1: the line is no JSON" in result.stderr
    assert "2 events failed, the first at standard input:3: `value` is a string" in result.stderr
    assert "standard input:5" in result.stderr


def test_the_sum_holds_when_an_event_is_too_large(publish: Publish) -> None:
    """For the client, and for the reader of lines."""
    large = json.dumps({"amount": 1, "country": "DE", "x": "y" * 1_100_000}).encode()
    endless = b"z" * 17_000_000

    said = publish("-", stdin=b"\n".join([LINES[0], large, endless, LINES[0]]))

    assert said["read"] == 4
    assert said["failed"] == 2
    assert said["allow"] == 2


def test_a_topic_that_refuses_is_told_once(publish: Publish, broker: EmbeddedBroker) -> None:
    """Each event counts as failed; parked ones are elsewhere and do not."""
    broker.fail_topic("payments", KafkaError.TOPIC_AUTHORIZATION_FAILED)

    result = publish.result("-", stdin=b"\n".join([LINES[0], LINES[0], LINES[4]]))

    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (said["read"], said["failed"], said["reject"]) == (3, 2, 1)
    assert result.stderr.count("ask for the right to this topic") == 1
    assert "2 events failed, the first at standard input:1" in result.stderr


def test_an_event_that_cannot_be_parked_has_failed(
    publish: Publish, broker: EmbeddedBroker
) -> None:
    """It is nowhere, which is no rejection."""
    broker.fail_topic("quarantine.payments", KafkaError.TOPIC_AUTHORIZATION_FAILED)

    result = publish.result("-", stdin=b"\n".join([LINES[0], LINES[4]]))

    said = json.loads(result.stdout)
    assert (said["allow"], said["reject"], said["failed"]) == (1, 0, 1)
    assert result.stderr.count("no right to write to `quarantine.payments`") == 1
    assert "ask for the right to this topic" not in result.stderr


def test_a_key_that_tells_what_a_mask_hides_is_warned_of(
    publish: Publish, broker: EmbeddedBroker
) -> None:
    """Of a field that is masked on the topic, and only there; also where records name the topic."""
    card = b'{"amount":1,"country":"DE","card":"4111111111111111"}'
    record = json.dumps({"topic": "payments", "value": card.decode()}).encode()

    masked = publish.result("--key", "value.card", "-", stdin=card)
    named = publish.result(
        *("--format", "record", "--key", "value.card", "-"), stdin=record, topic=None
    )
    other = publish.result("--key", "value.country", "-", stdin=card)

    said = "`value.card` is masked or sensitive on `payments`, and is written in the clear"
    assert said in " ".join(masked.stderr.split())
    assert said in " ".join(named.stderr.split())
    assert masked.stderr.count("masked or sensitive") == 1
    assert "sensitive" not in other.stderr
    assert {r.key for r in records(broker, "payments")} == {b"4111111111111111", b"DE"}


@pytest.mark.parametrize("arguments", [[], ["--key", "value.id"]])
def test_a_broker_that_is_not_there_ends_it(
    publish: Publish, tmp_path: Path, arguments: list[str]
) -> None:
    """After --timeout; how much was not sent, and from which line on, is told."""
    (tmp_path / "a").write_bytes(b"\n".join(LINES))
    publish.servers = "localhost:1"
    started = time.monotonic()

    result = publish.result("--timeout", "1s", *arguments, tmp_path / "a", tmp_path / "a")

    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert 1 <= time.monotonic() - started < 5
    assert (said["read"], said["failed"]) == (12, 12)
    assert sum(said[name] for name in EFFECTS) == 0
    assert f"12 of 12 events were not sent, the first is {tmp_path}/a:1" in result.stderr
    assert "Connection refused" in result.stderr
    assert "check -b" in result.stderr


class Interrupted(io.RawIOBase):
    """Two parts of an input, with something happening between them."""

    def __init__(self, first: bytes, happens: Callable[[], None], second: bytes) -> None:
        self._parts, self._happens = [first, second], happens

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if len(self._parts) == 1:
            self._happens()
        part = self._parts.pop(0) if self._parts else b""
        buffer[: len(part)] = part
        return len(part)


def test_a_broker_that_goes_away_ends_it(publish: Publish, broker: EmbeddedBroker) -> None:
    """What was sent before counts as sent; what is there of the input is counted, not sent."""

    def goes_down() -> None:
        time.sleep(0.5)  # what was produced is taken by now
        broker.go_down()

    line = LINES[0] + b"\n"
    stdin = io.BufferedReader(Interrupted(line * 200, goes_down, line * 100), 100_000)

    result = publish.result("--timeout", "1s", "-", stdin=stdin)
    broker.come_up()

    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (said["read"], said["allow"], said["failed"]) == (300, 200, 100)
    assert "took no event for 1 s" in result.stderr
    assert "100 of 300 events were not sent, the first is standard input:201" in result.stderr


def test_a_wrong_password_is_told_before_the_timeout(publish: Publish) -> None:
    """It will not become right by waiting: with no server for it, the connection is just refused."""
    result = publish.result(
        *(
            "--timeout",
            "1s",
            "-X",
            "security.protocol=sasl_plaintext",
            "-X",
            "sasl.mechanism=PLAIN",
        ),
        *("-X", "sasl.username=app", "-X", "sasl.password=hunter2", "-"),
        stdin=LINES[0],
    )

    assert result.exit_code == 1
    assert "hunter2" not in result.output


def test_transactions_are_refused(publish: Publish) -> None:
    """Nothing would be committed."""
    result = publish.result("-X", "transactional.id=x", "-", stdin=LINES[0])

    assert result.exit_code == 1
    assert "leave out transactional.id" in result.stderr


def test_the_clock_of_rules_can_be_set(run: Run, broker: EmbeddedBroker, tmp_path: Path) -> None:
    """A policy that is not in force then does not count."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [payments]\neffective: {from: 2026-06-01}\n"
        "rules: [{id: r, effect: reject}]\n"
    )
    for now, effect in (("2026-05-31", "none"), ("2026-06-01", "reject")):
        result = run(
            *("publish", "-t", "payments", "-b", broker.bootstrap, "--policies", tmp_path),
            *("--now", now, "--json", "-"),
            stdin=b"{}",
        )

        assert json.loads(result.stdout)[effect] == 1


def test_words_for_people_say_the_same(run: Run, broker: EmbeddedBroker, policies: Path) -> None:
    """One line of summary on stdout."""
    result = run(
        *("publish", "-t", "payments", "-b", broker.bootstrap, "--policies", policies, "-"),
        stdin=b"\n".join(LINES),
    )

    assert result.exit_code == 2
    assert result.stdout.startswith("6 events in ")
    assert "1 allow, 1 warn, 1 mask, 1 hold, 2 reject, 1 undecodable" in result.stdout
    assert result.stdout.count("\n") == 1


def test_no_events_are_told_too(run: Run, broker: EmbeddedBroker, policies: Path) -> None:
    """There is nothing to list then."""
    result = run(
        *("publish", "-t", "payments", "-b", broker.bootstrap, "--policies", policies, "-"),
        stdin=b"",
    )

    assert result.exit_code == 0
    assert re.fullmatch(r"0 events in [0-9.]+ s by payments@0 \([0-9a-f]{12}\)\n", result.stdout)


def test_a_guard_that_decides_no_more_ends_it(
    run: Run,
    broker: EmbeddedBroker,
    policies: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its policy became stale: the lines from then on have failed, those before are sent."""
    store = tmp_path / "store"
    run("bundle", "publish", "--policies", policies, "--store", f"dir:{store}", "--yes")
    monkeypatch.setenv("STREAMWARDEN_SOURCE_UNREACHABLE", "stop")
    monkeypatch.setenv("STREAMWARDEN_STALE_AFTER_S", "0.2")

    def goes_away() -> None:
        (store / "payments" / "activations").rename(tmp_path / "elsewhere")
        (store / "payments" / "activations").write_text("not a folder")
        time.sleep(2.5)

    line = LINES[0] + b"\n"
    stdin = io.BufferedReader(Interrupted(line * 2, goes_away, line * 3), 10_000)
    result = run(
        *("publish", "-t", "payments", "-b", broker.bootstrap, "--store", f"dir:{store}"),
        *("--json", "-"),
        stdin=stdin,
    )

    said = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (said["read"], said["allow"], said["failed"]) == (5, 2, 3)
    assert "3 of 5 events were not sent, the first is standard input:3" in result.stderr


@pytest.mark.parametrize("flood", ["warn", "stop"])
def test_a_flood_of_refused_events_is_said_or_ends_it(
    publish: Publish, tmp_path: Path, flood: str
) -> None:
    """A file that somebody chose is published to its end, unless they want to be stopped."""
    (tmp_path / "events.jsonl").write_bytes((LINES[4] + b"\n") * 600)
    options = ("--flood", "stop") if flood == "stop" else ()

    result = publish.result(tmp_path / "events.jsonl", *options)

    said = json.loads(result.stdout)
    assert "500 of the last 500 events at produce were refused" in result.stderr
    if flood == "warn":
        assert (result.exit_code, said["reject"], said["failed"]) == (2, 600, 0)
    else:
        assert (result.exit_code, said["reject"], said["failed"]) == (1, 500, 100)
