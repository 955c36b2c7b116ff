"""Values and keys that a schema registry has framed, read by their schemas.

A reader is made once for each schema that its events name, and found again by the very bytes that
name it. Who names many schemas makes many readers: they are bounded, oldest first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ...schemas.avro_projection import AvroProjection
from ...schemas.avro_types import Primitive
from ...schemas.avro_wire import AvroError
from ...schemas.event import Headers
from ...schemas.framing import Frame, frame_of, schema_id
from ...schemas.json_projection import DecodeError, Node, decode_json
from ...schemas.registry import NotFound, Schema, SchemaSource, Unavailable
from ..cel.values import Timestamp
from .activation import UnavailableError

__all__ = ["FramedValues"]

#: From bytes and where the content begins to what is read of it, or an AvroError.
_Decode: TypeAlias = Callable[[bytes, int], object]
#: Reads bytes that are not framed.
Unframed: TypeAlias = Callable[[bytes], object]

#: A topic has few schemas at a time; a hostile producer may name many.
_READERS_MAX: Final = 500
_NUMBERED: Final = 5
_WHOLE: Final = Node()


class FramedValues:
    """The `Framed` of a source of schemas. Thread-safe."""

    def __init__(self, schemas: SchemaSource) -> None:
        self.schemas: Final = schemas
        #: Readers of whole values, for trails: kept here, since plans ask for them anew each time.
        self._whole: dict[tuple[bool, str, Unframed | None], _Reader] = {}

    def reader(
        self, root: Node, unframed: Unframed | None, *, strict: bool, field: str = "value"
    ) -> Callable[[bytes, Headers], object]:
        """A function of bytes and their record's headers; `field` says which bytes: value, key."""
        if root != _WHOLE or unframed not in (None, decode_json):
            return _Reader(self.schemas, root, unframed, strict, field).read
        key = (strict, field, unframed)
        made = self._whole.get(key)
        if made is None:
            made = self._whole[key] = _Reader(self.schemas, root, unframed, strict, field)
        return made.read

    def find(self, value: bytes, headers: Headers, field: str = "value") -> tuple[Frame, Schema]:
        """How bytes are framed, and their schema. Raises DecodeError."""
        frame = _frame(value, headers, field)
        if frame is None:
            raise DecodeError(_NOT_FRAMED)
        return frame, _schema(self.schemas, frame)

    def schema(self, topic: str, value: bytes | None, headers: Headers) -> dict[str, object]:
        """The variable `schema`: subject, id and tags; empty for what is not framed."""
        if value is None:
            return {}
        try:
            _, schema = self.find(value, headers)
        except DecodeError:
            return {}
        number = schema.id if isinstance(schema.id, int) else str(schema.id)
        return {"subject": schema.subject(topic), "id": number, "tags": list(schema.tags)}


_NOT_FRAMED: Final = "the bytes are not framed by a schema registry"
_ODD_HEADERS: Final = "the headers are no list of names and values"


class _Reader:
    """Reads one shape of values, by whatever schema they name."""

    def __init__(
        self,
        schemas: SchemaSource,
        root: Node,
        unframed: Unframed | None,
        strict: bool,
        field: str,
    ) -> None:
        self._schemas, self._root, self._unframed = schemas, root, unframed
        self._strict, self._field = strict, field
        self._readers: dict[bytes, _Decode] = {}

    def read(self, data: bytes, headers: Headers) -> object:
        """What is read of `data`. Raises DecodeError."""
        decode = None if headers else self._readers.get(data[:_NUMBERED])
        if decode is not None:
            found = decode(data, _NUMBERED)
        else:
            frame = _frame(data, headers, self._field)
            if frame is None:
                if self._unframed is None:
                    raise DecodeError(_NOT_FRAMED)
                return self._unframed(data)
            decode = self._readers.get(frame.identity) or self._made(frame)
            found = decode(data, frame.start)
        if isinstance(found, AvroError):
            raise DecodeError(found.reason)
        return found

    def _made(self, frame: Frame) -> _Decode:
        decode = self._decoder(_schema(self._schemas, frame))
        if len(self._readers) >= _READERS_MAX:
            self._readers.pop(next(iter(self._readers)), None)
        self._readers[frame.identity] = decode
        return decode

    def _decoder(self, schema: Schema) -> _Decode:
        unframed = self._unframed
        if schema.kind == "JSON" and unframed is not None:
            return lambda data, start: unframed(data[start:])
        if schema.avro is None:
            raise DecodeError(schema.problem or _other_kind(schema))
        root = schema.avro.root
        if isinstance(root, Primitive) and root.name == "bytes":
            # Confluent's serializers write bytes as they are, without a length.
            return lambda data, start: data[start:]
        return AvroProjection(root, self._root, strict=self._strict, time=Timestamp).decode


def _frame(data: bytes, headers: Headers, field: str) -> Frame | None:
    try:
        frame = frame_of(data, headers, field)
    except Exception:  # noqa: BLE001 — whatever the caller passes as headers
        raise DecodeError(_ODD_HEADERS) from None
    if isinstance(frame, AvroError):
        raise DecodeError(frame.reason)
    return frame


def _schema(schemas: SchemaSource, frame: Frame) -> Schema:
    found = schemas.schema(schema_id(frame.identity))
    if isinstance(found, Unavailable):
        raise UnavailableError(found.reason)
    if isinstance(found, NotFound):
        raise DecodeError(found.reason)
    return found


def _other_kind(schema: Schema) -> str:
    return f"the schema `{schema.id}` is of the kind {schema.kind}, which is not read here"
