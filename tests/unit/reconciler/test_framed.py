"""History that a schema registry has framed: Avro, masked without a look of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import fastavro
import pytest

from streamwarden.policy.compiler.framed import FramedValues
from streamwarden.policy.plan_table import PlanTable
from streamwarden.reconciler.judge import Judge, Terms
from streamwarden.reconciler.replay import replay
from streamwarden.schemas.framing import SchemaId
from streamwarden.schemas.registry import SchemaAnswer, Unavailable
from streamwarden.schemas.schema_directory import DirectorySource

from .histories import NOON, Past, make_bundle, policy

SCHEMA = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "amount", "type": "double"},
        {"name": "card", "type": ["null", "string"], "default": None},
        {"name": "note", "type": "string", "default": ""},
    ],
}
OVER_50 = "{id: over, when: value.amount > 50.0, effect: reject}"
OVER_10 = "{id: over, when: value.amount > 10.0, effect: reject}"
MASK = "{id: card, when: value.card != null, effect: mask, mask: [{field: value.card, with: HOW}]}"
NOTE = "{id: note, when: 'value.note == \"secret\"', effect: reject}"

Encode = Callable[..., bytes]


@pytest.fixture
def source(tmp_path: Path) -> DirectorySource:
    """A directory with one schema, which gets the id 1."""
    (tmp_path / "t-value.avsc").write_text(json.dumps(SCHEMA))
    return DirectorySource(tmp_path)


@pytest.fixture
def encode() -> Encode:
    """A payment as its serializer writes it."""

    def encoded(amount: float = 1.0, card: str | None = None, note: str = "") -> bytes:
        out = io.BytesIO()
        record = {"amount": amount, "card": card, "note": note}
        fastavro.schemaless_writer(out, fastavro.parse_schema(SCHEMA), record)
        return b"\0" + (1).to_bytes(4, "big") + out.getvalue()

    return encoded


@pytest.mark.parametrize("how", ["last4", "redact", "drop", "hash"])
def test_an_unchanged_policy_finds_nothing(
    source: DirectorySource, encode: Encode, how: str
) -> None:
    """Masked fields are nulls or texts like any other, and nobody is accused of that."""
    bundle = make_bundle(policy(OVER_50, MASK.replace("HOW", how)), number=1)
    past = Past(bundle, schemas=source)
    keys = {"mask_keys": {"k1": b"0123456789abcdef"}}
    for card in (None, "4111111111111111"):
        past.guarded(bundle, encode(20.0, card), settings=keys)
    past.guarded(bundle, encode(99.0, "4111111111111111"), settings=keys)

    assert [len(log) for log in past.topics.values()] == [2, 1]
    assert past.kinds(bundle) == []


def test_todays_policy_is_judged_by_the_schema(source: DirectorySource, encode: Encode) -> None:
    """What was let through and would be refused or masked today."""
    then = make_bundle(policy(OVER_50), number=1)
    stricter = make_bundle(policy(OVER_10), number=2)
    masking = make_bundle(policy(OVER_50, MASK.replace("HOW", "drop")), number=3)
    past = Past(then, stricter, masking, schemas=source)
    past.guarded(then, encode(20.0, "4111111111111111"))

    assert [(f.kind, f.change) for f in past.findings(stricter)] == [
        ("now-rejected", "over: 50.0 → 10.0")
    ]
    assert past.kinds(masking) == ["now-masked"]


def test_a_masked_field_is_unknown(source: DirectorySource, encode: Encode) -> None:
    """Whether a field was masked cannot be seen: every value that agrees with the stamp counts."""
    hiding = (
        "{id: hide, when: value.amount > 5.0, effect: mask, "
        "mask: [{field: value.note, with: redact}]}"
    )
    then = make_bundle(policy(hiding), number=1)
    today = make_bundle(policy(hiding, NOTE), number=2)
    past = Past(then, today, schemas=source)
    past.guarded(then, encode(20.0, note="secret"))
    past.guarded(then, encode(1.0, note="secret"))

    assert [(f.offset, f.kind) for f in past.findings(today)] == [
        (0, "undecidable"),
        (1, "now-rejected"),
    ]


def test_bytes_of_no_known_schema_are_undecidable(source: DirectorySource) -> None:
    """An id that the directory does not have cannot be decoded."""
    then = make_bundle(policy(OVER_50), number=1, settings="undecodable: allow\n")
    today = make_bundle(policy(OVER_10), number=2)
    past = Past(then, today, schemas=source)
    past.guarded(then, b"\0\0\0\0\x63rest")

    assert [(f.kind, f.drift) for f in past.findings(today)] == [("undecidable", "now-rejected")]


class Away:
    """A registry that cannot be reached."""

    def __init__(self, source: DirectorySource) -> None:
        self.source = source
        self.away = False

    def schema(self, id: SchemaId) -> SchemaAnswer:  # noqa: A002 - the protocol's word
        return Unavailable(id, "nobody answers") if self.away else self.source.schema(id)

    def latest(self, subject: str) -> SchemaAnswer:
        return self.source.latest(subject)

    def close(self) -> None:
        self.source.close()


def test_a_schema_that_cannot_be_had_stops_the_slice(
    source: DirectorySource, encode: Encode
) -> None:
    """Nothing is guessed: from there on the slice counts as unread."""
    bundle = make_bundle(policy(OVER_50), number=1)
    registry = Away(source)
    past = Past(bundle, schemas=registry)
    past.bypass({"amount": 99})
    past.guarded(bundle, encode(20.0))
    past.bypass({"amount": 99})
    registry.away = True
    framed = FramedValues(registry)
    history = past.history(bundle)
    history.framed = framed
    table = PlanTable(bundle, detective=True, replay=True, framed=framed)

    tally = replay([past.topics["t"]], Judge("t", history, table, Terms(now=NOON)))

    assert tally.stopped == (1, "nobody answers")
    assert tally.events == 1
