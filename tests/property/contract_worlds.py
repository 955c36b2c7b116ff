"""Schemas with tags, events of them, and the data-contract rules that are tried on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

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
        "list": {"type": ["array", "string"], "items": {"type": "string"},
                 "confluent:tags": ["LIST"]},
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
    ("value != ''", ["LIST"]),
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
        "list": draw.choice([word(), "", [], ["A"]]),
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
