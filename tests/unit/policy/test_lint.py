"""Advice on documents that hold: what is warned about, where, and what is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamwarden.errors import Problem
from streamwarden.policy.lint import shadowing
from streamwarden.policy.lint.advice import adviser
from streamwarden.policy.loader import read_directories
from streamwarden.policy.schema_types import SchemaTypes
from streamwarden.schemas.schema_directory import DirectorySource

HEAD = "policy: {name}\nowner: o\ntopics: {topics}\nstages: {stages}\nrules:\n"


def policy(
    *rules: str, name: str = "p", topics: str = "[t]", stages: str = "[produce, consume]"
) -> str:
    """A policy document; rules get a reason and a severity unless they exempt or have them."""
    lines: list[str] = []
    for number, rule in enumerate(rules):
        words = "" if "reason" in rule else ", reason: x"
        words += "" if "severity" in rule or "exempts" in rule else ", severity: low"
        lines.append(f"  - {{id: r{number}, {rule}{words}}}\n")
    return HEAD.format(name=name, topics=topics, stages=stages) + "".join(lines)


def advice(
    directory: Path, *documents: str, topics: Sequence[str] = (), bundle: str = ""
) -> list[Problem]:
    """The warnings about a directory with these documents."""
    for number, document in enumerate(documents):
        (directory / f"{number}.yaml").write_text(document)
    if bundle:
        (directory / "bundle.yaml").write_text(bundle)
    made, problems = read_directories(directory, advisers=[adviser(topics)])
    assert made is not None, problems
    assert all(problem.severity == "warning" for problem in problems)
    return problems


def told(directory: Path, *documents: str, bundle: str = "") -> list[tuple[str, int]]:
    """Code and line of each warning."""
    return [(p.code, p.location.line) for p in advice(directory, *documents, bundle=bundle)]


def test_good_policies_get_no_advice(tmp_path: Path) -> None:
    """The examples of the project, among others."""
    examples = Path(__file__).parents[3] / "examples" / "policies"

    assert read_directories(examples, advisers=[adviser()])[1] == []
    assert advice(tmp_path, policy("effect: warn, when: value.a > 1")) == []


# ----------------------------------------------------------------- idle rules

IDLE = [
    ("effect: reject, when: value.a > 10", "effect: hold, when: value.a > 20", "SW180"),
    ("effect: reject", "effect: hold, when: value.a > 20", "SW180"),
    ("effect: reject, when: value.a > 10", "effect: reject, when: value.a >= 20", "SW181"),
    ("effect: warn, when: 'value.a == 1'", "effect: warn, when: '1 == message.a'", "SW181"),
    (
        'effect: reject, when: \'value.k in ["a", "b"]\'',
        "effect: warn, when: 'value.k == \"a\" && value.a > 1'",
        "SW180",
    ),
    (
        "effect: reject, when: 'value.a > 1 || value.b > 1'",
        "effect: warn, when: 'value.b > 5 && value.c'",
        "SW180",
    ),
    (
        "effect: reject, when: 'value.k.startsWith(\"ab\")'",
        "effect: warn, when: [{field: value.k, operator: starts_with, value: abc}]",
        "SW180",
    ),
    (
        "effect: reject, when: value.a > 1, require: value.b == 1",
        "effect: warn, when: value.a > 1 && value.c, require: 'value.b in [1, 2]'",
        "SW180",
    ),
    (
        "effect: reject, when: value.a > 1, require: 'value.b in [1, 2]'",
        "effect: warn, when: value.a > 1 && value.c, require: value.b == 3",
        None,
    ),
    (
        "effect: reject, when: value.a > 1, require: 'value.b in [1, 2]'",
        "effect: warn, when: value.a > 1 && value.c, require: 'value.b in [1, 2]'",
        "SW180",
    ),
    ("effect: hold, when: value.a > 10", "effect: reject, when: value.a > 20", None),
    ("effect: reject, when: value.a > 20", "effect: hold, when: value.a > 10", None),
    ("effect: reject, when: value.a > 10", "effect: hold, when: value.b > 20", None),
    ("effect: reject, when: value.a > 10", "effect: hold, when: value.a > 'z'", None),
    ("effect: reject, when: has(value.a)", "effect: hold, when: value.a > 1", None),
    ("effect: reject, on_error: skip, when: value.a > 1", "effect: hold, when: value.a > 1", None),
    ("effect: reject, mode: shadow, when: value.a > 1", "effect: hold, when: value.a > 1", None),
    ("effect: hold, when: value.a > 1", "effect: warn, on_error: reject, when: value.a > 1", None),
    ("effect: reject, severity: low", "effect: reject, when: value.a > 1, severity: high", None),
    (
        "effect: mask, mask: [{field: value.x, with: drop}]",
        "effect: warn, when: value.a > 1",
        None,
    ),
    (
        "effect: reject, when: value.a > 1",
        "effect: mask, mask: [{field: value.x, with: drop}], when: value.a > 2",
        None,
    ),
    (
        "effect: mask, mask: [{field: value.x, with: drop}, {field: value.y, with: hash}]",
        "effect: mask, mask: [{field: value.y, with: hash}], when: value.a > 2",
        "SW181",
    ),
]


@pytest.mark.parametrize(("wide", "narrow", "code"), IDLE)
def test_rules_that_another_one_makes_idle(
    tmp_path: Path, wide: str, narrow: str, code: str | None
) -> None:
    """Told at the later or narrower one, whichever stands first."""
    for folder, rules, line in (("a", (wide, narrow), 7), ("b", (narrow, wide), 6)):
        (tmp_path / folder).mkdir()
        found = told(tmp_path / folder, policy(*rules))
        # Of two that say the same it is the later one.
        expected = 7 if "message" in narrow else line
        assert found == ([] if code is None else [(code, expected)])


def test_which_rule_makes_it_idle_is_said(tmp_path: Path) -> None:
    """With its policy; approvals first turns the order of effects round."""
    wide = policy("effect: hold, when: value.a > 1", name="q", topics="['*']")
    narrow = policy("effect: reject, when: value.a > 5 && value.b")

    (found,) = advice(tmp_path, wide, narrow, bundle="bundle: b\nresolution: approval_first\n")

    assert found.code == "SW180"
    assert "`q/r0` does too" in found.message


@pytest.mark.parametrize(
    ("topics", "stages", "exempts"),
    [
        ("[u]", "[produce, consume]", False),
        ("[t]", "[produce]", False),
        ("[t]", "[produce, consume]", True),
    ],
)
def test_a_rule_that_may_not_be_there_shadows_nothing(
    tmp_path: Path, topics: str, stages: str, exempts: bool
) -> None:
    """On another topic, at fewer stages, or lifted by an exemption."""
    lifting = ["when: value.b == 1, exempts: [r0]"] if exempts else []
    wide = policy("effect: reject, when: value.a > 1", *lifting, topics=topics, stages=stages)
    narrow = policy("effect: hold, when: value.a > 5", name="q")

    assert advice(tmp_path, wide, narrow) == []


def test_many_rules_are_compared_by_what_they_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those on other constants are never looked at; what is left out is told."""
    rules = [f"effect: warn, when: 'value.k == \"k{n}\" && value.a > {n}'" for n in range(300)]
    idle = "effect: warn, when: 'value.k == \"k7\" && value.a > 100'"
    monkeypatch.setattr(shadowing, "COMPARISONS_MAX", 10)

    assert told(tmp_path, policy(*rules, idle)) == [("SW181", 306)]

    alike = [f"effect: {('warn', 'hold')[n % 2]}, when: value.a > {n}" for n in range(9)]
    found = [p.message for p in advice(tmp_path, policy(*alike)) if p.code == "SW188"]
    assert len(found) == 1
    assert "pairs of rules were not compared" in found[0]


# -------------------------------------------------------------- never firing


@pytest.mark.parametrize(
    ("condition", "never"),
    [
        ("value.a > 5 && value.a < 3", True),
        ("value.a >= 5 && value.a <= 5", False),
        ('value.k == "a" && value.k in ["b", "c"]', True),
        ('value.k == "a" && value.k != "b"', False),
        ("value.a == 1 && value.a > 1.5", True),
        ("value.f && !value.f", True),
        ("has(value.a) && !has(message.a)", True),
        ("1 > 2", True),
        ("value.a > 1 && (value.k == 'a' || value.k == 'b') && value.k == 'c'", True),
        ("value.a > 1 && (value.k == 'a' || value.b) && value.k == 'c'", False),
        ('value.k > "a" && value.k > 5', True),
        ("value.a != 1 && value.a != 2", False),
        ('timestamp(value.t) > now && timestamp(value.t) <= now', False),
        ('stage == "reconcile"', True),
        ('topic == "t" && value.a > 1', False),
        ('topic == "u" && value.a > 1', True),
        ('topic.startsWith("pay")', True),
        ("value.a > 5 && !(value.a > 3)", True),
        ("!(value.a > 3) && value.a > 3", True),
        ("value.a > 5 && !(value.a >= 5)", True),
        ("value.a >= 5 && !(value.a > 5)", False),
        ("value.a > 3 && !(value.a > 5)", False),
        ("value.a < 3 && !(3.5 > value.a)", True),
        ("value.a > 5 && !(value.a < 3)", False),
        ("!(value.a > 3) && !(value.a <= 3)", False),  # NaN is neither
        ('value.k.startsWith("abc") && !value.k.startsWith("ab")', True),
        ('value.k.startsWith("ab") && !value.k.startsWith("abc")', False),
        ('value.k.endsWith("abc") && !value.k.contains("b")', True),
        ('value.a > 5 && !value.a.contains("b")', True),
        ("value.a in []", True),
    ],
)  # fmt: skip
def test_conditions_that_no_event_makes_true(tmp_path: Path, condition: str, never: bool) -> None:
    """By constants, by kinds, by stage and topic."""
    text = condition.replace("'", '"')

    found = told(tmp_path, policy(f"effect: warn, when: '{text}'"))

    assert found == ([("SW182", 6)] if never else [])


def test_firing_by_error_is_told_apart(tmp_path: Path) -> None:
    """A condition that is never true still fails where a field is missing."""
    rules = ("value.a > 5 && value.a < 3", "stage == 'x'")

    by_error, never = advice(tmp_path, policy(*(f'effect: warn, when: "{r}"' for r in rules)))

    assert by_error.message.endswith("the rule fires only where it cannot be evaluated")
    assert never.message.endswith("so that the rule never fires")
    assert by_error.location.column == by_error.text.index("when: ") + 7


@pytest.mark.parametrize(
    ("condition", "remedy"),
    [
        ('stage == "prodce"', "the policy's `stages` are produce, consume: change one of the two"),
        ('topic == "u" && value.a > 1', "the policy's `topics` are t: change one of the two"),
        ("1 > 2", "it is false whatever the event holds: change it"),
        ("value.a > 1 && value.b in []", "one of its parts is false whatever the event holds"),
        ("value.a > 5 && !(value.a > 3)", "two of its parts exclude each other: change one"),
    ],
)
def test_what_makes_a_condition_false_is_told(tmp_path: Path, condition: str, remedy: str) -> None:
    """Two parts only where there are two."""
    (found,) = advice(tmp_path, policy(f"effect: warn, when: '{condition}'"))

    assert found.remedy.startswith(remedy)
    assert found.remedy.endswith(", or remove the rule")


@pytest.mark.parametrize(
    ("rule", "key", "message", "remedy"),
    [
        (
            "when: value.x > 8, require: value.x > 5",
            "require",
            "where `when` is true, no event breaks `require`: the rule fires only where",
            "change one of the two, or remove the rule",
        ),
        (
            "when: value.x > 8, require: \"value.x.contains('b')\"",
            "require",
            "where `when` is true, no event breaks `require`: the rule fires only where",
            "change one of the two, or remove the rule",
        ),
        (
            "when: value.x > 8 && value.x < 5, require: value.y > 5",
            "when",
            "no event makes the condition true: the rule fires only where",
            "two of its parts exclude each other: change one, or remove the rule",
        ),
        (
            "where: [{field: value.x, operator: in, value: [1]}, {field: value.x, operator: equals, value: 2}]",
            "where",
            "no event makes the condition true: the rule fires only where",
            "two of its parts exclude each other: change one, or remove the rule",
        ),
        (
            "when: value.x > 8, require: 1 < 2",
            "require",
            "no event breaks `require`, so that the rule never fires",
            "it is true whatever the event holds: change it, or remove the rule",
        ),
        (
            "require: value.x != 3 || value.y == 1 || value.x != 4",
            "require",
            "no event breaks `require`: the rule fires only where",
            "no event breaks all of its parts: change one, or remove the rule",
        ),
        (
            "require: 'stage != \"x\"'",
            "require",
            "no event breaks `require`, so that the rule never fires",
            "the policy's `stages` are produce, consume: change one of the two, or remove the rule",
        ),
    ],
)
def test_when_and_require_are_told_apart(
    tmp_path: Path, rule: str, key: str, message: str, remedy: str
) -> None:
    """The one that has to change, or `require` where the two do not fit each other."""
    (found,) = advice(tmp_path, policy(f"effect: warn, {rule}"))

    assert found.code == "SW182"
    assert found.text[: found.location.column - 1].endswith(f"{key}: ")
    assert found.message.startswith(message)
    assert found.remedy == remedy


def test_topics_by_globs(tmp_path: Path) -> None:
    """A topic that the globs of the policy do not name never comes."""
    rules = ('effect: warn, when: topic == "a.b"', 'effect: warn, when: topic == "b"')

    assert told(tmp_path, policy(*rules, topics="['a.*']")) == [("SW182", 7)]


# ---------------------------------------------------------------- exemptions


@pytest.mark.parametrize(
    ("rule", "exemption", "why"),
    [
        ("when: value.a > 10", "when: value.a < 5", "never does"),
        ("when: value.a > 10", "when: value.b < 5", ""),
        ("mode: off, when: value.a > 10", "when: value.b < 5", "that rule is off"),
        ("when: 'value.k == \"a\" && value.a > 1'", "when: 'value.k == \"b\"'", "never does"),
        # Missing, the field makes the rule fire by error, and then it is lifted.
        ("when: value.a > 10", "when: '!has(value.a)'", ""),
        ("when: value.a > 10", "mode: shadow, when: value.b < 5", "the exemption is in shadow"),
        ("mode: shadow, when: value.a > 10", "mode: shadow, when: value.b < 5", "lift nothing"),
        ("mode: shadow, when: value.a > 10", "when: value.b < 5", ""),
        ("when: value.a > 10", "mode: off, when: value.b < 5", ""),
    ],
)
def test_exemptions_that_lift_nothing(tmp_path: Path, rule: str, exemption: str, why: str) -> None:
    """Since the two never fire together."""
    found = advice(tmp_path, policy(f"effect: warn, {rule}", f"{exemption}, exempts: [r0]"))

    assert [(p.code, p.location.line) for p in found] == ([("SW184", 7)] if why else [])
    assert why in "".join(p.message for p in found)


def test_exemptions_in_shadow_lift_nothing(tmp_path: Path) -> None:
    """By the mode of their policy, or of the bundle, which is told once."""
    rules = ("effect: warn, when: value.a > 10", *["when: value.b < 5, exempts: [r0]"] * 2)
    text = policy(*rules).replace("rules:", "mode: shadow\nrules:")

    by_policy = advice(tmp_path, text)
    enforced = text.replace("mode: shadow\n", "")
    by_bundle = advice(tmp_path, enforced, bundle="bundle: b\nmode: shadow\n")

    assert [(p.code, p.location.line) for p in by_policy] == [("SW184", 8), ("SW184", 9)]
    assert by_policy[0].message.startswith("the policy is in shadow mode")
    assert [(p.code, p.location.line) for p in by_bundle] == [("SW184", 7)]
    assert by_bundle[0].message.startswith("the bundle is in shadow mode")


def test_exemptions_elsewhere_lift_nothing(tmp_path: Path) -> None:
    """Neither on other topics nor at other stages."""
    rule = "effect: warn, when: value.a > 1, exemptible_by: [o]"
    lifting = ("when: value.b == 1, exempts: [p/r0]",)

    for topics, stages, why in (
        ("[u]", "[produce]", "no topic"),
        ("['u.*']", "[produce]", "no topic"),
        ("[t]", "[reconcile]", "no stage"),
    ):
        other = policy(*lifting, name="q", topics=topics, stages=stages)
        (found,) = advice(tmp_path, policy(rule), other)
        assert why in found.message


# --------------------------------------------------------------- other advice


def test_rules_at_consume_on_what_produce_has_masked(tmp_path: Path) -> None:
    """Reading the field, a part of it, or what it is a part of."""
    mask = policy(
        "effect: mask, mask: [{field: value.card, with: last4}, "
        "{field: 'value.items[].note', with: drop}]",
        name="m",
        topics="['*']",
    )
    rules = [
        ("value.card == 'x'", True),
        ("has(value.card)", False),
        ("value.items.exists(i, i.note == 'x')", True),
        ("has(value.items[0].note)", True),
        ("size(value.items) > 3", True),
        ("value.cards == 'x'", False),
        ("type(value.items) == list", False),
        ("type(value.card) == string", True),
        ("type(value.items) == map || value.items == [1]", True),
    ]

    found = told(tmp_path, mask, policy(*(f'effect: warn, when: "{text}"' for text, _ in rules)))

    assert found == [("SW183", 6 + n) for n, (_, warned) in enumerate(rules) if warned]
    at_produce = policy("effect: warn, when: \"value.card == 'x'\"", stages="[produce]")
    assert advice(tmp_path, mask, at_produce) == []


def test_that_a_part_is_there_stays_so_whatever_is_masked_within_it(tmp_path: Path) -> None:
    """But not that a part of what was masked as a whole is there."""
    mask = policy(
        "effect: mask, mask: [{field: value.shipper.vat, with: hash}, "
        "{field: value.shipper.iban, with: drop}, {field: value.payer, with: redact}, "
        "{field: 'value.items[].note', with: drop}]",
        name="m",
    )
    rules = [
        ("where: [{field: value.shipper.phone, operator: missing}]", 0),
        ("where: [{field: value.shipper.phone, operator: exists}]", 0),
        ("where: [{field: value.shipper, operator: missing}]", 0),
        ("where: [{field: value.shipper.vat, operator: missing}]", 0),
        ("when: has(value.shipper)", 0),
        ("when: value.shipper == null", 0),
        ("when: null != value.items", 0),
        ("when: 'value.items.exists(i, has(i.price))'", 0),
        ("where: [{field: value.shipper.iban, operator: missing}]", 1),
        ("where: [{field: value.shipper.vat, operator: equals, value: x}]", 1),
        ("where: [{field: value.payer.name, operator: missing}]", 1),
        ("when: has(value.payer.name)", 1),
        ("when: value.shipper != value.other", 2),
        ("when: value.shipper == null || value.shipper.size() > 3", 2),
        ("when: 'value.items.exists(i, has(i.note))'", 1),
    ]

    found = told(tmp_path, mask, policy(*(f"effect: warn, {rule}" for rule, _ in rules)))

    lines = [line for code, line in found if code == "SW183"]
    assert lines == [6 + n for n, (_, count) in enumerate(rules) for _ in range(count)]


def test_rules_that_a_replay_cannot_judge(tmp_path: Path) -> None:
    """Facts and the like are not in the topic; consume decisions are not replayed."""
    rules = ("effect: warn, when: facts.score > 1", "effect: warn, when: client.id == 'x'")

    assert told(tmp_path, policy(*rules)) == [("SW185", 6), ("SW185", 7)]
    assert told(tmp_path, policy(*rules, stages="[consume]")) == []


@pytest.mark.parametrize(
    ("pattern", "loose"),
    [
        ("[0-9]{4}", True),
        ("^[0-9]{4}$", False),
        ("^[0-9]{4}", False),
        ("[0-9]{4}$", False),
        (".*abc", False),
        ("(?i)^abc$", False),
        ("(?i)abc", True),
        ("abc\\\\$", True),
        ("^a|b$", True),
        ("^(a|b)$", False),
        ("^[a|b]$", False),
        ("^a\\\\|b$", False),
        ("\\\\Aabc\\\\z", False),
        ("^a$|^b$", False),
        ("^a$|b$", False),
        ("^a$|b", True),
        ("^a|b", True),
        ("(^a$)", False),
        ("((?:^)(a)$)", False),
        ("(^a|^b)", False),
        ("(^a|b)", True),
        ("(^a)?b", True),
        ("(?:^a)+b", False),
        ("(.*a|^b)", False),
        (".+a", False),
        ("[\\\\s\\\\S]*a", False),
        ("\\\\bab", True),
        ("a{2,}", True),
        ("(?m)^a$", True),
        ("(?m:^a$)", True),
        ("(?m)\\\\Aa\\\\z", False),
        ("(?m:^a$)|^b$", True),
        ("(?i-m)^a$", False),
        ("(?P<x>^a)", False),
        ("[[:alpha:]^]a", True),
        ("[]|^]a", True),
        ("\\\\Q^a$\\\\E", True),
        ("^\\\\Qa|b\\\\E", False),
        ("\\\\x{5e}a", True),
        ("", False),
    ],
)
def test_patterns_without_anchors(tmp_path: Path, pattern: str, loose: bool) -> None:
    """They match in the middle of a text; a choice outside of groups takes the anchors with it."""
    found = told(tmp_path, policy(f"effect: warn, when: 'value.a.matches(\"{pattern}\")'"))

    assert found == ([("SW186", 6)] if loose else [])


@pytest.mark.parametrize(
    ("pattern", "message", "written"),
    [
        ("a", "matches anywhere in the text", "^(?:a)$"),
        ("^a|b$", "`^` and `$` belong to some of the alternatives only", "^(?:a|b)$"),
        ("(?i)(a|b$)", "`$` belongs to some of the alternatives only", "(?i)^(?:(a|b))$"),
        ("(?im)^a$", "`^` and `$` stand for lines of the text, because of `(?m)`", "(?i)^(?:a)$"),
    ],
)
def test_a_loose_pattern_is_told_with_an_anchored_one(
    tmp_path: Path, pattern: str, message: str, written: str
) -> None:
    """In which the signs hold for all alternatives, and for the text."""
    (found,) = advice(tmp_path, policy(f"effect: warn, when: 'value.a.matches(\"{pattern}\")'"))

    assert message in found.message
    assert f"write `{written}`" in found.remedy
    (tmp_path / "0.yaml").unlink()
    assert advice(tmp_path, policy(f"effect: warn, when: 'value.a.matches(\"{written}\")'")) == []


def test_structured_patterns_are_looked_at_too(tmp_path: Path) -> None:
    """At their place."""
    rule = "effect: warn, when: [{field: value.a, operator: regex, value: '[0-9]{4}'}]"

    (found,) = advice(tmp_path, policy(rule))

    assert (found.code, found.location.line) == ("SW186", 6)
    assert "write `^(?:[0-9]{4})$`" in found.remedy


def test_missing_words(tmp_path: Path) -> None:
    """A reason and a severity; exemptions and rules that are off need none."""
    text = policy("effect: warn, reason: x, severity: low, when: value.a == 9").replace(
        ", reason: x, severity: low", ""
    )
    off = "  - {id: off, effect: hold, mode: off}\n  - {id: e, exempts: [r0]}\n"

    assert told(tmp_path, text + off) == [("SW172", 6), ("SW173", 6)]


def test_missing_words_are_told_once_a_policy(tmp_path: Path) -> None:
    """At the first rule that lacks them, with the names of the others."""
    plain = "effect: warn, when: value.a == 9"
    text = policy(*(f"{plain.replace('9', str(n))}" for n in range(7)))
    for words in (", reason: x", ", severity: low"):
        text = text.replace(words, "")

    found = [each for each in advice(tmp_path, text) if each.code in ("SW172", "SW173")]

    assert [(each.code, each.location.line) for each in found] == [("SW172", 6), ("SW173", 6)]
    assert found[0].message == "the rules `r0`, `r1`, `r2`, `r3`, `r4` and 2 more give no reason"
    assert found[1].message.endswith("`r4` and 2 more have no severity")


def test_topics_that_no_policy_covers(tmp_path: Path) -> None:
    """Of the bundle document, and those asked for; parking topics need no policy."""
    bundle = (
        "bundle: b\ntopics: {t: {value: json}, u: {value: json}, 'x*': {value: json},\n"
        "  quarantine.t: {value: json}}\nguarded_from: {v: 2026-01-01}\n"
    )

    found = advice(
        tmp_path, policy("effect: warn, when: value.a"), topics=["t", "tt"], bundle=bundle
    )

    places = [(p.code, p.location.line, p.message.split("`")[1]) for p in found]
    assert sorted(places) == [("SW187", 1, "tt"), ("SW187", 2, "u"), ("SW187", 4, "v")]


def test_rules_against_the_schema_of_their_topic(tmp_path: Path) -> None:
    """As warnings, since the policy has not named it."""
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    fields = [{"name": "a", "type": "long"}, {"name": "b", "type": ["null", "long"]}]
    written = {"type": "record", "name": "T", "fields": fields}
    (schemas / "t-value.avsc").write_text(json.dumps(written))
    policies = tmp_path / "policies"
    policies.mkdir()
    rules = ("effect: warn, when: value.c > 1", "effect: warn, when: value.b > 1")
    (policies / "p.yaml").write_text(policy(*rules))
    types = SchemaTypes(DirectorySource(schemas))

    bundle, problems = read_directories(
        policies, value_types=types.value_type, advisers=[adviser()]
    )

    assert bundle is not None
    assert [(p.code, p.severity) for p in problems] == [("SW125", "warning"), ("SW132", "warning")]
    assert problems[0].message.startswith("by the schema of the topic `t`: ")
