"""What is prepared to write decisions down fast says the same as evaluating everything again."""

from __future__ import annotations

import random
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from streamwarden.policy.cel import parse
from streamwarden.policy.compiler import Undecodable
from streamwarden.policy.evidence import steps_of
from streamwarden.policy.guard import Guard
from streamwarden.policy.privacy import Privacy

from ..unit.reconciler.histories import NOON, make_bundle, policy
from .compiler_cases import draw_case, draw_event

RULES = [
    '{id: over, when: value.amount > 50 && value.kind == "a", effect: reject, severity: high}',
    (
        '{id: kind, when: value.kind != null, require: \'value.kind in ["a", "100%"]\', effect: hold,'
        ' reason: "100% of {value.kind} and {value.none}, {value.tags}", remediation: "use \\"a\\""}'
    ),
    "{id: either, when: '!(value.amount < 3 || has(value.card))', effect: warn, reason: é %b %s}",
    '{id: sum, when: value.amount + value.amount > 10, effect: reject, remediation: "use \\"a\\""}',
    (
        "{id: card, when: 'value.card.startsWith(\"4\")', effect: mask,"
        " mask: [{field: value.card, with: last4}], on_error: skip}"
    ),
    "{id: tags, when: 'value.tags.exists(t, t == \"x\" || t == 2)', effect: reject}",
    "{id: each, when: '!value.tags.all(i, t, t != \"a\" && i < 2)', effect: hold}",
    "{id: bound, when: 'cel.bind(k, value.kind, k == \"a\" || k > 100)', effect: hold}",
    "{id: flag, when: value.flag, effect: hold, approvals: {need: 2, from: [desk]}}",
    "{id: shown, when: value.card != value.kind, effect: warn, mode: shadow}",
    "{id: keyed, when: 'key != null && !(key == \"k\")', effect: reject}",
    "{id: told, when: 'facts.score > 3.0', effect: reject, on_error: warn}",
    "{id: lifts, when: value.flag, exempts: [over, sum, tags]}",
    "{id: always, effect: warn}",
]
#: A rule that lifts others needs them.
LIFTING = next(rule for rule in RULES if "exempts" in rule)
LIFTED = {RULES[0], RULES[3], RULES[5]}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["a", "b", "100%", "4111", '"', "%b", "é\n", "x" * 300]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
NAMES = ["amount", "kind", "card", "tags", "flag"]
JSON = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(NAMES), SCALARS)
)
VALUES = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), JSON).map(msgspec.json.encode),
    st.dictionaries(st.sampled_from(NAMES), SCALARS, min_size=5).map(msgspec.json.encode),
    st.sampled_from([b"", b"{", b"[]", b"null", b"\0\0\0\0\1x", None]),
)


@st.composite
def events(draw: Any) -> dict[str, Any]:
    """What `guard.decide` takes."""
    placed = draw(st.booleans())
    return {
        "topic": "t",
        "value": draw(VALUES),
        "key": draw(st.sampled_from([None, b"k", b"", b"\xff\xfe", b"%d", b"y" * 300])),
        "timestamp": draw(st.sampled_from([None, 0, 1_767_225_600_000])),
        "stage": "consume" if placed else "produce",
        "partition": 3 if placed else draw(st.sampled_from([None, 1])),
        "offset": 17 if placed else None,
        "facts": draw(st.sampled_from([None, {}, {"score": 4.5, "name": "100%"}, {"score": "x"}])),
    }


@settings(deadline=None)
@given(
    rules=st.sets(st.sampled_from(RULES), min_size=1, max_size=6),
    sensitive=st.sampled_from(["", "sensitive: [key, value.card]\n", "sensitive: [value.kind]\n"]),
    bundle=st.sampled_from(["", "undecodable: allow\n", "tombstones: reject\nmode: shadow\n"]),
    given_events=st.lists(events(), min_size=1, max_size=5),
)
def test_a_decision_written_down_is_its_dict(
    rules: set[str], sensitive: str, bundle: str, given_events: list[dict[str, Any]]
) -> None:
    """Byte for byte, for whatever fires or fails; the reasons are those of its matches."""
    if LIFTING in rules:
        rules |= LIFTED
    document = policy(*(rule for rule in RULES if rule in rules), more=sensitive)
    guard = Guard(
        make_bundle(document, settings=bundle),
        labels={"team": "100%"},
        clock=lambda: NOON,
    )

    for event in given_events:
        decision = guard.decide(**event)

        assert msgspec.json.encode(decision.to_dict()) == decision.to_json()
        counted = [match for match in decision.matches if match.counts]
        winning = [match for match in counted if match.effect == decision.effect] or counted
        line = ", ".join(f"{match.policy}/{match.rule}: {match.reason}" for match in winning)
        assert line[:399] == decision.reasons()[:399]
        assert len(decision.reasons()) <= 400


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_what_a_verdict_implies_is_what_evaluating_gives(seed: int) -> None:
    """Nothing in a trail is concluded that the exact evaluator does not say as well."""
    source = random.Random(seed)
    case = draw_case(source)

    for _ in range(6):
        event = draw_event(source)
        hits = case.compiled.run(event)
        known = case.compiled.activation(event)
        if isinstance(hits, Undecodable) or isinstance(known, Undecodable):
            continue
        for hit in hits:
            text = case.conditions[hit] if hit >= 0 else None
            if text is not None:
                step = steps_of(parse(text), Privacy(()))
                assert step.evidence(known) == step.evidence(known, True), text
