"""Masks: what a `mask` effect does to the fields it names, byte for byte elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from typing import Final

import msgspec

from ..schemas.avro_splice import AvroMask, AvroSplicer, UnmaskableError
from ..schemas.avro_types import Primitive
from ..schemas.event import Headers
from ..schemas.json_projection import DecodeError
from ..schemas.json_splice import splice
from ..schemas.registry import Schema
from ..schemas.views import is_framed
from .compiler import UnavailableError
from .compiler.framed import FramedValues, frame_or_error
from .keys import KeyRing
from .model import MaskField, Path

__all__ = ["STRICTNESS", "MaskError", "Masker", "mask_value", "strictest"]

#: Per field the strictest mask is applied, once.
STRICTNESS = ("last4", "hash", "redact", "drop")

_LAST4_MIN_CHARS = 8
_HASHED = re.compile(r"h:([A-Za-z0-9_-]{1,32}):[A-Za-z0-9_-]{22}")
#: Splicers that are kept, one for each schema and set of masks.
_SPLICERS_MAX: Final = 500
_decode = msgspec.json.decode
_encode = msgspec.json.encode


class MaskError(ValueError):
    """A value that cannot be masked as asked. The text holds nothing of the value."""


def strictest(masks: Iterable[MaskField]) -> tuple[MaskField, ...]:
    """One mask a path, the strictest of those given, in the order of first mention."""
    chosen: dict[Path, MaskField] = {}
    for mask in masks:
        present = chosen.get(mask.path)
        if present is None or STRICTNESS.index(mask.how) > STRICTNESS.index(present.how):
            chosen[mask.path] = mask
    return tuple(chosen.values())


class Masker:
    """Applies masks to values of every format that can take them. Thread-safe.

    Without `framed` what a schema registry has framed cannot be masked.
    """

    def __init__(self, keys: KeyRing | None, framed: FramedValues | None = None) -> None:
        self._keys, self._framed = keys, framed
        self._splicers: dict[tuple[bytes, tuple[MaskField, ...]], AvroSplicer] = {}

    def mask(
        self,
        value: bytes,
        value_format: str,
        masks: Iterable[MaskField],
        headers: Headers = (),
    ) -> bytes:
        """`value` with `masks` applied; what they do not touch stays as it was, byte for byte.

        Nothing there to mask gives the same object back. Raises MaskError for a value that cannot
        be masked so, or a `hash` without a key, and UnavailableError where its schema cannot be
        had now.
        """
        chosen = tuple(masks)
        if self._framed is None or value_format not in ("auto", "avro"):
            return mask_value(value, value_format, chosen, self._keys)
        try:
            frame = frame_or_error(value, headers, "value")
            if frame is None:
                return mask_value(value, value_format, chosen, self._keys)
            schema = self._framed.find(frame)
        except UnavailableError:
            raise
        except DecodeError as error:
            raise MaskError(str(error)) from None
        if schema.kind == "JSON":
            content = value[frame.start :]
            masked = mask_value(content, "json", chosen, self._keys)
            return value if masked is content else value[: frame.start] + masked
        splicer = self._splicer(frame.identity, schema, chosen)
        if splicer is None:
            return value
        try:
            return splicer.splice(value, frame.start)
        except (DecodeError, UnmaskableError) as error:
            raise MaskError(str(error)) from None

    def _splicer(
        self, identity: bytes, schema: Schema, masks: tuple[MaskField, ...]
    ) -> AvroSplicer | None:
        """None where the whole value is bytes, which no mask under `value` concerns."""
        if schema.avro is None:
            raise MaskError("values of this schema cannot be masked")
        root = schema.avro.root
        if isinstance(root, Primitive) and root.name == "bytes":
            return None
        found = self._splicers.get((identity, masks))
        if found is None:
            found = AvroSplicer(root, [self._avro_mask(mask) for mask in masks])
            if len(self._splicers) >= _SPLICERS_MAX:
                self._splicers.pop(next(iter(self._splicers)), None)
            self._splicers[identity, masks] = found
        return found

    def _avro_mask(self, mask: MaskField) -> AvroMask:
        if mask.how == "last4":
            return AvroMask(mask.path, "text", _starred)
        if mask.how == "hash":
            return AvroMask(mask.path, "text", partial(_hashed, keys=_ring(self._keys)))
        return AvroMask(mask.path, mask.how)


def mask_value(
    value: bytes, value_format: str, masks: Iterable[MaskField], keys: KeyRing | None
) -> bytes:
    """As `Masker.mask`, for values that are not framed by a schema registry."""
    if value_format not in ("auto", "json") or is_framed(value):
        raise MaskError("only JSON values can be masked, and Avro where its schemas are given")
    edits: list[tuple[Path, Callable[[bytes], bytes | None]]] = [
        (mask.path, _editor(mask.how, keys)) for mask in masks
    ]
    try:
        return splice(value, edits)
    except DecodeError as error:
        raise MaskError(str(error)) from None
    except ValueError:
        raise MaskError("the value is not JSON") from None


def _editor(how: str, keys: KeyRing | None) -> Callable[[bytes], bytes | None]:
    if how == "drop":
        return _drop
    if how == "redact":
        return _redact
    if how == "last4":
        return _last4
    return partial(_hash, keys=_ring(keys))


def _ring(keys: KeyRing | None) -> KeyRing:
    if keys is None:
        raise MaskError("a `hash` mask needs a mask key")
    return keys


def _drop(_raw: bytes) -> None:
    return None


def _redact(_raw: bytes) -> bytes:
    return b'"***"'


def _text(raw: bytes) -> str | None:
    """The characters to mask: of a string its content, of anything else the bytes as written."""
    try:
        if raw[:1] == b'"':
            content: object = _decode(raw)
            return content if isinstance(content, str) else None
        return None if raw == b"null" else raw.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MaskError("the value is not JSON") from None


def _last4(raw: bytes) -> bytes:
    text = _text(raw)
    if text is None:
        return raw
    return b'"****"' if raw[:1] in b"{[" else _encode(_starred(text))


def _starred(text: str) -> str:
    """Stars but for the last four of at least eight characters."""
    shown = 4 if len(text) >= _LAST4_MIN_CHARS else 0
    return "*" * (len(text) - shown) + text[len(text) - shown :]


def _hash(raw: bytes, keys: KeyRing) -> bytes:
    text = _text(raw)
    if text is None:
        return raw
    hashed = _hashed(text, keys)
    return raw if hashed is text else _encode(hashed)


def _hashed(text: str, keys: KeyRing) -> str:
    """The keyed hash of `text`; what is one already stays."""
    masked = _HASHED.fullmatch(text)
    if masked is not None and keys.get(masked[1]) is not None:
        return text
    kid, secret = keys.first
    digest = blake2b(text.encode(), digest_size=16, key=secret).digest()
    return f"h:{kid}:{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
