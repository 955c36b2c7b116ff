"""Stamps of received events: verified, warned about or required; trusted or refused when stale."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import ConfigurationError
from streamwarden.metrics import GuardCollector
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.decision import Decision
from streamwarden.policy.guard import Guard
from streamwarden.policy.keys import KeyRing
from streamwarden.policy.model import Effect
from streamwarden.policy.stamp import sign
from streamwarden.schemas.event import Headers
from tests.guards import BAD, CARD, CLEAN, LARGE, event, guard_for

OLD, NEW = {"2025": b"o" * 32}, {"2026": b"n" * 32}


def bundle(folder: Path, number: int, text: str = "") -> Bundle:
    """The policy of `tests.guards` as a published version."""
    return guard_for(folder / f"b{number}{len(text)}", "payments", bundle=text).bundle.with_number(
        number
    )


def lenient(folder: Path, number: int) -> Bundle:
    """An earlier version, which let everything pass."""
    path = folder / f"lenient{number}"
    path.mkdir()
    (path / "p.yaml").write_text(
        "policy: limits\nowner: o\ntopics: [payments]\n"
        "rules: [{id: never, when: value.never == 1, effect: reject, on_error: skip}]\n"
    )
    (path / "b.yaml").write_text("bundle: limits\n")
    return Guard.from_directory(path).bundle.with_number(number)


def stamped(by: Bundle, value: bytes, keys: Any = None, **settings: Any) -> Headers:
    """The headers of `value` as a guard by that version publishes it."""
    guard = Guard(by, stamp_keys=keys, **settings)
    return guard.route(topic="payments", value=value, key=b"k").records[0].headers


def receive(guard: Guard, value: bytes, headers: Headers, **options: Any) -> Decision:
    return guard.decide(
        topic="payments", value=value, key=b"k", headers=headers, stage="consume", **options
    )


def rules(decision: Decision) -> list[str]:
    return [match.rule for match in decision.matches if match.counts]


def test_stamps_are_neither_read_nor_trusted_by_default(tmp_path: Path) -> None:
    """Whatever stands there, today's policy decides."""
    v1 = bundle(tmp_path, 1)
    guard = Guard(v1, stamp_keys=OLD)

    for headers in ([], [("streamwarden", b"junk")], stamped(v1, CLEAN, NEW)):
        assert receive(guard, CLEAN, headers).effect is Effect.ALLOW
        assert receive(guard, BAD, headers).effect is Effect.REJECT
    assert not guard.counters


@pytest.mark.parametrize("keys", [OLD, NEW, {**NEW, **OLD}])
def test_keys_rotate_by_id(tmp_path: Path, keys: dict[str, bytes]) -> None:
    """A consumer that knows both accepts what either signed; the first of a ring signs."""
    v1 = bundle(tmp_path, 1)
    guard = Guard(v1, stamp_keys={**NEW, **OLD}, verify_stamps="require")

    assert receive(guard, CLEAN, stamped(v1, CLEAN, keys)).effect is Effect.ALLOW
    assert not guard.counters


def test_require_quarantines_what_cannot_be_verified_and_says_why(tmp_path: Path) -> None:
    """No rule is asked about it; each finding is counted by its name."""
    v1 = bundle(tmp_path, 1)
    guard = Guard(v1, stamp_keys=NEW, verify_stamps="require")
    good = [*stamped(v1, CLEAN, NEW)]
    cases: dict[str, tuple[bytes, Headers, str]] = {
        "missing": (CLEAN, [("h", b"1")], "it has no stamp"),
        "doubled": (CLEAN, good * 2, "it has more than one stamp"),
        "malformed": (CLEAN, [("streamwarden", b"1;x")], "its stamp cannot be read"),
        "unsigned": (CLEAN, stamped(v1, CLEAN), "its stamp is not signed"),
        "unknown_key": (CLEAN, stamped(v1, CLEAN, OLD), "with a key that is not known here"),
        "invalid": (event(amount=11), good, "its stamp was signed for another record"),
    }

    for finding, (value, headers, why) in cases.items():
        decision = receive(guard, value, headers)
        assert decision.effect is Effect.REJECT
        assert rules(decision) == ["unverified-stamp"]
        assert why in decision.reasons()
        assert guard.counters[f"stamps/{finding}"] == 1
    assert receive(guard, CLEAN, good).effect is Effect.ALLOW
    assert set(guard.counters) == {f"stamps/{finding}" for finding in cases}


@pytest.mark.parametrize("key", [b"other", None])
def test_a_signature_binds_topic_and_key(tmp_path: Path, key: bytes | None) -> None:
    """A stamp that was copied to another record is none."""
    v1 = bundle(tmp_path, 1)
    guard = Guard(v1, stamp_keys=NEW, verify_stamps="require")
    headers = stamped(v1, CLEAN, NEW)

    for topic, its in (("payments", key), ("other", b"k")):
        decision = guard.decide(topic=topic, value=CLEAN, key=its, headers=headers, stage="consume")
        assert rules(decision) == ["unverified-stamp"]


def test_warn_only_tells_and_not_too_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them are counted, and policy decides as ever."""
    guard = Guard(bundle(tmp_path, 1), stamp_keys=NEW, verify_stamps="warn")
    evaluate = guard.evaluator("consume")
    decided = guard.decide(topic="payments", value=BAD).event

    with caplog.at_level(logging.WARNING, "streamwarden"):
        decisions = [evaluate(decided, "consume") for _ in range(100)]

    assert {tuple(rules(decision)) for decision in decisions} == {("currency-known",)}
    assert guard.counters["stamps/missing"] == 100
    assert [r.message for r in caplog.records] == ["an event of payments: it has no stamp"]
    shown = {
        sample.labels["finding"]: sample.value
        for metric in GuardCollector().collect()
        for sample in metric.samples
        if sample.name == "streamwarden_stamps_total"
    }
    assert shown["missing"] >= 100


def test_what_is_published_is_not_looked_at(tmp_path: Path) -> None:
    """An incoming stamp is replaced there, whatever it says."""
    guard = Guard(bundle(tmp_path, 1), stamp_keys=NEW, verify_stamps="require")

    assert guard.decide(topic="payments", value=CLEAN).effect is Effect.ALLOW


def test_a_guard_in_shadow_mode_refuses_nothing(tmp_path: Path) -> None:
    """It counts what it would have found."""
    guard = Guard(bundle(tmp_path, 1), stamp_keys=NEW, verify_stamps="require", mode="shadow")

    assert receive(guard, CLEAN, []).passes
    assert guard.counters["stamps/missing"] == 1


@pytest.mark.parametrize(
    "settings", [{"verify_stamps": "warn"}, {"verify_stamps": "require"}, {"stale_stamp": "trust"}]
)
def test_stamps_cannot_be_verified_without_a_key(settings: dict[str, Any]) -> None:
    """Said at the start."""
    with pytest.raises(ConfigurationError, match="has no stamp key; give `stamp_keys`"):
        Guard(**settings)


def test_a_stale_event_is_judged_by_todays_policy_by_default(tmp_path: Path) -> None:
    """Also where its stamp is signed."""
    guard = Guard(bundle(tmp_path, 9), stamp_keys=NEW)

    assert rules(receive(guard, BAD, stamped(lenient(tmp_path, 1), BAD, NEW))) == ["currency-known"]


def test_a_trusted_stale_stamp_lets_pass_what_passed_then(tmp_path: Path) -> None:
    """What refuses today is recorded as lifted; what masks today is masked all the same."""
    old = lenient(tmp_path, 8)
    guard = Guard(bundle(tmp_path, 9), stamp_keys=NEW, stale_stamp="trust")
    both = event(currency="XXX", card="4111111111111111")

    bad = receive(guard, BAD, stamped(old, BAD, NEW))
    masked = receive(guard, both, stamped(old, both, NEW))

    assert (bad.effect, bad.passes) == (Effect.ALLOW, True)
    assert [(m.rule, m.exempted_by) for m in bad.matches] == [("currency-known", "stamp/limits@8")]
    assert masked.effect is Effect.MASK
    assert b"4111111111111111" not in (masked.masked_value or b"4111111111111111")
    assert guard.counters["stamps/trusted"] == 2
    assert receive(guard, CLEAN, stamped(old, CLEAN, NEW)).clear
    assert receive(guard, CARD, stamped(old, CARD, NEW)).effect is Effect.MASK


def test_only_a_signed_stale_stamp_is_trusted(tmp_path: Path) -> None:
    """Not an unsigned one, not one of today's version, not one that says it was refused."""
    old, v9 = lenient(tmp_path, 8), bundle(tmp_path, 9)
    guard = Guard(v9, stamp_keys=NEW, stale_stamp="trust")
    refused = Guard(v9.with_number(8), stamp_keys=NEW)
    said_no = refused.table.plan("payments", "produce", 0).stamp(Effect.REJECT)

    for headers in (
        [],
        stamped(old, BAD),
        stamped(old, BAD, OLD),
        stamped(old, CLEAN, NEW),
        stamped(lenient(tmp_path, 9), BAD, NEW),
        said_no.headers(),
    ):
        assert rules(receive(guard, BAD, headers)) == ["currency-known"]
    assert guard.counters["stamps/trusted"] == 0


def test_a_stale_stamp_is_not_trusted_where_a_rule_reads_headers(tmp_path: Path) -> None:
    """A signature does not cover them; the bundle is refused, and the one before it stays."""
    (tmp_path / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [payments]\n"
        "rules:\n  - id: source\n    when: headers.source == 'x'\n    effect: reject\n"
    )
    reads = Guard.from_directory(tmp_path).bundle
    guard = Guard(bundle(tmp_path, 1), stamp_keys=NEW, stale_stamp="trust")

    with pytest.raises(ConfigurationError, match="rule `p/source` reads headers"):
        guard.swap(reads)

    assert guard.bundle.number == 1


@pytest.mark.parametrize(
    ("settings", "stale"),
    [
        ({}, [1, 7, 8]),
        ({"stale_stamp_versions": 2}, [1, 7]),
        ({"stale_stamp_versions": 8}, [1]),
        ({"stale_stamp_age_s": 3600}, [1]),
        ({"stale_stamp_versions": 2, "stale_stamp_age_s": 3600}, [1, 7]),
    ],
)
def test_quarantine_refuses_stale_events_from_a_number_of_versions_or_an_age_on(
    tmp_path: Path, settings: dict[str, Any], stale: list[int]
) -> None:
    """Versions 1, 7, 8, 9 and 10 before today's 9; the first one two hours ago."""
    v9 = bundle(tmp_path, 9)
    now = 1_800_000_000_000
    guard = Guard(v9, stale_stamp="quarantine", clock=lambda: now * 1_000_000, **settings)
    found: list[int] = []

    for number in (1, 7, 8, 9, 10):
        at = now - (7_200_000 if number == 1 else 0)
        headers = stamped(v9.with_number(number), CLEAN)
        decision = receive(guard, CLEAN, headers, timestamp=at)
        if not decision.passes:
            assert rules(decision) == ["stale-stamp"]
            found.append(number)
    assert found == stale


def test_the_age_of_an_event_is_that_of_its_decision(tmp_path: Path) -> None:
    """As its stamp says, where the record has a timestamp of its own."""
    v9, now = bundle(tmp_path, 9), 1_800_000_000_000
    settings: dict[str, Any] = {"clock": lambda: now * 1_000_000, "stale_stamp_age_s": 3600}
    guard = Guard(v9, stale_stamp="quarantine", **settings)
    (name, stamp), *_ = stamped(v9.with_number(8), CLEAN)
    assert stamp is not None

    for at, passes in ((now - 3_599_000, True), (now - 3_600_000, False)):
        headers: Headers = [(name, stamp + f";at={at}".encode())]
        assert receive(guard, CLEAN, headers, timestamp=0).passes is passes


def test_the_reason_of_a_stale_event_names_both_versions(tmp_path: Path) -> None:
    """And stamps of other bundles, or of none, are not stale."""
    v9 = bundle(tmp_path, 9)
    guard = Guard(v9, stale_stamp="quarantine")

    decision = receive(guard, LARGE, stamped(v9.with_number(7), CLEAN))

    assert "stamped by limits@7, 2 versions before limits@9" in decision.reasons()
    assert decision.to_dict()["matches"][0]["rule"] == "stale-stamp"
    other = stamped(bundle(tmp_path, 1), CLEAN)
    assert other[0][1] is not None
    renamed: Headers = [("streamwarden", other[0][1].replace(b"limits", b"others"))]
    assert receive(guard, CLEAN, renamed).passes
    assert receive(guard, CLEAN, []).passes
    assert receive(guard, CLEAN, [("streamwarden", b"junk")]).passes


def test_a_decision_about_a_stamp_is_logged_and_counted(tmp_path: Path) -> None:
    """As those of rules are."""
    log = tmp_path / "decisions.jsonl"
    v9 = bundle(tmp_path, 9)
    with Guard(v9, stale_stamp="quarantine", decision_log=f"file:{log}") as guard:
        receive(guard, CLEAN, stamped(v9.with_number(7), CLEAN))
        tally = guard.table.plan("payments", "consume", guard.now()).tally

    assert tally.other == {Effect.REJECT: 1}
    assert log.read_text().count("stale-stamp") == 1


def approved(by: Bundle, value: bytes, keys: dict[str, bytes] | None) -> Headers:
    """The headers of a held event that people have released."""
    plan = Guard(by).plan("payments", "produce", 0)
    stamp = replace(plan.stamp(Effect.HOLD, at=1), ap="d9ac-1")
    if keys is not None:
        stamp = sign(stamp, KeyRing.load(keys), "payments", b"k", value)
    return stamp.headers(expanded=False)


def test_what_people_approved_is_not_held_again(tmp_path: Path) -> None:
    """A signed approval lifts what holds the event; it stays recorded, with whose word it was."""
    v1 = bundle(tmp_path, 1)
    guard = Guard(v1, stamp_keys=OLD)

    decision = receive(guard, LARGE, approved(v1, LARGE, OLD))

    assert receive(guard, LARGE, []).effect is Effect.HOLD
    assert decision.effect is Effect.ALLOW
    assert [m.exempted_by for m in decision.matches] == ["approval/d9ac-1"]
    assert guard.counters == {"stamps/approved": 1}


def test_only_a_signed_approval_of_that_very_event_counts(tmp_path: Path) -> None:
    """Unsigned, signed with another key or for another value: held like any other event."""
    v1 = bundle(tmp_path, 1)
    guard, keyless = Guard(v1, stamp_keys=OLD), Guard(v1)

    for headers in (approved(v1, LARGE, None), approved(v1, LARGE, NEW), approved(v1, BAD, OLD)):
        assert receive(guard, LARGE, headers).effect is Effect.HOLD
    assert receive(keyless, LARGE, approved(v1, LARGE, OLD)).effect is Effect.HOLD


def test_an_approval_does_not_lift_a_rejection(tmp_path: Path) -> None:
    """People agree to what waits for people."""
    v1 = bundle(tmp_path, 1)
    guard = Guard(v1, stamp_keys=OLD)

    assert receive(guard, BAD, approved(v1, BAD, OLD)).effect is Effect.REJECT


def test_an_approval_lifts_what_the_hold_had_beaten(tmp_path: Path) -> None:
    """Where a hold comes before a rejection, people have overruled both."""
    (tmp_path / "p.yaml").write_text(
        "policy: limits\nowner: o\ntopics: [payments]\n"
        "rules: [{id: hold, effect: hold}, {id: reject, effect: reject}]\n"
    )
    (tmp_path / "b.yaml").write_text("bundle: limits\nresolution: approval_first\n")
    v1 = Guard.from_directory(tmp_path).bundle.with_number(1)
    guard = Guard(v1, stamp_keys=OLD)

    decision = receive(guard, CLEAN, approved(v1, CLEAN, OLD))

    assert receive(guard, CLEAN, []).effect is Effect.HOLD
    assert decision.effect is Effect.ALLOW
    assert [m.exempted_by for m in decision.matches] == ["approval/d9ac-1"] * 2
