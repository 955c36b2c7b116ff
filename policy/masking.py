"""Masks: what a `mask` effect does to the fields it names, byte for byte elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from hashlib import blake2b

import msgspec

from ..schemas.json_splice import splice
from .keys import KeyRing
from .model import MaskField, Path

__all__ = ["STRICTNESS", "MaskError", "mask_value", "strictest"]

#: Per field the strictest mask is applied, once.
STRICTNESS = ("last4", "hash", "redact", "drop")

_LAST4_MIN_CHARS = 8
_HASHED = re.compile(r"h:([A-Za-z0-9_-]{1,32}):[A-Za-z0-9_-]{22}")
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


def mask_value(
    value: bytes, value_format: str, masks: Iterable[MaskField], keys: KeyRing | None
) -> bytes:
    """`value` with `masks` applied; what they do not touch stays as it was, byte for byte.

    Nothing there to mask gives the same object back. Raises MaskError for a value that is not
    JSON, or a `hash` without a key.
    """
    if value_format not in ("auto", "json") or value[:1] == b"\0":
        raise MaskError("only JSON values can be masked")
    edits: list[tuple[Path, Callable[[bytes], bytes | None]]] = [
        (mask.path, _editor(mask.how, keys)) for mask in masks
    ]
    try:
        return splice(value, edits)
    except ValueError:
        raise MaskError("the value is not JSON") from None


def _editor(how: str, keys: KeyRing | None) -> Callable[[bytes], bytes | None]:
    if how == "drop":
        return _drop
    if how == "redact":
        return _redact
    if how == "last4":
        return _last4
    if keys is None:
        raise MaskError("a `hash` mask needs a mask key")
    ring = keys
    return lambda raw: _hash(raw, ring)


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
    if raw[:1] in b"{[" or len(text) < _LAST4_MIN_CHARS:
        return b'"' + b"*" * (4 if raw[:1] in b"{[" else len(text)) + b'"'
    return _encode("*" * (len(text) - 4) + text[-4:])


def _hash(raw: bytes, keys: KeyRing) -> bytes:
    text = _text(raw)
    if text is None:
        return raw
    masked = _HASHED.fullmatch(text)
    if masked is not None and keys.get(masked[1]) is not None:
        return raw
    kid, secret = keys.first
    digest = blake2b(text.encode(), digest_size=16, key=secret).digest()
    return f'"h:{kid}:{base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}"'.encode()
