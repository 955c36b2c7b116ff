"""Coverage tells what no case brings about, with its place, and nothing that one does."""

from __future__ import annotations

from pathlib import Path

from streamwarden.policy.coverage import Coverage, rule_places
from streamwarden.policy.loader import load_directories
from streamwarden.policy.testing import run_cases

NOW = 1_767_225_600_000_000_000  # 2026-01-01

POLICIES = """
policy: p
owner: o
topics: [t]
rules:
  - id: over
    when: >-
      value.amount > 100 &&
      !(value.country in ["US"])
    effect: hold
  - id: card
    when: [{field: value.card, operator: exists}, {field: value.kind, operator: equals, value: a}]
    effect: mask
    mask: [{field: value.card.number, with: last4}, {field: "value.cards[].number", with: drop}]
  - id: currency
    when: value.kind == "b"
    require: value.currency == "EUR" || value.currency == "USD"
    effect: reject
  - id: lift
    when: has(facts.vip)
    exempts: [over, currency]
  - id: nobody
    mode: off
    effect: warn
"""


def missing(folder: Path, *cases: str) -> list[str]:
    """`line:column rule part what text` of everything that the cases leave out."""
    file = folder / "p.yaml"
    file.write_text(POLICIES)
    listed = "\n".join(f"  - {{topic: t, expect: {{effect: allow}}, {case}}}" for case in cases)
    (folder / "cases.yaml").write_text(f"tests: p\ncases:\n{listed}\n")
    bundle = load_directories([folder])
    coverage = Coverage(bundle, rule_places(file.read_bytes(), "p.yaml"))
    for result in run_cases(bundle, clock=lambda: NOW):
        assert result.decision is not None
        coverage.add(result.decision)
    return [
        f"{b.place.line}:{b.place.column} {rule.rule} {b.part} {b.what} {b.text}"
        for rule in coverage.rules()
        for b in rule.missing
        if b.place is not None
    ]


def test_what_is_not_looked_at_is_not_exercised(tmp_path: Path) -> None:
    """The second half of a conjunction counts only where the first half holds."""
    found = missing(tmp_path, "value: {amount: 1, country: DE}")

    assert [line for line in found if " over " in line] == [
        "6:5 over  fires ",
        "8:7 over when true value.amount > 100",
        '9:9 over when true value.country in ["US"]',
        '9:9 over when false value.country in ["US"]',
    ]


def test_every_part_of_a_rule_can_be_exercised(tmp_path: Path) -> None:
    """Conditions both ways, masks, exemptions; a rule that is off does not count."""
    found = missing(
        tmp_path,
        "value: {amount: 1, country: US, kind: b, currency: EUR}",
        "value: {amount: 101, country: US, kind: b, currency: USD}",
        "value: {amount: 101, country: DE, kind: b, currency: GBP}, facts: {vip: true}",
        "value: {amount: 1, country: DE, kind: c, card: {number: 1}}",
        "value: {amount: 1, country: DE, kind: a, card: {number: '12345678'}}",
        "value: {amount: 1, country: DE, kind: a, card: null, cards: [{}, {number: 1}]}",
    )

    assert found == []


def test_structured_conditions_and_masks_have_places(tmp_path: Path) -> None:
    """Each condition its own, as each mask and each lifted rule."""
    found = missing(tmp_path, "value: {amount: 1, country: US, kind: b, currency: CHF}")

    assert "12:12 card when true has(value.card)" in found
    assert '12:51 card when true value.kind == "a"' in found
    assert "14:12 card mask masks value.card.number" in found
    assert "14:53 card mask masks value.cards[].number" in found
    assert '17:14 currency require true value.currency == "EUR"' in found
    assert '17:41 currency require true value.currency == "USD"' in found
    assert "21:21 lift exempts lifts currency" in found


def test_errors_and_tombstones_exercise_nothing(tmp_path: Path) -> None:
    """A condition that cannot be evaluated is neither true nor false."""
    alone = missing(tmp_path, "value: {amount: many, country: [1]}", "key: k")
    nothing = missing(tmp_path, "key: k")

    assert [line for line in alone if "over when" in line] == [
        "8:7 over when true value.amount > 100",
        "8:7 over when false value.amount > 100",
        '9:9 over when true value.country in ["US"]',
    ]
    assert len([line for line in nothing if "currency when" in line]) == 2


def test_a_rule_that_only_failed_is_told_as_that(tmp_path: Path) -> None:
    """It fired by an error, which is not the same as never; once it is true it has fired."""
    failing = "value: {amount: many, country: DE}"
    missing(tmp_path, failing, failing)
    bundle = load_directories([tmp_path])
    coverage = Coverage(bundle)
    for result in run_cases(bundle, clock=lambda: NOW):
        assert result.decision is not None
        coverage.add(result.decision)

    over = next(rule for rule in coverage.rules() if rule.rule == "over")

    assert over.errors == 2
    assert over.missing[0].never == "is never true: it could not be evaluated in 2 cases"
    lines = missing(tmp_path, failing, "value: {amount: 101, country: DE}")
    assert not [line for line in lines if " over  fires" in line]


def test_without_places_branches_are_told_all_the_same() -> None:
    """A document that cannot be read, or is no policy, has none."""
    assert rule_places(b"tests: p\ncases: []\n", "x") == {}
    assert rule_places(b"policy: [", "x") == {}
