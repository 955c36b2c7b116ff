"""Values as bytes of compact JSON."""

from __future__ import annotations

import json
from typing import Final

import msgspec

__all__ = ["json_bytes"]

_encode: Final = msgspec.json.Encoder().encode


def json_bytes(value: object) -> bytes:
    """`value`, which is made of what JSON has, as compact JSON."""
    try:
        return _encode(value)
    except UnicodeEncodeError:  # a lone surrogate, as only a caller's own text can hold
        return json.dumps(value, separators=(",", ":")).encode()
