"""Avro bytes to the fields that rules read, and masked, against decoding all of them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import events
from streamwarden.schemas.avro_projection import project
from streamwarden.schemas.avro_splice import AvroMask, AvroSplicer
from streamwarden.schemas.avro_types import parse_schema

__all__ = ["BASELINE", "SCHEMA", "framed", "run"]

BASELINE = "fastavro, full decode"

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "event_version", "type": "int"},
        {"name": "tenant_id", "type": "string"},
        {"name": "created_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": "double"},
        {"name": "currency", "type": "string"},
        {"name": "country", "type": "string"},
        {"name": "email", "type": "string"},
        {"name": "quantity", "type": "int"},
        {"name": "status", "type": "string"},
        {"name": "is_test", "type": "boolean"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {
            "name": "address",
            "type": {
                "type": "record",
                "name": "Address",
                "fields": [{"name": name, "type": "string"} for name in ("street", "city", "zip")],
            },
        },
        {"name": "note", "type": ["null", "string"]},
    ],
}
_NINE = (
    *("tenant_id", "amount", "currency", "country", "email", "quantity", "status"),
    *("event_version", "is_test"),
)
_PREFIX = b"\0\0\0\0\7"
_CREATED_AT_MS = 1_767_225_600_000


def framed(count: int, *, refused: float = 0.0) -> list[bytes]:
    """The shared events as Avro, framed by schema id 7."""
    schema = fastavro.parse_schema(SCHEMA)
    made: list[bytes] = []
    for place, value in enumerate(events(count, refused=refused)):
        out = io.BytesIO()
        event = {**json.loads(value), "created_at": _CREATED_AT_MS + place}
        fastavro.schemaless_writer(out, schema, event)
        made.append(_PREFIX + out.getvalue())
    return made


def run(*, rounds: int = 7, operations: int = 20_000) -> list[Row]:
    """Rows for projections of 3 and 9 of 14 fields, the whole value, and a mask on one field."""
    values = framed(2000)
    schema = fastavro.parse_schema(SCHEMA)
    type_ = parse_schema(json.dumps(SCHEMA)).root

    def full(value: bytes) -> object:
        source = io.BytesIO(value)
        source.seek(len(_PREFIX))
        return fastavro.schemaless_reader(source, schema, None)

    def reader(names: tuple[str, ...], strict: bool = False) -> Callable[[bytes], object]:
        decode = project(type_, [(name,) for name in names], strict=strict)
        return lambda value: decode(value, len(_PREFIX))

    whole = project(type_, [()])
    stars = AvroSplicer(type_, [AvroMask(("email",), "text", lambda text: "*" * len(text))])
    contenders: dict[str, Contender] = {
        BASELINE: _calls(full, values),
        "3 fields": _calls(reader(("tenant_id", "amount", "currency")), values),
        "9 fields": _calls(reader(_NINE), values),
        "9 fields, every byte checked": _calls(reader(_NINE, strict=True), values),
        "all 14 fields": _calls(lambda value: whole(value, len(_PREFIX)), values),
        "one field masked": _calls(lambda value: stars.splice(value, len(_PREFIX)), values),
    }
    return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)


def _calls(call: Callable[[bytes], object], values: list[bytes]) -> Contender:
    def turn(count: int) -> int:
        size = len(values)
        for number in range(count):
            call(values[number % size])
        return count

    return turn
