"""`policy explain --plan`: what rules wait behind, topic by topic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run

POLICY = """
policy: orders
owner: o
topics: [orders, "eu-*"]
rules:
  - {id: kind, when: 'value.kind == "card" && value.amount > 5', effect: reject}
  - {id: other, when: 'value.kind == "cash"', effect: warn}
  - {id: paid, when: value.paid < value.amount, effect: warn}
  - {id: share, when: value.paid / value.amount < 0.5 && value.limit > 3, effect: warn}
"""
KEYS = """
policy: keys
owner: o
topics: [orders]
stages: [consume]
rules: [{id: keyed, when: key == null, effect: reject}]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A policy of two stages, and one of a single stage that reads no value."""
    (tmp_path / "orders.yaml").write_text(POLICY)
    (tmp_path / "keys.yaml").write_text(KEYS)
    return tmp_path


def test_each_rule_says_what_it_waits_for(run: Run, directory: Path) -> None:
    """By topic and stage, with what is tried then, and why a rule is tried on every event."""
    result = run("policy", "explain", directory, "--plan")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line for line in lines if line.startswith("orders at ")] == [
        "orders at stage produce: 4 rules, 3 indexed, 1 on every event, 1 with the exact evaluator",
        "orders at stage consume: 5 rules, 4 indexed, 1 on every event, 1 with the exact evaluator",
    ]
    assert "reads value.amount, value.kind, value.limit, value.paid" in lines
    assert _words(lines, "orders/kind") == (
        'orders/kind indexed value.kind == "card" value.amount > 5 value.kind: constants of 2 rules'
    )
    assert _words(lines, "orders/paid") == (
        "orders/paid on every event value.paid < value.amount "
        "`value.paid < value.amount` compares two values of the event"
    )
    assert _words(lines, "orders/share").endswith(
        "value.limit: limits of one rule; exactly: value.paid / value.amount"
    )
    assert _words(lines, "keys/keyed").startswith("keys/keyed indexed key == null key: constants")


def _words(lines: list[str], start: str) -> str:
    """The first line of that rule, with single blanks."""
    return " ".join(next(line for line in lines if line.startswith(start)).split())


def test_a_plan_as_json(run: Run, directory: Path) -> None:
    """Of one topic and stage, with all its parts."""
    result = run(
        "policy", "explain", directory, "--plan", "-t", "eu-1", "--stage", "consume", "--json"
    )

    said = json.loads(result.stdout)
    (plan,) = said["plans"]
    assert (plan["topic"], plan["stage"]) == ("eu-1", "consume")
    assert plan["reads"] == ["value.amount", "value.kind", "value.limit", "value.paid"]
    assert plan["rules"][0] == {
        "policy": "orders",
        "rule": "kind",
        "how": "indexed",
        "access": ['value.kind == "card"'],
        "lookups": ["value.kind: constants of 2 rules"],
        "rest": ["value.amount > 5"],
        "exact": [],
        "why": None,
    }
    assert plan["rules"][2]["how"] == "inline"


def test_a_value_that_is_not_decoded(run: Run, directory: Path) -> None:
    """Where no rule reads it, the plan says so."""
    (directory / "orders.yaml").unlink()

    result = run("policy", "explain", directory, "--plan")

    assert "orders at stage consume: 1 rule, 1 indexed" in result.stdout
    assert "reads key; the value is not decoded" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--value", "{}"], "a plan is about no event; leave out --plan, or the event"),
        (["-t", "nothing"], "no policy of `nothing` applies now; see `topics:`"),
        (["--stage", "reconcile"], "no policy applies at stage reconcile now"),
    ],
)
def test_plans_that_there_are_not(
    run: Run, directory: Path, arguments: list[str], expected: str
) -> None:
    """An error says what to change."""
    result = run("policy", "explain", directory, "--plan", *arguments)

    assert result.exit_code == 1
    assert expected in result.stderr


def test_topics_by_glob_have_to_be_named(run: Run, tmp_path: Path) -> None:
    """A glob stands for no topic in particular."""
    (tmp_path / "p.yaml").write_text(POLICY.replace("orders, ", ""))

    result = run("policy", "explain", tmp_path, "--plan")

    assert result.exit_code == 1
    assert "the policies name topics only by glob; say --topic TOPIC" in result.stderr
