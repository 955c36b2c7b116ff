"""The functions of the rule language, by topic; `FUNCTIONS` has them all by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .collections import COLLECTIONS
from .conversions import CONVERSIONS
from .encoders import ENCODERS
from .formats import FORMATS
from .formatting import FORMATTING
from .math import MATH
from .network import NETWORK
from .optionals import OPTIONALS
from .registry import Function, Implementation, Overload
from .strings import STRINGS
from .time import TIME

__all__ = ["FUNCTIONS", "Function", "Implementation", "Overload"]

#: Every function and method. Operators and macros are not among them.
FUNCTIONS: Final[Mapping[str, Function]] = (
    CONVERSIONS
    | STRINGS
    | FORMATTING
    | TIME
    | MATH
    | OPTIONALS
    | ENCODERS
    | NETWORK
    | FORMATS
    | COLLECTIONS
).functions
