"""Which schema bytes name, and where."""

from __future__ import annotations

from uuid import UUID

import pytest

from streamwarden.schemas.avro_wire import AvroError
from streamwarden.schemas.event import Headers
from streamwarden.schemas.framing import Frame, frame_of, schema_id, with_id

GUID = UUID("67e55044-10b1-426f-9247-bb680e5fe0c8")
BY_GUID = b"\1" + GUID.bytes
BY_ID = b"\0\0\0\1\7"


@pytest.mark.parametrize(
    ("data", "headers", "identity", "start"),
    [
        (BY_ID + b"x", [], BY_ID, 5),
        (BY_GUID + b"x", [], BY_GUID, 17),
        (BY_ID, [("other", b"1")], BY_ID, 5),
        (BY_ID + b"x", [("__value_schema_id", BY_GUID)], BY_GUID, 0),
        (b"x", [("__value_schema_id", BY_ID)], BY_ID, 0),
        (BY_ID + b"x", [("__value_schema_id", None)], BY_ID, 5),
        (BY_ID + b"x", [("__key_schema_id", BY_GUID)], BY_ID, 5),
    ],
)
def test_the_header_comes_first(data: bytes, headers: Headers, identity: bytes, start: int) -> None:
    """As in Confluent's deserializers: what the guard judges is what consumers read."""
    assert Frame(identity, start) == frame_of(data, headers)


@pytest.mark.parametrize("data", [b"", b"{}", b'"x"', b"\2", b"\xff\0\0\0\7"])
def test_most_bytes_are_not_framed(data: bytes) -> None:
    assert frame_of(data, [("a", b"b")]) is None


@pytest.mark.parametrize(
    ("data", "headers", "reason"),
    [
        (b"\0\0\0\7", [], "too short"),
        (b"\1" + bytes(15), [], "too short"),
        (b"x", [("__value_schema_id", b"")], "not understood"),
        (b"x", [("__value_schema_id", b"\0\0\7")], "not understood"),
        (b"x", [("__value_schema_id", b"\2" + bytes(16))], "not understood"),
        (b"x", [("__value_schema_id", BY_ID), ("__value_schema_id", BY_ID)], "two headers"),
    ],
)
def test_doubtful_framing_is_an_error(data: bytes, headers: Headers, reason: str) -> None:
    found = frame_of(data, headers)

    assert isinstance(found, AvroError)
    assert reason in found.reason


def test_keys_have_a_header_of_their_own() -> None:
    headers = [("__value_schema_id", BY_ID), ("__key_schema_id", BY_GUID)]

    assert Frame(BY_GUID, 0) == frame_of(b"x", headers, "key")


def test_ids() -> None:
    assert (schema_id(BY_ID), schema_id(BY_GUID)) == (263, GUID)
    assert with_id(263, b"x") == b"\0\0\0\1\7x"
