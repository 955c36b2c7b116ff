"""Decisions without Kafka: one line of JSON for each event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import Result

from .conftest import Run


def decisions(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_line_is_decided(run: Run, policies: Path, tmp_path: Path) -> None:
    """In order, with the why-trail; one refused event is status 2."""
    (tmp_path / "e").write_bytes(b'{"amount":1}\n{"amount":99999,"country":"DE"}\nx\n')

    result = run("decide", "-t", "payments", "--policies", policies, tmp_path / "e")

    said = decisions(result)
    assert result.exit_code == 2
    assert [each["effect"] for each in said] == ["allow", "hold", "reject"]
    assert said[1]["matches"][0]["rule"] == "over-limit"
    assert said[1]["matches"][0]["why"]["result"] is True
    assert said[1]["stage"] == "produce"


def test_nothing_refused_is_status_0(run: Run, policies: Path) -> None:
    """Standard input is read as files are."""
    result = run("decide", "-t", "payments", "--policies", policies, "-", stdin=b'{"amount":1}')

    assert result.exit_code == 0
    assert len(decisions(result)) == 1


def test_a_topic_without_policies_is_none(run: Run, policies: Path) -> None:
    """It passes."""
    result = run("decide", "-t", "other", "--policies", policies, "-", stdin=b"{}")

    assert result.exit_code == 0
    assert [each["effect"] for each in decisions(result)] == ["none"]


def test_records_bring_everything_with_them(run: Run, tmp_path: Path) -> None:
    """Key, headers, facts, timestamp and topic; the clock and the stage are arguments."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nstages: [consume]\nrules:\n  - id: r\n    effect: warn\n"
        '    when: key == "k" && headers["h"] == "1" && facts.score > 1 && stage == "consume"\n'
        "      && now == timestamp('2026-01-01T00:00:00Z') && timestamp < now\n"
    )
    record = {
        "topic": "t",
        "key": "k",
        "value": "{}",
        "headers": [["h", "1"]],
        "facts": {"score": 2},
        "timestamp": 1,
    }

    result = run(
        *("decide", "--policies", tmp_path, "--format", "record", "--stage", "consume"),
        *("--now", "2026-01-01", "-"),
        stdin=json.dumps(record).encode(),
    )

    (said,) = decisions(result)
    assert (said["effect"], said["at"], said["event"]["timestamp"]) == (
        "warn",
        1_767_225_600_000,
        1,
    )


def test_lines_that_are_no_events_are_told_and_skipped(run: Run, policies: Path) -> None:
    """Status 1, whatever else was decided."""
    lines = b'oops\n{"value":"{}"}\n{"value":1}\n'

    result = run(
        *("decide", "-t", "payments", "--policies", policies, "--format", "record", "-"),
        stdin=lines,
    )

    assert result.exit_code == 1
    assert len(decisions(result)) == 1
    assert "standard input:1: the line is no JSON" in result.stderr
    assert "standard input:3: `value` is a string" in result.stderr
    assert "2 lines are no events" in result.stderr


def test_a_store_decides_by_its_active_bundle(run: Run, policies: Path, tmp_path: Path) -> None:
    """And by none before there is one."""
    store = f"dir:{tmp_path}/store"
    arguments = ("decide", "-t", "payments", "--store", store, "-")
    nowhere = run(*arguments, stdin=b"{}")
    (tmp_path / "store").mkdir()
    before = run(*arguments, stdin=b"{}")
    run("bundle", "publish", "--policies", policies, "--store", store, "--yes")

    result = run(*arguments, stdin=b'{"amount":1}')

    assert (nowhere.exit_code, before.exit_code) == (1, 1)
    assert f"there is no store at `{tmp_path}/store`" in nowhere.stderr
    assert "publish and activate a bundle" in before.stderr
    assert [each["bundle"] for each in decisions(result)] == ["payments@1"]


def test_hash_masks_need_keys(run: Run, tmp_path: Path) -> None:
    """Which --mask-keys gives."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n  - id: r\n    effect: mask\n"
        "    mask: [{field: value.a, with: hash}]\n"
    )
    (tmp_path / "keys").write_text("k1: MDEyMzQ1Njc4OWFiY2RlZg==\n")
    arguments = ("decide", "-t", "t", "--policies", tmp_path / "policies")

    without = run(*arguments, "-", stdin=b'{"a":"x"}')
    given = run(*arguments, "--mask-keys", tmp_path / "keys", "-", stdin=b'{"a":"x"}')

    assert without.exit_code == 1
    assert "--mask-keys FILE" in without.stderr
    assert [each["effect"] for each in decisions(given)] == ["mask"]


def test_a_rule_that_failed_is_told_once_in_a_tree(run: Run, tmp_path: Path) -> None:
    """That it failed and why, and not its reason, which nobody knows to be true."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n"
        "  - {id: over, when: value.mg > 10, effect: reject, reason: a dose beyond the formulary}\n"
    )

    result = run("policy", "explain", tmp_path, "-t", "t", "-", stdin=b'{"n":1}')

    assert result.stdout.count("could not be evaluated: no such key: `mg`") == 1
    assert "the rule could not be evaluated" in result.stdout
    assert "beyond the formulary" not in result.stdout
