"""A rule that could not be evaluated does not state its own reason as if it were true."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streamwarden.policy.decision import Decision
from streamwarden.policy.guard import Guard
from streamwarden.policy.parking import parse_parked

FAILED = "the rule could not be evaluated: no such key: `mg`"
VALUE = b'{"drug": "morphine", "secret": "s3cr3t"}'


def guard_of(folder: Path, *rules: str) -> Guard:
    """A guard with `rules` on topic `doses`."""
    listed = "".join(f"  - {rule}\n" for rule in rules)
    (folder / "p.yaml").write_text(
        "policy: formulary\nowner: pharmacy\ntopics: [doses]\nsensitive: [value.secret]\n"
        f"rules:\n{listed}"
    )
    return Guard.from_directory(folder)


def decide(folder: Path, *rules: str) -> Decision:
    """The decision on an event without `mg`."""
    return guard_of(folder, *rules).decide(topic="doses", value=VALUE)


OVER = (
    "{id: over, when: value.mg > 10, effect: reject,"
    ' reason: "{value.mg} mg of {value.drug} exceeds the formulary"}'
)
KNOWN = '{id: known, when: has(value.drug), effect: reject, reason: "{value.drug} is watched"}'


def test_the_reason_of_a_failed_rule_says_that_it_failed(tmp_path: Path) -> None:
    """In the line, in the match and in JSON, with the rule's id; it is never said to be true."""
    decision = decide(tmp_path, OVER)

    assert decision.reasons() == f"formulary/over: {FAILED}"
    (match,) = decision.matches
    assert (match.reason, match.error) == (FAILED, "no such key: `mg`")
    assert msgspec.json.decode(decision.to_json()) == decision.to_dict()
    assert b"formulary/over" not in decision.to_json()
    assert b"exceeds" not in decision.to_json()


def test_a_parked_record_says_that_the_rule_failed(tmp_path: Path) -> None:
    """Its error header is what people see in the list of the quarantine."""
    (record,) = guard_of(tmp_path, OVER).route(topic="doses", value=VALUE).records

    parked = parse_parked(record.headers)

    assert parked is not None
    assert parked.message == f"formulary/over: {FAILED}"


def test_rules_that_are_true_keep_their_reasons_beside_one_that_failed(tmp_path: Path) -> None:
    """The same rule says the one or the other, by what happened to it."""
    decision = decide(tmp_path, OVER, KNOWN)

    assert decision.reasons() == f"formulary/over: {FAILED}, formulary/known: morphine is watched"
    fine = guard_of(tmp_path, OVER).decide(topic="doses", value=b'{"mg": 12, "drug": "x"}')
    assert fine.reasons() == "formulary/over: 12 mg of x exceeds the formulary"


def test_a_skipped_rule_and_an_exemption_that_failed_say_so_too(tmp_path: Path) -> None:
    """They do not count; what the match says is true all the same."""
    lifting = '{id: lifts, when: value.mg < 1, exempts: [known], reason: "a small dose"}'
    skipped = OVER.replace("effect: reject", "effect: reject, on_error: skip")

    decision = decide(tmp_path, skipped, KNOWN, lifting)

    said = {match.rule: match.reason for match in decision.matches}
    assert said == {"over": FAILED, "known": "morphine is watched", "lifts": FAILED}
    assert decision.reasons() == "formulary/known: morphine is watched"


def test_the_reason_of_a_failed_rule_holds_nothing_else_of_the_event(tmp_path: Path) -> None:
    """But a key that was looked up; and it stays within its bounds."""
    reading = "{id: reads, when: int(value.secret) > 3, effect: reject}"
    long_name = f"{{id: long, when: 'value[\"{'n' * 900}\"] > 1', effect: reject}}"

    decision = decide(tmp_path, reading, long_name)

    assert "s3cr3t" not in decision.reasons()
    assert "formulary/reads: the rule could not be evaluated: " in decision.reasons()
    assert max(len(match.reason) for match in decision.matches) <= 300
    assert len(decision.reasons()) <= 400


def failed(folder: Path, when: str, value: bytes = VALUE) -> tuple[str, str]:
    """What is said to be wrong with the condition: in the reason, and in its trail."""
    (folder / "bundle.yaml").write_text("bundle: b\nlists: {formulary: formulary.csv}\n")
    (folder / "formulary.csv").write_text("drug,max_mg\naspirin,500\n")
    guard = guard_of(folder, f"{{id: r, when: '{when}', effect: reject}}")
    decision = guard.decide(topic="doses", value=value)
    (match,) = decision.matches
    assert match.why is not None
    assert msgspec.json.decode(decision.to_json()) == decision.to_dict()
    return match.reason.removeprefix("the rule could not be evaluated: "), match.why["error"]


def test_a_lookup_that_failed_says_which_key_is_missing(tmp_path: Path) -> None:
    """Also a position in a list, and a key that is computed."""
    by_drug = "double(lists.formulary[value.drug].max_mg) < 3.0"
    by_letters = 'lists.formulary[value.drug + "?"].max_mg == "3"'
    by_position = "[1, 2][size(value.drug)] == 1"

    assert failed(tmp_path, by_drug) == ("no such key: `morphine`",) * 2
    assert failed(tmp_path, by_letters) == ("no such key: `morphine?`",) * 2
    assert failed(tmp_path, by_position) == ("the list has no such position: `8`",) * 2


def test_a_missing_key_that_is_sensitive_is_not_said(tmp_path: Path) -> None:
    """Nor one that is derived from what is, or that each element has another of."""
    hidden = "no such key: the one in `value.secret`"
    derived = "no such key: the one in `value.secret + value.drug`"
    each = "no such key: the one in `d`"
    listed = b'{"secret": "s3cr3t", "drug": "x", "drugs": ["morphine"]}'

    assert failed(tmp_path, 'lists.formulary[value.secret].max_mg == "1"') == (hidden,) * 2
    assert failed(tmp_path, "{}[value.secret + value.drug] == 1") == (derived,) * 2
    looped = 'value.drugs.all(d, lists.formulary[d].max_mg == "1")'
    assert failed(tmp_path, looped, listed) == (each,) * 2


def test_a_missing_key_can_neither_break_the_line_nor_fill_it(tmp_path: Path) -> None:
    """It is text of the event."""
    value = msgspec.json.encode({"drug": "a\n\x1b[31m" + "x" * 900})

    reason, error = failed(tmp_path, 'lists.formulary[value.drug].max_mg == "1"', value)

    assert reason == error
    assert error.startswith(r"no such key: `a\n\x1b[31mxxx")
    assert len(error) < 260
