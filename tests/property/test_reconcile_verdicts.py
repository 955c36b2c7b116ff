"""Whatever was decided, by whichever versions, on whatever was unknown: verdicts are true."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
from hypothesis import event, given

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.decision import Decision
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Effect

from ..unit.reconciler.histories import NOON, Past, as_bytes, make_bundle, policy

_KEYS: dict[str, Any] = {"mask_keys": {"k1": b"0123456789abcdef"}}

#: Conditions on what is known, on facts, on the client, and on fields that masks hide.
ATOMS = [
    "value.amount > 10",
    "value.amount > 50",
    "facts.score > 3",
    "facts.score >= 5",
    "facts.score == 4",
    "has(facts.vip)",
    "facts.vip",
    'client.labels.team == "a"',
    'client.id in ["x", "y"]',
    "has(value.card)",
    'value.card == "4111111111111111"',
    "value.card.size() > 3",
    "value.mail != null",
    'value.mail in ["a", "b"]',
    "has(stamp.effect)",
    "'k' in headers",
]


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> str:
    """A condition of a few atoms."""
    kind = draw(st.sampled_from(["atom", "atom", "not", "and", "or", "if"])) if depth else "atom"
    if kind == "atom":
        return draw(st.sampled_from(ATOMS))
    parts = [draw(conditions(depth - 1)) for _ in range({"not": 1, "if": 3}.get(kind, 2))]
    return {
        "not": "!({0})",
        "and": "({0}) && ({1})",
        "or": "({0}) || ({1})",
        "if": "(({0}) ? ({1}) : ({2}))",
    }[kind].format(*parts)


@st.composite
def rules(draw: st.DrawFn, name: str) -> str:
    """One rule in flow style."""
    when = draw(conditions()).replace("'", "''")
    effect = draw(st.sampled_from(["warn", "hold", "reject", "mask", "mask"]))
    how = draw(st.sampled_from(["last4", "hash", "redact", "drop"]))
    path = draw(st.sampled_from(["card", "mail"]))
    mask = f", mask: [{{field: value.{path}, with: {how}}}]" if effect == "mask" else ""
    error = draw(st.sampled_from(["fire", "fire", "skip", "warn"]))
    mode = draw(st.sampled_from(["enforce", "enforce", "enforce", "shadow"]))
    return (
        f"{{id: {name}, when: '{when}', effect: {effect}, on_error: {error}, mode: {mode}{mask}}}"
    )


@st.composite
def versions(draw: st.DrawFn) -> tuple[Bundle, Bundle]:
    """Two versions that have some rules in common."""
    pool = [draw(rules(f"r{i}")) for i in range(draw(st.integers(1, 3)))]
    changed = [draw(st.one_of(st.just(rule), rules(f"r{i}"))) for i, rule in enumerate(pool)]
    if draw(st.booleans()):
        changed.append(draw(rules("extra")))
    resolution = draw(st.sampled_from(["strictest", "approval_first"]))
    setting = f"resolution: {resolution}\n"
    return (
        make_bundle(policy(*pool), number=1, settings=setting),
        make_bundle(policy(*changed), number=2, settings=setting),
    )


CARDS = st.sampled_from(
    ["4111111111111111", "***", "************1111", "", "abc", None, 7, ["x"], {"n": 1}]
)
VALUES = st.fixed_dictionaries(
    {}, optional={"amount": st.integers(0, 99), "card": CARDS, "mail": st.sampled_from("ab")}
)
FACTS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "score": st.one_of(st.integers(0, 9), st.just("high"), st.just(4.5)),
            "vip": st.one_of(st.booleans(), st.just("yes")),
        },
    ),
)
GUARDS = st.fixed_dictionaries(
    {},
    optional={
        "client_id": st.sampled_from(["x", "z"]),
        "labels": st.sampled_from([{}, {"team": "a"}, {"team": "b"}]),
    },
)
HEADERS = st.sampled_from(
    [[], [("k", b"v")], [("streamwarden", b"1;b@9;000000000000;allow;produce")]]
)


def truly(today: Bundle, value: object, guard: Mapping[str, Any], **event: Any) -> Decision:
    """What today's policy says about the event as the guard had it, everything known."""
    return Guard(today, clock=lambda: NOON, **guard, **_KEYS).decide(
        topic="t", value=as_bytes(value), **event
    )


@given(versions(), VALUES, FACTS, GUARDS, HEADERS)
def test_honest_events_are_judged_truly(
    pair: tuple[Bundle, Bundle],
    value: object,
    facts: Mapping[str, object] | None,
    guard: dict[str, Any],
    headers: list[tuple[str, bytes]],
) -> None:
    """An honest guard is never accused, and what is said of today's policy is what it says."""
    then, today = pair
    past = Past(then, today)
    decided = past.guarded(then, value, facts=facts, headers=headers, settings={**guard, **_KEYS})
    truth = truly(today, value, guard, facts=facts, headers=headers)

    found = past.findings(today)
    kinds = [finding.kind for finding in found]
    event(f"{decided.effect} {truth.effect} {kinds}")

    assert past.kinds(then) == []
    if kinds == ["undecidable"]:
        return
    if not decided.passes:
        assert kinds == (["now-allowed"] if truth.passes else [])
    elif truth.effect is Effect.REJECT:
        assert kinds == ["now-rejected"]
    elif truth.effect is Effect.HOLD:
        assert kinds == ["now-held"]
    elif truth.effect is not Effect.MASK:
        assert kinds == []
    elif decided.effect is not Effect.MASK:
        assert kinds == ["now-masked"]
    else:
        fields = {mask.path for mask in truth.masks} - {mask.path for mask in decided.masks}
        assert kinds in ([], ["now-masked"]) if fields else kinds == []


THRESHOLDS = st.tuples(st.sampled_from([">", ">=", "<", "==", "!="]), st.integers(0, 6))


@given(st.lists(THRESHOLDS, min_size=1, max_size=3), st.lists(THRESHOLDS, min_size=1, max_size=3))
def test_comparisons_of_one_unknown_are_decided_exactly(
    old: list[tuple[str, int]], new: list[tuple[str, int]]
) -> None:
    """Undecidable is said when values that agree with the stamp differ, and only then."""

    def version(thresholds: list[tuple[str, int]], number: int) -> Bundle:
        written = [
            f"{{id: r{i}, when: facts.score {sign} {limit}, effect: reject}}"
            for i, (sign, limit) in enumerate(thresholds)
        ]
        return make_bundle(policy(*written), number=number)

    then, today = version(old, 1), version(new, 2)
    past = Past(then, today)
    past.bypass({"a": 1}, stamp=f"1;b@1;{then.digest[:12]};allow;produce")
    # Everything that these comparisons can tell apart: also no facts, and facts of another type.
    scores: list[object] = [None, *(n / 2 for n in range(-2, 16)), "text", True, math.nan]
    verdicts = {
        truly(today, {"a": 1}, {}, facts=facts).passes
        for score in scores
        if truly(
            then, {"a": 1}, {}, facts=(facts := {} if score is None else {"score": score})
        ).passes
    }

    expected = {
        frozenset[bool](): ["misrecorded"],
        frozenset({True}): [],
        frozenset({False}): ["now-rejected"],
        frozenset({True, False}): ["undecidable"],
    }[frozenset(verdicts)]

    assert past.kinds(today) == expected
