"""Which events two sets of policies decide differently, and how that is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .conftest import Run

POLICY = """
policy: privacy
owner: o
topics: [people]
sensitive: [value.iban]
rules:
  - id: phones
    effect: mask
    mask: [{field: value.phone, with: last4}]
    reason: personal data
  - id: note
    effect: warn
"""
CASES = """
tests: privacy
cases:
  - note: a phone is masked
    topic: people
    value: {phone: "+49 170 1234567", iban: DE02120300000000202051}
    expect: {effect: mask}
"""
READINGS = """
policy: readings
owner: o
topics: [readings]
rules:
  - {id: hot, when: value.celsius > 50.0, effect: hold}
"""
READ = """
tests: readings
cases:
  - {note: hot, topic: readings, value: {celsius: 60.0}, expect: {effect: hold}}
  - {note: cold, topic: readings, value: {celsius: 6.0}, expect: {effect: allow}}
"""
AVRO = {
    "type": "record",
    "name": "Reading",
    "fields": [{"name": "celsius", "type": "double"}],
}


@pytest.fixture
def before(tmp_path: Path) -> Path:
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / "bundle.yaml").write_text("bundle: b\ntopics: {readings: {value: avro}}\n")
    (folder / "privacy.yaml").write_text(POLICY)
    (folder / "cases.yaml").write_text(CASES)
    return folder


def changed(before: Path, *pairs: tuple[str, str]) -> Path:
    """A copy with other words in the policies."""
    after = before.parent / "after"
    shutil.copytree(before, after)
    for path in after.glob("*.yaml"):
        text = path.read_text()
        for old, new in pairs:
            text = text.replace(old, new)
        path.write_text(text)
    return after


def test_another_mask_is_told_by_its_fields(run: Run, before: Path) -> None:
    """Field and how, before and after; never a value, nor twice the same line."""
    after = changed(before, ("value.phone, with: last4", "value.phone, with: redact"))

    result = run("policy", "diff", before, after)
    said = json.loads(run("policy", "diff", before, after, "--json").stdout)

    assert "mask of value.phone: last4 → redact" in result.stdout
    assert result.stdout.count("both: privacy/phones: personal data") == 1
    assert "before:" not in result.stdout
    assert "4567" not in result.stdout + json.dumps(said)
    (difference,) = said["events"]["differences"]
    assert difference["masks"] == [{"field": "value.phone", "before": "last4", "after": "redact"}]


def test_a_field_that_is_masked_instead_of_another_one_is_told(run: Run, before: Path) -> None:
    """Of the one that shows again, too."""
    after = changed(before, ("field: value.phone", "field: value.iban"))

    result = run("policy", "diff", before, after)

    assert "mask of value.phone: last4 → none" in result.stdout
    assert "mask of value.iban: none → last4" in result.stdout
    assert "DE02" not in result.stdout


def test_a_weaker_rule_that_comes_or_goes_is_told(run: Run, before: Path) -> None:
    """The reasons are those of the strongest rules, and the same then."""
    after = changed(before, ("id: note", "id: remark"))

    result = run("policy", "diff", before, after)

    assert "mask → mask" in result.stdout
    assert "only before: privacy/note" in result.stdout
    assert "only after: privacy/remark" in result.stdout
    assert "mask of" not in result.stdout


def test_cases_that_could_not_be_decided_are_counted(run: Run, before: Path) -> None:
    """With the reason, which is that of `policy test`; with schemas there are none."""
    (before / "readings.yaml").write_text(READINGS)
    (before / "read.yaml").write_text(READ)
    schemas = before.parent / "schemas"
    schemas.mkdir()
    (schemas / "readings-value.avsc").write_text(json.dumps(AVRO))
    after = changed(before, ("> 50.0", "> 70.0"))
    reason = "there is no schema for the subject `readings-value`; give --schemas"

    without = run("policy", "diff", before, after)
    said = json.loads(run("policy", "diff", before, after, "--json").stdout)["events"]
    given = run("policy", "diff", before, after, "--schemas", schemas)
    full = run("policy", "diff", before, after, "--schemas", schemas, "--json").stdout

    assert f"warning: 2 cases could not be decided: {reason}" in without.stderr
    assert "of 1 case, 0 decide differently" in without.stdout
    assert (said["cases"], said["undecided"], said["undecided_because"]) == (1, 2, {reason: 2})
    assert "could not be decided" not in given.stderr
    assert "of 3 cases, 1 decides differently" in given.stdout
    assert json.loads(full)["events"]["undecided"] == 0
