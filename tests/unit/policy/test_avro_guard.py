"""A guard with schemas: Avro, and JSON that a registry has framed, from bytes to decision."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest

from streamwarden import Guard
from streamwarden.errors import PolicyError, SchemaUnavailableError
from streamwarden.policy.decision import Decision
from streamwarden.schemas.event import Headers
from streamwarden.schemas.framing import SchemaId, with_id
from streamwarden.schemas.registry import NotFound, SchemaAnswer, Unavailable, make_schema

PAYMENT: dict[str, Any] = {
    "type": "record",
    "name": "acme.Payment",
    "fields": [
        {"name": "id", "type": "string"},
        {
            "name": "amount",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
        },
        {"name": "card", "type": "string", "confluent:tags": ["PII"]},
        {"name": "iban", "type": ["null", "string"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["CARD", "CASH"]}},
        {"name": "cvv", "type": "int"},
        {"name": "lines", "type": {"type": "array", "items": {
            "type": "record", "name": "Line", "fields": [
                {"name": "sku", "type": "string"}, {"name": "price", "type": "double"}]}}},
    ],
}  # fmt: skip
POLICY = """\
policy: payments
owner: risk
topics: [payments]
schema: payments-value
rules:
  - {id: over-limit, when: 'value.amount > 500.25', effect: hold, reason: "amount {value.amount}"}
  - {id: old, when: 'value.at < timestamp("2026-01-01T00:00:00Z")', effect: reject}
  - {id: never, when: 'value.at > timestamp("9999-01-01T00:00:00Z")', effect: warn}
  - {id: cash, when: 'value.kind == "CASH"', effect: warn}
  - {id: dear, when: 'value.lines.exists(l, l.price > 100.0)', effect: warn}
  - {id: personal, when: '"PII" in schema.tags', effect: mask,
     mask: [{field: value.card, with: last4}, {field: value.iban, with: hash},
            {field: value.cvv, with: redact}, {field: "value.lines[].sku", with: redact}]}
"""
GOOD: dict[str, Any] = {
    "id": "p-1",
    "amount": b"\x01\x00",
    "card": "4111111111111111",
    "iban": "DE89370400440532013000",
    "at": 1_788_000_000_000,
    "kind": "CARD",
    "cvv": 737,
    "lines": [{"sku": "a-1", "price": 9.5}],
}


def avro(value: Any = GOOD, schema: Any = PAYMENT, number: int = 1) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return with_id(number, out.getvalue())


def read(data: bytes, schema: Any = PAYMENT) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(data[5:]), fastavro.parse_schema(schema), None)


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".").replace("_", "-")).write_text(text)
    return folder


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return write(tmp_path / "policies", payments__yaml=POLICY)


@pytest.fixture
def schemas(tmp_path: Path) -> Path:
    return write(tmp_path / "schemas", payments_value__avsc=json.dumps(PAYMENT))


@pytest.fixture
def guard(policies: Path, schemas: Path) -> Guard:
    return Guard.from_directory(policies, schemas=schemas, mask_keys={"m": b"k" * 16})


def decide(guard: Guard, value: bytes | None, **more: Any) -> Decision:
    return guard.decide(topic="payments", value=value, **more)


def fired(decision: Decision) -> list[str]:
    return [match.rule for match in decision.matches]


def test_a_clean_event_is_masked_in_place(guard: Guard) -> None:
    """Tags of the schema can be asked for; every mask leaves what the schema allows."""
    decision = decide(guard, avro())

    assert (fired(decision), decision.effect) == (["personal"], "mask")
    assert decision.masked_value is not None
    masked = read(decision.masked_value)
    assert masked["card"] == "************1111"
    assert masked["iban"].startswith("h:m:")
    assert (masked["cvv"], masked["lines"]) == (0, [{"sku": "", "price": 9.5}])
    assert {**masked, **dict.fromkeys(("card", "iban", "cvv", "lines"), 0)} == {
        **read(avro()),
        **dict.fromkeys(("card", "iban", "cvv", "lines"), 0),
    }
    again = decide(guard, decision.masked_value)
    assert again.masked_value == decision.masked_value


@pytest.mark.parametrize(
    ("changes", "rules", "effect"),
    [
        ({"amount": (50026).to_bytes(3, "big")}, ["over-limit", "personal"], "hold"),
        ({"amount": (50025).to_bytes(3, "big")}, ["personal"], "mask"),
        ({"at": 1_700_000_000_000}, ["old", "personal"], "reject"),
        ({"kind": "CASH"}, ["cash", "personal"], "mask"),
        ({"lines": [{"sku": "", "price": 200.0}]}, ["dear", "personal"], "mask"),
    ],
)
def test_rules_read_every_type(
    guard: Guard, changes: dict[str, Any], rules: list[str], effect: str
) -> None:
    """Decimals compare exactly, times are times, enums are text."""
    decision = decide(guard, avro({**GOOD, **changes}))

    assert (rules, effect) == (fired(decision), decision.effect)


def test_a_decision_says_the_schema_and_shows_values(guard: Guard) -> None:
    """The trail of an Avro event reads as that of any other, and is JSON."""
    decision = decide(guard, avro({**GOOD, "amount": (61_250_50).to_bytes(4, "big")}))

    said = json.loads(json.dumps(decision.to_dict()))

    assert said["schema"] == {"subject": "payments-value", "id": 1}
    over = said["matches"][0]
    assert over["reason"] == "amount 61250.50"
    assert over["why"]["parts"][0]["value"] == "61250.50"
    assert "41111111" not in json.dumps(said)


def test_times_beyond_the_calendar_compare(guard: Guard) -> None:
    """The largest number is a usual way to say never; it has no text, and is no defect."""
    decision = decide(guard, avro({**GOOD, "at": 2**63 - 1}))

    assert fired(decision) == ["never", "personal"]
    assert json.loads(json.dumps(decision.to_dict()))["matches"][0]["error"] is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (avro(number=9), "there is no schema `9`"),
        (avro()[:-9], "end too early"),
        (b"\0\0\0", "too short for the framing"),
        (b"\1" + bytes(16), "there is no schema"),
        (b"{", "not JSON"),
    ],
)
def test_what_cannot_be_read_is_undecodable(guard: Guard, value: bytes, reason: str) -> None:
    """A decision, not an exception: rules on key and headers still run."""
    decision = decide(guard, value)

    assert decision.effect == "reject"
    assert reason in (decision.undecodable or "")


def test_the_header_comes_before_the_prefix(guard: Guard) -> None:
    """As in the deserializers of consumers: a header cannot make the guard judge other bytes."""
    content = avro({**GOOD, "kind": "CASH"})[5:]
    by_header: Headers = [("__value_schema_id", b"\0\0\0\0\1")]

    assert "cash" in fired(decide(guard, content, headers=by_header))
    assert decide(guard, avro(), headers=by_header).undecodable is not None


def test_json_is_still_json(guard: Guard) -> None:
    """`auto`: what is not framed is JSON, also on a topic that has a schema."""
    decision = decide(guard, json.dumps({**GOOD, "amount": 900, "kind": "CASH"}).encode())

    assert {"over-limit", "cash"} <= set(fired(decision))


def test_json_schemas_frame_json(tmp_path: Path, policies: Path) -> None:
    """What JSON serializers write: the framing, then JSON. Masks keep the framing."""
    folder = write(tmp_path / "schemas", payments_value__schema__json='{"type": "object"}')
    (policies / "payments.yaml").write_text(
        "policy: p\nowner: o\ntopics: [payments]\nrules:\n"
        "  - {id: m, effect: mask, mask: [{field: value.card, with: redact}]}\n"
        "  - {id: big, when: value.amount > 5, effect: warn}\n"
    )
    guard = Guard.from_directory(policies, schemas=folder)

    decision = decide(guard, with_id(1, b'{"amount": 7, "card": "4111"}'))

    assert fired(decision) == ["m", "big"]
    assert decision.masked_value == with_id(1, b'{"amount": 7, "card": "***"}')


def test_keys_can_be_framed(tmp_path: Path) -> None:
    """A key by its own schema; `auto` takes the others as text."""
    key = {"type": "record", "name": "K", "fields": [{"name": "tenant", "type": "string"}]}
    folder = write(tmp_path / "schemas", a_key__avsc=json.dumps(key))
    policy = (
        "policy: p\nowner: o\ntopics: [payments]\nrules:\n"
        "  - {id: tenant, when: key.tenant == 'x', effect: warn}\n"
    )
    guard = Guard.from_directory(write(tmp_path / "policies", p__yaml=policy), schemas=folder)

    framed = avro({"tenant": "x"}, key)

    assert fired(decide(guard, b"{}", key=framed)) == ["tenant"]
    assert fired(decide(guard, b"{}", key=avro({"tenant": "y"}, key))) == []
    assert [match.error is not None for match in decide(guard, b"{}", key=b"x").matches] == [True]
    unknown = decide(guard, b"{}", key=avro({"tenant": "x"}, key, number=9))
    assert [match.error is not None for match in unknown.matches] == [True]


def test_bytes_as_a_whole_have_no_length(tmp_path: Path) -> None:
    """Confluent's serializers write a schema of plain bytes as they are."""
    folder = write(tmp_path / "schemas", payments_value__avsc='"bytes"')
    policy = (
        "policy: p\nowner: o\ntopics: [payments]\nrules:\n"
        "  - {id: raw, when: 'size(value) == 3', effect: warn}\n"
        "  - {id: m, effect: mask, mask: [{field: value.x, with: redact}]}\n"
    )
    guard = Guard.from_directory(write(tmp_path / "policies", p__yaml=policy), schemas=folder)

    decision = decide(guard, with_id(1, b"abc"))

    assert fired(decision) == ["raw", "m"]
    assert decision.masked_value == with_id(1, b"abc")


def test_a_mask_that_a_value_cannot_take_rejects(tmp_path: Path, schemas: Path) -> None:
    """A value is never passed unmasked; without `schema:` that is found when the event comes."""
    union = {**PAYMENT, "fields": [{"name": "card", "type": ["string", "int"]}]}
    (schemas / "other.avsc").write_text(json.dumps(union))
    policy = (
        "policy: p\nowner: o\ntopics: ['*']\nrules:\n"
        "  - {id: m, effect: mask, mask: [{field: value.card, with: last4}]}\n"
    )
    guard = Guard.from_directory(write(tmp_path / "all", p__yaml=policy), schemas=schemas)

    text, number = (avro({"card": card}, union, number=1) for card in ("4111111111111111", 7))

    assert decide(guard, text).effect == "mask"
    refused = decide(guard, number)
    assert (refused.effect, refused.masked_value) == ("reject", None)
    assert "holds no free text" in refused.reasons()


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (("with: redact}, {field: \"value.lines", "with: last4}, {field: \"value.lines"), "SW171", "`value.cvv` cannot be masked with `last4`: a value of type `int`"),
        (("with: last4}, {field: value.iban", "with: drop}, {field: value.iban"), "SW171", "`value.card` cannot be masked with `drop`"),
        (("value.amount > 500.25", "value.amuont > 500.25"), "SW125", "no field `amuont`"),
        (("value.at < timestamp(\"2026-01-01T00:00:00Z\")", "value.at < 5"), "SW1", "`<`"),
        (("schema: payments-value", "schema: payment-value"), "SW170", "no schema `payment-value`"),
    ],
)  # fmt: skip
def test_policies_are_checked_against_the_schema(
    policies: Path, schemas: Path, change: tuple[str, str], code: str, message: str
) -> None:
    """When they are loaded, each with its place."""
    assert change[0] in POLICY
    (policies / "payments.yaml").write_text(POLICY.replace(*change))

    with pytest.raises(PolicyError) as caught:
        Guard.from_directory(policies, schemas=schemas)

    found = [p for p in caught.value.problems if p.code.startswith(code)]
    assert found, caught.value
    assert message in found[0].message


class Moody:
    """A source that is there or is not."""

    def __init__(self) -> None:
        self.up = False
        self.known: dict[SchemaId, SchemaAnswer] = {1: make_schema(1, "AVRO", json.dumps(PAYMENT))}

    def schema(self, id: SchemaId) -> SchemaAnswer:  # noqa: A002
        if not self.up:
            return Unavailable(id, "the schema registry `http://r` cannot be reached")
        return self.known.get(id) or NotFound(id)

    def latest(self, subject: str) -> SchemaAnswer:
        return self.schema(1) if subject == "payments-value" else NotFound(subject)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "rule",
    [
        "{id: r, when: value.cvv > 1, effect: warn}",
        "{id: r, when: 'schema.id == 1', effect: warn}",
        "{id: r, when: key.tenant == 'x', effect: warn}",
        "{id: r, effect: mask, mask: [{field: value.cvv, with: redact}]}",
    ],
)
def test_a_registry_that_is_down_is_no_bad_data(tmp_path: Path, rule: str) -> None:
    """Nothing is decided, and the caller is told; afterwards the same event is judged."""
    policy = f"policy: p\nowner: o\ntopics: [payments]\nrules:\n  - {rule}\n"
    folder = write(tmp_path / "all", p__yaml=policy)
    source = Moody()
    guard = Guard.from_directory(folder, schemas=source)
    forgiving = Guard.from_directory(folder, schemas=source, schema_unavailable="undecodable")

    with pytest.raises(SchemaUnavailableError, match="`http://r` cannot be reached"):
        decide(guard, avro(), key=avro())
    said = decide(forgiving, avro(), key=avro())
    assert said.undecodable is not None or said.matches
    source.up = True

    assert fired(decide(guard, avro(), key=avro())) == ["r"]


def test_rules_that_need_no_schema_need_no_registry(tmp_path: Path) -> None:
    """What only reads headers is decided whatever the registry does."""
    policy = (
        "policy: p\nowner: o\ntopics: [payments]\nrules:\n"
        "  - {id: h, when: '\"x\" in headers', effect: warn}\n"
    )
    guard = Guard.from_directory(write(tmp_path / "all", p__yaml=policy), schemas=Moody())

    assert fired(decide(guard, avro(), headers={"x": b"1"})) == ["h"]


def test_guids_name_schemas_too(policies: Path) -> None:
    """Newer serializers name a schema by the digest of its content."""
    guid = UUID("67e55044-10b1-426f-9247-bb680e5fe0c8")
    source = Moody()
    source.up = True
    source.known[guid] = make_schema(guid, "AVRO", json.dumps(PAYMENT))
    guard = Guard.from_directory(policies, schemas=source, mask_keys={"m": b"k" * 16})

    value = b"\1" + guid.bytes + avro({**GOOD, "kind": "CASH"})[5:]
    decision = decide(guard, value)

    assert fired(decision) == ["cash", "personal"]
    assert decision.to_dict()["schema"] == {"subject": None, "id": str(guid)}


def test_without_schemas_framed_values_are_undecodable(policies: Path) -> None:
    """So are others on a topic of framed ones, which are not said to be framed then."""
    (policies / "bundle.yaml").write_text("bundle: b\ntopics: {payments: {value: avro}}\n")
    guard = Guard.from_directory(policies, mask_keys={"m": b"k" * 16})

    framed, bare = decide(guard, avro()), decide(guard, b'{"amount": 1}')

    no_schemas = "and no schemas were given"
    assert framed.undecodable == f"the bytes are framed by a schema registry, {no_schemas}"
    assert bare.undecodable == (
        f"the bytes do not begin as a schema registry frames them, {no_schemas}"
    )


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        (
            "payment-value.json",
            "rename `payment-value.json` to `payment-value.schema.json`: files of that name are read",
        ),
        ("other.json", "there are `payments-value`"),
    ],
)
def test_a_schema_that_is_not_there_is_told_with_what_is(
    policies: Path, schemas: Path, name: str, remedy: str
) -> None:
    """The file that looks meant, else the subjects."""
    text = POLICY.replace("schema: payments-value", "schema: payment-value")
    (policies / "payments.yaml").write_text(text)
    (schemas / name).write_text("{}")

    with pytest.raises(PolicyError) as refused:
        Guard.from_directory(policies, schemas=schemas)

    problems = {problem.code: problem for problem in refused.value.problems}
    assert problems["SW170"].remedy == remedy
