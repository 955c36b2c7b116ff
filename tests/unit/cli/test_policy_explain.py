"""Why an event is decided as it is: what the rules that mask do to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run

POLICY = """
policy: privacy
owner: o
topics: [people]
rules:
  - id: card
    effect: mask
    mask: [{field: value.card, with: last4}, {field: "value.people[].iban", with: redact}]
  - id: cards
    when: has(value.card)
    effect: mask
    mask: [{field: value.card, with: drop}]
  - id: large
    when: value.amount > 10
    effect: hold
"""
EVENT = {"card": "4111111111111111", "people": [{"iban": "DE02120300000000202051"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "privacy.yaml").write_text(POLICY)
    return tmp_path


def test_the_fields_of_a_mask_are_told(run: Run, folder: Path) -> None:
    """Of each rule with how, and of the whole what was applied; no value is shown."""
    arguments = ("policy", "explain", folder, "-t", "people", "--value")
    value = json.dumps({**EVENT, "amount": 1})

    shown = run(*arguments, value).stdout
    text = run(*arguments, value, "--json").stdout

    assert "masks value.card: last4, value.people[].iban: redact" in shown
    assert "not masked" not in shown
    said = json.loads(text)
    iban = {"field": "value.people[].iban", "how": "redact"}
    assert [match["masks"] for match in said["matches"]] == [
        [{"field": "value.card", "how": "last4"}, iban],
        [{"field": "value.card", "how": "drop"}],
    ]
    assert said["masks"] == [{"field": "value.card", "how": "drop"}, iban]
    for hidden in ("41111111", "DE02"):
        assert hidden not in shown + text


def test_masks_that_are_not_applied_are_told_apart(run: Run, folder: Path) -> None:
    """An event that is held is not masked, and a rule that does not fire masks nothing."""
    arguments = ("policy", "explain", folder, "-t", "people", "--all", "--value")
    value = json.dumps({"people": [], "amount": 11})

    shown = run(*arguments, value).stdout
    said = json.loads(run(*arguments, value, "--json").stdout)

    assert (
        "masks value.card: last4, value.people[].iban: redact (the event is held, and not" in shown
    )
    assert "masks value.card: drop\n" in shown
    assert said["masks"] == []
    assert said["unfired"][0]["masks"] == [{"field": "value.card", "how": "drop"}]
    assert all("masks" not in match for match in said["matches"] if match["rule"] == "large")
