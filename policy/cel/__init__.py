"""The rule language: CEL text to a checked syntax tree to generated code."""

from __future__ import annotations

from .evaluate import Evidence, Program, compile_exact, trace
from .lexer import CelSyntaxError
from .parser import parse
from .regex import safe_matcher
from .unparse import unparse
from .values import (
    CelError,
    CelType,
    Duration,
    Optional,
    Table,
    Timestamp,
    UInt,
    Unknown,
)

__all__ = [
    "CelError",
    "CelSyntaxError",
    "CelType",
    "Duration",
    "Evidence",
    "Optional",
    "Program",
    "Table",
    "Timestamp",
    "UInt",
    "Unknown",
    "compile_exact",
    "parse",
    "safe_matcher",
    "trace",
    "unparse",
]
