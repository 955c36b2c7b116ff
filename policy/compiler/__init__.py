"""Conditions to running code: one generated function per plan, from bytes to hits."""

from __future__ import annotations

from .activation import Undecodable, activation
from .compiled import Compiled, compile_rules
from .definition import RuleInput
from .reads import Reads

__all__ = ["Compiled", "Reads", "RuleInput", "Undecodable", "activation", "compile_rules"]
