"""Rules over Avro: what they come to is what the exact evaluator makes of the whole value."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.policy.cel import parse
from streamwarden.policy.cel.evaluate import compile_exact
from streamwarden.policy.compiler import RuleInput, Undecodable, compile_rules
from streamwarden.policy.compiler.framed import FramedValues
from streamwarden.schemas.event import Event
from streamwarden.schemas.framing import SchemaId, with_id
from streamwarden.schemas.registry import NotFound, Schema, SchemaAnswer, make_schema

from .avro_schemas import encodings
from .compiler_cases import SETTING, Drawer
from .test_avro_projection import broken

NUMBERED = 7


class OneSchema:
    """A source that knows one schema."""

    def __init__(self, text: str) -> None:
        self.found = make_schema(NUMBERED, "AVRO", text, tags=["a"])

    def schema(self, id: SchemaId) -> SchemaAnswer:  # noqa: A002
        return self.found if id == NUMBERED else NotFound(id)

    def latest(self, subject: str) -> SchemaAnswer:
        return NotFound(subject)

    def close(self) -> None:
        pass


_SCALARS: list[Any] = [
    *("boolean", "int", "long", "float", "double", "bytes", "string", "null"),
    {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 1},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-nanos"},
    {"type": "int", "logicalType": "date"},
    *(
        ["null", "string"],
        ["int", "string", "double"],
        ["null", "long"],
        {"type": "map", "values": "int"},
    ),
    {"type": "array", "items": "string"},
]
_types = st.sampled_from(_SCALARS)


@st.composite
def _schemas(draw: st.DrawFn) -> str:
    """Records with the members that drawn conditions read, of any type."""

    def record(name: str, *members: str) -> Any:
        fields = [{"name": m, "type": draw(_types)} for m in members if draw(st.integers(0, 4))]
        return {"type": "record", "name": name, "fields": fields}

    inner = draw(st.sampled_from(["record", "map", "null"]))
    o: Any = record("O", "x", "y", "a")
    if inner == "map":
        o = {"type": "map", "values": draw(_types)}
    elif inner == "null":
        o = ["null", o]
    item: Any = record("L", "q")
    if draw(st.booleans()):
        item = [item, "int", "string"]
    whole = record("V", "a", "b", "c", "odd-name")
    whole["fields"] += [
        {"name": "o", "type": o},
        {"name": "l", "type": {"type": "array", "items": item}},
    ]
    return json.dumps(whole)


@settings(max_examples=250)
@given(data=st.data(), text=_schemas(), seed=st.integers(0, 2**48), strict=st.booleans())
def test_rules_mean_the_same_on_avro(
    data: st.DataObject, text: str, seed: int, strict: bool
) -> None:
    """Generated code on a projection, and every rule alone on all of the value."""
    source = random.Random(seed)
    drawer = Drawer(source)
    conditions = [drawer.condition() for _ in range(source.randint(1, 10))]
    schemas = OneSchema(text)
    assert schemas.found.avro is not None
    compiled = compile_rules(
        [RuleInput(parse(condition)) for condition in conditions],
        topic="t",
        stage="consume",
        value_format=drawer.one(["auto", "avro"]),
        strict_values=strict,
        framed=FramedValues(schemas),
        **SETTING,
    )
    programs = [compile_exact(parse(condition)) for condition in conditions]

    for _ in range(4):
        content = data.draw(encodings(schemas.found.avro.root))
        event = Event("t", with_id(NUMBERED, content), b"k", (), None, 10**18, 3, 7)
        known = compiled.activation(event)
        assert not isinstance(known, Undecodable)
        values = [program(known) for program in programs]
        expected = tuple(i if v is True else ~i for i, v in enumerate(values) if v is not False)

        assert expected == compiled.run(event) == compiled.definition.run(event)


@settings(max_examples=150)
@given(data=st.data(), text=_schemas(), seed=st.integers(0, 2**48), strict=st.booleans())
def test_broken_avro_is_undecodable_or_read(
    data: st.DataObject, text: str, seed: int, strict: bool
) -> None:
    """Whatever the bytes, generated code and definition say the same, and neither raises."""
    source = random.Random(seed)
    drawer = Drawer(source)
    schemas = OneSchema(text)
    assert schemas.found.avro is not None
    compiled = compile_rules(
        [RuleInput(parse(drawer.condition())) for _ in range(5)],
        topic="t",
        stage="produce",
        value_format=drawer.one(["auto", "avro"]),
        strict_values=strict,
        framed=FramedValues(schemas),
        **SETTING,
    )

    for _ in range(4):
        framed = with_id(NUMBERED, data.draw(encodings(schemas.found.avro.root)))
        event = Event("t", data.draw(broken(framed)), None, (), None, 10**18)

        assert compiled.run(event) == compiled.definition.run(event)


def test_what_the_schema_is_can_be_asked() -> None:
    """`schema` has the subject, the id and the tags; nothing for what is not framed."""
    schemas: Any = OneSchema('"string"')
    schemas.found = Schema(NUMBERED, "AVRO", '"string"', tags=("PII",), avro=schemas.found.avro)
    rules = [
        RuleInput(parse(text))
        for text in ("schema.id == 7", '"PII" in schema.tags', "has(schema.id)")
    ]
    compiled = compile_rules(rules, topic="t", stage="produce", framed=FramedValues(schemas))

    framed = Event("t", with_id(NUMBERED, b"\2x"), None, (), None, 0)
    plain = Event("t", b"{}", None, (), None, 0)

    assert compiled.run(framed) == (0, 1, 2)
    assert compiled.run(plain) == (~0, ~1)
