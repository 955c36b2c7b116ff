"""Whatever stands in a log: every record is judged, and what is said can be written down."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from streamwarden.policy.keys import KeyRing
from streamwarden.policy.parking import DECISION_HEADER, DECISION_MAC_HEADER
from streamwarden.reconciler.findings import DRIFT, KINDS
from streamwarden.reconciler.judge import Terms
from streamwarden.schemas.event import Record

from ..unit.reconciler.histories import NOON, Past, make_bundle, policy

RULES = [
    "{id: over, when: value.amount > 50, effect: reject}",
    "{id: facts, when: facts.score > 3 && client.labels.x == 'y', effect: hold}",
    "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: last4}]}",
    "{id: tags, effect: mask, mask: [{field: 'value.tags[]', with: drop}], when: has(value.tags)}",
]
BUNDLE = make_bundle(policy(*RULES), number=1)
TODAY = make_bundle(policy(*RULES[:2], RULES[2].replace("last4", "hash")), number=2)
KEYS = KeyRing.load({"k1": b"0123456789abcdef"})

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["amount", "card", "tags", "x"]), inner, max_size=4),
    ),
    max_leaves=8,
)
VALUES = st.one_of(
    st.none(), st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())
)
STAMPS = st.one_of(
    st.binary(max_size=60),
    st.builds(
        "1;b@{};{};{};{}{}".format,
        st.sampled_from(["0", "1", "2", "9", "x", "99999999999999999999"]),
        st.sampled_from([BUNDLE.digest[:12], TODAY.digest[:12], "0" * 12, "zz"]),
        st.sampled_from(["none", "allow", "warn", "mask", "hold", "reject", "?"]),
        st.sampled_from(["produce", "consume", "reconcile", "?"]),
        st.sampled_from(
            [
                "",
                ";at=5",
                ";at=9999999999999999",
                ";id=a;at=1",
                ";mode=shadow",
                ";mode=off",
                ";ov=o1",
                ";ap=a1",
                f";at=7;mac=k1.{'A' * 22}",
                ";mac=k1.short",
            ]
        ),
    ).map(str.encode),
)
DECISIONS = st.one_of(
    st.binary(max_size=40),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "effect": st.one_of(SCALARS, st.sampled_from(["hold", "reject", "allow"])),
            "bundle": st.one_of(SCALARS, st.just("b@1")),
            "digest": st.one_of(SCALARS, st.just(BUNDLE.digest)),
            "stage": st.one_of(SCALARS, st.sampled_from(["produce", "consume"])),
            "at": st.one_of(SCALARS, st.just(NOON // 10**6)),
            "id": SCALARS,
            "kind": st.one_of(SCALARS, st.sampled_from(["held", "quarantined", "handler"])),
            "facts": JSON,
            "guard": st.one_of(JSON, st.just({"client": "c", "labels": {"x": "y"}})),
            "mode": SCALARS,
        },
    ).map(lambda said: json.dumps(said).encode()),
)
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("streamwarden"), st.one_of(st.none(), STAMPS)),
        st.tuples(st.just(DECISION_HEADER), st.one_of(st.none(), DECISIONS)),
        st.tuples(st.just(DECISION_MAC_HEADER), st.binary(max_size=30)),
        st.tuples(st.just("__dlq.errors.topic"), st.sampled_from([b"t", b"\xff", b"other"])),
        st.tuples(
            st.sampled_from(["__dlq.errors.offset", "__dlq.errors.timestamp"]),
            st.sampled_from([b"5", b"-1", b"x", b"9" * 30, b"9999999999999999999"]),
        ),
        st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=5))),
    ),
    max_size=6,
)


@given(
    st.sampled_from(["t", "quarantine.t"]),
    VALUES,
    st.one_of(st.none(), st.binary(max_size=5)),
    HEADERS,
    st.integers(-1, 2**42),
    st.booleans(),
)
def test_every_record_is_judged(
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: list[tuple[str, bytes | None]],
    timestamp: int,
    signed: bool,
) -> None:
    """No bytes stop a replay, and every finding is a line of JSON of a known kind."""
    past = Past(BUNDLE, TODAY)
    past.write(Record(topic, None, key, value, headers, timestamp))
    terms = Terms(now=NOON, stamp_keys=KEYS if signed else None)

    for found in past.findings(TODAY, terms=terms):
        written = msgspec.json.decode(msgspec.json.encode(found.to_dict()))

        assert written["kind"] in KINDS
        assert written["drift"] in (None, *DRIFT)
        assert written["current"]["bundle"] == "b@2"
