"""Approvals that stamps name: given, given to another event, or made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamwarden.policy.plan_table import PlanTable
from streamwarden.reconciler.approvals import Approval, Approvals, digest_of
from streamwarden.reconciler.judge import Judge, Terms
from streamwarden.reconciler.seen import Seen

from .histories import NOON, Past, make_bundle, policy

HOLD_10 = "{id: over, when: value.amount > 10, effect: hold}"
MASK = "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: last4}]}"


class Recorded(Approvals):
    """What parking topics record, without a Kafka."""

    def __init__(self, found: Approval | bool) -> None:
        super().__init__((), None)
        self.found = found

    def of(self, topic: str, name: str) -> Approval | bool:
        del topic
        return self.found if name == "x1" else False


def approval_of(seen: Seen, **more: Any) -> Approval:
    """The record of the release of `seen` under `b@1`, as it should be, but for `more`."""
    event = (digest_of(seen.key), digest_of(seen.value), seen.timestamp)
    return replace(Approval("t", NOON // 1_000_000, "hold", "b@1", event), **more)


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ({}, []),
        ({"event": None}, []),
        ({"to": "other"}, ["forged"]),
        ({"at": 5}, ["forged"]),
        ({"effect": "reject"}, ["forged"]),
        ({"bundle": "b@9"}, ["forged"]),
        ({"event": (digest_of(b"k"), digest_of(b'{"amount": 20}'), NOON)}, ["forged"]),
        ({"event": (digest_of(None), digest_of(b'{"amount": 21}'), None)}, ["forged"]),
        ({"event": (digest_of(None), digest_of(b'{"amount": 20}'), 5)}, ["forged"]),
        ({"event": (digest_of(None), digest_of(b'{"amount": 20}'), None)}, []),
    ],
)
def test_an_approval_is_of_one_event(more: dict[str, Any], kinds: list[str]) -> None:
    """Topic, time, effect, version, and the event itself: whatever differs shows a copy."""
    held = make_bundle(policy(HOLD_10), number=1)
    past = Past(held)
    event = past.released(held, {"amount": 20})
    terms = Terms(now=NOON, approvals=Recorded(approval_of(event, **more)))

    assert past.kinds(held, terms=terms) == kinds


def test_what_a_release_masked_has_another_value() -> None:
    """Its key and its time tell that it is the event, where its policies mask fields."""
    masking = make_bundle(policy(HOLD_10, MASK), number=1)
    past = Past(masking)
    event = past.released(masking, {"amount": 20})
    approval = approval_of(event, event=(digest_of(None), 1, event.timestamp))

    assert past.kinds(masking, terms=Terms(now=NOON, approvals=Recorded(approval))) == []


@pytest.mark.parametrize(("found", "kinds", "counted"), [(False, ["forged"], 0), (True, [], 1)])
def test_an_unknown_approval_is_forged_where_that_can_be_told(
    found: bool, kinds: list[str], counted: int
) -> None:
    """Where its record may be gone, nothing is held against it, and it is counted."""
    held = make_bundle(policy(HOLD_10), number=1)
    past = Past(held)
    event = past.released(held, {"amount": 20})
    terms = Terms(now=NOON, approvals=Recorded(found))
    judge = Judge("t", past.history(held), PlanTable(held, detective=True, replay=True), terms)

    told = judge.finding(event)

    assert ([] if told is None else [told.kind]) == kinds
    assert judge.unverifiable == counted
