"""Policies in words say everything that decides, and when it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamwarden.policy.loader import load_directories
from streamwarden.policy.model import BundleSettings, Mode
from streamwarden.policy.show import (
    PolicyWords,
    as_cel,
    as_documents,
    bundle_in_sentences,
    in_sentences,
)

FULL = """
policy: full
title: All of it
owner: risk
class: domain
topics: [payments, "payments.*"]
stages: [produce, consume, reconcile]
schema: payments-value
effective: {from: 2026-03-01, until: "2027-01-01T12:00:00Z"}
review: {by: 2026-12-01}
sensitive: [value.customer.email, key]
mode: shadow
tombstones: reject
rules:
  - id: held
    when: value.amount > 50000
    effect: hold
    approvals: {need: 2, from: [senior, desk]}
    reason: amount {value.amount} is high
    severity: high
    remediation: ask
    exemptible_by: [risk]
  - id: must
    when: value.kind == "card"
    require: value.currency in ["USD"]
    effect: reject
    on_error: hold
  - id: only-require
    require: has(value.id)
    effect: warn
    on_error: skip
  - id: everything
    effect: warn
    mode: "off"
  - id: masked
    when: [{field: value.card, operator: exists}]
    effect: mask
    mask:
      - {field: value.card, with: last4}
      - {field: value.iban, with: hash}
      - {field: value.name, with: redact}
      - {field: 'value.items[].note', with: drop}
  - id: lifting
    when: facts.vip == true
    exempts: [held, must]
"""


def words(folder: Path, today: str = "2026-01-01") -> PolicyWords:
    (folder / "p.yaml").write_text(FULL)
    (policy,) = load_directories([folder]).policies
    return in_sentences(policy, today)


def test_the_scope_says_whose_where_and_when(tmp_path: Path) -> None:
    """And what is unusual about it."""
    assert words(tmp_path).scope == (
        "Owned by risk, a domain policy.",
        (
            "Applies to topics payments and payments.*, when events are published, when they are "
            "consumed and when history is reconciled."
        ),
        "Is in shadow mode: evaluated and recorded, not acted on.",
        "In force from 2026-03-01 until 2027-01-01 12:00:00 UTC (exclusive).",
        "To be reviewed by 2026-12-01.",
        "Never shows customer.email and the key.",
        "Tombstones are rejected.",
        "Written for schema payments-value.",
    )
    assert words(tmp_path, "2026-12-02").scope[4].endswith("OVERDUE.")


def test_each_rule_is_a_sentence(tmp_path: Path) -> None:
    """With the act first, then when and unless."""
    assert [(rule.id, rule.sentence) for rule in words(tmp_path).rules] == [
        (
            "held",
            (
                "holds an event when amount is greater than 50,000, until 2 people agree, "
                "from senior or desk."
            ),
        ),
        ("must", 'rejects an event when kind is "card", unless currency is "USD".'),
        ("only-require", "warns about every event unless id is present."),
        ("everything", "warns about every event."),
        (
            "masked",
            (
                "masks card (all but the last four characters), iban (by a keyed hash), name (by ***) "
                "and items[].note (by leaving it out) when card is present."
            ),
        ),
        ("lifting", "lifts the rules held and must when the fact vip is true."),
    ]


def test_notes_say_what_else_counts(tmp_path: Path) -> None:
    """Reasons, remedies, modes, errors, and who may lift it."""
    held, must, only, everything, *_ = words(tmp_path).rules

    assert held.notes == (
        "Reason given: amount {value.amount} is high",
        "What to do: ask",
        "May be lifted by policies of risk.",
    )
    assert must.notes == ("Where it cannot be decided, the event is held.",)
    assert only.notes == ("Where it cannot be decided, the rule does not count.",)
    assert everything.notes == ("It is switched off.",)


def test_cel_is_shown_of_structured_conditions_too(tmp_path: Path) -> None:
    """It is what is compiled."""
    (tmp_path / "p.yaml").write_text(FULL)
    (policy,) = load_directories([tmp_path]).policies

    assert as_cel(policy.rules[4]) == [("when", "has(value.card)")]
    assert as_cel(policy.rules[3]) == []


def test_documents_are_shown_as_they_were_written(tmp_path: Path) -> None:
    """Without defaults."""
    (tmp_path / "p.yaml").write_text(FULL)
    bundle = load_directories([tmp_path])

    said = as_documents(bundle)

    assert said["digest"] == bundle.digest
    listed: Any = said["policies"]
    assert listed[0]["rules"][3] == {"id": "everything", "effect": "warn", "mode": "off"}


def test_rules_that_no_event_matters_to_are_sentences_too(tmp_path: Path) -> None:
    """A condition may be constant while a rule is tried."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n"
        '  - {id: a, when: "true", effect: warn}\n'
        '  - {id: b, when: "false", effect: reject}\n'
        '  - {id: c, when: value.a > 1, require: "false", effect: hold}\n'
        '  - {id: d, when: value.a > 1, require: "true", effect: reject}\n'
        '  - {id: e, require: "false", effect: mask, mask: [{field: value.a, with: redact}]}\n'
        "  - {id: f, when: 1 == 2, effect: warn}\n"
    )
    (policy,) = load_directories([tmp_path]).policies

    assert [rule.sentence for rule in in_sentences(policy, "2026-01-01").rules] == [
        "warns about every event.",
        "never rejects an event.",
        "holds an event when a is greater than 1, until one person agrees.",
        "never rejects an event.",
        "masks a (by ***) always.",
        "warns about an event when `1 == 2` holds.",
    ]


def test_what_a_bundle_changes_for_all_of_its_policies_is_said() -> None:
    """Above all that nothing is acted on, whatever the rules say."""
    odd = BundleSettings(
        "b",
        mode=Mode.SHADOW,
        resolution="approval_first",
        undecodable="allow",
        tombstones="reject",
        uncovered="reject",
    )

    assert bundle_in_sentences(BundleSettings("b")) == ()
    assert bundle_in_sentences(odd) == (
        "The bundle is in shadow mode: rules are evaluated and recorded, not acted on.",
        "What one rule holds and another rejects is held.",
        "Values that cannot be read pass.",
        "Events of topics that no policy covers are rejected.",
        "Tombstones are rejected.",
    )
    (off,) = bundle_in_sentences(BundleSettings("b", mode=Mode.OFF))
    assert off.startswith("The bundle is switched off")
