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

from .contract_worlds import (
    ACTIONS,
    AVRO,
    CONDITIONS,
    FIELDS,
    JSON,
    JSON_ACTIONS,
    JSON_FIELDS,
    Json,
    World,
)

pytest.importorskip("celpy")
pytest.importorskip("google.protobuf")


#: Rules that say the same of every event: they fail, are off, or act the other way round.
ONE_VERDICT = {
    *("c3", "c12", "c13", "c20", "c21", "c23", "f22"),
    *("a0", "a1", "a3", "a4", "a6", "a7", "a8", "a9", "a11", "a13", "a14"),
}
ONE_VERDICT_JSON = {"f2", "f8", "f13", "f14", "a0", "a2", "a3"}


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


def compare(folder: Path, world: World, rule: Json) -> set[bool]:
    """The verdicts of both on 25 events, of which there are one or two."""
    draw = random.Random(str(rule["expr"]))
    theirs, (mine, _) = peer(world, rule), ours(folder, world, rule)
    verdicts = set[bool]()
    for _ in range(25):
        value = world.event(draw)
        verdict = mine(value)
        assert (verdict, rule["expr"], value) == (theirs(value), rule["expr"], value)
        verdicts.add(verdict)
    return verdicts


@pytest.mark.slow
@pytest.mark.parametrize("rule", rules(CONDITIONS, FIELDS, ACTIONS), ids=lambda rule: rule["name"])
def test_the_verdicts_are_the_same(rule: Mapping[str, Any], tmp_path: Path) -> None:
    """Rule by rule, on events of Avro of which most rules refuse some and pass others."""
    verdicts = compare(tmp_path, AVRO, dict(rule))

    assert (len(verdicts) == 1) == (rule["name"] in ONE_VERDICT)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", rules([], JSON_FIELDS, JSON_ACTIONS), ids=lambda rule: rule["name"]
)
def test_the_verdicts_on_fields_of_json_are_the_same(
    rule: Mapping[str, Any], tmp_path: Path
) -> None:
    """Rule by rule, on events of a JSON Schema: branches, references, elements, missing members."""
    verdicts = compare(tmp_path, JSON, dict(rule))

    assert (len(verdicts) == 1) == (rule["name"] in ONE_VERDICT_JSON)


FLAGGED = World(
    "AVRO",
    {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "s", "type": "string", "confluent:tags": ["S"]},
            {"name": "count", "type": "int", "confluent:tags": ["N"]},
            {"name": "flag", "type": "boolean"},
            {"name": "share", "type": "double", "confluent:tags": ["D"]},
            {"name": "parts", "type": {"type": "array", "items": "double"}},
            {"name": "code", "type": ["int", "string"]},
            {"name": "words", "type": {"type": "array", "items": "string"}},
        ],
    },
    {"R.words": ["W"]},
    lambda _: {
        "s": "abc",
        "count": 3,
        "flag": True,
        "words": [""],
        "share": 5.0,
        "parts": [5.0],
        "code": 1,
    },
)


WHOLE = "a whole number is sent for the double"


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
        ({"expr": "message.code != 'a'"}, {}, True, "int and string in"),
        ({"expr": "3.0 in [message.count]"}, {}, True, "double and int in"),
        ({"expr": "message.share < 9.5"}, {"share": 5}, True, "`message.share < 9.5`, where"),
        ({"expr": "message.share == 5.0"}, {"share": 5}, True, WHOLE),
        ({"expr": "message.share / 2.0 == 2.5"}, {"share": 5}, True, WHOLE),
        ({"expr": "-message.share < 1.5"}, {"share": 5}, True, WHOLE),
        ({"expr": "message.share + 1.5 > 0.5"}, {"share": 5}, True, WHOLE),
        ({"expr": "message.share in [5.0]"}, {"share": 5}, True, WHOLE),
        ({"expr": "5.0 in message.parts"}, {"parts": [5]}, True, WHOLE),
        ({"expr": "message.parts.all(p, p > 1.5)"}, {"parts": [5]}, True, WHOLE),
        ({"expr": "message.share > 1.5 ; true"}, {"share": 5}, True, WHOLE),
        ({"expr": "value > 1.5", "tags": ["D"]}, {"share": 5}, True, WHOLE),
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


@pytest.mark.slow
@pytest.mark.parametrize("sent", [5, 5.0])
@pytest.mark.parametrize(
    "expr",
    [
        *("message.share > 1", "10.5 > message.share", "message.share + 1 > 2"),
        *("double(message.share) == 5.0", "message.share > message.count"),
        *("message.share == 5.0 || message.count == 3", "[1.5].all(x, x == 1.5)"),
    ],
)
def test_whole_numbers_that_do_no_harm(expr: str, sent: float, tmp_path: Path) -> None:
    """The verdicts are the same, and where nothing can fail nothing is said."""
    rule = {"name": "r", "kind": "CONDITION", "mode": "WRITE", "type": "CEL", "expr": expr}
    value = {**FLAGGED.event(random.Random(0)), "share": sent}

    theirs, (passes, notices) = peer(FLAGGED, rule), ours(tmp_path, FLAGGED, rule)

    assert passes(value) is theirs(value) is True
    assert ("||" in expr) is any(WHOLE in notice for notice in notices)


@pytest.mark.parametrize(
    ("kind", "mode", "told"),
    [("AVRO", "WRITE", True), ("AVRO", "READ", False), ("JSON", "READ", True)],
)
def test_readers_of_avro_have_doubles(kind: str, mode: str, told: bool) -> None:
    """Whatever was sent; those of JSON have what stands there."""
    number = {"properties": {"share": {"type": "number"}}}
    answer = {
        "subject": "orders-value",
        "schemaType": kind,
        "schema": json.dumps(FLAGGED.schema if kind == "AVRO" else number),
        "ruleSet": {
            "domainRules": [
                {"name": "r", "mode": mode, "type": "CEL", "expr": "message.share < 9.5"}
            ]
        },
    }

    found = import_contract(Contract.of(answer), name="c", owner="o", topics=["orders"])

    assert any(WHOLE in notice for notice in found.notices) is told
