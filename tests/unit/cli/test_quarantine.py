"""`quarantine` asked for what is not there: reports on other topics, and rules that nobody has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streamwarden.embedded import EmbeddedBroker

from .conftest import Run


def test_a_report_on_other_topics_is_said(
    run: Run, policies: Path, embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Nothing is done, and nobody takes that for the end of it."""
    for topic in ("payments", "quarantine.payments", "held.payments"):
        embedded_broker.create_topic(topic, 1)
    findings = tmp_path / "found.jsonl"

    def release(topic: str) -> tuple[int, str]:
        found = [
            {"kind": "now-allowed", "topic": topic, "partition": 0, "offset": offset}
            for offset in (1, 2)
        ]
        lines = [json.dumps({**each, "versions": {"current": "b@1"}}) + "\n" for each in found]
        findings.write_text("".join(lines))
        result = run(
            *("quarantine", "release", "-b", embedded_broker.bootstrap, "-t", "payments"),
            *("--policies", policies, "--from-report", findings, "--dry-run"),
        )
        return result.exit_code, result.stderr

    status, others = release("quarantine.orders")
    same, own = release("quarantine.payments")

    assert (status, same) == (0, 0)
    assert "warning: the report has 2 candidates, none of topic `payments`" in others
    assert "all are in `quarantine.orders`" in others
    assert "none of topic" not in own
    assert "2 gone" in own


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [("list",), ("show",), ("release",), ("discard", "--by", "Ann", "--reason", "gone")]
)
def test_a_rule_that_nobody_has_is_told(
    run: Run, policies: Path, embedded_broker: EmbeddedBroker, command: tuple[str, ...]
) -> None:
    """With what was probably meant and the rules that there are; one that a policy has is fine."""
    for topic in ("payments", "quarantine.payments", "held.payments"):
        embedded_broker.create_topic(topic, 1)
    where = ("-b", embedded_broker.bootstrap, "-t", "payments", "--policies", policies)
    run("publish", *where, "-", stdin=b'{"amount":60000,"country":"DE"}\n' * 2)
    dry = ("--dry-run",) if command[0] in ("release", "discard") else ()

    def said(rule: str) -> str:
        result = run("quarantine", *command, *where, "--rule", rule, *dry)
        assert result.exit_code == 0
        return result.stderr

    wrong, unused = said("over-limt"), said("sanctioned")

    assert "warning: no parked event names the rule `over-limt`, and no policy here has it" in wrong
    assert "; parked events name `limits/over-limit` (2), " in wrong
    assert "; did you mean `over-limit`?" in wrong
    assert "warning" not in unused


@pytest.mark.slow
def test_who_may_agree_to_a_release_is_shown(
    run: Run, policies: Path, embedded_broker: EmbeddedBroker
) -> None:
    """How many names and from whom, before and after; with the release, all who agreed."""
    limits = policies / "limits.yaml"
    asked = "effect: hold\n    approvals: {need: 2, from: [senior-adjuster]}"
    limits.write_text(limits.read_text().replace("effect: hold", asked))
    for topic in ("payments", "quarantine.payments", "held.payments"):
        embedded_broker.create_topic(topic, 1)
    where = ("-b", embedded_broker.bootstrap, "-t", "payments", "--policies", policies)
    run("publish", *where, "-", stdin=b'{"amount":60000,"country":"DE"}\n')

    shown = run("quarantine", "show", *where, "--kind", "held")
    said = json.loads(run("quarantine", "show", *where, "--kind", "held", "--json").stdout)
    tried = ("quarantine", "release", *where, "--kind", "held", "--dry-run")
    nobody, one, two = (
        run(*tried, *names)
        for names in ((), ("--by=Ann", "--reason=ok"), ("--by=Ann", "--by=Bob", "--reason=ok"))
    )

    assert "needs 2 names (from senior-adjuster)" in shown.stdout
    assert said["approvals"] == {"need": 2, "from": ["senior-adjuster"], "given": []}
    assert "0 of 2 names (from senior-adjuster); give a name" in nobody.stdout
    assert "1 of 2 names (from senior-adjuster), by Ann" in one.stdout
    assert "would be released  held.payments 0:0 to payments, by Ann, Bob" in two.stdout
    assert "1 would be released by " in two.stderr


@pytest.mark.slow
def test_who_agreed_so_far_is_listed(
    run: Run, policies: Path, embedded_broker: EmbeddedBroker
) -> None:
    """With when, where one is shown; the states of all stand in a column."""
    limits = policies / "limits.yaml"
    asked = "effect: hold\n    approvals: {need: 2}"
    limits.write_text(limits.read_text().replace("effect: hold", asked))
    for topic in ("payments", "quarantine.payments", "held.payments"):
        embedded_broker.create_topic(topic, 1)
    where = ("-b", embedded_broker.bootstrap, "-t", "payments", "--policies", policies)
    run("publish", *where, "-", stdin=b'{"amount":60000,"country":"DE"}\n' * 2)
    run("quarantine", "release", *where, "--at", "0:0", "--by=Ann", "--reason=ok")
    held = ("--kind", "held")

    listed = run("quarantine", "list", *where, *held).stdout.splitlines()
    written = json.loads(run("quarantine", "list", *where, *held, "--json").stdout)
    shown = run("quarantine", "show", *where, *held, "--at", "0:0").stdout
    run("quarantine", "discard", *where, *held, "--at", "0:0", "--by=Ann", "--reason=no")
    both = run("quarantine", "list", *where, *held, "--all").stdout.splitlines()

    assert [line[-18:] for line in listed] == ["(1 of 2 approvals)", "(0 of 2 approvals)"]
    given = [event["approvals"] for event in written["events"]]
    assert [each["given"] for each in given] == [["Ann"], []]
    assert re.search(r"approved by Ann \(ok\) at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\n", shown)
    assert [line.find(" limits/over-limit") for line in both] == [52, 52]
    assert [line[43:52].rstrip() for line in both] == ["discarded", "waiting"]


def test_a_device_is_no_report(run: Run, policies: Path) -> None:
    """It is refused before anything of it is read."""
    result = run(
        *("quarantine", "release", "-b", "localhost:1", "-t", "payments"),
        *("--policies", policies, "--from-report", "/dev/urandom"),
    )

    assert result.exit_code == 1
    assert "`/dev/urandom` is no report: it is no regular file" in result.stderr
