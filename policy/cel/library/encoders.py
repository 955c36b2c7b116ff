"""Base64."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from ..arithmetic import SIZE_MAX, too_large
from ..types import BYTES, STRING
from ..values import CelError
from .registry import Library

__all__ = ["ENCODERS", "decode", "encode"]

ENCODERS: Final = Library()


@ENCODERS.function("base64.encode", BYTES, result=STRING)
def encode(data: bytes) -> object:
    """The standard alphabet, with padding."""
    return base64.b64encode(data).decode() if len(data) * 4 // 3 <= SIZE_MAX else too_large()


@ENCODERS.function("base64.decode", STRING, result=BYTES)
def decode(text: str) -> object:
    """The standard alphabet; padding may be left out."""
    try:
        padding = "" if "=" in text else "=" * (-len(text) % 4)
        return base64.b64decode(text + padding, validate=True)
    except (binascii.Error, ValueError):
        return CelError("conversion", "the text is no base64")
