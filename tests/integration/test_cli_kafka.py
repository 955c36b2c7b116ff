"""The command line against a real Kafka, from the first topic to the reconciliation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamwarden.cli import main
from streamwarden.cli.output import SECRETS
from tests.servers.kafka import StartKafka
from tests.servers.topics import ConsumeAll, Kafka, MakeTopic, create_topic, read_topic

LIMITS = """
policy: limits
owner: risk
topics: ["pay*"]
rules:
  - id: over-limit
    when: value.amount > 50000
    effect: hold
    approvals: {need: 2}
    reason: amount {value.amount} is over the limit
  - id: sanctioned
    when: value.country == "KP"
    effect: reject
  - id: card
    when: has(value.card)
    effect: mask
    mask: [{field: value.card, with: last4}]
"""
EVENTS = [
    {"id": "1", "amount": 1, "country": "DE"},
    {"id": "2", "amount": 20000, "country": "DE"},
    {"id": "3", "amount": 60000, "country": "DE", "card": "4111111111111111"},
    {"id": "4", "amount": 1, "country": "KP"},
    {"id": "5", "amount": 1, "country": "FR", "card": "4111111111111111"},
]


class Cli:
    """`streamwarden` with a broker, policies and a topic of this test."""

    def __init__(self, folder: Path, servers: str, topic: str) -> None:
        self.folder, self.servers, self.topic = folder, servers, topic
        self.policies = folder / "policies"
        self.policies.mkdir()
        (self.policies / "limits.yaml").write_text(LIMITS)
        (self.policies / "bundle.yaml").write_text("bundle: payments\n")
        self.store = f"dir:{folder}/store"
        self.events = folder / "events.jsonl"
        self.events.write_text("\n".join(map(json.dumps, EVENTS)))

    def __call__(self, *arguments: object, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)

    def on_kafka(self, *arguments: object, stdin: bytes = b"") -> Result:
        """With -b, --topic and --policies."""
        return self(
            *arguments,
            *("-b", self.servers, "--topic", self.topic, "--policies", self.policies),
            stdin=stdin,
        )

    def json(self, *arguments: object, status: int = 0) -> Any:
        result = self.on_kafka(*arguments, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)


@pytest.fixture
def cli(tmp_path: Path, kafka: Kafka, make_topic: MakeTopic) -> Iterator[Cli]:
    yield Cli(tmp_path, kafka.bootstrap, make_topic("pay", partitions=2))
    SECRETS.forget()


def test_parking_topics_are_made_once_and_looked_at(cli: Cli) -> None:
    """Missing is status 2 with --dry-run; what is there is not touched."""
    dry = cli.json("topics", "ensure", "--dry-run", status=2)
    made = cli.json("topics", "ensure")
    again = cli.json("topics", "ensure")

    assert [each["state"] for each in dry] == ["missing", "missing"]
    assert [each["state"] for each in made] == ["created", "created"]
    assert [each["state"] for each in again] == ["fits", "fits"]
    assert [each["topic"] for each in made] == [f"quarantine.{cli.topic}", f"held.{cli.topic}"]
    assert {each["partitions"] for each in made} == {2}
    words = cli.on_kafka("topics", "ensure").stdout
    assert f"fits     held.{cli.topic}" in words


def test_a_parking_topic_that_loses_events_is_told(cli: Cli, kafka: Kafka) -> None:
    """With the command that mends it."""
    create_topic(
        kafka.bootstrap, f"held.{cli.topic}", partitions=2, config={"cleanup.policy": "compact"}
    )

    result = cli.on_kafka("topics", "ensure")

    assert result.exit_code == 2
    assert "cleanup.policy is compact, and should be delete" in result.stdout
    assert "--add-config cleanup.policy=delete" in result.stdout


def test_the_way_of_events(cli: Cli, consume_all: ConsumeAll) -> None:
    """Published, parked, listed, shown, released, discarded, and reconciled with nothing found."""
    cli.json("topics", "ensure")

    published = cli.json("publish", "--key", "value.id", cli.events, status=2)
    assert (published["read"], published["allow"], published["mask"]) == (5, 2, 1)
    assert (published["hold"], published["reject"]) == (1, 1)
    assert sorted(record[2] or b"" for record in consume_all(cli.topic)) == [b"1", b"2", b"5"]

    listed = cli.json("quarantine", "list")
    assert sorted(event["kind"] for event in listed["events"]) == ["held", "quarantined"]
    (held,) = cli.json("quarantine", "list", "--kind", "held")["events"]
    place = f"{held['partition']}:{held['offset']}"
    assert held["rules"] == ["limits/over-limit", "limits/card"]
    assert "limits/over-limit: amount 60000 is over the limit" in held["message"]

    shown = cli.on_kafka("quarantine", "show", "--kind", "held", "--at", place)
    assert "4111111111111111" not in shown.stdout
    assert "✓ value.amount > 50000" in shown.stdout
    unmasked = cli.on_kafka(
        *("quarantine", "show", "--kind", "held", "--at", place),
        *("--unmask", "--by", "Ann", "--reason", "ticket 1"),
    )
    assert "4111111111111111" in unmasked.stdout

    release = ("quarantine", "release", "--kind", "held", "--at", place)
    assert cli.on_kafka(*release).exit_code == 2
    first = cli.json(*release, "--by", "Ann", "--reason", "fine")
    assert first["counts"] == {"approved": 1}
    dry = cli.json(*release, "--by", "Bob", "--reason", "fine", "--dry-run")
    second = cli.json(*release, "--by", "Bob", "--reason", "fine")
    third = cli.json(*release, "--by", "Bob", "--reason", "fine", status=2)
    assert dry["counts"] == second["counts"] == {"released": 1}
    assert third["counts"] == {"refused": 1}
    assert any(b"************1111" in (record[3] or b"") for record in consume_all(cli.topic))

    discarded = cli.json(
        "quarantine", "discard", "--rule", "sanctioned", "--by", "Ann", "--reason", "no"
    )
    assert discarded["counts"] == {"discarded": 1}
    assert cli.json("quarantine", "list")["events"] == []
    states = [event["state"] for event in cli.json("quarantine", "list", "--all")["events"]]
    assert sorted(states) == ["discarded", "released"]

    report = cli.json("reconcile")
    assert (report["verdict"], report["complete"]) == ("clean", True)


def test_a_stricter_policy_finds_drift(cli: Cli) -> None:
    """Findings go to a file, kinds can be chosen, and the report is for people without --json."""
    cli.on_kafka("topics", "ensure")
    publish = ("bundle", "publish", "--policies", cli.policies, "--store", cli.store, "--yes")
    assert cli(*publish).exit_code == 0
    common = ("-b", cli.servers, "--topic", cli.topic, "--store", cli.store)
    assert cli("publish", *common, cli.events).exit_code == 2
    before = cli("reconcile", *common, "--json")
    limits = cli.policies / "limits.yaml"
    limits.write_text(limits.read_text().replace("50000", "10000"))
    assert cli(*publish).exit_code == 0
    findings = cli.folder / "findings.jsonl"

    after = cli("reconcile", *common, "--json", "--findings", findings)
    words = cli("reconcile", *common)
    chosen = cli("reconcile", *common, "--fail-on", "now-rejected,forged", "--json")

    assert before.exit_code == 0, before.output
    assert json.loads(before.stdout)["verdict"] == "clean"
    said = json.loads(after.stdout)
    assert (after.exit_code, said["verdict"], said["bundle"]) == (2, "drift", "payments@2")
    assert said["counts"]["now-held"] == 1
    (finding,) = map(json.loads, findings.read_text().splitlines())
    assert (finding["kind"], finding["stamped"]["bundle"]) == ("now-held", "payments@1")
    assert words.exit_code == 2
    assert "1 held" in words.stdout
    assert chosen.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--since", "1h", "--until", "2h"], "put the earlier time first"),
        (["--fail-on", "nothing"], "`nothing` is no kind of finding"),
        (["--engine", "warp"], "there is no engine `warp`"),
        (["--engine-option", "workers"], "write such as `workers=4`"),
        (["--topic", "pay-absent"], "there is no topic `pay-absent`"),
    ],
)
def test_a_wrong_reconciliation_is_status_1(cli: Cli, arguments: list[str], words: str) -> None:
    """Nothing on stdout."""
    result = cli.on_kafka("reconcile", *arguments)

    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout == ""


def test_a_topic_that_is_not_there_is_told(cli: Cli) -> None:
    """By every command, within its time."""
    for command, words in (
        (["publish", cli.events, "--timeout", "4s"], "there is no topic `pay-absent`"),
        (["consume", "--group", "g", "--until-end"], "Unknown topic or partition"),
        (["topics", "ensure"], "there is no topic `pay-absent`; make it first"),
        (["quarantine", "list"], "topic `pay-absent` has no parking topics"),
    ):
        result = cli(
            *command, "-b", cli.servers, "--topic", "pay-absent", "--policies", cli.policies
        )

        assert result.exit_code == 1, command
        assert words in result.stderr


def test_a_parking_topic_that_is_not_there_is_told(cli: Cli) -> None:
    """Every line is accounted for, and the command that makes the topic is named."""
    result = cli.on_kafka("publish", cli.events, "--json")

    account = json.loads(result.stdout)
    assert result.exit_code == 1
    assert account["read"] == account["allow"] + account["mask"] + account["failed"] == len(EVENTS)
    assert f"there is no topic `held.{cli.topic}`" in result.stderr.replace("quarantine.", "held.")
    assert "`streamwarden topics ensure` makes it" in result.stderr


def test_a_wrong_password_is_told_at_once(start_kafka: StartKafka, tmp_path: Path) -> None:
    """It does not become right by waiting; it is never shown."""
    cluster = start_kafka(users={"app": "secret"})
    cli = Cli(tmp_path, cluster.node.sasl_bootstrap, "pay")
    properties = tmp_path / "client.properties"
    properties.write_text(
        "security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username=app\n"
        "sasl.password=hunter2\n"
    )

    for command in (["publish", cli.events], ["consume", "--group", "g"]):
        started = time.monotonic()
        result = cli.on_kafka(*command, "-F", properties)

        assert result.exit_code == 1
        assert time.monotonic() - started < 15
        assert "hunter2" not in result.output
        assert "uthentication" in result.stderr
    SECRETS.forget()


def program(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    code = "from streamwarden.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen[bytes](command, stdout=pipe, stderr=pipe, **options)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_publish_accounts_for_what_it_read(
    cli: Cli, sign: signal.Signals, consume_all: ConsumeAll
) -> None:
    """What was read is sent; the summary is complete; the status says that not all was done."""
    cli.json("topics", "ensure")
    process = program(
        *("publish", "-b", cli.servers, "-t", cli.topic, "--policies", cli.policies, "--json", "-"),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"id":"1","amount":1,"country":"DE"}\n' * 50)
    process.stdin.flush()
    while len(consume_all(cli.topic)) < 50:
        time.sleep(0.1)

    process.send_signal(sign)
    out, err = process.communicate(timeout=30)

    said = json.loads(out)
    assert process.returncode == 1
    assert (said["read"], said["allow"]) == (50, 50)
    assert err.decode().strip().endswith("interrupted")


def test_an_interrupted_consume_ends_cleanly(cli: Cli) -> None:
    """What was shown is committed: the next run shows the rest."""
    cli.json("topics", "ensure")
    cli.on_kafka("publish", cli.events)
    common = (
        "-b",
        cli.servers,
        "-t",
        cli.topic,
        "--policies",
        cli.policies,
        "--json",
        "--group",
        "g",
    )
    process = program("consume", *common)
    assert process.stdout is not None
    first = [json.loads(process.stdout.readline()) for _ in range(3)]

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    again = cli("consume", *common, "--until-end")

    assert len(first) == 3
    assert (process.returncode, out) == (0, b"")
    assert b"3 events let through, 0 held or rejected" in err
    assert (again.exit_code, again.stdout) == (0, "")


def test_events_are_published_while_standard_input_stays_open(
    cli: Cli, consume_all: ConsumeAll
) -> None:
    """As behind `tail -f`: nothing waits for the end."""
    cli.json("topics", "ensure")
    process = program(
        *("publish", "-b", cli.servers, "-t", cli.topic, "--policies", cli.policies, "-"),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"amount":1,"country":"DE"}\n{"amount":1,"country":"KP"}\n')
    process.stdin.flush()
    deadline = time.monotonic() + 20
    while not (consume_all(cli.topic) and read_topic(cli.servers, f"quarantine.{cli.topic}")):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    out, _ = process.communicate(timeout=30)

    assert process.returncode == 2
    assert out.startswith(b"2 events in ")
