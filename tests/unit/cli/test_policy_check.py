"""`policy check` tells advice and costs, and `bundle publish` the advice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run

POLICY = """
policy: limits
owner: risk
topics: [payments]
rules:
  - {id: wide, when: value.amount > 10, effect: reject, reason: x, severity: low}
  - {id: narrow, when: value.amount > 20, effect: hold, reason: x, severity: low}
  - {id: loop, when: 'value.items.exists(i, i.price > 10)', effect: warn, reason: x, severity: low}
"""
PAIRS = "value.a.exists(a, value.b.exists(b, a == b))"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A policy that gets one piece of advice, about its seventh line."""
    folder = tmp_path / "shadowed"
    folder.mkdir()
    (folder / "limits.yaml").write_text(POLICY)
    return folder


def test_advice_counts_when_it_is_asked_to(run: Run, directory: Path) -> None:
    """A warning is told, with `--strict` it is a problem, and it can be left out."""
    told, strict = run("policy", "check", directory), run("policy", "check", directory, "--strict")
    ignored = run("policy", "check", directory, "--strict", "--ignore", "sw180")

    assert (told.exit_code, strict.exit_code, ignored.exit_code) == (0, 2, 0)
    assert f"{directory}/limits.yaml:7:10: warning SW180: the rule never decides" in told.stdout
    assert "1 warning" in told.stdout
    assert "no problems" in ignored.stdout


def test_errors_are_never_left_out(run: Run, directory: Path) -> None:
    """Their codes may be given, and have no effect; codes that do not exist are refused."""
    text = POLICY.replace("value.amount > 20", "value.amount >")
    (directory / "limits.yaml").write_text(text)

    assert run("policy", "check", directory, "--ignore", "SW120").exit_code == 2
    refused = run("policy", "check", directory, "--ignore", "SW999")
    assert refused.exit_code == 1
    assert "no problem has the code `SW999`" in refused.stderr


def test_topics_that_should_be_covered(run: Run, directory: Path) -> None:
    """Named on the command line."""
    result = run("policy", "check", directory, "-t", "payments", "-t", "payment", "--json")

    (about_topic,) = [p for p in json.loads(result.stdout)["problems"] if p["code"] == "SW187"]
    assert about_topic["message"] == "no policy covers the topic `payment`"
    assert about_topic["remedy"] == "did you mean `payments`?"


def test_costs_as_a_table_and_as_json(run: Run, directory: Path) -> None:
    """The highest first, as a share of the limit; also of rules that are refused for it."""
    table = run("policy", "check", directory, "--cost").stdout.splitlines()
    said = json.loads(run("policy", "check", directory, "--cost", "--json").stdout)["cost"]
    (directory / "limits.yaml").write_text(POLICY.replace("value.amount > 20", f"'{PAIRS}'"))
    refused = run("policy", "check", directory, "--cost", "--json")

    assert table[0].split() == ["rule", "units", "of", "the", "limit", "loops"]
    assert table[1].startswith("limits/loop ")
    assert [(cost["rule"], cost["nesting"]) for cost in said] == [
        ("loop", 1), ("narrow", 0), ("wide", 0),
    ]  # fmt: skip
    assert 0.01 < said[0]["share"] < 1
    assert said[1]["units"] == 3
    assert refused.exit_code == 2
    first = json.loads(refused.stdout)
    assert first["cost"][0]["rule"] == "narrow"
    assert first["cost"][0]["share"] > 1
    assert [p["code"] for p in first["problems"] if p["severity"] == "error"] == ["SW130"]


@pytest.mark.parametrize(
    "condition",
    ["value.s.matches(value.p)", "value.s.matches('(a|b)*a(a|b){900}c')"],
)
def test_what_is_shown_over_the_limit_is_refused(run: Run, directory: Path, condition: str) -> None:
    """Also where a rule looks plain."""
    written = POLICY.replace("value.amount > 20", json.dumps(condition))
    (directory / "limits.yaml").write_text(written)

    result = run("policy", "check", directory, "--cost", "--json")

    said = json.loads(result.stdout)
    assert said["cost"][0]["share"] > 1
    assert "SW130" in [problem["code"] for problem in said["problems"]]
    assert result.exit_code == 2


def test_publishing_tells_advice_and_goes_on(run: Run, directory: Path, tmp_path: Path) -> None:
    """Warnings keep nothing from being published."""
    store = f"dir:{tmp_path / 'store'}"

    result = run("bundle", "publish", "--policies", directory, "--store", store, "--yes")

    assert result.exit_code == 0
    assert "limits.yaml:7:10: SW180: the rule never decides" in result.stderr


def test_publishing_tells_of_overdue_reviews(run: Run, directory: Path, tmp_path: Path) -> None:
    """As the check does; they keep nothing from being published either."""
    limits = directory / "limits.yaml"
    limits.write_text(POLICY.replace("owner: risk", "owner: risk\nreview: {by: 2020-01-01}"))
    store = f"dir:{tmp_path / 'store'}"

    result = run("bundle", "publish", "--policies", directory, "--store", store, "--yes")

    assert result.exit_code == 0
    assert "SW174: the review of policy `limits` was due by 2020-01-01" in result.stderr


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("0001-01-01", True),
        ("2020-01-01", True),
        ("2020-06-01T12:00:00Z", True),
        ("2999-01-01", False),
    ],
)
def test_policies_that_have_ended_are_told(
    run: Run, directory: Path, until: str, told: bool
) -> None:
    """With the place of their dates; they judge nothing, whatever their rules say."""
    limits = directory / "limits.yaml"
    dates = f"owner: risk\neffective: {{until: {until}}}"
    limits.write_text(POLICY.replace("owner: risk", dates))

    result = run("policy", "check", directory)
    shown = run("policy", "show", directory)

    assert result.exit_code == 0
    warning = "SW175: the policy `limits` has ended, and judges nothing any more"
    assert (warning in result.stdout) is told
    assert ("ENDED." in shown.stdout) is told


def test_advice_is_explained(run: Run) -> None:
    """By its code."""
    said = json.loads(run("policy", "explain-code", "sw180", "--json").stdout)

    assert said["title"] == "shadowed rule"
    assert "never decides" in said["explanation"]
