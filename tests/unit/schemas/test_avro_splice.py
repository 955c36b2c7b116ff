"""Masks on Avro bytes: what takes the place of what, and which types cannot take them."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from streamwarden.schemas.avro_projection import AvroProjection, Instant
from streamwarden.schemas.avro_splice import (
    AvroMask,
    AvroSplicer,
    UnmaskableError,
    check_mask,
    zero_left,
)
from streamwarden.schemas.avro_types import AvroType, parse_schema
from streamwarden.schemas.avro_wire import write_long
from streamwarden.schemas.json_projection import DecodeError, JsonProjection, Shape
from streamwarden.schemas.json_splice import Path

WHOLE = JsonProjection(Shape(whole=True)).root


def typed(schema: object) -> AvroType:
    return parse_schema(json.dumps(schema)).root


def record(*fields: tuple[str, Any] | dict[str, Any]) -> dict[str, Any]:
    listed: list[dict[str, Any]] = [
        {"name": field[0], "type": field[1]} if isinstance(field, tuple) else field
        for field in fields
    ]
    return {"type": "record", "name": "R", "fields": listed}


def text(content: str) -> bytes:
    data = content.encode()
    return write_long(len(data)) + data


def spliced(schema: object, data: bytes, *masks: tuple[Path, str]) -> Any:
    made = [AvroMask(path, how, str.upper if how == "text" else None) for path, how in masks]
    splicer = AvroSplicer(typed(schema), made)
    return splicer.splice(b"\0\0\0\0\7" + data, 5)


def decoded(schema: object, data: bytes) -> Any:
    assert data[:5] == b"\0\0\0\0\7"
    return AvroProjection(typed(schema), WHOLE, strict=True).decode(data, 5)


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}


@pytest.mark.parametrize(
    ("type_", "data", "zero"),
    [
        ("string", text("4111"), ""),
        ("bytes", text("4111"), b""),
        ("int", write_long(-300), 0),
        ("long", write_long(10**15), 0),
        ("float", b"abcd", 0.0),
        ("double", b"abcdefgh", 0.0),
        ("boolean", b"\1", False),
        ("null", b"", None),
        (["string", "null"], b"\0" + text("x"), None),
        (["null", "string"], b"\0", None),
        (["int", "string"], b"\2" + text("x"), ""),
        (["int", "string"], b"\0" + write_long(9), 0),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "B"}, b"\0", "B"),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab", b"\0\0"),
        ({"type": "array", "items": "int"}, b"\2\2\0", []),
        ({"type": "map", "values": "int"}, b"\2" + text("k") + b"\2\0", {}),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, text("ab"), Decimal(0)),
        ({"type": "long", "logicalType": "timestamp-millis"}, write_long(9), Instant(0)),
        (
            {"type": "string", "logicalType": "uuid"},
            text("67e55044-10b1-426f-9247-bb680e5fe0c8"),
            "00000000-0000-0000-0000-000000000000",
        ),
        (
            {**record(("x", "int"), ("y", ["null", "string"])), "name": "S"},
            write_long(7) + b"\2" + text("q"),
            {"x": 0, "y": None},
        ),
    ],
)
def test_redact_leaves_null_or_the_zero_of_the_type(
    type_: object, data: bytes, zero: object
) -> None:
    """Whatever the type, readers still read the value, and everything beside it."""
    schema = record(("before", "string"), ("card", type_), ("after", "int"))

    result = spliced(schema, text("b") + data + b"\6", (("card",), "redact"))

    assert {"before": "b", "card": zero, "after": 3} == decoded(schema, result)


@pytest.mark.parametrize(
    ("field", "data", "left"),
    [
        ({"type": ["null", "string"], "default": None}, b"\2" + text("x"), None),
        ({"type": ["string", "null"], "default": "n/a"}, b"\0" + text("x"), None),
        ({"type": "string", "default": "n/a"}, text("x"), "n/a"),
        ({"type": "int", "default": -1}, b"\2", -1),
        ({"type": "double", "default": 1}, b"abcdefgh", 1.0),
        ({"type": "bytes", "default": "\u00ff"}, text("x"), b"\xff"),
        ({"type": ["string", "int"], "default": "none"}, b"\2\2", "none"),
        ({"type": ["string", "int"], "default": 5}, b"\0" + text("x"), 5),
        ({"type": {"type": "array", "items": "int"}, "default": [1]}, b"\0", [1]),
        ({"type": {"type": "map", "values": "int"}, "default": {"k": 1}}, b"\0", {"k": 1}),
        (
            {
                "type": {**record(("x", "int")), "name": "S", "fields": [{"name": "x", "type": "int", "default": 4}]},
                "default": {},
            },
            b"\2",
            {"x": 4},
        ),
    ],
)  # fmt: skip
def test_drop_leaves_null_or_the_default(field: dict[str, Any], data: bytes, left: object) -> None:
    schema = record(("before", "string"), {"name": "card", **field}, ("after", "int"))

    result = spliced(schema, text("b") + data + b"\6", (("card",), "drop"))

    assert {"before": "b", "card": left, "after": 3} == decoded(schema, result)


def test_text_changes_text_alone() -> None:
    """Masks that keep some characters see the content of strings; null stays."""
    schema = record(("a", "string"), ("b", ["null", "string"]), ("c", ["null", "string"]))
    data = text("ab") + b"\0\2" + text("ü")

    result = spliced(schema, data, (("a",), "text"), (("b",), "text"), (("c",), "text"))

    assert decoded(schema, result) == {"a": "AB", "b": None, "c": "Ü"}


ITEMS = record(
    (
        "items",
        {"type": "array", "items": {**record(("id", "int"), ("pan", "string")), "name": "I"}},
    ),
    ("attributes", {"type": "map", "values": "string"}),
    ("end", "int"),
)


def items(*values: str) -> bytes:
    return b"".join(b"\2" + text(value) for value in values)


def test_blocks_keep_their_counts_and_sizes_right() -> None:
    """Blocks that say their size say the new one; the others are left alone."""
    one, two = items("a" * 60, "b"), items("c")
    sized = write_long(-2) + write_long(len(one)) + one
    data = sized + write_long(1) + two + b"\0" + b"\0" + b"\4"

    result = spliced(ITEMS, data, (("items", None, "pan"), "redact"))

    redacted = items("", "")
    expected = write_long(-2) + write_long(len(redacted)) + redacted + write_long(1) + items("")
    assert b"\0\0\0\0\7" + expected + b"\0\0\4" == result


def test_items_and_entries_go_altogether() -> None:
    """A block without items would end the array: it goes with them."""
    one, two, three = items("a", "b"), items("c"), items("d")
    blocks = (
        write_long(2) + one + write_long(-1) + write_long(len(two)) + two + write_long(1) + three
    )
    entries = write_long(2) + text("x") + text("1") + text("y") + text("2") + b"\0"
    data = blocks + b"\0" + entries + b"\4"

    result = spliced(ITEMS, data, (("items", 2), "drop"), (("attributes", "x"), "drop"))
    nothing = spliced(
        ITEMS,
        data,
        (("items", None), "drop"),
        (("attributes", "x"), "drop"),
        (("attributes", "y"), "drop"),
    )

    assert [item["pan"] for item in decoded(ITEMS, result)["items"]] == ["a", "b", "d"]
    assert decoded(ITEMS, result)["attributes"] == {"y": "2"}
    assert decoded(ITEMS, nothing) == {"items": [], "attributes": {}, "end": 2}


def test_positions_count_over_all_blocks() -> None:
    data = write_long(1) + items("a") + write_long(2) + items("b", "c") + b"\0\0\4"

    result = spliced(ITEMS, data, (("items", 1, "pan"), "redact"), (("items", 2), "redact"))

    assert [item["pan"] for item in decoded(ITEMS, result)["items"]] == ["a", "", ""]
    assert [item["id"] for item in decoded(ITEMS, result)["items"]] == [1, 1, 0]


def test_nothing_to_change_gives_the_same_object() -> None:
    """A value that was masked before costs no copy."""
    splicer = AvroSplicer(typed(ITEMS), [AvroMask(("items", None, "pan"), "redact")])
    data = write_long(1) + items("") + b"\0\0\4"

    assert splicer.splice(data, 0) is data


def test_the_outer_mask_counts() -> None:
    """A masked parent needs no masked child, whichever was written first."""
    schema = record(("a", {**record(("b", "string")), "name": "S"}), ("c", "string"))
    data = text("secret") + text("c")

    for masks in (
        ((("a", "b"), "text"), (("a",), "redact")),
        ((("a",), "redact"), (("a", "b"), "text")),
    ):
        assert decoded(schema, spliced(schema, data, *masks)) == {"a": {"b": ""}, "c": "c"}


def test_paths_lead_into_the_branch_that_is_there() -> None:
    """Of a union the records that have the field are masked, whatever their place."""
    one = {**record(("pan", "string")), "name": "One"}
    two = {**record(("n", "int"), ("pan", "string")), "name": "Two"}
    schema = record(("by", ["null", one, two]))

    for data, expected in (
        (b"\0", None),
        (b"\2" + text("x"), {"pan": ""}),
        (b"\4\2" + text("x"), {"n": 1, "pan": ""}),
    ):
        assert {"by": expected} == decoded(schema, spliced(schema, data, (("by", "pan"), "redact")))


def test_an_enum_is_redacted_to_the_default_of_its_field_or_not_at_all() -> None:
    """Its first symbol would read like a true one."""
    field = {"name": "card", "type": ENUM, "default": "B"}
    data = text("b") + b"\0" + b"\6"

    schema = {**record(("before", "string")), "name": "Top"}
    with_default = {**schema, "fields": [*schema["fields"], field, {"name": "n", "type": "int"}]}

    result = spliced(with_default, data, (("card",), "redact"))

    assert decoded(with_default, result)["card"] == "B"
    with pytest.raises(UnmaskableError, match="would read like a true one"):
        spliced(record(("card", ENUM)), b"\0", (("card",), "redact"))


@pytest.mark.parametrize(
    ("type_", "how", "zero"),
    [
        ("int", "redact", "0"),
        ("boolean", "redact", "false"),
        ({"type": "long", "logicalType": "timestamp-millis"}, "redact", "1970-01-01T00:00:00Z"),
        ({"type": "int", "logicalType": "date"}, "redact", "1970-01-01"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, "redact", "0"),
        ({**record(("a", "string"), ("b", "double")), "name": "S"}, "redact", "0"),
        (["null", "int"], "redact", None),
        ("string", "redact", None),
        ({"type": "array", "items": "int"}, "redact", None),
        ("string", "last4", None),
    ],
)
def test_zeros_that_read_like_facts_are_told(type_: object, how: str, zero: str | None) -> None:
    assert zero_left(typed(record(("card", type_))), ("card",), how) == zero


@pytest.mark.parametrize(
    ("type_", "how", "problem"),
    [
        ("string", "last4", None),
        ("string", "hash", None),
        (["null", "string"], "last4", None),
        ("int", "last4", "a value of type `int` holds no free text"),
        ("bytes", "hash", "a value of type `bytes` holds no free text"),
        (["null", "string", "int"], "hash", "a value of type `int` holds no free text"),
        (
            {"type": "string", "logicalType": "uuid"},
            "last4",
            "a value of type `uuid` holds no free",
        ),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "hash", "a value of type `E` holds no"),
        ({"type": "array", "items": "string"}, "last4", "a value of type `array` holds no free"),
        ("string", "drop", "`drop` needs a field that can be null or has a default"),
        (["null", "string"], "drop", None),
        ("string", "redact", None),
        ({**record(("x", ["R2", "int"])), "name": "R2"}, "redact", "the value has no end"),
        (ENUM, "redact", "the enum `E` has neither null nor a default to leave"),
        ({**ENUM, "default": "A"}, "redact", None),
        (["null", ENUM], "redact", None),
        (["int", ENUM], "redact", "the enum `E` has neither"),
        ({"type": "array", "items": ENUM}, "redact", None),
        ({**record(("x", ENUM)), "name": "S"}, "redact", "the enum `E` has neither"),
        ({**record(("x", ["null", ENUM])), "name": "S"}, "redact", None),
    ],
)
def test_types_that_cannot_take_a_mask_are_told(
    type_: object, how: str, problem: str | None
) -> None:
    """When the policy is loaded, not when the first event comes."""
    found = check_mask(typed(record(("card", type_))), ("card",), how)

    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")


def test_a_path_that_is_not_there_has_nothing_to_mask() -> None:
    assert check_mask(typed(ITEMS), ("nowhere", "deep"), "last4") is None
    assert check_mask(typed(ITEMS), ("items", None, "pan"), "last4") is None
    assert check_mask(typed(ITEMS), ("items", "pan"), "last4") is None


def test_a_default_that_does_not_fit_is_none() -> None:
    """Registries check defaults; files may hold anything."""
    for default in (7, None, ["x"], {"a": 1}):
        schema = record({"name": "card", "type": "string", "default": default})
        assert "needs a field" in str(check_mask(typed(schema), ("card",), "drop"))


def test_a_value_that_cannot_take_its_mask_is_refused() -> None:
    """Of a union some values can, some cannot: the event decides."""
    schema = record(("card", ["null", "string", "int"]))

    assert decoded(schema, spliced(schema, b"\2" + text("x"), (("card",), "text"))) == {"card": "X"}
    with pytest.raises(UnmaskableError, match="a value of type `int` holds no free text"):
        spliced(schema, b"\4\2", (("card",), "text"))


@pytest.mark.parametrize(
    "data", [b"", text("x")[:-1], text("x") + b"\2\0", b"\x03x\2", b"\4\xff\xff\2"]
)
def test_bytes_that_are_not_what_the_schema_says_are_refused(data: bytes) -> None:
    """A value whose structure is in doubt is never passed on as masked."""
    with pytest.raises(DecodeError):
        spliced(record(("card", "string"), ("n", "int")), data, (("card",), "text"))


def test_defaults_and_zeros_are_bounded() -> None:
    """Defaults that refer to defaults can make a small schema say something huge."""
    fields: list[Any] = [{"name": "x0", "type": {**record(("a", "int")), "name": "T0"}}]
    for level in range(1, 40):
        below: dict[str, Any] = {"type": f"T{level - 1}", "default": {}}
        inner = [{"name": name, **below} for name in "ab"]
        made: dict[str, Any] = {"type": "record", "name": f"T{level}", "fields": inner}
        fields.append({"name": f"x{level}", "type": made, "default": {}})
    schema = typed(record(*fields))

    started = time.process_time()
    assert "needs a field" in str(check_mask(schema, ("x39",), "drop"))
    assert "has no end" in str(check_mask(schema, ("x39",), "redact"))

    assert time.process_time() - started < 10
