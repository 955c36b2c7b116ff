"""Cases of tests documents: each difference is told, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.policy.keys import KeyRing
from streamwarden.policy.loader import load_directories
from streamwarden.policy.testing import CaseResult, run_cases

NOW = 1_767_225_600_000_000_000  # 2026-01-01

POLICIES = """
policy: p
owner: o
topics: [t]
effective: {from: 2025-01-01}
rules:
  - id: over
    when: value.amount > 100
    effect: hold
  - id: card
    when: has(value.card)
    effect: mask
    mask: [{field: value.card, with: last4}]
  - id: fail
    when: value.missing == 1 && has(value.missing_too)
    on_error: skip
    effect: reject
  - id: shy
    when: value.amount > 10
    effect: reject
    mode: shadow
  - id: off-duty
    when: has(facts.vip)
    exempts: [over]
"""


def results(folder: Path, *cases: str, bundle: str = "", **policies: str) -> list[CaseResult]:
    (folder / "p.yaml").write_text(POLICIES)
    for name, text in policies.items():
        (folder / f"{name}.yaml").write_text(text)
    if bundle:
        (folder / "bundle.yaml").write_text(bundle)
    listed = "\n".join(f"  - {case}" for case in cases)
    (folder / "cases.yaml").write_text(f"tests: p\ncases:\n{listed}\n")
    return list(run_cases(load_directories([folder]), clock=lambda: NOW))


def failures(folder: Path, case: str) -> tuple[str, ...]:
    (result,) = results(folder, case)
    return result.failures


@pytest.mark.parametrize(
    "case",
    [
        "{topic: t, value: {amount: 200}, expect: {effect: hold, rules: [over]}}",
        "{topic: t, value: {amount: 200}, expect: {effect: hold, rules: [p/over]}}",
        (
            "{topic: t, value: {amount: 200}, facts: {vip: true}, expect: {effect: allow, rules: [], "
            "exempted: [over]}}"
        ),
        (
            "{topic: t, value: {amount: 1}, expect: {effect: allow, rules: [], "
            "exempted: [], errors: []}}"
        ),
        (
            '{topic: t, value: {amount: 1, card: "12345678"}, expect: {effect: mask, '
            'value: {card: "****5678", amount: 1}}}'
        ),
        ("{topic: t, value: {amount: 1, missing_too: 1}, expect: {effect: allow, errors: [fail]}}"),
        "{topic: other, value: {amount: 200}, expect: {effect: none}}",
        "{topic: t, value: {amount: 20}, expect: {effect: allow, shadow: [shy]}}",
        "{topic: t, value: {amount: 200}, expect: {effect: hold, reason: amount > 100}}",
        "{topic: t, now: 2024-12-31, value: {amount: 200}, expect: {effect: none}}",
        "{topic: t, expect: {effect: allow}}",
    ],
)
def test_what_is_as_expected_passes(tmp_path: Path, case: str) -> None:
    """Rules in any order, by id or by `policy/rule`; what is not expected is not looked at."""
    assert failures(tmp_path, case) == ()


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (
            "{topic: t, value: {amount: 200}, expect: {effect: allow}}",
            ("the effect is hold, not allow: p/over: value.amount > 100",),
        ),
        (
            "{topic: t, value: {amount: 200}, expect: {effect: hold, rules: []}}",
            ("the rule `p/over` counts, which was not expected",),
        ),
        (
            "{topic: t, value: {amount: 1}, expect: {effect: allow, rules: [over]}}",
            ("no rule `over` counts",),
        ),
        (
            "{topic: t, value: {amount: 200}, facts: {vip: true}, expect: {effect: allow, rules: [over]}}",
            ("no rule `over` counts: it fired and was lifted by `p/off-duty`",),
        ),
        (
            "{topic: t, value: {amount: 20}, expect: {effect: allow, rules: [shy]}}",
            ("no rule `shy` counts: it fired in shadow mode",),
        ),
        (
            (
                '{topic: t, value: {amount: 1, card: "12345678"}, expect: {effect: mask, '
                'value: {amount: 1, card: "12345678", x: 1}}}'
            ),
            (
                (
                    'the value is another one: value.card is "****5678", not "12345678"; '
                    "value.x is missing, not 1"
                ),
            ),
        ),
        (
            "{topic: t, value: {amount: 1}, expect: {effect: allow, shadow: [shy], reason: x}}",
            ("no rule `shy` fired in shadow mode", "no reason contains `x`: none"),
        ),
    ],
)
def test_each_difference_is_told(tmp_path: Path, case: str, said: tuple[str, ...]) -> None:
    """With both sides: they are the data of the test."""
    assert failures(tmp_path, case) == said


def test_the_mode_of_the_bundle_does_not_count(tmp_path: Path) -> None:
    """Tests say what policies do once it is enforced."""
    (result,) = results(
        tmp_path,
        "{topic: t, value: {amount: 200}, expect: {effect: hold}}",
        bundle="bundle: b\nmode: shadow\n",
    )

    assert result.passed


def test_formats_of_topics_are_kept(tmp_path: Path) -> None:
    """A text of a text topic is sent as it is; a case for Avro says what it lacks."""
    text, avro = results(
        tmp_path,
        "{topic: plain, value: hello, expect: {effect: warn, value: hello}}",
        "{topic: packed, value: {a: 1}, expect: {effect: warn}}",
        bundle="bundle: b\ntopics: {plain: {value: text}, packed: {value: avro}}\n",
        other="policy: q\nowner: o\ntopics: [plain, packed]\nrules:\n"
        "  - {id: r, when: 'value == \"hello\"', effect: warn}\n",
    )

    assert text.passed
    assert avro.failures == ("there is no schema for the subject `packed-value`; give --schemas",)
    assert avro.decision is None


def test_the_client_is_what_the_case_says(tmp_path: Path) -> None:
    """Each case has its own."""
    one, other = results(
        tmp_path,
        "{topic: c, client: checkout, labels: {env: prod}, value: {}, expect: {effect: reject}}",
        "{topic: c, client: other, value: {}, expect: {effect: allow}}",
        other="policy: q\nowner: o\ntopics: [c]\nrules:\n"
        '  - {id: r, when: \'client.id == "checkout" && client.labels.env == "prod"\', '
        "effect: reject}\n",
    )

    assert one.passed
    assert other.passed


def test_hash_masks_are_made_with_the_keys_given(tmp_path: Path) -> None:
    """Without any, with a key that is thrown away: the case can still be tried."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n"
        "  - {id: r, effect: mask, mask: [{field: value.a, with: hash}]}\n"
    )
    (tmp_path / "cases.yaml").write_text(
        "tests: p\ncases:\n  - {topic: t, value: {a: x}, expect: {effect: mask}}\n"
    )
    bundle, keys = load_directories([tmp_path]), KeyRing({"k1": b"0123456789abcdef"})

    (without,) = run_cases(bundle, clock=lambda: NOW)
    (given,) = run_cases(bundle, clock=lambda: NOW, mask_keys=keys)

    assert without.passed
    assert given.decision is not None
    assert b"h:k1:" in (given.decision.masked_value or b"")


@pytest.mark.parametrize(
    ("case", "doubts"),
    [
        (
            "{topic: t, value: {}, expect: {effect: hold}}",
            ("rule `p/over` could not be evaluated: no such key: `amount`",),
        ),
        ("{topic: t, value: {}, expect: {effect: hold, rules: [over], errors: [over, shy]}}", ()),
        ("{topic: t, value: {amount: 200}, expect: {effect: hold}}", ()),
        # Skipped, in shadow, or lifted: it does not count, and nothing passed by it.
        ("{topic: t, value: {amount: 1, missing_too: 1}, expect: {effect: allow}}", ()),
        ("{topic: t, value: {}, facts: {vip: true}, expect: {effect: allow}}", ()),
    ],
)
def test_a_case_that_passes_by_a_rule_that_failed_says_so(
    tmp_path: Path, case: str, doubts: tuple[str, ...]
) -> None:
    """Unless it expects the error."""
    (result,) = results(tmp_path, case)

    assert result.passed
    assert result.doubts == doubts


def test_a_case_that_fails_has_no_doubts_besides(tmp_path: Path) -> None:
    """Its differences say what happened."""
    (result,) = results(tmp_path, "{topic: t, value: {}, expect: {effect: allow}}")

    assert not result.passed
    assert result.doubts == ()
