"""How bytes say which schema they were written with.

Confluent's serializers put a zero byte and the schema's id (four bytes, big-endian) in front of a
value, or its GUID into the header `__value_schema_id` (`__key_schema_id`), after a one. Their
deserializers look at the header first; so does this, or a header could make consumers read other
values than the guard judged. A header that comes twice is read differently by different clients,
and is refused.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from .avro_wire import AvroError
from .event import Headers

__all__ = ["Frame", "SchemaId", "frame_of", "schema_id", "with_id"]

#: A number that a registry has given, or the GUID that newer ones make of the schema's content.
SchemaId: TypeAlias = int | UUID

_HEADERS: Final = {"value": "__value_schema_id", "key": "__key_schema_id"}
#: By its first byte, how long the name of a schema is.
_LENGTHS: Final = {0: 5, 1: 17}

_TOO_SHORT: Final = AvroError("the bytes are too short for the framing of a schema registry")
_TWICE: Final = AvroError("two headers say which schema the bytes were written with")
_UNKNOWN: Final = AvroError("the header that names the schema is not understood")


class Frame(NamedTuple):
    """`identity` is what names the schema, as it stands there; the content begins at `start`."""

    identity: bytes
    start: int


def frame_of(data: bytes, headers: Headers, field: str = "value") -> Frame | AvroError | None:
    """How `data` is framed; None where it is not. `field` is value or key."""
    named: bytes | None = None
    if headers:
        wanted = _HEADERS[field]
        for name, value in headers:
            if name == wanted and value is not None:
                if named is not None:
                    return _TWICE
                named = value
    if named is not None:
        known = bool(named) and _LENGTHS.get(named[0]) == len(named)
        return Frame(named, 0) if known else _UNKNOWN
    length = _LENGTHS.get(data[0]) if data else None
    if length is None:
        return None
    return _TOO_SHORT if len(data) < length else Frame(data[:length], length)


def schema_id(identity: bytes) -> SchemaId:
    """The id or GUID in the identity of a frame."""
    return UUID(bytes=identity[1:]) if identity[0] else int.from_bytes(identity[1:], "big")


def with_id(number: int, content: bytes) -> bytes:
    """`content` framed by a schema's number."""
    return b"\0" + number.to_bytes(4, "big") + content
