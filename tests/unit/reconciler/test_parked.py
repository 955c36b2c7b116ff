"""Parked records: release candidates are told, everything else about them only when it is a lie."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamwarden.policy.guard import Guard
from streamwarden.policy.keys import KeyRing
from streamwarden.policy.parking import DECISION_HEADER, park
from streamwarden.producers.parking import POINTER_HEADER
from streamwarden.producers.reviews import Review, Signature, encode_review
from streamwarden.reconciler.judge import Terms
from streamwarden.reconciler.reviewed import Reviewed
from streamwarden.schemas.event import Record

from .histories import NOON, Past, make_bundle, policy

OVER_10 = "{id: over, when: value.amount > 10, effect: reject}"
OVER_50 = "{id: over, when: value.amount > 50, effect: reject}"
HOLD_10 = "{id: over, when: value.amount > 10, effect: hold}"
V1 = make_bundle(policy(OVER_10), number=1)
V2 = make_bundle(policy(OVER_50), number=2)


def test_what_is_fine_today_is_a_release_candidate() -> None:
    """Rejected then, allowed today: told with the parked record's coordinates, and no drift."""
    past = Past(V1, V2)
    past.guarded(V1, {"amount": 99})
    past.guarded(V1, {"amount": 20})

    (found,) = past.findings(V2)

    assert (found.kind, found.topic, found.offset, found.drift) == (
        "now-allowed",
        "quarantine.t",
        1,
        None,
    )
    assert (found.rules, found.change) == (("limits/over",), "over: 10 → 50")
    assert found.to_dict()["current"]["effect"] == "allow"
    assert found.stamped is not None
    assert (found.stamped["bundle"], found.stamped["effect"]) == ("b@1", "reject")


def test_held_then_and_masked_today_is_a_release_candidate() -> None:
    """Fine today, if need be masked."""
    held = make_bundle(policy(HOLD_10), number=1)
    masking = make_bundle(
        policy("{id: m, effect: mask, mask: [{field: value.amount, with: redact}]}"), number=2
    )
    past = Past(held, masking)
    past.guarded(held, {"amount": 20})

    (found,) = past.findings(masking)

    assert (found.kind, found.topic) == ("now-allowed", "held.t")
    assert found.rules == ("limits/over",)  # what parked it, not what would mask it
    assert found.to_dict()["current"]["effect"] == "mask"


def test_refused_for_another_reason_today_is_no_finding() -> None:
    """Still refused: nothing to release, whatever the rule."""
    today = make_bundle(policy("{id: other, when: value.amount > 15, effect: hold}"), number=2)
    past = Past(V1, today)
    past.guarded(V1, {"amount": 20})

    assert past.kinds(today) == []


def test_what_cannot_be_decoded_is_no_finding() -> None:
    """It was refused for that, and is as undecodable today; also where that is allowed today."""
    past = Past(V1, V2)
    past.guarded(V1, b"{broken")
    lenient = make_bundle(policy(OVER_50), number=3, settings="undecodable: allow\n")

    assert past.kinds(V2) == []
    assert past.kinds(lenient) == []


def test_an_event_parked_by_a_handlers_error_is_no_finding() -> None:
    """Its handler failed; policy never refused it."""
    past = Past(V1)
    decision = Guard(V1, clock=lambda: NOON).decide(
        topic="t", value=b'{"amount": 1}', stage="consume", partition=0, offset=3
    )
    past.write(park(decision, kind="handler", group="g", error="boom"))

    assert past.kinds(V1) == []


def test_what_was_released_or_discarded_is_no_finding() -> None:
    """Reviews, or whoever else keeps the state, say what nobody waits for any more."""
    past = Past(V1, V2)
    for _ in range(3):
        past.guarded(V1, {"amount": 20})
    review = Review("released", 0, 0, 1, (Signature("ann", "fine"),), "r1")
    value, headers = encode_review(review, "quarantine.t", None)
    past.write(Record("quarantine.t", 0, None, value, headers, None))
    reviewed = Reviewed(settled=frozenset({("quarantine.t", 0, 0)}))
    terms = Terms(now=NOON, reviewed=reviewed, released=lambda _t, _p, offset: offset == 1)

    assert [f.offset for f in past.findings(V2, terms=terms)] == [2]


def test_records_of_others_are_none_of_the_runs_business() -> None:
    """Other origins, other tools, reviews and pointers."""
    past = Past(V1, V2)
    past.guarded(V1, {"amount": 20})
    (parked,) = past.topics["quarantine.t"]
    elsewhere = [
        (name, b"elsewhere" if name == "__dlq.errors.topic" else value)
        for name, value in parked.headers
    ]
    undecided = [header for header in parked.headers if header[0] != DECISION_HEADER]
    pointing = [*parked.headers, (POINTER_HEADER, b"123456")]
    past.topics["quarantine.t"] = []
    for headers in (elsewhere, undecided, pointing, [], [("x", b"y")]):
        past.write(Record("quarantine.t", 0, None, parked.value, list(headers), None))

    assert past.kinds(V2) == []


def test_facts_that_were_logged_are_known() -> None:
    """The decision keeps what the caller knew: today's verdict on it is certain."""
    then = make_bundle(policy("{id: f, when: facts.score > 50, effect: reject}"), number=1)
    today = make_bundle(policy("{id: f, when: facts.score > 80, effect: reject}"), number=2)
    past = Past(then, today)
    past.guarded(then, {"a": 1}, facts={"score": 60})
    past.guarded(then, {"a": 1}, facts={"score": 90})

    assert [(f.offset, f.kind) for f in past.findings(today)] == [(0, "now-allowed")]


def test_facts_that_were_not_logged_may_leave_it_open() -> None:
    """Nobody read facts then, so nobody logged them; today's rule hangs on them."""
    today = make_bundle(policy("{id: f, when: facts.score > 80, effect: reject}"), number=2)
    past = Past(V1, today)
    past.guarded(V1, {"amount": 20}, facts={"score": 60})

    (found,) = past.findings(today)

    assert (found.kind, found.detail) == ("undecidable", "hangs on facts.score")


def test_the_client_that_was_recorded_is_known() -> None:
    """Labels of the guard that parked the event decide rules about it."""
    rule = '{id: c, when: client.labels.team == "a", effect: reject}'
    then = make_bundle(policy(rule, OVER_10), number=1)
    today = make_bundle(policy(rule), number=2)
    past = Past(then, today)
    past.guarded(then, {"amount": 20}, settings={"labels": {"team": "a"}})
    past.guarded(then, {"amount": 20}, settings={"labels": {"team": "b"}})

    assert [(f.offset, f.kind) for f in past.findings(today)] == [(1, "now-allowed")]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"effect": "sometimes"}, "the decision is malformed"),
        ({"digest": "0" * 64}, "b@1 has another digest"),
        ({"bundle": "b@77"}, "b@77 was never published"),
    ],
)
def test_a_decision_that_no_guard_made_is_forged(change: dict[str, Any], detail: str) -> None:
    """The decision header stands in the stamp's place."""
    past = Past(V1, V2)
    past.guarded(V1, {"amount": 20})
    (parked,) = past.topics["quarantine.t"]
    headers = [
        (name, json.dumps({**json.loads(value or b""), **change}).encode())
        if name == DECISION_HEADER
        else (name, value)
        for name, value in parked.headers
    ]
    past.topics["quarantine.t"] = []
    past.write(Record("quarantine.t", 0, None, parked.value, headers, None))

    assert [(f.kind, f.detail) for f in past.findings(V2)] == [("forged", detail)]


def test_an_event_parked_for_nothing_is_misrecorded() -> None:
    """Its version, replayed, would have let it through."""
    past = Past(V1, V2)
    past.guarded(V1, {"amount": 20})
    (parked,) = past.topics["quarantine.t"]
    past.topics["quarantine.t"] = []
    past.write(Record("quarantine.t", 0, None, b'{"amount": 1}', list(parked.headers), None))

    (found,) = past.findings(V2)

    assert (found.kind, found.detail) == (
        "misrecorded",
        "the decision says reject, b@1 does not",
    )


def test_decisions_are_verified_where_keys_are_given() -> None:
    """A missing mac and one over other bytes are forged; the guard's own is not."""
    keys = {"k1": b"0123456789abcdef"}
    past = Past(V1)
    past.guarded(V1, {"amount": 20}, settings={"stamp_keys": keys})
    past.guarded(V1, {"amount": 20})
    signed = past.topics["quarantine.t"][0]
    past.write(Record("quarantine.t", 0, None, b'{"amount": 30}', list(signed.headers), None))
    terms = Terms(now=NOON, stamp_keys=KeyRing.load(keys))

    assert [(f.offset, f.detail) for f in past.findings(V1, terms=terms)] == [
        (1, "the decision is not signed (if it is older than the keys, say `--mac-since`)"),
        (2, "the mac of the decision does not fit"),
    ]


def test_events_parked_at_consume_are_replayed_as_they_came_to_the_guard() -> None:
    """Stage, coordinates and the incoming stamp are those of the decision."""
    rule = "{id: o, when: offset > 5 && stamp.effect == 'allow', effect: reject}"
    then = make_bundle(policy(rule, more="stages: [consume]\n"), number=1)
    today = make_bundle(policy(rule.replace("5", "7"), more="stages: [consume]\n"), number=2)
    past = Past(then, today)
    stamp = ("streamwarden", f"1;b@1;{then.digest[:12]};allow;produce".encode())
    for offset in (6, 8):
        past.guarded(then, {"a": 1}, stage="consume", partition=0, offset=offset, headers=[stamp])

    assert past.kinds(then) == []
    assert [(f.offset, f.kind) for f in past.findings(today)] == [(0, "now-allowed")]
