"""The rule language: CEL text to a checked syntax tree to generated code."""

from __future__ import annotations

from .lexer import CelSyntaxError
from .parser import parse
from .values import CelError, CelType, Duration, Optional, Timestamp, UInt, Unknown

__all__ = [
    "CelError",
    "CelSyntaxError",
    "CelType",
    "Duration",
    "Optional",
    "Timestamp",
    "UInt",
    "Unknown",
    "parse",
]
