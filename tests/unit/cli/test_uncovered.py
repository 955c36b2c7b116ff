"""Topics that no policy covers: that nothing refuses their events is said, and never reassures."""

from __future__ import annotations

import json
from pathlib import Path

from streamwarden.embedded import EmbeddedBroker

from .conftest import Run

UNCOVERED = "warning: no policy covers topic `paymets`: nothing judges its events"
MEANT = "did you mean `payments`?"


def test_a_decision_on_an_uncovered_topic_says_so(run: Run, policies: Path) -> None:
    """The decision is `none` and the status 0; the warning names what was probably meant."""
    lines = b'{"amount": 60000}\n{"amount": 1}\n'

    many = run("decide", "-t", "paymets", "--policies", policies, "-", stdin=lines)
    one = run("policy", "explain", policies, "-t", "paymets", "--value", '{"amount": 60000}')
    covered = run("decide", "-t", "payments", "--policies", policies, "-", stdin=lines)

    assert (many.exit_code, one.exit_code) == (0, 0)
    assert many.stderr == f"{UNCOVERED}; {MEANT}\n"  # before the first line: there may be no last
    assert f"{UNCOVERED}; {MEANT} (1 event decided `none`)" in one.stderr
    assert [json.loads(line)["effect"] for line in many.stdout.splitlines()] == ["none", "none"]
    assert "warning" not in covered.stderr


def test_topics_that_there_are_stand_in_for_a_guess(run: Run, policies: Path) -> None:
    """Where none is near, those that policies cover are named."""
    result = run("decide", "-t", "zebra", "--policies", policies, "-", stdin=b"{}\n")

    assert "nothing judges its events; policies cover `payments`" in result.stderr


def test_a_stage_at_which_no_policy_applies_is_told_apart(run: Run, policies: Path) -> None:
    """The topic is right then, and no other is suggested."""
    limits = policies / "limits.yaml"
    limits.write_text(limits.read_text().replace("owner: risk", "owner: risk\nstages: [consume]"))

    result = run("decide", "-t", "payments", "--policies", policies, "-", stdin=b"{}\n")

    assert "the policies that cover topic `payments` do not apply at stage produce" in result.stderr
    assert "did you mean" not in result.stderr


def test_a_diff_of_events_that_nothing_judges_is_no_reassurance(
    run: Run, policies: Path, tmp_path: Path
) -> None:
    """It is in the output and its JSON, beside the warning."""
    events = tmp_path / "events.jsonl"
    events.write_text('{"amount": 60000}\n' * 3)
    common = ("policy", "diff", policies, policies, "--events", events)

    wrong = run(*common, "-t", "paymets")
    said = json.loads(run(*common, "-t", "paymets", "--json").stdout)
    right = run(*common, "-t", "payments")

    assert (wrong.exit_code, right.exit_code) == (0, 0)
    assert f"{UNCOVERED}; {MEANT} (3 events decided `none`)" in wrong.stderr
    assert "nothing judges the 3 events of topic paymets in A or B" in wrong.stdout
    assert said["events"]["unjudged"] == {"paymets": 3}
    assert "nothing judges" not in right.stdout + right.stderr


def test_publishing_without_any_policy_is_told_before_the_first_event(
    run: Run, policies: Path, embedded_broker: EmbeddedBroker
) -> None:
    """Once; topics that only records name are told at the end."""
    for topic in ("paymets", "orders"):
        embedded_broker.create_topic(topic, 1)
    record = json.dumps({"topic": "orders", "value": "{}"}).encode()
    common = ("publish", "-b", embedded_broker.bootstrap, "--policies", policies)

    named = run(*common, "-t", "paymets", "-", stdin=b"{}\n{}\n")
    records = run(*common, "--format", "record", "-", stdin=record + b"\n")

    assert (named.exit_code, records.exit_code) == (0, 0)
    assert "2 none" in named.stdout
    assert named.stderr.count("nothing judges its events") == 1
    assert f"{UNCOVERED}; {MEANT}" in named.stderr
    assert "no policy covers topic `orders`" in records.stderr


def test_a_case_on_an_uncovered_topic_says_what_was_meant(run: Run, policies: Path) -> None:
    """Where its expectation fails for that; one that expects `none` is content."""
    (policies / "cases.yaml").write_text(
        "tests: limits\ncases:\n"
        "  - {note: a, topic: paymets, value: {amount: 60000}, expect: {effect: hold}}\n"
        "  - {note: b, topic: paymets, value: {amount: 60000}, expect: {effect: none}}\n"
    )

    (wrong, right) = json.loads(run("policy", "test", policies, "--json").stdout)["results"]

    assert wrong["failures"] == [
        f"the effect is none, not hold: {UNCOVERED.removeprefix('warning: ')}; {MEANT}"
    ]
    assert right["passed"]
