"""Conditions to running code: one generated function per plan, from bytes to hits."""

from __future__ import annotations

from .activation import Framed, UnavailableError, Undecodable, activation
from .compiled import Compiled, compile_rules
from .definition import RuleInput, Run
from .describe import RulePlan
from .reads import Reads

__all__ = [
    "Compiled",
    "Framed",
    "Reads",
    "RuleInput",
    "RulePlan",
    "Run",
    "UnavailableError",
    "Undecodable",
    "activation",
    "compile_rules",
]
