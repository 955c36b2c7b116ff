"""The rule language: CEL text to a checked syntax tree to generated code."""

from __future__ import annotations

from .checker import Checked, Environment, check
from .comprehensions import Decision
from .cost import Cost, estimate
from .cost_bounds import Bounds
from .evaluate import Evidence, Program, compile_deciding, compile_exact, trace
from .lexer import CelSyntaxError
from .parser import parse
from .problems import PROBLEM_CODES, CelProblem
from .regex import safe_matcher
from .types import Type
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
    "PROBLEM_CODES",
    "Bounds",
    "CelError",
    "CelProblem",
    "CelSyntaxError",
    "CelType",
    "Checked",
    "Cost",
    "Decision",
    "Duration",
    "Environment",
    "Evidence",
    "Optional",
    "Program",
    "Table",
    "Timestamp",
    "Type",
    "UInt",
    "Unknown",
    "check",
    "compile_deciding",
    "compile_exact",
    "estimate",
    "parse",
    "safe_matcher",
    "trace",
    "unparse",
]
