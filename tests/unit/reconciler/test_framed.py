"""History that a schema registry has framed: Avro, masked without a look of its own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import fastavro
import pytest

from streamwarden.policy.compiler.framed import FramedValues
from streamwarden.policy.plan_table import PlanTable
from streamwarden.reconciler.findings import Finding
from streamwarden.reconciler.judge import Judge, Terms
from streamwarden.reconciler.replay import replay
from streamwarden.reconciler.report import Report
from streamwarden.reconciler.slices import Slice
from streamwarden.reconciler.tally import merge_all
from streamwarden.reconciler.what_if import WhatIfJudge
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


def said(findings: Sequence[Finding]) -> list[tuple[str, str | None, str]]:
    """Kind, drift and detail; a schema that is not at hand is no rule's fault."""
    assert not any(finding.rules for finding in findings if finding.lacking)
    return [(finding.kind, finding.drift, finding.detail) for finding in findings]


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
    """A guard that lacked the schema then says nothing about what today's would have."""
    then = make_bundle(policy(OVER_50), number=1, settings="undecodable: allow\n")
    today = make_bundle(policy(OVER_10), number=2)
    past = Past(then, today, schemas=source)
    past.guarded(then, b"\0\0\0\0\x63rest")

    assert said(past.findings(today)) == [("undecidable", None, "schema `99` is not at hand")]


@pytest.mark.parametrize("kept", ["none", "another"])
def test_without_the_schema_honest_events_are_undecidable(
    source: DirectorySource, encode: Encode, tmp_path: Path, kept: str
) -> None:
    """The guard had the schema, and the replay does not know what it read."""
    then = make_bundle(policy(OVER_50, MASK.replace("HOW", "last4")), number=1)
    past = Past(then, schemas=source)
    past.guarded(then, encode(20.0, "4111111111111111"))
    past.guarded(then, encode(20.0))
    past.guarded(then, {"amount": 1})
    past.bypass(encode(20.0))
    past.bypass(encode(20.0), stamp=f"1;b@1;{then.digest[:12]};reject;produce")
    (tmp_path / "empty").mkdir()
    past.schemas = None if kept == "none" else DirectorySource(tmp_path / "empty")
    lacking = "schema `1` is not at hand"

    assert said(past.findings(then)) == [
        ("undecidable", None, lacking),
        ("undecidable", None, lacking),
        ("unchecked", None, "no stamp: something bypassed the guard"),
        ("misrecorded", None, "delivered although its stamp says reject"),
    ]


def test_without_the_schema_rules_on_other_things_decide(
    source: DirectorySource, encode: Encode
) -> None:
    """No rule needs the value, so whatever it is cannot matter."""
    bundle = make_bundle(
        policy("{id: test, when: '\"test\" in headers', effect: reject}"), number=1
    )
    past = Past(bundle, schemas=source)
    past.guarded(bundle, encode(20.0))
    past.schemas = None

    assert past.findings(bundle) == []


def test_a_damaged_value_is_told_as_ever(source: DirectorySource, encode: Encode) -> None:
    """Its schema is at hand: that it cannot be decoded is known."""
    then = make_bundle(policy(OVER_50), number=1)
    past = Past(then, schemas=source)
    past.bypass(encode(20.0)[:-3], stamp=f"1;b@1;{then.digest[:12]};allow;produce")

    assert past.kinds(then) == ["misrecorded"]


def test_parked_events_without_their_schema(source: DirectorySource, encode: Encode) -> None:
    """Whether they would pass today is not known, unless nothing changed or they never decoded."""
    then = make_bundle(policy(OVER_10), number=1)
    laxer = make_bundle(policy(OVER_50), number=2)
    past = Past(then, laxer, schemas=source)
    past.guarded(then, encode(20.0))
    past.guarded(then, b"\0\0\0\0\x63rest")
    past.schemas = None

    assert past.findings(then) == []
    assert said(past.findings(laxer)) == [("undecidable", None, "schema `1` is not at hand")]


def test_a_candidate_is_not_compared_without_the_schema(
    source: DirectorySource, encode: Encode
) -> None:
    """Whether it decides otherwise is counted as uncertain."""
    then = make_bundle(policy(OVER_50), number=1)
    past = Past(then, schemas=source)
    past.guarded(then, encode(20.0))
    candidate = make_bundle(policy(OVER_10), settings="undecodable: allow\n")
    current = PlanTable(then, detective=True, replay=True)
    judge = WhatIfJudge(
        current,
        "t",
        past.history(candidate),
        PlanTable(candidate, detective=True, replay=True),
        Terms(now=NOON),
    )

    account = replay([past.topics["t"]], judge).report(Slice(0, "t", 0, 0, 1), (), "")

    assert account.counts == {"t": {"undecidable": 1}}
    assert account.changes.uncertain == 1


def test_the_report_says_once_which_schemas_are_lacking(
    source: DirectorySource, encode: Encode
) -> None:
    """One line, however many events and slices there are, with what to do."""
    then = make_bundle(policy(OVER_50), number=1)
    past = Past(then, schemas=source)
    for _ in range(3):
        past.guarded(then, encode(20.0))
    past.bypass(b"\0\0\0\0\x07rest")
    table = PlanTable(then, detective=True, replay=True)
    judge = Judge("t", past.history(then), table, Terms(now=NOON))
    records = past.topics["t"]
    accounts = [
        replay([records[first:end]], judge).report(Slice(at, "t", 0, first, end), (), "")
        for at, (first, end) in enumerate([(0, 2), (2, 4)])
    ]

    report = Report("b@1", then.digest, (), merge_all(accounts), 0.0).to_dict()

    (problem,) = report["problems"]
    assert problem.startswith("schemas `1`, `7` not at hand: ")
    assert "give `--schemas`" in problem


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
