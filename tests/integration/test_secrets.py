"""Planted secrets: nothing that is written about an event holds what is sensitive in it."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest
from prometheus_client.core import CollectorRegistry

from streamwarden.cli import main
from streamwarden.cli.output import SECRETS
from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.metrics import register
from streamwarden.policy.guard import Guard
from streamwarden.producers.producer import GuardedProducer
from streamwarden.producers.topics import ensure_topics
from tests.servers.topics import ConsumeAll, Kafka, MakeTopic, unique_name

WAIT_S = 60.0
CARD, PIN, KEY = "4929777733331111", "pin-zebra-7731", "key-walrus-5512"
PASSWORD = "pass-ocelot-9914"
STAMP_KEY, MASK_KEY = b"stamp-lemur-key!", b"mask-badger-key!"

POLICY = """
policy: secrets
owner: risk
topics: [{topic}]
sensitive: [value.pin, key]
rules:
  - {{id: pin-known, when: value.pin.endsWith("31"), effect: warn, reason: "pin {{value.pin}} of {{key}}"}}
  - id: pin-in-two
    when: value.pin + "-" + key == value.other || value.pin.startsWith("pin-") && value.n == {held}
    effect: hold
    reason: "pin {{value.pin}}, key {{key}}"
  - {{id: pin-a-number, when: int(value.pin) > 5, effect: warn}}
  - {{id: pin-apart, when: "value.pin.split('-')[9] == ''", effect: warn, on_error: skip}}
  - {{id: n, when: value.n == 3, effect: reject, reason: "card {{value.card}}"}}
  - {{id: card, when: has(value.card), effect: mask, mask: [{{field: value.card, with: hash}}]}}
"""


class Output:
    """Everything that was written, by where; `leaks` says which secret is where."""

    def __init__(self) -> None:
        self.written: dict[str, str] = {}

    def add(self, where: str, text: str | bytes | None) -> None:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        self.written[where] = self.written.get(where, "") + "\n" + (text or "")

    def leaks(self) -> list[str]:
        secrets = [CARD, PIN, KEY, PASSWORD, STAMP_KEY.decode(), MASK_KEY.decode()]
        encoded = [base64.b64encode(secret.encode()).decode() for secret in secrets]
        return [
            f"{secret} in {where}: …{text[max(0, text.find(secret) - 200) :][:300]}"
            for where, text in self.written.items()
            for secret in (*secrets, *encoded, CARD[:12])
            if secret in text
        ]


@pytest.fixture
def output() -> Iterator[Output]:
    yield Output()
    SECRETS.forget()


def value(n: int) -> bytes:
    return json.dumps({"n": n, "pin": PIN, "card": CARD, "other": "x"}).encode()


def test_nothing_sensitive_leaves_but_with_the_event_itself(
    kafka: Kafka,
    make_topic: MakeTopic,
    consume_all: ConsumeAll,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    output: Output,
) -> None:
    """Headers, logs, callbacks, the decision log, metrics, reports, and what the commands print."""
    caplog.set_level(logging.DEBUG)
    topic = make_topic("pay")
    policies = _policies(tmp_path / "policies", topic, held=4)
    log = tmp_path / "decisions.jsonl"
    client: dict[str, Any] = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}

    _write_and_read(policies, topic, client, log, output)

    names = {kind: topic if kind == "delivered" else f"{kind}.{topic}" for kind in _KINDS}
    counts = {kind: len(consume_all(name)) for kind, name in names.items()}
    assert counts == {"delivered": 3, "quarantine": 4, "held": 1}
    for name in names.values():
        for record in consume_all(name):
            for header, content in record.headers:
                output.add(f"header {header} in {name}", content)
    for record in consume_all(topic):
        assert CARD.encode() not in (record.value or b"")
    _run_commands(tmp_path, topic, kafka.bootstrap, policies, output)
    output.add("log", caplog.text)
    output.add("decision log", log.read_bytes())
    registry = CollectorRegistry()
    register(registry)
    output.add("metrics", generate_latest(registry))

    assert all(text.strip() for text in output.written.values())
    assert "pin-known" in output.written["decision log"]
    assert "***" in output.written["decision log"]
    leaks = output.leaks()
    assert not leaks, "\n".join(leaks)


_KINDS = ("delivered", "quarantine", "held")


def _policies(folder: Path, topic: str, *, held: int) -> Path:
    folder.mkdir()
    (folder / "secrets.yaml").write_text(POLICY.format(topic=topic, held=held))
    (folder / "bundle.yaml").write_text("bundle: secrets\n")
    return folder


def _write_and_read(
    policies: Path, topic: str, client: dict[str, Any], log: Path, output: Output
) -> None:
    """Every kind of decision at both ends, and a handler whose error quotes the event."""
    with Guard.from_directory(
        policies,
        stamp_keys={"s": STAMP_KEY},
        mask_keys={"m": MASK_KEY},
        decision_log=f"file:{log}",
    ) as guard:
        ensure_topics(client, guard, [topic])
        output.add("guard", f"{guard!r} {guard.stamp_keys!r} {guard.failing!r}")

        def told(error: object, _message: object) -> None:
            output.add("callbacks", f"told {error} {error!r}")

        with GuardedProducer(client, guard=guard) as producer:
            for n in range(5):
                producer.produce(topic, value(n), KEY, on_delivery=told)
                decision = producer.produce(topic, value(3), KEY) if n == 0 else None
                if decision is not None:
                    output.add(
                        "decision", f"{decision!r} {decision.to_dict()} {decision.reasons()}"
                    )
            producer.produce(topic, b'{"pin": "' + PIN.encode() + b'", ', KEY, on_delivery=told)
            assert producer.flush(WAIT_S) == 0

        def handle(message: GuardedMessage) -> None:
            if b'"n": 1' in (message.value() or b""):
                raise ValueError(f"cannot handle {message.value()!r} of {message.key()!r}")

        with GuardedConsumer(
            {**client, "group.id": unique_name("g"), "auto.offset.reset": "earliest"},
            guard=guard,
            on_handler_error="quarantine",
            handler_retries=0,
        ) as consumer:
            consumer.subscribe([topic])
            consumer.run(handle, until_end=True)
        assert guard.flush_log(WAIT_S)


def _run_commands(folder: Path, topic: str, servers: str, policies: Path, output: Output) -> None:
    """What commands print, and the files they write, also where they fail."""
    keys = folder / "stamp.yaml", folder / "mask.yaml"
    for path, kid, key in ((keys[0], "s", STAMP_KEY), (keys[1], "m", MASK_KEY)):
        path.write_text(f"{kid}: {base64.b64encode(key).decode()}\n")
    events = folder / "events.jsonl"
    events.write_bytes(b"\n".join([*map(value, range(5)), b'{"pin": "' + PIN.encode()]))
    stricter = folder / "stricter"
    _policies(stricter, topic, held=0)
    given = ("--policies", policies, "--stamp-keys", keys[0], "--mask-keys", keys[1])
    now = ("--policies", stricter, "--stamp-keys", keys[0], "--mask-keys", keys[1])
    on_kafka = ("-b", servers, "--topic", topic)
    report, findings = folder / "report.html", folder / "findings.jsonl"
    secured = ("-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanisms=PLAIN")
    login = (*secured, "-X", "sasl.username=u", "-X", f"sasl.password={PASSWORD}")
    closed = f"u:{PASSWORD}@127.0.0.1:1"
    commands: list[tuple[Any, ...]] = [
        ("decide", "--topic", topic, *given, events),
        ("quarantine", "list", *on_kafka, *given),
        ("quarantine", "list", *on_kafka, *given, "--json"),
        ("quarantine", "show", *on_kafka, *given),
        ("quarantine", "show", *on_kafka, *given, "--json"),
        ("reconcile", *on_kafka, *now, "--findings", findings, "--report", report),
        ("reconcile", *on_kafka, *now, "--json"),
        ("publish", *on_kafka, *given, events),
        ("reconcile", "-b", "127.0.0.1:1", "--topic", topic, *now, *login, "--timeout", "1s"),
        ("decide", "--topic", topic, "--store", f"redis://{closed}/0?bundle=b", events),
        ("decide", "--topic", topic, *given, "--schemas", f"http://{closed}", events),
        ("doctor", *on_kafka, *given, "--schemas", f"http://{closed}", "--timeout", "2s"),
    ]
    for arguments in commands:
        result = CliRunner().invoke(main, [str(each) for each in arguments])
        name = " ".join(str(each) for each in arguments[:2])
        assert result.exit_code in (0, 1, 2), result.output
        output.add(f"{name} ({commands.index(arguments)})", result.output)
        output.add("tracebacks", repr(result.exception) if result.exception else "")
    output.add("report", report.read_bytes())
    output.add("findings", findings.read_bytes())
