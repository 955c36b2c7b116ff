"""With schemas, policies are checked against them, and Avro values are read and written."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import fastavro
import pytest

from .conftest import Run

SCHEMA = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "amount", "type": "double"},
        {"name": "card", "type": ["null", "string"], "default": None},
    ],
}
POLICY = """
policy: p
owner: o
topics: [payments]
schema: payments-value
rules:
  - id: large
    when: value.amount > 100.0
    effect: hold
  - id: card
    when: has(value.card)
    effect: mask
    mask: [{field: value.card, with: last4}]
"""
CASES = """
tests: p
cases:
  - note: a large one waits
    topic: payments
    value: {amount: 200}
    expect: {effect: hold, rules: [large, card]}
  - note: cards are masked
    topic: payments
    value: {amount: 1, card: "12345678"}
    expect: {effect: mask, value: {amount: 1, card: "****5678"}}
  - note: a value that no producer could write
    topic: payments
    value: {amount: many}
    expect: {effect: allow}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "payments-value.avsc").write_text(json.dumps(SCHEMA))
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(POLICY)
    return tmp_path


def event(amount: float) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, SCHEMA, {"amount": amount, "card": None})
    framed = b"\0\0\0\0\1" + stream.getvalue()
    value = {"base64": base64.b64encode(framed).decode()}
    return json.dumps({"topic": "payments", "value": value}).encode() + b"\n"


def test_conditions_are_checked_against_the_schema(run: Run, folder: Path) -> None:
    """A field that it does not have is a problem, and was none without."""
    path = folder / "policies" / "p.yaml"
    path.write_text(POLICY.replace("value.amount", "value.amuont"))

    without = run("policy", "check", folder / "policies")
    result = run("policy", "check", folder / "policies", "--schemas", folder / "schemas")

    assert without.exit_code == 0
    assert result.exit_code == 2
    assert "p.yaml:8:" in result.stdout
    assert "amuont" in result.stdout


def test_avro_values_are_decided(run: Run, folder: Path) -> None:
    """By the schema that they name."""
    result = run(
        *("decide", "--policies", folder / "policies", "--schemas", folder / "schemas"),
        *("--format", "record", "-"),
        stdin=event(1) + event(200),
    )

    effects = [json.loads(line)["effect"] for line in result.stdout.splitlines()]
    assert effects == ["mask", "hold"]


def test_json_is_no_value_of_an_avro_topic(run: Run, folder: Path) -> None:
    """Nothing is encoded on the way; the documentation gives such topics framed records."""
    bundle = "bundle: p\ntopics:\n  payments: {value: avro, key: text}\n"
    (folder / "policies" / "bundle.yaml").write_text(bundle)
    common = ("decide", "--policies", folder / "policies", "--schemas", folder / "schemas")
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    section = page.partition("## Avro and schema registries")[2].partition("\n## ")[0]

    plain = run(*common, "-t", "payments", "-", stdin=b'{"amount": 1, "card": null}\n')
    framed = run(*common, "--format", "record", "-", stdin=event(1))

    assert json.loads(plain.stdout)["effect"] == "reject"
    assert "not framed" in json.loads(plain.stdout)["undecodable"]
    assert json.loads(framed.stdout)["effect"] == "mask"
    published = section.partition("    streamwarden publish")[2].partition("\n\n")[0]
    assert "--format record" in published


def test_cases_of_avro_topics_are_written_by_the_schema(run: Run, folder: Path) -> None:
    """And say where a value does not fit it."""
    (folder / "policies" / "cases.yaml").write_text(CASES)

    result = run("policy", "test", folder / "policies", "--schemas", folder / "schemas", "-v")

    assert "ok    " in result.stdout
    assert "2 passed, 1 failed" in result.stdout
    assert "`value.amount` is not a double" in result.stdout


def test_bundles_are_checked_and_tested_likewise(run: Run, folder: Path) -> None:
    """Before they are published."""
    (folder / "policies" / "cases.yaml").write_text(CASES)

    result = run(
        *("bundle", "publish", "--policies", folder / "policies", "--yes"),
        *("--store", f"dir:{folder}/store", "--schemas", folder / "schemas"),
    )

    assert result.exit_code == 1
    assert "1 of 3 tests failed" in result.stderr


def test_a_registry_that_cannot_be_asked_is_told(run: Run, folder: Path) -> None:
    """What was not checked is said; nothing is refused for it."""
    result = run(
        "policy", "check", folder / "policies", "--schemas", "http://a:hunter2@localhost:1"
    )

    assert result.exit_code == 0
    assert "warning: not checked against schema `payments-value`" in result.stderr
    assert "no problems" not in result.stdout
    assert "hunter2" not in result.output


def test_a_check_that_did_not_happen_is_none(run: Run, folder: Path) -> None:
    """A pipeline that wants warnings to count is not told that all is well."""
    check = ("policy", "check", folder / "policies", "--schemas", "http://127.0.0.1:1/")

    strict = run(*check, "--strict")
    written = run(*check, "--strict", "--json")

    assert (strict.exit_code, written.exit_code) == (1, 1)
    assert "no problems" not in strict.output
    assert json.loads(written.stdout)["unchecked"] == ["payments-value"]


def test_schemas_that_are_named_and_not_given_are_hinted_at(run: Run, folder: Path) -> None:
    """Without counting as a problem, not even a strict one."""
    check = ("policy", "check", folder / "policies", "--strict", "--ignore", "SW172,SW173")
    text, written = run(*check), run(*check, "--json")
    given = run("policy", "check", folder / "policies", "--schemas", folder / "schemas", "--json")

    assert (text.exit_code, written.exit_code) == (0, 0)
    assert "hint: 1 policy names a schema; give --schemas to check it" in text.stderr
    assert json.loads(written.stdout)["unchecked"] == ["payments-value"]
    assert json.loads(given.stdout)["unchecked"] == []


def test_masks_that_leave_a_fact_are_told(run: Run, folder: Path) -> None:
    """An enum is refused, since any of its values reads like a true one; of a zero it is warned."""
    enum = {"type": "enum", "name": "Test", "symbols": ["POTASSIUM", "HIV"]}
    fields = [*SCHEMA["fields"], {"name": "test", "type": enum}]
    schema = folder / "schemas" / "payments-value.avsc"
    schema.write_text(json.dumps({**SCHEMA, "fields": fields}))
    policy = folder / "policies" / "p.yaml"
    masks = "mask: [{field: value.test, with: redact}, {field: value.amount, with: redact}]"
    policy.write_text(POLICY.replace("mask: [{field: value.card, with: last4}]", masks))
    check = ("policy", "check", folder / "policies", "--schemas", folder / "schemas", "--json")

    refused = json.loads(run(*check).stdout)["problems"]
    policy.write_text(policy.read_text().replace("{field: value.test, with: redact}, ", ""))
    warned = json.loads(run(*check).stdout)["problems"]

    (error,) = [each for each in refused if each["severity"] == "error"]
    assert (error["code"], error["line"], error["column"]) == ("SW171", 13, 20)
    assert "the enum `Test` has neither null nor a default" in error["message"]
    (zero,) = [each for each in warned if each["code"] == "SW189"]
    assert (zero["line"], zero["column"], zero["severity"]) == (13, 20, "warning")
    assert "`redact` of `value.amount` leaves 0" in zero["message"]


def test_what_a_schema_would_bound_is_told_of_rules_that_cost_too_much(
    run: Run, folder: Path
) -> None:
    """Where the policy names one and nobody gave it, that is the first thing to do."""
    condition = "has(value.card) && value.card.matches(value.card)"
    path = folder / "policies" / "p.yaml"
    path.write_text(POLICY.replace("value.amount > 100.0", condition))
    remedy = "the schema `payments-value` was not looked at"

    without = run("policy", "check", folder / "policies")
    given = run("policy", "check", folder / "policies", "--schemas", folder / "schemas")
    path.write_text(path.read_text().replace("schema: payments-value\n", ""))
    unnamed = run("policy", "check", folder / "policies")

    assert "SW130" in without.stdout
    assert f"{remedy}, and may say how large things are: give --schemas" in without.stdout
    for other in (given, unnamed):
        assert "SW130" in other.stdout
        assert remedy not in other.stdout
