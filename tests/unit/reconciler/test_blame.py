"""What a finding blames: rules that surely fire, and changes that made the difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.loader import load_directories
from streamwarden.reconciler.findings import Finding
from streamwarden.reconciler.selection import Selection
from streamwarden.reconciler.slices import Slice
from streamwarden.reconciler.tally import Tally
from streamwarden.reconciler.words import cause_sentence

from .histories import Past, make_bundle, policy

CARD = "5555444433332222"
MASK = "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: last4}]}"
OVER_50 = "{id: over, when: value.amount > 50, effect: reject, severity: low}"
OVER_10 = "{id: over, when: value.amount > 10, effect: reject, severity: low}"
STOLEN = (
    '{id: stolen, when: has(value.card) && value.card.startsWith("4000"), effect: reject, '
    "severity: critical}"
)
SCORE = "{id: score, when: facts.score > 0.9, effect: reject, severity: high}"
FRAUD = policy(STOLEN, name="fraud").replace("owner: team", "owner: fraud-team")
SCORES = policy(SCORE, name="scores").replace("owner: team", "owner: fraud-team")


def names(finding: Finding) -> tuple[list[str], list[str]]:
    """The rules that are behind a finding as its line has them: surely, and perhaps."""
    said = finding.to_dict()
    return [f"{rule['policy']}/{rule['rule']}" for rule in said["rules"]], said["unknown"]


def test_a_rule_that_only_may_fire_is_not_blamed() -> None:
    """Whatever the card was: the limit alone rejects, and is all that is said to."""
    v1 = make_bundle(policy(OVER_50, MASK), number=1)
    v2 = make_bundle(policy(OVER_10, MASK), FRAUD, number=2)
    past = Past(v1, v2)
    past.guarded(v1, {"amount": 20, "card": CARD})

    (found,) = past.findings(v2)

    assert (found.kind, found.rules, found.change) == (
        "now-rejected",
        ("limits/over",),
        "over: 50 → 10",
    )
    assert names(found) == (["limits/over"], ["fraud/stolen"])
    assert (found.severity, found.owners) == ("low", ["team"])
    assert not Selection(owners=("fraud-team",)).takes(found)
    assert not Selection(severities=("critical",)).takes(found)
    assert Selection(policies=("limits",)).takes(found)


def test_a_rule_that_fires_in_the_clear_is_blamed() -> None:
    """What was not masked is known."""
    v1 = make_bundle(policy(OVER_50), number=1)
    v2 = make_bundle(policy(OVER_10), FRAUD, number=2)
    past = Past(v1, v2)
    past.guarded(v1, {"amount": 20, "card": "4000" + CARD})

    (found,) = past.findings(v2)

    assert names(found) == (["fraud/stolen", "limits/over"], []) or names(found) == (
        ["limits/over", "fraud/stolen"],
        [],
    )
    assert found.severity == "critical"


def test_one_of_two_rules_fires_and_nobody_knows_which() -> None:
    """The verdict is sure, the rule is not: neither lends it a severity."""
    today = policy(
        '{id: small, when: "has(facts.score) && facts.score <= 5", effect: reject, severity: low}',
        '{id: other, when: "!(has(facts.score) && facts.score <= 5)", effect: reject, '
        "on_error: reject, severity: critical}",
    ).replace("severity: low}", "on_error: reject, severity: low}")
    v1, v2 = make_bundle(policy(OVER_50), number=1), make_bundle(today, number=2)
    past = Past(v1, v2)
    past.guarded(v1, {"amount": 20})

    (found,) = past.findings(v2)

    assert (found.kind, found.change) == ("now-rejected", "")
    assert names(found) == ([], ["limits/small", "limits/other"])
    assert found.rules == ("limits/small", "limits/other")
    assert found.detail == "one of limits/small, limits/other fires"
    assert (found.severity, found.owners) == (None, [])
    assert Selection(policies=("limits",)).takes(found)


def test_what_cannot_be_judged_names_the_rules_that_it_hangs_on() -> None:
    """They pass filters on it, so that nothing is called clean that was not judged by it."""
    v1 = make_bundle(policy(OVER_50), number=1)
    v2 = make_bundle(policy(OVER_50), SCORES, number=2)
    past = Past(v1, v2)
    past.guarded(v1, {"amount": 20})

    (found,) = past.findings(v2)

    assert (found.kind, found.rules) == ("undecidable", ("scores/score",))
    assert (found.change, found.detail) == ("", "hangs on facts.score")
    assert names(found) == ([], ["scores/score"])
    assert (found.severity, found.owners) == (None, [])
    assert Selection(policies=("scores",)).takes(found)
    assert Selection(owners=("fraud-team",)).takes(found)
    assert not Selection(policies=("limits",)).takes(found)


def test_a_sure_mask_is_not_what_a_decision_hangs_on() -> None:
    """The mask applies in any case; only the score decides whether it is rejected."""
    plain = policy(MASK.replace("last4", "redact"))
    v1 = make_bundle(policy(OVER_50), number=1)
    v2 = make_bundle(plain, SCORES, number=2)
    past = Past(v1, v2)
    past.guarded(v1, {"amount": 20, "card": CARD})

    (found,) = past.findings(v2)

    assert (found.kind, names(found)) == ("undecidable", ([], ["scores/score"]))


def test_lies_are_told_by_what_they_say_and_not_by_what_changed_since() -> None:
    """Both versions hold it: the limit made no difference, and two lies are two causes."""
    v1 = make_bundle(policy(OVER_50.replace("50", "30").replace("reject", "hold")), number=1)
    v2 = make_bundle(policy(OVER_10.replace("reject", "hold")), number=2)
    past = Past(v1, v2)
    past.bypass({"amount": 99}, stamp=f"1;b@1;{v1.digest[:12]};allow;produce")
    past.bypass({"amount": 99}, stamp=f"1;b@1;{v1.digest[:12]};mask;produce")
    tally = Tally()

    for each in past.findings(v2):
        tally.add(each)

    causes = tally.report(Slice(0, "t", 0, 0, 2), [], "").causes
    assert [(c.kind, c.change, c.count) for c in causes] == [
        ("misrecorded", "the stamp says allow, b@1 says hold", 1),
        ("misrecorded", "the stamp says mask, b@1 says hold", 1),
    ]
    assert cause_sentence(
        "misrecorded", 1, rule="limits/over", change=causes[0].change, drift="now-held", stamped=""
    ) == (
        "1 event carries a stamp that is not what its version decides: "
        "the stamp says allow, b@1 says hold. Today's policy would hold it."
    )


def test_break_glass_is_not_explained_by_what_changed() -> None:
    """Both versions reject it."""
    v1, v2 = make_bundle(policy(OVER_50), number=1), make_bundle(policy(OVER_10), number=2)
    past = Past(v1, v2)
    past.released(v1, {"amount": 99}, field="ov")

    (found,) = past.findings(v2)

    assert found.change == ""
    assert "x1" in found.detail


@pytest.mark.parametrize(
    ("before", "after", "mask", "told"),
    [
        ("[IR]", "[IR, KP]", "", 'list sanctioned +"KP"'),
        ("[IR, XX]", "[IR, KP]", "", 'list sanctioned +"KP" -"XX"'),
        ("[IR]", "[IR, KP, CU]", "", 'list sanctioned +"CU", +"KP"'),
        ("[IR]", "[IR, KP, CU, SY]", "", "list sanctioned +3"),
        ("[IR]", "[IR, KP]", "sensitive: [value.country]\n", "list sanctioned +1"),
    ],
)
def test_entries_of_lists_are_named_where_they_are_few(
    tmp_path: Path, before: str, after: str, mask: str, told: str
) -> None:
    """Not those of a list in which a sensitive field is looked up: one may be what stands in it."""
    rule = "{id: sanctions, when: value.country in lists.sanctioned, effect: reject}"
    versions: list[Bundle] = []
    for number, entries in enumerate((before, after), 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "p.yaml").write_text(policy(rule, more=mask))
        (folder / "sanctioned.yaml").write_text(entries)
        (folder / "bundle.yaml").write_text("bundle: b\nlists: {sanctioned: sanctioned.yaml}\n")
        versions.append(load_directories([folder]).with_number(number))
    v1, v2 = versions
    past = Past(v1, v2)
    past.guarded(v1, {"country": "KP"})

    (found,) = past.findings(v2)

    assert found.change == f"sanctions: {told}"
