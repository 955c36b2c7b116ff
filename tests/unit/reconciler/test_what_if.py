"""A candidate against the current policy, event by event."""

from __future__ import annotations

from collections.abc import Iterable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Effect
from streamwarden.policy.plan_table import PlanTable
from streamwarden.reconciler.candidate import CELLS_MAX, ChangeCount, Changes
from streamwarden.reconciler.findings import Finding
from streamwarden.reconciler.judge import Terms
from streamwarden.reconciler.parked import ParkedJudge
from streamwarden.reconciler.what_if import WhatIfJudge, WhatIfParkedJudge

from .histories import NOON, Past, as_bytes, make_bundle, policy

OVER = "{id: over, when: value.amount > %d, effect: %s}"
MASK = "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: redact}]}"
FACTS = "{id: score, when: facts.score > 8, effect: reject}"


def changes(past: Past, current: Bundle, candidate: Bundle) -> list[tuple[str | None, str | None]]:
    """How decisions on the records of `past` change, in order; those that do not are left out."""
    terms = Terms(now=NOON)
    history = past.history(candidate)
    tables = [PlanTable(b, detective=True, replay=True) for b in (current, candidate)]
    found: list[Finding | None] = []
    for topic in sorted(past.topics):
        judge: WhatIfJudge | ParkedJudge
        if topic == "t":
            judge = WhatIfJudge(tables[0], topic, history, tables[1], terms)
        else:
            judge = WhatIfParkedJudge(tables[0], {"t"}, history, tables[1], terms)
        found += [judge.finding(record) for record in past.topics[topic]]
    told = [finding.what_if for finding in found if finding is not None and finding.what_if]
    return [(each["from"], each["to"]) for each in told]


_EFFECTS = st.sampled_from(["warn", "hold", "reject"])


@given(
    st.integers(0, 9),
    _EFFECTS,
    st.integers(0, 9),
    _EFFECTS,
    st.lists(st.integers(0, 9), max_size=6),
)
def test_it_is_what_two_guards_would_say(
    limit: int, effect: str, other_limit: int, other_effect: str, amounts: list[int]
) -> None:
    """Each event that the current policy let through or parked, decided by both."""
    current = make_bundle(policy(OVER % (limit, effect)), number=1)
    candidate = make_bundle(policy(OVER % (other_limit, other_effect)), number=2)
    past = Past(current)
    expected: list[tuple[str, str]] = []
    for amount in amounts:
        past.guarded(current, {"amount": amount})
        one, two = (
            Guard(bundle, clock=lambda: NOON)
            .decide(topic="t", value=as_bytes({"amount": amount}))
            .effect
            for bundle in (current, candidate)
        )
        if max(one.rank, Effect.WARN.rank) != max(two.rank, Effect.WARN.rank):
            expected.append((one.value, two.value))

    assert sorted(expected) == sorted(changes(past, current, candidate), key=str)


@pytest.mark.parametrize(
    ("before", "after", "value", "expected"),
    [
        ((), (MASK,), {"card": "4111"}, ("allow", "mask")),
        ((MASK,), (), {"card": "4111"}, ("mask", "allow")),
        ((MASK,), (MASK,), {"card": "4111"}, None),
        ((), (FACTS,), {"amount": 1}, (None, None)),
        ((FACTS,), (FACTS,), {"amount": 1}, None),
        ((), ("{id: w, effect: warn}",), {"amount": 1}, None),
    ],
)
def test_masks_facts_and_warnings(
    before: tuple[str, ...],
    after: tuple[str, ...],
    value: dict[str, object],
    expected: tuple[str | None, str | None] | None,
) -> None:
    """A mask more or less is a change, a warning is none, and what hangs on facts is not known."""
    never = "{id: never, when: 'false', effect: warn}"
    current = make_bundle(policy(never, *before), number=1)
    candidate = make_bundle(policy(never, *after), number=2)
    past = Past(current)
    past.guarded(current, value)

    assert changes(past, current, candidate) == ([] if expected is None else [expected])


def _counted(days: Iterable[int]) -> Changes:
    count = ChangeCount()
    for day in days:
        change = {"from": "allow", "to": "hold", "topic": "t", "rules": ["p/r"]}
        count.add(f"{day:06d}", change)
    return count.total()


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), min_size=3, max_size=3))
def test_sums_come_out_the_same_in_any_grouping(days: list[list[int]]) -> None:
    """As engines merge."""
    a, b, c = map(_counted, days)

    assert a.merged(b).merged(c) == a.merged(b.merged(c)) == _counted(days[0] + days[1] + days[2])


def test_of_very_many_cells_the_latest_days_are_kept() -> None:
    """The totals count all of them."""
    found = _counted(range(3 * CELLS_MAX))

    assert found.effects == {"allow → hold": 3 * CELLS_MAX}
    assert [cell.day for cell in found.cells] == [
        f"{day:06d}" for day in range(2 * CELLS_MAX, 3 * CELLS_MAX)
    ]
