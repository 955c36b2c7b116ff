"""`policy test`: coverage, and running again when something changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamwarden.cli.output import Output
from streamwarden.cli.watching import fingerprint, run_on_change
from streamwarden.errors import ConfigurationError

from .conftest import Run

CASES = """
tests: limits
cases:
  - note: a large payment waits
    topic: payments
    value: {amount: 60000, country: DE}
    expect: {effect: hold, rules: [over-limit, large]}
"""


def test_coverage_names_what_no_case_exercises(run: Run, policies: Path) -> None:
    """With file and line, and a sum."""
    (policies / "cases.yaml").write_text(CASES)

    result = run("policy", "test", policies, "--coverage")

    assert result.exit_code == 0
    unwrapped = " ".join(result.stdout.split())
    assert "when `value.country in lists.sanctioned` is never true" in unwrapped
    assert "% covered: 8 of 16 branches, 3 of 5 rules fired" in unwrapped


def test_coverage_as_json_has_every_place(run: Run, policies: Path) -> None:
    """Beside the outcome of the cases."""
    (policies / "cases.yaml").write_text(CASES)

    result = run("policy", "test", policies, "--coverage", "--json")

    coverage = json.loads(result.stdout)["coverage"]
    assert coverage["percent"] == 50.0
    assert coverage["missing"][0] == {
        "policy": "limits",
        "rule": "over-limit",
        "part": "when",
        "what": "false",
        "text": "value.amount > 50000",
        "file": str(policies / "limits.yaml"),
        "line": 7,
        "column": 11,
    }


FAILING = """
tests: doses
cases:
  - note: a dose without its amount
    topic: doses
    value: {drug: morphine}
    expect: {effect: reject, rules: [over]}
"""


def test_a_case_that_passes_by_an_error_is_told(run: Run, tmp_path: Path) -> None:
    """In lines, JSON, JUnit and coverage; it passes all the same, and quietly once it expects it."""
    (tmp_path / "p.yaml").write_text(
        "policy: doses\nowner: pharmacy\ntopics: [doses]\n"
        "rules: [{id: over, when: value.mg > 10, effect: reject, reason: x, severity: low}]\n"
    )
    (tmp_path / "cases.yaml").write_text(FAILING)
    junit = tmp_path / "junit.xml"
    said = "rule `doses/over` could not be evaluated: no such key: `mg`"

    result = run("policy", "test", tmp_path, "--coverage", "--junit", junit)
    as_json = json.loads(run("policy", "test", tmp_path, "--coverage", "--json").stdout)

    assert result.exit_code == 0
    unwrapped = " ".join(result.stdout.split())
    assert f"passed, but {said}" in unwrapped
    assert "is never true: it could not be evaluated in a case" in unwrapped
    assert "never fires" not in unwrapped
    assert "0 of 1 rule fired, 1 could not be evaluated in some case" in unwrapped
    assert "1 case passed by rules that could not be evaluated" in result.stderr
    assert as_json["results"][0]["doubts"] == [said]
    assert as_json["coverage"]["rules_errored"] == 1
    assert f"<system-out>passed, but {said}</system-out>" in junit.read_text()

    (tmp_path / "cases.yaml").write_text(FAILING.replace("[over]}", "[over], errors: [over]}"))
    expected = run("policy", "test", tmp_path)
    assert (expected.exit_code, expected.stderr) == (0, "")
    assert "could not be evaluated" not in expected.stdout


def test_too_little_coverage_is_status_2(run: Run, policies: Path) -> None:
    """With what there is, and what was asked."""
    (policies / "cases.yaml").write_text(CASES)

    low = run("policy", "test", policies, "--fail-under", "50.5")
    enough = run("policy", "test", policies, "--fail-under", "50")

    assert low.exit_code == 2
    assert "50.0 % covered, and at least 50.5 % were asked" in low.stderr
    assert enough.exit_code == 0


def test_a_change_runs_it_again(tmp_path: Path) -> None:
    """Also after a run that failed; Ctrl-C ends with the last status."""
    file = tmp_path / "a.yaml"
    file.write_text("1")
    ran: list[int] = []
    slept = 0

    def once() -> int:
        ran.append(len(ran))
        if len(ran) == 2:
            raise ConfigurationError("this run fails")
        return 10 + len(ran)

    def sleep(_seconds: float) -> None:
        nonlocal slept
        slept += 1
        if slept in (2, 3):
            file.write_text("1" * (slept + 1))
        if slept > 3:
            raise KeyboardInterrupt

    status = run_on_change([tmp_path], once, Output(quiet=True), sleep=sleep)

    assert ran == [0, 1, 2]
    assert status == 13


def test_what_is_watched_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden files do not count."""
    for name in ("a", "b", ".c"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr("streamwarden.cli.watching.FILES_MAX", 2)

    assert len(fingerprint([tmp_path])) == 2

    (tmp_path / "d").write_text("")
    with pytest.raises(ConfigurationError, match="too many to watch"):
        fingerprint([tmp_path])


@pytest.mark.slow
def test_watching_ends_cleanly_on_interrupt(policies: Path) -> None:
    """The whole command: it runs, sees a change, runs again, and leaves without a traceback."""
    (policies / "cases.yaml").write_text(CASES)
    process = subprocess.Popen(
        [sys.executable, "-m", "streamwarden", "policy", "test", policies, "--watch"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # A run in the background of a shell ignores the signal, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no locks
    )
    limit = threading.Timer(60, process.kill)
    limit.start()
    try:
        assert process.stderr is not None
        said = [process.stderr.readline()]
        (policies / "cases.yaml").write_text(CASES.replace("hold,", "reject,"))
        said += [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        status = process.wait()
    finally:
        limit.cancel()
        process.kill()
        process.communicate()

    assert said == [
        "watching 4 files; Ctrl-C ends\n",
        "changed; running again\n",
        "watching 4 files; Ctrl-C ends\n",
    ]
    assert rest == ""
    assert status == 2
