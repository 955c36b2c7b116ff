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
from ...schemas.framing import Frame, SchemaId, frame_of, schema_id
from ...schemas.json_projection import DecodeError, Node, decode_json
from ...schemas.registry import NotFound, Schema, SchemaSource, Unavailable
from ..cel.values import Timestamp
from .activation import UnavailableError

__all__ = ["FramedValues", "frame_or_error"]

#: From bytes and where the content begins to what is read of it, or an AvroError.
_Decode: TypeAlias = Callable[[bytes, int], object]
#: Reads bytes that are not framed.
_Unframed: TypeAlias = Callable[[bytes], object]

#: A topic has few schemas at a time; a hostile producer may name many.
_READERS_MAX: Final = 500
_NUMBERED: Final = 5
_WHOLE: Final = Node()


class FramedValues:
    """The `Framed` of a source of schemas. Thread-safe.

    `forgiving`: a schema that cannot be had now is as one that does not exist.
    """

    def __init__(self, schemas: SchemaSource, *, forgiving: bool = False) -> None:
        self.schemas: Final = schemas
        self._forgiving = forgiving
        #: Readers of whole values, for trails: kept here, since plans ask for them anew each time.
        self._whole: dict[tuple[bool, _Unframed | None], _Reader] = {}
        self._framed_whole = _Reader(self.find, "value", _WHOLE, None, decode_json, strict=False)

    def reader(
        self, root: Node, unframed: _Unframed | None, *, strict: bool
    ) -> Callable[[bytes, Headers], object]:
        """A function of a value and its record's headers that gives what is read of the value."""
        if root != _WHOLE or unframed not in (None, decode_json):
            return _Reader(self.find, "value", root, unframed, unframed, strict).read
        key = (strict, unframed)
        made = self._whole.get(key)
        if made is None:
            made = _Reader(self.find, "value", root, unframed, unframed, strict)
            self._whole[key] = made
        return made.read

    def key_reader(
        self, root: Node, unframed: _Unframed | None, json: _Unframed
    ) -> Callable[[bytes, Headers], object]:
        """The same for keys; `json` reads what a JSON schema has framed."""
        return _Reader(self.find, "key", root, unframed, json, strict=False).read

    def find(self, frame: Frame) -> Schema:
        """The schema that a frame names. Raises DecodeError, of which UnavailableError is one."""
        found = self.schemas.schema(schema_id(frame.identity))
        if isinstance(found, Unavailable):
            raise (DecodeError if self._forgiving else UnavailableError)(found.reason)
        if isinstance(found, NotFound):
            raise DecodeError(found.reason)
        return found

    def schema(self, topic: str, value: bytes | None, headers: Headers) -> dict[str, object]:
        """The variable `schema`: subject, id and tags; empty for what is not framed."""
        frame = None if value is None else frame_or_error(value, headers, "value")
        if frame is None:
            return {}
        schema = self.find(frame)
        return {
            "subject": schema.subject(topic),
            "id": _plain(schema.id),
            "tags": list(schema.tags),
        }

    def whole(self, value: bytes, headers: Headers) -> object:
        """All of a framed value. Raises DecodeError."""
        return self._framed_whole.read(value, headers)

    def named(self, topic: str, value: bytes | None, headers: Headers) -> dict[str, object] | None:
        """What a decision says of the schema: subject and id; None for what is not framed."""
        try:
            frame = None if value is None else frame_or_error(value, headers, "value")
            if frame is None:
                return None
            found = self.schemas.schema(schema_id(frame.identity))
        except DecodeError:
            return None
        subject = found.subject(topic) if isinstance(found, Schema) else ""
        return {"subject": subject or None, "id": _plain(schema_id(frame.identity))}


def _plain(number: SchemaId) -> int | str:
    return number if isinstance(number, int) else str(number)


_NOT_FRAMED: Final = "the bytes are not framed by a schema registry"
_ODD_HEADERS: Final = "the headers are no list of names and values"


class _Reader:
    """Reads one shape of values, by whatever schema they name."""

    def __init__(
        self,
        find: Callable[[Frame], Schema],
        field: str,
        root: Node,
        unframed: _Unframed | None,
        json: _Unframed | None,
        strict: bool,
    ) -> None:
        self._find, self._field, self._root = find, field, root
        self._unframed, self._json, self._strict = unframed, json, strict
        self._readers: dict[bytes, _Decode] = {}

    def read(self, data: bytes, headers: Headers) -> object:
        """What is read of `data`. Raises DecodeError."""
        decode = None if headers else self._readers.get(data[:_NUMBERED])
        if decode is not None:
            found = decode(data, _NUMBERED)
        else:
            frame = frame_or_error(data, headers, self._field)
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
        decode = self._decoder(self._find(frame))
        if len(self._readers) >= _READERS_MAX:
            self._readers.pop(next(iter(self._readers)), None)
        self._readers[frame.identity] = decode
        return decode

    def _decoder(self, schema: Schema) -> _Decode:
        json = self._json
        if schema.kind == "JSON" and json is not None:
            return lambda data, start: json(data[start:])
        if schema.avro is None:
            raise DecodeError(schema.problem or _other_kind(schema))
        root = schema.avro.root
        if isinstance(root, Primitive) and root.name == "bytes":
            # Confluent's serializers write bytes as they are, without a length.
            return lambda data, start: data[start:]
        return AvroProjection(root, self._root, strict=self._strict, time=Timestamp).decode


def frame_or_error(data: bytes, headers: Headers, field: str) -> Frame | None:
    """How bytes are framed, None where they are not. Raises DecodeError."""
    try:
        frame = frame_of(data, headers, field)
    except Exception:  # noqa: BLE001 — whatever the caller passes as headers
        raise DecodeError(_ODD_HEADERS) from None
    if isinstance(frame, AvroError):
        raise DecodeError(frame.reason)
    return frame


def _other_kind(schema: Schema) -> str:
    return f"the schema `{schema.id}` is of the kind {schema.kind}, which is not read here"
