"""Imported data-contract rules decide as Confluent's own executor, on many events."""

from __future__ import annotations

import copy
import json
import random
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from streamwarden.cli.policy_import import document_text
from streamwarden.policy.contracts import Contract, import_contract
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import load_directories

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
        },
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
]
WORDS = [
    *("", "A", "AB", "card", "cash", "x", "12345", "a@b.de", "a@b", "1.2.3.4", "::1", "ex.org"),
    *("2b2b9c58-7c9e-4c8f-a3a0-6c6d6e2a0b1c", "not a host"),
]


def event(draw: random.Random) -> Json:
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
        "items": [{"sku": word()} for _ in range(draw.randrange(3))],
        "notes": {word(): {"text": word()} for _ in range(draw.randrange(2))},
    }


def rules() -> list[Json]:
    made: list[Json] = []
    for number, expr in enumerate(CONDITIONS):
        made.append({"name": f"c{number}", "type": "CEL", "expr": expr})
    for number, (expr, tags) in enumerate(FIELDS):
        made.append({"name": f"f{number}", "type": "CEL_FIELD", "tags": tags, "expr": expr})
    made += [
        {"name": "none", "type": "CEL", "expr": "message.count > 1", "onFailure": "NONE"},
        {"name": "success", "type": "CEL", "expr": "message.count > 1", "onSuccess": "ERROR"},
        {
            "name": "only-success",
            "type": "CEL",
            "expr": "message.kind == 'card' ; message.count / (message.count - 1) > 1",
            "onSuccess": "ERROR",
            "onFailure": "NONE",
        },
        {"name": "disabled", "type": "CEL", "expr": "false", "disabled": True},
    ]
    return [{"kind": "CONDITION", "mode": "WRITE", **rule} for rule in made]


def peer(rule: Json) -> Callable[[Json], bool]:
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
        from confluent_kafka.schema_registry.rules.cel.cel_executor import CelExecutor
        from confluent_kafka.schema_registry.rules.cel.cel_field_executor import CelFieldExecutor
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
            tags=MetadataTags(cast("Any", {name: tuple(given) for name, given in TAGS.items()})),
            properties=None,
            sensitive=None,
        )
        schema = Schema(json.dumps(SCHEMA), "AVRO", [], tags, RuleSet(None, [written]))
        client.register_schema("orders-value", schema)
        settings = {"auto.register.schemas": False, "use.latest.version": True}
        serializer = cast("Any", AvroSerializer)(client, conf=settings)
    context = SerializationContext("orders", MessageField.VALUE)

    def passes(value: Json) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                serializer(copy.deepcopy(value), context)
            except SerializationError:
                return False
        return True

    return passes


def ours(folder: Path, rule: Json) -> Callable[[Json], bool]:
    """Whether the imported rules let it through."""
    contract = Contract.of(
        {
            "subject": "orders-value",
            "schema": json.dumps(SCHEMA),
            "metadata": {"tags": TAGS},
            "ruleSet": {"domainRules": [rule]},
        }
    )
    found = import_contract(contract, name="contract", owner="o", topics=["orders"])
    assert found.refused == ()
    (document,) = found.documents
    folder.mkdir()
    (folder / "contract.yaml").write_text(document_text(document))
    guard = Guard(load_directories([folder]))

    def passes(value: Json) -> bool:
        return guard.decide(topic="orders", value=json.dumps(value)).passes

    return passes


@pytest.mark.slow
@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["name"]))
def test_the_verdicts_are_the_same(rule: Mapping[str, Any], tmp_path: Path) -> None:
    """Rule by rule; both outcomes are seen where the rule has two."""
    draw = random.Random(str(rule["expr"]))
    theirs, mine = peer(dict(rule)), ours(tmp_path / "policies", dict(rule))

    for _ in range(25):
        value = event(draw)
        assert (mine(value), rule["expr"], value) == (theirs(value), rule["expr"], value)
