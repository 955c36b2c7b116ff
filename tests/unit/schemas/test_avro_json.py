"""What people write in tests becomes the bytes that fastavro reads back, or says what does not fit."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest

from streamwarden.schemas.avro_json import avro_bytes
from streamwarden.schemas.avro_types import parse_schema


def written(schema: object, value: object) -> bytes:
    return avro_bytes(parse_schema(json.dumps(schema)).root, value)


def read_back(schema: Any, value: object) -> object:
    stream = io.BytesIO(written(schema, value))
    found: object = fastavro.schemaless_reader(stream, schema, None)
    assert stream.read() == b""
    return found


def logical(base: str, name: str, **more: object) -> dict[str, object]:
    return {"type": base, "logicalType": name, **more}


DECIMAL = logical("bytes", "decimal", precision=9, scale=2)
FIXED = {"type": "fixed", "name": "F", "size": 4}
RECORD = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "a", "type": "long"},
        {"name": "b", "type": ["null", "string"], "default": None},
        {"name": "c", "type": {"type": "array", "items": "int"}, "default": [1, 2]},
    ],
}
UTC = dt.UTC


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ("null", None, None),
        ("boolean", True, True),
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("double", 1, 1.0),
        ("float", 0.5, 0.5),
        ("string", "é", "é"),
        ("bytes", "\xff\0", b"\xff\0"),
        ("bytes", {"base64": "/wA="}, b"\xff\0"),
        (DECIMAL, 12.34, Decimal("12.34")),
        (DECIMAL, "-0.01", Decimal("-0.01")),
        (DECIMAL, 0, Decimal("0.00")),
        ({**FIXED, "logicalType": "decimal", "precision": 9, "scale": 2}, 1.5, Decimal("1.50")),
        (FIXED, "abcd", b"abcd"),
        (logical("int", "date"), "2026-01-31", dt.date(2026, 1, 31)),
        (logical("int", "date"), 20484, dt.date(2026, 1, 31)),
        (
            logical("long", "timestamp-millis"),
            "2026-01-31T12:00:00.5Z",
            dt.datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC),
        ),
        (
            logical("long", "timestamp-micros"),
            1_769_860_800_000_001,
            dt.datetime(2026, 1, 31, 12, 0, 0, 1, UTC),
        ),
        (
            logical("string", "uuid"),
            "00000000-0000-0000-0000-000000000001",
            UUID(int=1),
        ),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
        ({"type": "array", "items": "int"}, [1, 2], [1, 2]),
        ({"type": "array", "items": "int"}, [], []),
        ({"type": "map", "values": "int"}, {"x": 1}, {"x": 1}),
        (["null", "int", "string"], "x", "x"),
        (["null", "int"], None, None),
        (RECORD, {"a": 1}, {"a": 1, "b": None, "c": [1, 2]}),
        (RECORD, {"a": 1, "b": "x", "c": []}, {"a": 1, "b": "x", "c": []}),
    ],
)
def test_a_value_is_read_back_as_it_was_meant(
    schema: object, value: object, expected: object
) -> None:
    """By another implementation."""
    assert read_back(schema, value) == expected


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        ("int", 2**31, "`value` is not a int"),
        ("int", True, "`value` is not a int"),
        ("long", 1.5, "`value` is not a long"),
        ("string", 1, "`value` is not a string"),
        ("bytes", "€", "`value` is not bytes"),
        ("bytes", {"base64": "*"}, "`value` is not bytes"),
        (DECIMAL, 0.001, "a decimal with 2 digits"),
        (DECIMAL, "x", "a decimal with 2 digits"),
        (FIXED, "abc", "`value` is not 4 bytes"),
        (
            {**FIXED, "logicalType": "decimal", "precision": 9, "scale": 2},
            10**9,
            "a decimal of 4 bytes",
        ),
        (logical("long", "timestamp-millis"), "soon", "`value` is not a timestamp-millis"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "C", "one of A, B"),
        ({"type": "array", "items": "int"}, [1, "x"], "`value[1]` is not a int"),
        ({"type": "map", "values": "int"}, {"x": None}, '`value["x"]` is not a int'),
        (["null", "int"], "x", "`value` is not a int"),
        (["int", "string"], 1.5, "of any type that the schema allows"),
        (RECORD, {}, "`value.a` is missing, and has no default"),
        (RECORD, {"a": 1, "z": 2}, "the schema has no `value.z`"),
        (RECORD, [], "`value` is not a record `R`"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(schema: object, value: object, said: str) -> None:
    """Nothing is cut, rounded or guessed."""
    with pytest.raises(ValueError, match="`") as raised:
        written(schema, value)

    assert said in str(raised.value)
