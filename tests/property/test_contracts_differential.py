"""Imported data-contract rules decide as Confluent's own executor, on many events."""

from __future__ import annotations

import copy
import io
import json
import random
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import fastavro
import pytest

from streamwarden.cli.policy_import import document_text
from streamwarden.policy.contracts import Contract, import_contract
from streamwarden.policy.guard import Guard
from streamwarden.schemas.framing import with_id

pytest.importorskip("celpy")
pytest.importorskip("google.protobuf")

Json = dict[str, Any]

SCHEMA = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "string", "confluent:tags": ["ID"]},
        {"name": "email", "type": ["null", "string"], "confluent:tags": ["PII"]},
        {"name": "amount", "type": "double"},
        {"name": "count", "type": "int"},
        {"name": "kind", "type": "string"},
        {"name": "site", "type": "string", "confluent:tags": ["SITE"]},
        {"name": "words", "type": {"type": "array", "items": "string"}},
        {
            "name": "address",
            "type": [
                "null",
                {
                    "type": "record",
                    "name": "Address",
                    "fields": [
                        {"name": "zip", "type": "string", "confluent:tags": ["PII"]},
                        {"name": "city", "type": ["null", "string"]},
                    ],
                },
            ],
            "confluent:tags": ["WHOLE"],
        },
        {"name": "code", "type": ["int", "string"], "confluent:tags": ["CODE"]},
        {
            "name": "party",
            "type": [
                "string",
                {
                    "type": "record",
                    "name": "Person",
                    "fields": [
                        {"name": "name", "type": "string", "confluent:tags": ["PERSON"]},
                        {"name": "age", "type": "int"},
                    ],
                },
                {
                    "type": "record",
                    "name": "Firm",
                    "fields": [
                        {"name": "name", "type": "string", "confluent:tags": ["FIRM"]},
                        {"name": "seat", "type": "string"},
                    ],
                },
            ],
            "confluent:tags": ["PARTY"],
        },
        {
            "name": "grade",
            "type": ["null", {"type": "enum", "name": "Grade", "symbols": ["X", "Y"]}],
            "confluent:tags": ["GRADE"],
        },
        {
            "name": "marks",
            "type": ["null", {"type": "array", "items": "string"}],
            "confluent:tags": ["GRADE"],
        },
        {
            "name": "day",
            "type": {"type": "int", "logicalType": "date"},
            "confluent:tags": ["DAY"],
        },
        {"name": "until", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {
            "name": "items",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Item",
                    "fields": [{"name": "sku", "type": "string"}],
                },
            },
        },
        {
            "name": "notes",
            "type": {
                "type": "map",
                "values": {
                    "type": "record",
                    "name": "Note",
                    "fields": [{"name": "text", "type": "string", "confluent:tags": ["NOTE"]}],
                },
            },
        },
    ],
}
TAGS = {"shop.*.sku": ["SKU"], "**.city": ["PII"]}

CONDITIONS = [
    "message.amount > 10.0",
    "message.amount > 10.0 && message.count < 3",
    "message.kind in ['card', 'cash'] || message.count == 0",
    "has(message.email)",
    "message.email != null ; message.email.isEmail()",
    "message.email != null ; isEmail(message.email)",
    "message.kind == 'card' ; message.amount < 100.0 && size(message.items) > 0",
    " ; message.count >= 0",
    "message.items.all(i, i.sku.matches('^[A-Z]+$'))",
    "message.words.exists(w, w == 'x')",
    "message.kind.startsWith('c') ? message.count > 1 : message.count < 1",
    "message.email.size() > 3",
    "message.address.zip == '12345'",
    "message.nothing == 1",
    "message.count / (message.count - 1) > 0",
    "message.site.isHostname() || message.site.isIpv4()",
    "isIpv6(message.site) || isUuid(message.site)",
    "string(message.count) + message.kind == '1card'",
    "!(message.kind == 'card')",
    "message.address.zip == 'A' ; message.count < 5",
    "message.nothing == 1 ; true",
    "message.nothing ; message.count == 1",
    "message.kind == 'card' && message.address.zip == 'A' ; message.count < 5",
    "has(message.nothing) ; message.nothing == 1",
    "message.day > 0",
    "message.until == null || message.until > message.day",
    "message.address == null || message.address.city == null",
]
FIELDS: list[tuple[str, list[str]]] = [
    ("value != ''", ["ID"]),
    ("typeName == 'STRING' ; value != ''", ["PII"]),
    ("value.matches('^[A-Z]+$')", ["SKU"]),
    ("name == 'zip' ; value.size() == 5", ["PII"]),
    ("fullName == 'shop.Order.kind' ; value in ['card', 'cash']", []),
    ("typeName == 'STRING' && 'NOTE' in tags ; size(value) < 3", []),
    ("value != message.kind", ["ID"]),
    ("value.size() > 1", ["PII"]),
    ("typeName == 'DOUBLE' ; value < 50.0", []),
    ("value == null || value.size() > 1", ["PII", "NOTE"]),
    ("message.address.zip == 'A' ; value != ''", ["ID"]),
    ("value != null", ["WHOLE"]),
    ("value != null", ["GRADE"]),
    ("typeName == 'NULL' ; false", ["GRADE", "PII"]),
    ("typeName == 'STRING' ; value != ''", ["CODE"]),
    ("typeName == 'INT' ; value > 0", ["CODE", "WHOLE"]),
    ("typeName == 'INT' ? value > 0 : value != ''", ["CODE"]),
    ("typeName == 'STRING' && name != 'code' ; value != 'x'", ["CODE", "ID", "SITE"]),
    ("value > 0", ["DAY"]),
    ("value >= message.count", ["DAY"]),
    ("value != ''", ["FIRM"]),
    ("value.size() > 1", ["PERSON", "PARTY"]),
    ("fullName.startsWith('shop.Firm') ; value != message.seat", ["PERSON", "FIRM"]),
]
#: With actions: success is that of all fields together.
ACTIONS: list[Json] = [
    {"expr": "message.count > 1", "onFailure": "NONE"},
    {"expr": "message.count > 1", "onSuccess": "ERROR"},
    {
        "expr": "message.kind == 'card' ; message.count / (message.count - 1) > 1",
        "onSuccess": "ERROR",
        "onFailure": "NONE",
    },
    {"expr": "message.nothing ; true", "onSuccess": "ERROR", "onFailure": "NONE"},
    {"expr": "message.count > 1", "onSuccess": "NONE,ERROR"},
    {"expr": "message.count > 1", "onFailure": "none"},
    {"expr": "false", "disabled": True},
    *(
        {"type": "CEL_FIELD", "tags": tags, "expr": expr, "onSuccess": "ERROR", **more}
        for tags, expr in (
            (["ID", "SITE"], "value == 'x' || value == 'card'"),
            (["ID", "PII"], "typeName == 'STRING' ; value.size() > 1"),
            (["WHOLE", "SKU"], "value != null"),
            (["NOBODY"], "value == 'x'"),
        )
        for more in ({}, {"onFailure": "NONE"})
    ),
]

JSON_SCHEMA: Json = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "definitions": {
        "Party": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "confluent:tags": ["PII"]},
                "age": {"type": "integer", "confluent:tags": ["AGE"]},
            },
        },
        "Card": {
            "type": "object",
            "required": ["form", "number"],
            "properties": {
                "form": {"const": "card"},
                "number": {"type": "string", "confluent:tags": ["PAY"]},
            },
        },
        "Transfer": {
            "type": "object",
            "required": ["form", "number"],
            "properties": {
                "form": {"enum": ["sepa", "swift"]},
                "number": {"type": "string", "confluent:tags": ["IBAN"]},
            },
        },
    },
    "properties": {
        "id": {"type": "string", "confluent:tags": ["ID"]},
        "email": {"type": ["null", "string"], "confluent:tags": ["PII"]},
        "count": {"type": "integer"},
        "share": {"type": "number", "confluent:tags": ["SHARE"]},
        "code": {"type": ["integer", "string"], "confluent:tags": ["CODE"]},
        "free": {"oneOf": [{"type": "integer"}, {"type": "string", "minLength": 2},
                           {"type": "string"}], "confluent:tags": ["FREE"]},
        "any": {"anyOf": [{"type": "string"}, {"type": "integer"}], "confluent:tags": ["ANY"]},
        "maybe": {"oneOf": [{"type": "null"}, {"type": "string"}], "confluent:tags": ["MAYBE"]},
        "kind": {"enum": ["card", "cash", "x"], "confluent:tags": ["KIND"]},
        "words": {"type": "array", "items": {"type": "string"}},
        "address": {"type": "object", "properties": {
            "zip": {"type": "string", "confluent:tags": ["PII"]}, "city": {"type": "string"}}},
        "buyer": {"$ref": "#/definitions/Party"},
        "items": {"type": "array", "items": {"type": "object", "properties": {
            "sku": {"type": "string"}, "first-name": {"type": "string",
                                                      "confluent:tags": ["PII"]}}}},
        "paid": {"oneOf": [{"$ref": "#/definitions/Card"}, {"$ref": "#/definitions/Transfer"}]},
    },
    "allOf": [{"properties": {"site": {"type": "string", "confluent:tags": ["SITE"]}}}],
}  # fmt: skip
JSON_TAGS = {"$.*.sku": ["SKU"], "**.city": ["PII"]}
JSON_FIELDS: list[tuple[str, list[str]]] = [
    ("value != ''", ["ID"]),
    ("value.size() > 1", ["PII"]),
    ("value == message.sku || value == ''", ["SKU"]),
    ("name == 'first-name' ; value != message.sku", ["PII"]),
    ("fullName == '$.address.zip' ; value == '12345'", []),
    ("fullName.startsWith('$.buyer') && typeName == 'STRING' ; value != ''", []),
    ("value > 17", ["AGE"]),
    ("typeName == 'DOUBLE' ; value < 0.5", ["SHARE"]),
    ("typeName == 'STRING' ; value != ''", ["CODE"]),
    ("typeName == 'INT' ; value > 0", ["CODE", "FREE", "ANY"]),
    ("typeName == 'STRING' ; value.startsWith('A')", ["FREE"]),
    ("typeName == 'INT' || value != ''", ["ANY"]),
    ("value != 'x'", ["MAYBE", "SITE"]),
    ("value == 'never'", ["KIND"]),
    ("value.size() > 1", ["PAY"]),
    ("value.matches('^[A-Z]+$')", ["IBAN"]),
    ("message.form == 'swift' ; value != ''", ["IBAN", "PAY"]),
    ("'PII' in tags && typeName == 'STRING' ; size(value) < 9", []),
    ("message.nothing ; true", ["ID"]),
]
JSON_ACTIONS: list[Json] = [
    {"type": "CEL_FIELD", "tags": tags, "expr": expr, "onSuccess": "ERROR", **more}
    for tags, expr in ((["PII"], "value.size() > 1"), (["PAY", "IBAN"], "value != 'A'"))
    for more in ({}, {"onFailure": "NONE"})
]
WORDS = [
    *("", "A", "AB", "card", "cash", "x", "12345", "a@b.de", "a@b", "1.2.3.4", "::1", "ex.org"),
    *("2b2b9c58-7c9e-4c8f-a3a0-6c6d6e2a0b1c", "not a host"),
]


def avro_event(draw: random.Random) -> Json:
    def word() -> str:
        return draw.choice(WORDS)

    return {
        "id": word(),
        "email": draw.choice([None, word(), word()]),
        "amount": draw.choice([0.0, 5.5, 10.0, 10.5, 99.0, 1e9]),
        "count": draw.choice([-1, 0, 1, 2, 5]),
        "kind": draw.choice(["card", "cash", "x", word()]),
        "site": word(),
        "words": [word() for _ in range(draw.randrange(3))],
        "address": draw.choice([None, {"zip": word(), "city": draw.choice([None, word()])}]),
        "code": draw.choice([word(), draw.choice([-1, 0, 1])]),
        "party": draw.choice(
            [word(), {"name": word(), "age": 1}, {"name": word(), "seat": word()}]
        ),
        "grade": draw.choice([None, "X", "Y"]),
        "marks": draw.choice([None, [], ["A"]]),
        "day": draw.choice([-2, 0, 1, 2, 19000]),
        "until": draw.choice([None, -1, 0, 2]),
        "items": [{"sku": word()} for _ in range(draw.randrange(3))],
        "notes": {word(): {"text": word()} for _ in range(draw.randrange(2))},
    }


def json_event(draw: random.Random) -> Json:
    """Every member may be missing."""

    def word() -> str:
        return draw.choice(WORDS)

    whole: Json = {
        "id": word(),
        "email": draw.choice([None, word(), word()]),
        "count": draw.choice([-1, 0, 1, 2, 5]),
        "share": draw.choice([0.25, 0.75]),
        "code": draw.choice([word(), draw.choice([-1, 0, 1])]),
        "any": draw.choice([word(), draw.choice([-1, 0, 1])]),
        "maybe": draw.choice([None, word()]),
        "kind": draw.choice(["card", "cash", "x"]),
        "words": [word() for _ in range(draw.randrange(3))],
        "address": {"zip": word(), "city": word()},
        "buyer": draw.choice([{}, {"name": word()}, {"name": word(), "age": 17}, {"age": 18}]),
        "items": [{"sku": word(), "first-name": word()} for _ in range(draw.randrange(3))],
        "paid": {"form": draw.choice(["card", "sepa", "swift"]), "number": word()},
        "site": word(),
    }
    free = draw.choice([0, 1, "", "A", "x"])  # a longer text fits two branches: not valid
    return {k: v for k, v in {**whole, "free": free}.items() if draw.random() < 0.9}


class World:
    """A schema with its tags, and events of it."""

    def __init__(
        self, kind: str, schema: Json, tags: Json, event: Callable[[random.Random], Json]
    ) -> None:
        self.kind = kind
        self.schema = schema
        self.tags = tags
        self.event = event


AVRO = World("AVRO", SCHEMA, TAGS, avro_event)
JSON = World("JSON", JSON_SCHEMA, JSON_TAGS, json_event)


def rules(
    conditions: list[str], fields: list[tuple[str, list[str]]], actions: list[Json]
) -> list[Json]:
    made: list[Json] = []
    for number, expr in enumerate(conditions):
        made.append({"name": f"c{number}", "type": "CEL", "expr": expr})
    for number, (expr, tags) in enumerate(fields):
        made.append({"name": f"f{number}", "type": "CEL_FIELD", "tags": tags, "expr": expr})
    for number, rule in enumerate(actions):
        made.append({"name": f"a{number}", "type": "CEL", **rule})
    return [{"kind": "CONDITION", "mode": "WRITE", **rule} for rule in made]


def peer(world: World, rule: Json) -> Callable[[Json], bool]:
    """Whether Confluent's serializer lets an event through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from confluent_kafka.schema_registry import (
            Metadata,
            MetadataTags,
            Rule,
            RuleKind,
            RuleMode,
            RuleSet,
            Schema,
            SchemaRegistryClient,
        )
        from confluent_kafka.schema_registry.avro import AvroSerializer
        from confluent_kafka.schema_registry.json_schema import JSONSerializer
        from confluent_kafka.schema_registry.rules.cel.cel_executor import CelExecutor
        from confluent_kafka.schema_registry.rules.cel.cel_field_executor import CelFieldExecutor
        from confluent_kafka.schema_registry.serde import RuleError
        from confluent_kafka.serialization import (
            MessageField,
            SerializationContext,
            SerializationError,
        )

        for executor in (cast("Any", CelExecutor), cast("Any", CelFieldExecutor)):
            executor.register()
        client = SchemaRegistryClient.new_client({"url": "mock://"})
        written = Rule(
            rule["name"],
            "",
            RuleKind.CONDITION,
            RuleMode.WRITE,
            rule["type"],
            rule.get("tags"),
            None,
            rule["expr"],
            rule.get("onSuccess"),
            rule.get("onFailure"),
            rule.get("disabled", False),
        )
        tags = Metadata(
            tags=MetadataTags(
                cast("Any", {name: tuple(given) for name, given in world.tags.items()})
            ),
            properties=None,
            sensitive=None,
        )
        schema = Schema(json.dumps(world.schema), world.kind, [], tags, RuleSet(None, [written]))
        client.register_schema("orders-value", schema)
        settings = {"auto.register.schemas": False, "use.latest.version": True}
        serializer: Any
        if world.kind == "AVRO":
            serializer = cast("Any", AvroSerializer)(client, conf=settings)
        else:
            text = json.dumps(world.schema)
            serializer = cast("Any", JSONSerializer)(text, client, conf=settings)
    context = SerializationContext("orders", MessageField.VALUE)

    def passes(value: Json) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                serializer(copy.deepcopy(value), context)
            except (SerializationError, RuleError):
                return False
        return True

    return passes


def ours(folder: Path, world: World, rule: Json) -> tuple[Callable[[Json], bool], tuple[str, ...]]:
    """Whether the imported rules let it through, as JSON and in the bytes of Avro; and notices."""
    answer = {
        "subject": "orders-value",
        "schemaType": world.kind,
        "schema": json.dumps(world.schema),
        "metadata": {"tags": world.tags},
        "ruleSet": {"domainRules": [rule]},
    }
    found = import_contract(Contract.of(answer), name="contract", owner="o", topics=["orders"])
    assert found.refused == ()
    policies, schemas = folder / "policies", folder / "schemas"
    policies.mkdir()
    schemas.mkdir()
    for document in found.documents:
        (policies / "contract.yaml").write_text(document_text(document))
    if not found.documents:
        return (lambda _: True), found.notices
    parsed: Any = None
    if world.kind == "AVRO":
        parsed = fastavro.parse_schema(copy.deepcopy(world.schema))
        (schemas / "orders-value.avsc").write_text(json.dumps(world.schema))
    guard = Guard.from_directory(policies, schemas=schemas)

    def passes(value: Json) -> bool:
        read = guard.decide(topic="orders", value=json.dumps(value)).passes
        if parsed is not None:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, value)
            assert guard.decide(topic="orders", value=with_id(1, out.getvalue())).passes == read
        return read

    return passes, found.notices


def compare(folder: Path, world: World, rule: Json) -> None:
    draw = random.Random(str(rule["expr"]))
    theirs, (mine, _) = peer(world, rule), ours(folder, world, rule)
    for _ in range(25):
        value = world.event(draw)
        assert (mine(value), rule["expr"], value) == (theirs(value), rule["expr"], value)


@pytest.mark.slow
@pytest.mark.parametrize("rule", rules(CONDITIONS, FIELDS, ACTIONS), ids=lambda rule: rule["name"])
def test_the_verdicts_are_the_same(rule: Mapping[str, Any], tmp_path: Path) -> None:
    """Rule by rule, on events of Avro."""
    compare(tmp_path, AVRO, dict(rule))


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", rules([], JSON_FIELDS, JSON_ACTIONS), ids=lambda rule: rule["name"]
)
def test_the_verdicts_on_fields_of_json_are_the_same(
    rule: Mapping[str, Any], tmp_path: Path
) -> None:
    """Rule by rule, on events of a JSON Schema: branches, references, elements, missing members."""
    compare(tmp_path, JSON, dict(rule))


FLAGGED = World(
    "AVRO",
    {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "s", "type": "string", "confluent:tags": ["S"]},
            {"name": "count", "type": "int", "confluent:tags": ["N"]},
            {"name": "flag", "type": "boolean"},
            {"name": "words", "type": {"type": "array", "items": "string"}},
        ],
    },
    {"R.words": ["W"]},
    lambda _: {"s": "abc", "count": 3, "flag": True, "words": [""]},
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "changes", "mine", "said"),
    [
        (
            {"expr": "value != ''", "tags": ["S"]},
            {"flag": False},
            True,
            "`value.flag`, whose false",
        ),
        ({"expr": "value != ''", "tags": ["W"]}, {}, False, "every element of value.words[]"),
        ({"expr": "value != 'a'", "tags": ["N"]}, {}, True, 'int and string in `value != "a"`'),
        ({"expr": "message.count == 3.0"}, {}, True, "int and double in `message.count == 3.0`"),
        ({"expr": "message.count * 1.5 > 2.0"}, {}, True, "int and double in"),
        ({"expr": "size(message.s) == 3u"}, {}, True, "int and uint in"),
        ({"expr": "message.count != null"}, {}, True, "int and null in"),
        ({"expr": "message.s.isUriRef()"}, {"s": "2024-01-01T00:00:00Z"}, False, "RFC 3986"),
        ({"expr": "message.s == 'a;b'"}, {"s": "a;b"}, True, "`;` inside a text"),
        ({"expr": "message.count"}, {}, False, "neither true nor false"),
        ({"expr": "message.s ; message.flag"}, {}, False, "neither true nor false"),
    ],
)
def test_other_verdicts_are_meant(
    rule: Json, changes: Json, mine: bool, said: str, tmp_path: Path
) -> None:
    """What the original client has wrong is told at import."""
    kind = "CEL_FIELD" if "tags" in rule else "CEL"
    rule = {"name": "r", "kind": "CONDITION", "mode": "WRITE", "type": kind, **rule}
    value = {**FLAGGED.event(random.Random(0)), **changes}

    theirs, (passes, notices) = peer(FLAGGED, rule), ours(tmp_path, FLAGGED, rule)

    assert (passes(value), theirs(value)) == (mine, not mine)
    assert any(said in notice for notice in notices)
