"""Avro projections against fastavro, on schemas and bytes of every kind."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.schemas.avro_projection import AvroProjection
from streamwarden.schemas.avro_types import AvroSchema, parse_schema
from streamwarden.schemas.avro_wire import AvroError
from streamwarden.schemas.json_projection import JsonProjection, Shape

from .avro_schemas import SCHEMAS, Json, agrees, encodings, read, same, shapes, values_of, write

WHOLE = JsonProjection(Shape(whole=True)).root

#: What fastavro lets through and other readers do not, or what no reader should be asked to hold.
STRICTER = (
    "neither 0 nor 1",
    "a branch that the union does not have",  # fastavro counts from the end where it is negative
    "a symbol that the enum does not have",
    "more than 64 bits",
    "more than 32 bits",
    "not as long as it says",
    "too many empty items",
    "too deeply",
    "negative length",
    "decimal that is too long",
)


def parsed(schema: Json) -> AvroSchema:
    return parse_schema(json.dumps(schema))


def whole(schema: Json, data: bytes) -> object:
    return AvroProjection(parsed(schema).root, WHOLE, strict=True).decode(b"frame" + data, 5)


@settings(max_examples=200)
@given(draw=st.data(), schema=SCHEMAS)
def test_the_whole_value_is_what_fastavro_reads(draw: st.DataObject, schema: Json) -> None:
    """Every type, logical types included, by exact class."""
    data = write(schema, draw.draw(values_of(schema)))

    expected, _ = read(schema, data)

    assert same(whole(schema, data), expected)


@settings(max_examples=200)
@given(draw=st.data(), schema=SCHEMAS, strict=st.booleans())
def test_a_projection_is_a_part_of_the_whole(
    draw: st.DataObject, schema: Json, strict: bool
) -> None:
    """Reading some of a value gives what reading all of it gives there."""
    data = write(schema, draw.draw(values_of(schema)))
    shape = draw.draw(shapes(parsed(schema).root))
    projection = JsonProjection(shape)

    decode = AvroProjection(parsed(schema).root, projection.root, strict=strict).decode
    found = decode(data, 0)

    assert not isinstance(found, AvroError)
    assert agrees(projection.plain(found), read(schema, data)[0], shape)


@settings(max_examples=200)
@given(draw=st.data(), schema=SCHEMAS, strict=st.booleans())
def test_every_legal_encoding_is_read(draw: st.DataObject, schema: Json, strict: bool) -> None:
    """Numbers longer than need be, several blocks, blocks with sizes, keys that come twice."""
    data = draw.draw(encodings(parsed(schema).root))
    shape = draw.draw(shapes(parsed(schema).root))
    projection = JsonProjection(shape)

    found = AvroProjection(parsed(schema).root, projection.root, strict=strict).decode(data, 0)

    expected, _ = read(schema, data)
    assert same(whole(schema, data), expected)
    assert agrees(projection.plain(found), expected, shape)


@settings(max_examples=300)
@given(draw=st.data(), schema=SCHEMAS)
def test_broken_bytes_are_an_error_or_what_fastavro_reads(
    draw: st.DataObject, schema: Json
) -> None:
    """Nothing escapes, and what is accepted means the same to other readers."""
    data = draw.draw(broken(write(schema, draw.draw(values_of(schema)))))

    found = whole(schema, data)

    if isinstance(found, AvroError):
        assert found.reason != "the Avro bytes cannot be read"
        if not any(reason in found.reason for reason in STRICTER):
            assert not accepted(schema, data)
    else:
        assert (True, len(data)) == (same(found, (other := read(schema, data))[0]), other[1])


@settings(max_examples=200)
@given(draw=st.data(), schema=SCHEMAS)
def test_broken_bytes_are_read_the_same_in_part(draw: st.DataObject, schema: Json) -> None:
    """Skipping never disagrees with reading: bytes in order as a whole are in order in part."""
    data = draw.draw(broken(write(schema, draw.draw(values_of(schema)))))
    shape = draw.draw(shapes(parsed(schema).root))
    projection = JsonProjection(shape)

    found = AvroProjection(parsed(schema).root, projection.root).decode(data, 0)
    strictly = AvroProjection(parsed(schema).root, projection.root, strict=True).decode(data, 0)

    everything = whole(schema, data)
    assert isinstance(strictly, AvroError) == isinstance(everything, AvroError)
    if not isinstance(everything, AvroError):
        assert same(projection.plain(found), projection.plain(strictly))
        assert agrees(projection.plain(found), everything, shape)


@settings(max_examples=300)
@given(schema=SCHEMAS, data=st.binary(max_size=40))
def test_noise_is_an_error_or_what_fastavro_reads(schema: Json, data: bytes) -> None:
    """Bytes that nobody wrote."""
    found = whole(schema, data)

    if not isinstance(found, AvroError):
        assert same(found, read(schema, data)[0])


def accepted(schema: Json, data: bytes) -> bool:
    """Whether fastavro reads all of the bytes."""
    try:
        return read(schema, data)[1] == len(data)
    except Exception:  # noqa: BLE001 — it raises what the bytes make it stumble over
        return False


@st.composite
def broken(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` cut, longer, or with some bytes changed."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(["cut", "put", "drop", "set"]))
        byte = draw(
            st.sampled_from([b"\0", b"\1", b"\2", b"\x7f", b"\x80", b"\xff"])
            | st.binary(min_size=1, max_size=1)
        )
        match change:
            case "cut":
                data = data[:at]
            case "put":
                data = data[:at] + byte + data[at:]
            case "drop":
                data = data[:at] + data[at + 1 :]
            case _:
                data = data[:at] + byte + data[at + 1 :]
    return data
