"""Avro bytes of every kind of badness, and what logical types become."""

from __future__ import annotations

import inspect
import io
import json
import os
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import fastavro.utils
import pytest

from streamwarden.schemas.avro_projection import AvroProjection, Instant, project
from streamwarden.schemas.avro_types import AvroType, parse_schema
from streamwarden.schemas.avro_wire import DEPTH_MAX, AvroError, write_long
from streamwarden.schemas.json_projection import MISSING, JsonProjection, Shape

from ...property.avro_schemas import read

SHARED = Path(os.environ.get("STREAMWARDEN_SHARED") or Path(__file__).parents[4] / "shared")
SAMPLES = sorted((SHARED / "data" / "avro").glob("*.avsc"))

WHOLE = JsonProjection(Shape(whole=True)).root


def typed(schema: object) -> AvroType:
    return parse_schema(json.dumps(schema)).root


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    listed = [{"name": name, "type": type_} for name, type_ in fields]
    return {"type": "record", "name": "R", "fields": listed}


def decode(schema: object, data: bytes, *, strict: bool = True) -> Any:
    return AvroProjection(typed(schema), WHOLE, strict=strict).decode(data, 0)


def text(content: bytes) -> bytes:
    return write_long(len(content)) + content


@pytest.mark.parametrize(
    ("schema", "data", "expected"),
    [
        ({"type": "int", "logicalType": "date"}, write_long(1), Instant(86_400 * 10**9)),
        ({"type": "int", "logicalType": "time-millis"}, write_long(7), 7),
        ({"type": "long", "logicalType": "time-micros"}, write_long(7), 7),
        ({"type": "long", "logicalType": "timestamp-millis"}, write_long(-1), Instant(-(10**6))),
        ({"type": "long", "logicalType": "timestamp-micros"}, write_long(1), Instant(1000)),
        ({"type": "long", "logicalType": "timestamp-nanos"}, write_long(1), Instant(1)),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, write_long(2), Instant(2 * 10**6)),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            text(b"\xff\x85"),
            Decimal("-1.23"),
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 3},
            text((10**40 + 1).to_bytes(17, "big")),
            Decimal("10000000000000000000000000000000000000.001"),
        ),
        (
            {"type": "fixed", "name": "D", "size": 2, "logicalType": "decimal", "precision": 4},
            b"\x01\x00",
            Decimal(256),
        ),
        ({"type": "string", "logicalType": "uuid"}, text(b"x"), "x"),
        (
            {"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"},
            bytes(15) + b"\x01",
            "00000000-0000-0000-0000-000000000001",
        ),
        ({"type": "fixed", "name": "T", "size": 12, "logicalType": "duration"}, bytes(12), bytes(12)),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, write_long(1), "B"),
        (["null", "string"], b"\x02" + text(b"x"), "x"),
        (["null", "string"], b"\x00", None),
        ("bytes", text(b"\xff"), b"\xff"),
        ("float", struct.pack("<f", 0.1), 0.10000000149011612),
        ("long", write_long(-(2**63)), -(2**63)),
        ("long", write_long(2**63 - 1), 2**63 - 1),
        ("long", b"\x80\x80\x00", 0),
    ],
)  # fmt: skip
def test_values(schema: object, data: bytes, expected: object) -> None:
    """What each type becomes, by exact class."""
    found = decode(schema, data)

    assert (type(expected), expected) == (type(found), found)


def test_times_are_made_by_who_asks() -> None:
    """The policy layer has a time of its own, and judges what is out of its range."""
    schema = record(("at", {"type": "long", "logicalType": "timestamp-millis"}))

    projection = AvroProjection(typed(schema), WHOLE, time=lambda ns: ("time", ns))

    assert projection.decode(write_long(5), 0) == {"at": ("time", 5 * 10**6)}


ALL = record(
    ("flag", "boolean"),
    ("count", "int"),
    ("total", "long"),
    ("rate", "double"),
    ("name", "string"),
    ("raw", "bytes"),
    ("kind", {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}),
    ("hash", {"type": "fixed", "name": "Hash", "size": 4}),
    ("note", ["null", "string"]),
    ("tags", {"type": "array", "items": "string"}),
    ("attributes", {"type": "map", "values": "int"}),
    ("next", ["null", "R"]),
)
VALUE = {
    "flag": True,
    "count": -300,
    "total": 10**12,
    "rate": 0.5,
    "name": "x" * 100,
    "raw": b"\0\xff",
    "kind": "B",
    "hash": b"abcd",
    "note": "ü",
    "tags": ["a", "b" * 70],
    "attributes": {"k": 1, "l": -100},
    "next": None,
}


def written(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


@pytest.mark.slow
def test_every_cut_is_noticed() -> None:
    """Of a value that ends too early nothing is believed."""
    data = written(ALL, VALUE)

    assert decode(ALL, data) == VALUE
    reasons = {decode(ALL, data[:end]).reason for end in range(len(data))}

    assert reasons <= {
        "the Avro bytes end too early",
        "the Avro bytes hold text that is not valid UTF-8",
    }


def test_a_reader_of_some_notices_what_concerns_it() -> None:
    """What comes after the last field that is read is looked at only on request."""
    data = written(ALL, VALUE)
    lax, strict = (project(typed(ALL), [("name",)], strict=strict) for strict in (False, True))
    end = data.index(b"x" * 100) + 100

    assert (VALUE["name"],) == _members(lax(data[:end], 0))
    assert isinstance(lax(data[: end - 1], 0), AvroError)
    assert isinstance(strict(data[:-1], 0), AvroError)
    assert isinstance(strict(data + b"\0", 0), AvroError)
    assert (VALUE["name"],) == _members(lax(data + b"\0", 0))


def _members(found: Any) -> tuple[object, ...]:
    assert not isinstance(found, AvroError)
    return tuple(getattr(found, name) for name in found.__struct_fields__)


@pytest.mark.parametrize(
    ("schema", "data", "reason"),
    [
        ("int", write_long(2**31), "an int of more than 32 bits"),
        ("long", b"\xff" * 9 + b"\x02", "a number of more than 64 bits"),
        ("long", b"\x80" * 10 + b"\x00", "a number of more than 64 bits"),
        ("long", b"\x80" * 9, "end too early"),
        ("boolean", b"\x02", "a boolean that is neither 0 nor 1"),
        ("string", write_long(-1), "a negative length"),
        ("string", write_long(-(2**62)) + b"x", "a negative length"),
        ("bytes", write_long(2**62) + b"x", "end too early"),
        ("string", text(b"\xff\xfe"), "text that is not valid UTF-8"),
        ("string", text(b"\xed\xa0\x80"), "text that is not valid UTF-8"),
        (["null", "int"], write_long(2), "a branch that the union does not have"),
        (["null", "int"], write_long(-1), "a branch that the union does not have"),
        (["null", "int"], write_long(2**40), "a branch that the union does not have"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, write_long(1), "a symbol that the enum"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, write_long(-1), "a symbol that the enum"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, write_long(99), "a symbol that the enum"),
        ({"type": "fixed", "name": "F", "size": 4}, b"abc", "end too early"),
        ({"type": "array", "items": "int"}, write_long(-1) + write_long(5) + b"\0\0", "not as long"),
        ({"type": "array", "items": "int"}, write_long(-1) + write_long(-5) + b"\0\0", "negative"),
        ({"type": "array", "items": "int"}, b"\x02\x02", "end too early"),
        ({"type": "map", "values": "int"}, b"\x02" + text(b"\xff") + b"\0\0", "not valid UTF-8"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9},
            text(b"\x01" * 501),
            "a decimal that is too long",
        ),
        ("null", b"\0", "go on after the value"),
    ],
)  # fmt: skip
def test_broken_values(schema: object, data: bytes, reason: str) -> None:
    """Each has its reason, read as a whole and skipped over with every byte looked at."""
    found = decode(schema, data)
    beside = record(("a", schema), ("b", "null"))
    skipped = project(typed(beside), [("b",)], strict=True)(data, 0)

    assert isinstance(found, AvroError)
    assert reason in found.reason
    assert isinstance(skipped, AvroError)
    assert reason in skipped.reason


HUGE = write_long(2**60)


@pytest.mark.parametrize(
    "items",
    [
        "null",
        "int",
        "string",
        "double",
        {"type": "fixed", "name": "F", "size": 16},
        {"type": "fixed", "name": "Z", "size": 0},
        {"type": "record", "name": "E", "fields": []},
        {"type": "array", "items": "null"},
        ["null", "int"],
    ],
)
@pytest.mark.parametrize("kind", ["array", "map"])
@pytest.mark.parametrize("head", [HUGE, write_long(-(2**60)) + HUGE, write_long(-(2**63)) + b"\0"])
def test_huge_counts_cost_nothing(kind: str, items: object, head: bytes) -> None:
    """A count is believed as far as there are bytes; what takes no bytes is limited as such."""
    schema = {"type": kind, "items": items, "values": items}
    data = head + b"\0" * 1000

    tracemalloc.start()
    started = time.process_time()
    found = decode(schema, data)
    skipped = project(typed(record(("a", schema), ("b", "null"))), [("b",)])(data, 0)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(found, AvroError)
    assert isinstance(skipped, AvroError)
    assert spent < 1
    assert peak < 10 * 2**20


def test_many_blocks_of_empty_items_are_linear() -> None:
    """Three bytes do not become a million objects, however often they come."""
    schema = {"type": "array", "items": {"type": "array", "items": "null"}}
    inner = write_long(64) + b"\0"
    data = (write_long(1) + inner) * 30_000 + b"\0"

    started = time.process_time()
    found = decode(schema, data)

    assert len(found) == 30_000
    assert time.process_time() - started < 10


LINKED = record(("value", "int"), ("next", ["null", "R"]))


def linked(length: int) -> bytes:
    return b"\x02\x02" * length + b"\x02\x00"


TREE = record(("value", "int"), ("below", {"type": "array", "items": "R"}), ("left", "int"))


def nested(depth: int) -> bytes:
    return b"\x02\x02" * depth + b"\x02\x00" + b"\x02" + b"\x00\x02" * depth


def followed(schema: dict[str, Any]) -> AvroType:
    return typed(record(("r", schema), ("end", "int")) | {"name": "Whole"})


READ = Shape(whole=True)
SKIPPED = Shape.of([("end",)])
TOO_DEEP = AvroError("the Avro bytes are nested too deeply")


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("schema", "data", "shape"),
    [(LINKED, linked, READ), (TREE, nested, READ), (TREE, nested, SKIPPED)],
)
def test_depth_is_bounded(
    schema: Any, data: Callable[[int], bytes], shape: Shape, strict: bool
) -> None:
    """Data decides how deep a recursive record is, up to a limit."""
    decode = AvroProjection(followed(schema), JsonProjection(shape).root, strict=strict).decode

    assert not isinstance(decode(data(DEPTH_MAX - 1) + b"\x02", 0), AvroError)
    for depth in (DEPTH_MAX, 600, 100_000):
        assert decode(data(depth) + b"\x02", 0) == TOO_DEEP


def test_lists_in_lists_are_no_deeper() -> None:
    """Functions for these are called between those for records, which alone data decides on."""
    lists: Any = "R"
    for _ in range(10):
        lists = {"type": "array", "items": lists}
    schema = followed(record(("a", lists)))

    def data(depth: int) -> bytes:
        return b"\x02" * 10 * depth + b"\x00" * (10 * depth + 1) + b"\x54"

    for shape in (READ, SKIPPED):
        decode = AvroProjection(schema, JsonProjection(shape).root).decode
        assert not isinstance(decode(data(DEPTH_MAX - 2), 0), AvroError)
        assert decode(data(DEPTH_MAX), 0) == TOO_DEEP


@pytest.mark.parametrize("strict", [False, True])
def test_a_linked_list_that_nobody_reads_has_any_length(strict: bool) -> None:
    shape = Shape.of([("end",)])
    schema = followed(LINKED)
    decode = AvroProjection(schema, JsonProjection(shape).root, strict=strict).decode

    for length in (0, 1, DEPTH_MAX, 100_000):
        assert decode(linked(length) + b"\x54", 0).f0 == 42  # type: ignore[attr-defined]
        assert isinstance(decode(linked(length)[:-1] + b"\x04", 0), AvroError)


def test_a_link_may_stand_anywhere() -> None:
    """In another record, or before other fields: then it is as deep as other things."""
    inner = {"type": "record", "name": "I", "fields": [{"name": "next", "type": ["null", "R"]}]}
    through = record(("text", "string"), ("inner", inner))
    before = record(("next", ["null", "R"]), ("text", "string"))
    for schema, data in (
        (through, b"\x04ab\x02" * 30 + b"\x04ab\x00"),
        (before, b"\x02" * 60 + b"\x00" + b"\x04ab" * 61),
    ):
        whole = followed(schema)
        decode = AvroProjection(whole, JsonProjection(Shape.of([("end",)])).root).decode
        assert decode(data + b"\x54", 0).f0 == 42  # type: ignore[attr-defined]


def test_depth_does_not_hang_on_the_callers_stack() -> None:
    """What decodes, decodes wherever the guard is called from."""
    decode = AvroProjection(typed(LINKED), WHOLE).decode

    def deep(levels: int) -> object:
        return deep(levels - 1) if levels else decode(linked(DEPTH_MAX - 2), 0)

    room = sys.getrecursionlimit() - len(inspect.stack(0))
    found = deep(room - 40)

    assert not isinstance(found, AvroError)


def test_types_used_everywhere_do_not_blow_up_the_code() -> None:
    """A small schema whose types refer to each other twice stays small, to read and to skip."""
    fields = [("x0", record(("a", "string")) | {"name": "T0"})]
    for level in range(1, 40):
        below = f"T{level - 1}"
        fields.append((f"x{level}", record(("a", below), ("b", below)) | {"name": f"T{level}"}))
    schema = typed(record(*fields))

    started = time.process_time()
    whole = AvroProjection(schema, WHOLE, strict=True)
    part = project(schema, [("x39", "a", "b", "a")])

    assert isinstance(whole.decode(b"\0" * 10_000, 0), AvroError)
    assert isinstance(part(b"\0" * 10_000, 0), AvroError)
    assert time.process_time() - started < 15


def test_wide_unions_and_deep_loops_have_code() -> None:
    """CPython takes neither 500 nested tests nor more than 20 nested loops."""
    branches = [{"type": "fixed", "name": f"F{i}", "size": i} for i in range(500)]
    deep: Any = "string"
    for _ in range(30):
        deep = {"type": "array", "items": deep}
    schema = record(("union", branches), ("deep", deep))
    data = write_long(300) + b"x" * 300 + b"\x02" * 30 + text(b"!") + b"\0" * 30

    found = decode(schema, data)
    skipped = project(typed(record(*schema_fields(schema), ("end", "int"))), [("end",)])(
        data + b"\2", 0
    )

    assert found["union"] == b"x" * 300
    assert json.dumps(found["deep"]) == "[" * 30 + '"!"' + "]" * 30
    assert _members(skipped) == (1,)


def schema_fields(schema: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(field["name"], field["type"]) for field in schema["fields"]]


def test_only_presence_is_asked() -> None:
    """A field that is only asked for is something of its kind; one that is not there is missing."""
    shape = Shape.of([], [("tags",), ("rate",), ("note",), ("absent",)])
    found: Any = AvroProjection(typed(ALL), JsonProjection(shape).root).decode(
        written(ALL, VALUE), 0
    )

    by_name = dict(zip(sorted(shape.members), _members(found), strict=True))

    assert by_name["absent"] is MISSING
    assert (by_name["tags"], by_name["rate"], by_name["note"]) == ([], 0.0, "")


def test_reasons_hold_nothing_of_the_bytes() -> None:
    """Reasons go to logs and headers."""
    schema = record(("a", "string"), ("b", {"type": "enum", "name": "E", "symbols": ["X"]}))

    found = decode(schema, text(b"4111 1111") + b"\x33")

    assert isinstance(found, AvroError)
    assert "4111" not in str(found)


@pytest.mark.skipif(not SAMPLES, reason="the sample schemas are not at hand (../shared/data/avro)")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_schemas_of_the_kind_users_have(path: Path) -> None:
    """Whole and in part, events made for real schemas are what fastavro reads."""
    text = path.read_text()
    parsed: Any = fastavro.parse_schema(json.loads(text))
    whole = AvroProjection(parse_schema(text).root, WHOLE, strict=True).decode
    for value in fastavro.utils.generate_many(parsed, 20):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, value)
        data = out.getvalue()
        expected: Any = read(parsed, data)[0]

        assert expected == whole(data, 0)
        for name in expected:
            decode = project(parse_schema(text).root, [(name,)])
            assert (expected[name],) == _members(decode(data, 0))
            assert isinstance(whole(data[:-1], 0), AvroError)
