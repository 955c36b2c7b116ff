"""The table of kinds, row by row: which events of history are findings, and which never are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.keys import KeyRing
from streamwarden.policy.stamp import Stamp, sign
from streamwarden.reconciler.judge import Terms
from streamwarden.schemas.event import Record

from .histories import NOON, Past, as_bytes, make_bundle, policy

_DAY = 86_400 * 10**9
_KEYS = KeyRing.load({"k1": b"0123456789abcdef"})

OVER_50 = "{id: over, when: value.amount > 50, effect: reject}"
OVER_10 = "{id: over, when: value.amount > 10, effect: reject}"
HOLD_10 = "{id: over, when: value.amount > 10, effect: hold}"
WARN_10 = "{id: over, when: value.amount > 10, effect: warn}"
MASK = "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: last4}]}"
MASK_MAIL = "{id: mail, effect: mask, mask: [{field: value.mail, with: redact}]}"
CARD = "4111111111111111"

V1 = make_bundle(policy(OVER_50), number=1)
V2 = make_bundle(policy(OVER_10), number=2)


def stamp_of(bundle: Any, effect: str, more: str = "") -> str:
    """A stamp as a guard writes it."""
    return f"1;{bundle.label};{bundle.digest[:12]};{effect};produce{more}"


# ---------------------------------------------------------------- nothing to find


def test_an_unchanged_policy_finds_nothing() -> None:
    """Allowed, warned, masked, held and rejected events under the policy of today."""
    rules = [
        "{id: r, when: value.amount > 90, effect: reject}",
        "{id: h, when: value.amount > 50, effect: hold}",
        "{id: w, when: value.amount > 10, effect: warn}",
        MASK,
    ]
    today = make_bundle(policy(*rules), number=1)
    past = Past(today)
    for amount in (1, 20, 60, 95):
        past.guarded(today, {"amount": amount})
        past.guarded(today, {"amount": amount, "card": CARD})
    past.guarded(today, None, key=b"k")
    past.guarded(today, b"\x00no json")

    assert {topic: len(log) for topic, log in past.topics.items()} == {
        "t": 5,
        "held.t": 2,
        "quarantine.t": 3,
    }
    assert past.kinds(today) == []
    assert past.kinds(today, store=False) == []


def test_allow_against_warn_is_no_drift() -> None:
    """A warning more or less changes nothing about an event."""
    warned = make_bundle(policy(WARN_10), number=2)
    past = Past(V1, warned)
    past.guarded(V1, {"amount": 20})
    past.guarded(warned, {"amount": 20})

    assert past.kinds(warned) == []
    assert past.kinds(V1) == []


# ---------------------------------------------------------------- now-*


@pytest.mark.parametrize(
    ("rule", "kind"), [(OVER_10, "now-rejected"), (HOLD_10, "now-held"), (MASK_MAIL, "now-masked")]
)
def test_todays_policy_says_otherwise(rule: str, kind: str) -> None:
    """What was let through and would be refused or masked today, with what changed."""
    today = make_bundle(policy(rule), number=2)
    past = Past(V1, today)
    past.guarded(V1, {"amount": 20})

    (found,) = past.findings(today)

    assert (found.kind, found.drift, found.offset) == (kind, kind, 0)
    assert found.stamped == {
        "bundle": "b@1",
        "digest": V1.digest[:12],
        "effect": "allow",
        "stage": "produce",
    }
    assert found.to_dict()["current"]["effect"] == kind.removeprefix("now-").replace(
        "rejected", "reject"
    ).replace("held", "hold").replace("masked", "mask")


def test_a_finding_says_what_changed() -> None:
    """The difference between the two versions of the rule that decides."""
    past = Past(V1, V2)
    past.guarded(V1, {"amount": 20})

    (found,) = past.findings(V2)

    assert (found.rules, found.change) == (("limits/over",), "over: 50 → 10")


def test_a_field_that_was_not_masked_then_is_now_masked() -> None:
    """Masking another field besides is drift; the same field by another mask is none."""
    then = make_bundle(policy(MASK), number=1)
    more = make_bundle(policy(MASK, MASK_MAIL), number=2)
    harder = make_bundle(policy(MASK.replace("last4", "redact")), number=3)
    past = Past(then, more, harder)
    past.guarded(then, {"card": CARD, "mail": "a@b.c"})
    past.guarded(then, {"card": CARD})

    assert [(f.offset, f.kind) for f in past.findings(more)] == [(0, "now-masked")]
    assert past.kinds(harder) == []


def test_a_masked_field_can_make_no_event_guilty() -> None:
    """What the mask hides is unknown: a rule that reads it decides nothing by the masked text."""
    then = make_bundle(policy(MASK), number=1)
    today = make_bundle(
        policy(
            MASK,
            "{id: test, when: 'has(value.card) && value.card.startsWith(\"4111\")', effect: reject}",
        ),
        number=2,
    )
    past = Past(then, today)
    past.guarded(then, {"card": CARD})
    past.guarded(then, {"other": 1})

    (found,) = past.findings(today)

    assert (found.kind, found.drift, found.offset) == ("undecidable", None, 0)
    assert found.detail == "hangs on masked fields"
    assert found.to_dict()["current"]["effect"] is None
    assert found.to_dict()["current"]["possible"] == ["mask", "reject"]


# ---------------------------------------------------------------- forged


@pytest.mark.parametrize(
    ("stamp", "why"),
    [
        ("1;b@1;nonsense", "the stamp does not have the form of format 1"),
        (f"1;b@1;{'0' * 12};allow;produce", "b@1 has another digest"),
        (f"1;b@9;{'0' * 12};allow;produce", "b@9 was never published"),
        (f"1;b@1;{V1.digest[:12]};maybe;produce", "the stamp names an unknown effect or stage"),
        (
            f"1;b@1;{V1.digest[:12]};allow;produce;id=a b",
            "the stamp does not have the form of format 1",
        ),
    ],
)
def test_a_stamp_that_no_guard_wrote_is_forged(stamp: str, why: str) -> None:
    """Malformed stamps, and versions that an authoritative store shows never to have existed."""
    past = Past(V1, V2)
    past.guarded(V1, {"amount": 1})
    past.bypass({"amount": 1}, stamp=stamp)
    past.bypass({"amount": 99}, stamp=stamp)

    found = past.findings(V2)

    assert [(f.kind, f.detail, f.drift) for f in found] == [
        ("forged", why, None),
        ("forged", why, "now-rejected"),
    ]


def test_what_stands_in_the_place_of_a_stamp_is_said() -> None:
    """Escaped and bounded; a stamp that can be read is `stamped`, as ever."""
    past = Past(V1)
    past.bypass({"amount": 1}, headers=[("streamwarden", b"1;\xff\x1b[31m" + b"x" * 999)])
    past.bypass({"amount": 1}, stamp="a", headers=[("streamwarden", b"b")])
    past.bypass({"amount": 1}, stamp=f"1;b@9;{'0' * 12};allow;produce")

    odd, doubled, readable = (each.to_dict() for each in past.findings(V1))

    assert odd["carried"].startswith(r"1;\xff\x1b[31mxxx")
    assert len(odd["carried"]) <= 200
    assert (odd["stamped"], doubled["stamped"]) == (None, None)
    assert doubled["carried"] in ("a and b", "b and a")
    assert "carried" not in readable
    assert readable["stamped"]["bundle"] == "b@9"


def test_a_doubled_stamp_is_forged() -> None:
    """A guard replaces an incoming stamp: two of them are no guard's work, even two honest ones."""
    past = Past(V1)
    stamp = stamp_of(V1, "allow")
    past.bypass({"amount": 1}, stamp=stamp, headers=[("streamwarden", stamp.encode())])

    assert past.kinds(V1) == ["forged"]


def test_an_empty_stamp_is_forged() -> None:
    """A stamp header without a value is malformed, not absent."""
    past = Past(V1)
    past.bypass({"amount": 1}, headers=[("streamwarden", None)])
    past.bypass({"amount": 1}, headers=[("streamwarden", b"")])

    assert past.kinds(V1) == ["forged", "forged"]


def test_signatures_are_verified_where_keys_are_given() -> None:
    """Missing, wrong and foreign macs are forged; those of guards are not."""
    past = Past(V1)
    value = as_bytes({"amount": 1})
    good = sign(Stamp.parse(stamp_of(V1, "allow").encode()), _KEYS, "t", None, value)
    other = KeyRing.load({"k2": b"fedcba9876543210"})
    foreign = sign(Stamp.parse(stamp_of(V1, "allow").encode()), other, "t", None, value)
    past.guarded(V1, {"amount": 1}, settings={"stamp_keys": {"k1": b"0123456789abcdef"}})
    past.bypass(value, stamp=good.encode().decode())
    past.bypass({"amount": 2}, stamp=good.encode().decode())
    past.bypass(value, stamp=foreign.encode().decode())
    past.guarded(V1, {"amount": 1})
    terms = Terms(now=NOON, stamp_keys=_KEYS)

    found = past.findings(V1, terms=terms)

    assert [(f.offset, f.kind, f.detail) for f in found] == [
        (2, "forged", "the mac does not fit"),
        (3, "forged", "the mac was made with an unknown key"),
        (4, "forged", "the stamp is not signed (if it is older than the keys, say `--mac-since`)"),
    ]
    assert past.kinds(V1) == []


def test_stamps_may_be_unsigned_before_a_date() -> None:
    """`mac_since` says from when signatures are asked for; a wrong one is wrong at any time."""
    past = Past(V1)
    past.guarded(V1, {"amount": 1}, at=NOON - _DAY)
    past.guarded(V1, {"amount": 1}, at=NOON)
    terms = Terms(now=NOON, stamp_keys=_KEYS, mac_since=NOON)

    found = past.findings(V1, terms=terms)

    assert [(f.offset, f.detail) for f in found] == [(1, "the stamp is not signed")]


# ---------------------------------------------------------------- misrecorded


def test_a_stamp_that_its_version_contradicts_is_misrecorded() -> None:
    """The version of the stamp, replayed, says something else; today's verdict stands beside."""
    past = Past(V1, V2)
    past.bypass({"amount": 99}, stamp=stamp_of(V1, "allow"))
    past.bypass({"amount": 1}, stamp=stamp_of(V1, "warn"))

    found = past.findings(V2)

    assert [(f.kind, f.drift) for f in found] == [
        ("misrecorded", "now-rejected"),
        ("misrecorded", None),
    ]
    assert found[0].detail == "the stamp says allow, b@1 says reject"


@pytest.mark.parametrize("effect", ["hold", "reject"])
def test_an_event_delivered_against_its_own_stamp_is_misrecorded(effect: str) -> None:
    """Nobody let it through, and there it is: whether or not the version is at hand."""
    rule = OVER_50 if effect == "reject" else HOLD_10
    bundle = make_bundle(policy(rule), number=1)
    past = Past(bundle)
    past.bypass({"amount": 99}, stamp=stamp_of(bundle, effect))

    found = past.findings(bundle)

    assert [f.kind for f in found] == ["misrecorded"]
    assert found[0].detail == f"delivered although its stamp says {effect}"
    assert Past.kinds(past, V1, store=False) == ["misrecorded"]


def test_a_field_left_unmasked_under_a_mask_stamp_is_now_masked() -> None:
    """The stamp says mask, the field plainly is not masked, and today's policy masks it."""
    bundle = make_bundle(policy(MASK), number=1)
    past = Past(bundle)
    past.bypass({"card": CARD}, stamp=stamp_of(bundle, "mask"))

    assert past.kinds(bundle) == ["now-masked"]


def _dropping(bundle: Bundle) -> Bundle:
    """`bundle` with `drop` for each of its masks with `hash`."""
    (found,) = bundle.policies
    (rule,) = found.rules
    masks = tuple(replace(m, how="drop") if m.how == "hash" else m for m in rule.masks)
    return replace(bundle, policies=(replace(found, rules=(replace(rule, masks=masks),)),))


def test_a_dropped_element_leaves_others_in_its_place() -> None:
    """What stands at a position after a drop was not due there: nobody failed to mask it."""
    masks = "{field: 'value.tags[0]', with: hash}, {field: 'value.tags[1]', with: redact}"
    rows = "{field: 'value.rows[].cells[0]', with: hash}, {field: 'value.rows[0].cells[0]', with: last4}"
    bundle = make_bundle(policy(f"{{id: m, effect: mask, mask: [{masks}, {rows}]}}"), number=1)
    bundle = _dropping(bundle)  # as published before such masks were refused
    past = Past(bundle)
    past.guarded(bundle, {"tags": ["a", "b", "c"], "rows": [{"cells": ["d", "e"]}]})

    assert past.kinds(bundle) == []
    assert past.kinds(bundle, store=False) == []


# ---------------------------------------------------------------- unchecked


def test_an_event_without_a_stamp_is_unchecked() -> None:
    """Something bypassed the guard: events, tombstones and undecodable bytes; drift besides."""
    past = Past(V1)
    for value in ({"amount": 1}, {"amount": 99}, None, b"\xff{"):
        past.bypass(value, key=b"k")

    found = past.findings(V1)

    assert [(f.kind, f.drift) for f in found] == [
        ("unchecked", None),
        ("unchecked", "now-rejected"),
        ("unchecked", None),
        ("unchecked", "now-rejected"),
    ]
    assert all(f.stamped is None for f in found)


def test_events_older_than_the_guard_are_not_unchecked() -> None:
    """`guarded_from` says from when stamps are there; older events are only judged by today's."""
    today = make_bundle(policy(OVER_50), settings="guarded_from: {t: 2026-03-01}\n")
    past = Past()
    before = (NOON - _DAY) // 10**6
    past.bypass({"amount": 1}, timestamp=before)
    past.bypass({"amount": 99}, timestamp=before)
    past.bypass({"amount": 1})

    assert [(f.offset, f.kind) for f in past.findings(today)] == [
        (1, "now-rejected"),
        (2, "unchecked"),
    ]


# ---------------------------------------------------------------- overridden and approved


def test_break_glass_is_told_and_is_no_drift() -> None:
    """An override is its own kind; what today's policy says stands beside it."""
    past = Past(V1)
    past.released(V1, {"amount": 99}, field="ov")
    terms = Terms(now=NOON, known_id=lambda kind, name: (kind, name) == ("ov", "x1"))

    (found,) = past.findings(V1, terms=terms)

    assert (found.kind, found.drift) == ("overridden", "now-rejected")


@pytest.mark.parametrize("told", [None, False])
def test_an_override_that_never_was_is_forged(told: bool | None) -> None:
    """No grant is known unless somebody says so: the id was made up to let an event pass."""
    past = Past(V1)
    past.bypass({"amount": 99}, stamp=f"1;b@1;{V1.digest[:12]};reject;produce;ov=whatever")

    def known(_kind: str, _name: str) -> bool:
        return bool(told)

    terms = Terms(now=NOON, known_id=None if told is None else known)
    (found,) = past.findings(V1, terms=terms)

    assert (found.kind, found.drift) == ("forged", "now-rejected")
    assert found.detail == "override `whatever` is not known"


def test_what_people_approved_is_no_finding() -> None:
    """A held event that was approved and released, while today's policy is no stricter."""
    held = make_bundle(policy(HOLD_10), number=1)
    past = Past(held, V2)
    past.released(held, {"amount": 20})
    terms = Terms(now=NOON, known_id=lambda kind, name: (kind, name) == ("ap", "x1"))

    assert past.kinds(held, terms=terms) == []
    assert past.kinds(V2, terms=terms) == ["now-rejected"]


def test_a_signed_approval_lifts_holds_at_consume_too() -> None:
    """Held by a consumer and released, the stamp says what produce rules say of it: nothing."""
    held = make_bundle(policy(HOLD_10, more="stages: [consume]\n"), number=1)
    rejected = make_bundle(policy(OVER_10, more="stages: [consume]\n"), number=2)
    past, value = Past(held, rejected), as_bytes({"amount": 20})
    text = stamp_of(held, "none", f";at={NOON // 10**6};ap=x1")
    past.bypass(value, stamp=text)
    past.bypass(
        value, stamp=sign(Stamp.parse(text.encode()), _KEYS, "t", None, value).encode().decode()
    )
    terms = Terms(now=NOON, stage="consume", stamp_keys=_KEYS, known_id=lambda _kind, _name: True)

    assert [(f.offset, f.kind) for f in past.findings(held, terms=terms)] == [(0, "forged")]
    assert [(f.offset, f.kind) for f in past.findings(rejected, terms=terms)] == [
        (0, "forged"),
        (1, "now-rejected"),
    ]
    unsigned = replace(terms, stamp_keys=None)
    assert [(f.offset, f.kind) for f in past.findings(held, terms=unsigned)] == [(0, "now-held")]


def test_an_approval_that_never_was_is_forged() -> None:
    """Where the approvals can be told, an unknown id is a forgery; elsewhere it is unverifiable."""
    held = make_bundle(policy(HOLD_10), number=1)
    past = Past(held)
    past.released(held, {"amount": 20}, id="made-up")

    terms = Terms(now=NOON, known_id=lambda _kind, _name: False)

    assert past.kinds(held, terms=terms) == ["forged"]
    assert past.kinds(held) == []


# ---------------------------------------------------------------- undecidable


def test_bytes_that_cannot_be_decoded_are_undecidable() -> None:
    """What was let through undecoded is nothing that today's policy can judge."""
    allowing = make_bundle(policy(OVER_50), number=1, settings="undecodable: allow\n")
    past = Past(allowing, V2)
    past.guarded(allowing, b"{broken")

    (found,) = past.findings(V2)

    assert (found.kind, found.drift) == ("undecidable", "now-rejected")
    assert found.detail.startswith("the value cannot be decoded")
    assert past.kinds(allowing) == []


FACTS_80 = "{id: fraud, when: facts.score > 80, effect: reject}"
FACTS_90 = "{id: fraud, when: facts.score > 90, effect: reject}"
FACTS_70 = "{id: fraud, when: facts.score > 70, effect: reject}"


def test_facts_are_unknown_and_still_agree_with_the_stamp() -> None:
    """Let through under 80 is let through under 90; under 70 it hangs on what nobody kept."""
    then = make_bundle(policy(FACTS_80), number=1)
    looser = make_bundle(policy(FACTS_90), number=2)
    stricter = make_bundle(policy(FACTS_70), number=3)
    past = Past(then, looser, stricter)
    past.guarded(then, {"amount": 1}, facts={"score": 20})

    assert past.kinds(then) == []
    assert past.kinds(looser) == []
    assert [(f.kind, f.drift, f.detail) for f in past.findings(stricter)] == [
        ("undecidable", None, "hangs on facts.score")
    ]


def test_a_stamp_that_no_facts_could_give_is_misrecorded() -> None:
    """Unknown does not mean anything goes: no score makes this rule set say warn."""
    then = make_bundle(policy(FACTS_80), number=1)
    past = Past(then)
    past.bypass({"amount": 1}, stamp=stamp_of(then, "warn"))

    assert past.kinds(then) == ["misrecorded"]


def test_what_is_refused_whatever_the_unknowns_is_refused() -> None:
    """A rule that hangs on facts hides no rule that does not."""
    then = make_bundle(policy(FACTS_80), number=1)
    today = make_bundle(policy(FACTS_80, OVER_10), number=2)
    past = Past(then, today)
    past.guarded(then, {"amount": 20}, facts={"score": 20})

    (found,) = past.findings(today)

    assert (found.kind, found.rules, found.change) == (
        "now-rejected",
        ("limits/over",),
        "over: added",
    )


# ---------------------------------------------------------------- unverifiable


def test_an_unverifiable_stamp_is_counted_and_not_accused() -> None:
    """No store, an unknown number 0, a version that is gone: today's policy is judged all the same."""
    past = Past(V2)
    past.guarded(V1, {"amount": 1})
    past.guarded(V1, {"amount": 20})
    past.bypass({"amount": 1}, stamp=f"1;b@0;{'0' * 12};allow;produce")
    past.bypass({"amount": 1}, stamp=f"1;other@7;{'0' * 12};allow;produce")

    found = past.findings(V2)

    assert [(f.offset, f.kind, f.change) for f in found] == [
        (1, "now-rejected", "b@1 is not at hand")
    ]


def test_a_directory_that_was_published_is_found_by_its_digest() -> None:
    """Number 0 is a label; the digest says which version it is."""
    unpublished = make_bundle(policy(OVER_50))
    past = Past(V1, V2)
    past.guarded(unpublished, {"amount": 20})

    (found,) = past.findings(V2)

    assert (found.kind, found.change) == ("now-rejected", "over: 50 → 10")


# ---------------------------------------------------------------- time, stage, mode


def test_effective_dates_are_judged_at_event_time() -> None:
    """A policy that came into force later says nothing about older events, unless told to."""
    today = make_bundle(
        policy("{id: ok, when: 'false', effect: warn}"),
        policy(OVER_10, name="new", more="effective: {from: 2026-03-02}\n"),
        number=2,
    )
    past = Past(V1, today)
    past.guarded(V1, {"amount": 20})
    past.guarded(V1, {"amount": 20}, at=NOON + _DAY)

    assert [f.offset for f in past.findings(today)] == [1]
    retroactive = Terms(now=NOON + 2 * _DAY, retroactive=True)
    assert [f.offset for f in past.findings(today, terms=retroactive)] == [0, 1]


def test_the_stamps_at_is_the_event_time() -> None:
    """A timestamp of the caller's own decides nothing about effectiveness."""
    today = make_bundle(
        policy("{id: ok, when: 'false', effect: warn}"),
        policy(OVER_10, name="new", more="effective: {from: 2026-03-02}\n"),
        number=1,
    )
    past = Past(today)
    past.guarded(today, {"amount": 20}, timestamp=(NOON + 5 * _DAY) // 10**6)
    past.guarded(today, {"amount": 20}, at=NOON + 2 * _DAY, timestamp=NOON // 10**6)

    assert len(past.topics["t"]) == 1
    assert past.kinds(today) == []


def test_the_brokers_time_is_not_the_producers() -> None:
    """Under LogAppendTime the producer's timestamp is lost: a rule on it accuses nobody."""
    rule = "{id: late, when: 'timestamp < now - duration(\"1h\")', effect: warn}"
    bundle = make_bundle(policy(rule), number=1)
    past = Past(bundle)
    past.guarded(bundle, {"a": 1}, timestamp=(NOON - _DAY) // 10**6, appended_at=NOON + 10**9)
    past.guarded(bundle, {"a": 1}, appended_at=NOON + 10**9)

    assert [record.appended for record in past.topics["t"]] == [True, True]
    assert past.kinds(bundle) == []


def test_events_are_replayed_at_their_stage_and_detective_controls_come_on_top() -> None:
    """Policies for the reconciler are part of today's replay only."""
    today = make_bundle(
        policy(OVER_50), policy(OVER_10, name="audit", more="stages: [reconcile]\n"), number=1
    )
    past = Past(today)
    past.guarded(today, {"amount": 20})

    (found,) = past.findings(today)

    assert (found.kind, found.rules) == ("now-rejected", ("audit/over",))
    assert found.change == "over: checked by the reconciler only"


def test_another_stage_can_be_asked_for() -> None:
    """What would consumers' policies say of all this?"""
    today = make_bundle(policy(OVER_10, more="stages: [consume]\n"), number=1)
    past = Past(today)
    past.guarded(today, {"amount": 20})

    assert past.kinds(today) == []
    assert past.kinds(today, terms=Terms(now=NOON, stage="consume")) == ["now-rejected"]


def test_a_shadow_stamp_is_replayed_in_shadow() -> None:
    """What a shadow guard let through was no lie; today's policy in force says otherwise."""
    past = Past(V1)
    past.guarded(V1, {"amount": 99}, settings={"mode": "shadow"})
    past.guarded(V1, {"amount": 1}, settings={"mode": "shadow"})

    assert [(f.offset, f.kind) for f in past.findings(V1)] == [(0, "now-rejected")]
    quiet = make_bundle(policy(OVER_50), number=2, settings="mode: shadow\n")
    assert past.kinds(quiet) == []


# ---------------------------------------------------------------- what a finding shows


def test_findings_show_nothing_sensitive() -> None:
    """Keys and values that a policy calls sensitive are stars."""
    today = make_bundle(
        policy(
            "{id: over, when: value.amount > 10, effect: reject, reason: 'saw {value.amount}'}",
            more="sensitive: [key, value.amount]\n",
        )
    )
    past = Past()
    past.bypass({"amount": 4242}, key=b"alice")

    (found,) = past.findings(today)
    written = found.to_dict()

    assert written["key"] == "***"
    assert "4242" not in json.dumps(written)
    assert "alice" not in json.dumps(written)


def test_masks_that_cannot_be_applied_are_known_to_a_replay() -> None:
    """What is nested deeply would come near the beginning; the guard has rejected it, and rightly."""
    deep = b'{"card": "%s", "x": %s1%s}' % (b"4" * 5_000, b"[ " * 600, b"]" * 600)
    masks = (
        "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: redact}]}"
    )
    bundle = make_bundle(policy(masks), number=1)
    past = Past(bundle)

    decision = past.guarded(bundle, deep)

    assert "nested too deeply" in decision.reasons()
    assert (list(past.topics), past.kinds(bundle)) == (["quarantine.t"], [])


def test_a_finding_is_the_same_every_time() -> None:
    """No clock and no random id: two replays write the same bytes."""
    past = Past(V1, V2)
    past.guarded(V1, {"amount": 20}, key=b"k")

    once, again = past.findings(V2)[0].to_dict(), past.findings(V2)[0].to_dict()

    assert once == again
    assert once["current"]["id"] == "t/0/0"


def test_records_without_a_time_are_judged_at_todays() -> None:
    """Very old logs have no timestamps."""
    past = Past(V1)
    seen = past.write(Record("t", None, None, as_bytes({"amount": 99}), [], None))
    without = type(seen)(
        seen.topic, seen.value, seen.key, seen.headers, None, 0, seen.partition, seen.offset
    )
    past.topics["t"] = [without]

    assert past.kinds(V1) == ["unchecked"]


def test_a_forged_time_is_not_believed() -> None:
    """What is forged is judged at the record's time: it cannot place itself before a policy."""
    today = make_bundle(policy(OVER_10, more="effective: {from: 2026-02-01}\n"), number=1)
    past = Past(today)
    past.bypass({"amount": 99}, stamp=f"1;b@7;{'0' * 12};allow;produce;at=5")
    past.bypass({"amount": 99}, stamp=f"1;b@7;{'0' * 12};reject;produce;at=5;ov=x")

    assert [(f.kind, f.drift) for f in past.findings(today)] == [("forged", "now-rejected")] * 2


def test_what_varies_with_every_stamp_is_verified_every_time() -> None:
    """Ids, times and macs: each event is judged by its own."""
    keys = {"k1": b"0123456789abcdef"}
    bundle = make_bundle(policy(OVER_10, more="effective: {from: 2026-03-01}\n"), number=1)
    past = Past(bundle)
    settings = {"stamp_keys": keys}
    for day in range(3):
        past.guarded(bundle, {"a": 1, "amount": 1}, at=NOON + day, settings=settings)
        past.guarded(
            bundle, {"amount": 99}, at=NOON - (30 - day) * _DAY, carries_at=True, settings=settings
        )
    signed = past.topics["t"][1]
    headers: list[tuple[str, bytes | None]] = [
        (name, (value or b"").replace(b";at=", b";at=1")) for name, value in signed.headers
    ]
    past.write(Record("t", None, None, signed.value, headers, None))
    terms = Terms(now=NOON, stamp_keys=KeyRing.load(keys))

    assert len(past.topics["t"]) == 7
    assert [(f.offset, f.detail) for f in past.findings(bundle, terms=terms)] == [
        (6, "the mac does not fit")
    ]
