"""Statements of generated Avro readers that need to know one value alone: scalars and their end.

In generated code `b` are the bytes, `p` is the position, and `n` and `q` are scratch.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from .avro_types import AvroType, Enum, Fixed, Primitive, static_width
from .avro_wire import (
    LENGTHS,
    NUMBERS,
    TIME_UNITS_NS,
    MalformedError,
    block,
    decimal,
    end_of_bytes,
    enum_at,
    int_at,
    length_at,
    long_at,
    union_at,
    uuid_text,
)
from .code_templates import constant, fill, name
from .json_projection import MISSING

__all__ = [
    "HELPERS",
    "Case",
    "blank",
    "check_scalar",
    "choice",
    "jump",
    "read_key",
    "read_scalar",
    "skip_scalar",
]

#: A value of a variable, and what is done then.
Case: TypeAlias = tuple[int | bytes, list[ast.stmt]]

#: Cases that are compared one after the other; more are halved first.
_CASES_MAX: Final = 4

#: What generated code calls by name.
HELPERS: Final[dict[str, Any]] = {
    "BLOCK": block,
    "DECIMAL": decimal,
    "DOUBLE": struct.Struct("<d").unpack_from,
    "END_OF_BYTES": end_of_bytes,
    "ENUM_AT": enum_at,
    "FLOAT": struct.Struct("<f").unpack_from,
    "INT_AT": int_at,
    "LENGTHS": LENGTHS,
    "LENGTH_AT": length_at,
    "LONG_AT": long_at,
    "MALFORMED": MalformedError,
    "MISSING": MISSING,
    "NUMBERS": NUMBERS,
    "UNION_AT": union_at,
    "UUID": uuid_text,
}

_NUMBER: Final = """
V = NUMBERS[b[p]]
if V is None:
    V, p = WIDE(b, p)
else:
    p += 1
"""
_SKIP_NUMBER: Final = """
while b[p] > 127:
    p += 1
p += 1
"""
_CHECK_NUMBER: Final = """
q = p
while b[p] > 127:
    p += 1
p += 1
if p - q > MOST:
    p = WIDE(b, q)[1]
"""
_TEXT: Final = """
n = LENGTHS[b[p]]
if n:
    q = p + 1
    p += n
else:
    q, p = LENGTH_AT(b, p)
V = CONTENT
"""
_SKIP_TEXT: Final = """
n = LENGTHS[b[p]]
if n:
    p += n
else:
    p = LENGTH_AT(b, p)[1]
"""
_BOOLEAN: Final = """
V = b[p]
p += 1
if V > 1:
    raise MALFORMED("the Avro bytes hold a boolean that is neither 0 nor 1")
V = V == 1
"""
_FLOAT: Final = """
V = UNPACK(b, p)[0]
p += WIDTH
"""
_FIXED: Final = """
q = p
p += SIZE
V = CONTENT
"""
_ENUM: Final = """
V = SYMBOLS.get(b[p])
if V is None:
    V, p = ENUM_AT(b, p, SYMBOLS)
else:
    p += 1
"""

_CONTENT: Final = ast.parse("b[q:p]", mode="eval").body
_TEXT_CONTENT: Final = ast.parse("b[q:p].decode()", mode="eval").body
_CHECKED_CONTENT: Final = ast.parse("b[q:p].decode().encode()", mode="eval").body

#: Numbers of this many bytes are in range whatever they are.
_CHECKED_BYTES: Final = {"int": 4, "long": 9}

_BLANKS: Final[dict[str, object]] = {
    "null": None,
    "boolean": False,
    "int": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "bytes": b"",
    "string": "",
}


def read_scalar(
    type_: AvroType, target: str, share: Callable[[object], ast.expr]
) -> list[ast.stmt]:
    """Set `target` to a value that holds no others. `share` makes an object known to the code."""
    match type_:
        case Primitive("null"):
            return fill("V = None", V=target)
        case Primitive("boolean"):
            return fill(_BOOLEAN, V=target)
        case Primitive("int" | "long"):
            made = fill(_NUMBER, V=target, WIDE=f"{type_.name.upper()}_AT")
            unit = TIME_UNITS_NS.get(type_.logical or "")
            if unit is not None:
                made += fill("V = TIME(V * UNIT)", V=target, UNIT=constant(unit))
            return made
        case Primitive("float" | "double"):
            width = constant(static_width(type_))
            return fill(_FLOAT, V=target, UNPACK=type_.name.upper(), WIDTH=width)
        case Enum():
            symbols = {2 * place: symbol for place, symbol in enumerate(type_.symbols)}
            return fill(_ENUM, V=target, SYMBOLS=share(symbols))
        case Fixed():
            return fill(_FIXED, V=target, SIZE=constant(type_.size), CONTENT=_content(type_))
        case _:
            assert isinstance(type_, Primitive), "containers are not scalars"
            return fill(_TEXT, V=target, CONTENT=_content(type_))


def read_key(target: str, *, as_text: bool, checked: bool = False) -> list[ast.stmt]:
    """Set `target` to a key of a map: text, or its bytes; `checked` to be UTF-8."""
    content = _TEXT_CONTENT if as_text else _CHECKED_CONTENT if checked else _CONTENT
    return fill(_TEXT, V=target, CONTENT=content)


def check_scalar(type_: AvroType, share: Callable[[object], ast.expr]) -> list[ast.stmt]:
    """Move behind a value that holds no others, and find it in order."""
    if isinstance(type_, Primitive) and type_.name in _CHECKED_BYTES:
        most = constant(_CHECKED_BYTES[type_.name])
        return fill(_CHECK_NUMBER, MOST=most, WIDE=f"{type_.name.upper()}_AT")
    return read_scalar(type_, "w", share)


def skip_scalar(type_: AvroType) -> list[ast.stmt]:
    """Move behind a value that holds no others and has no fixed length."""
    if isinstance(type_, Primitive) and type_.name in ("string", "bytes"):
        return fill(_SKIP_TEXT)
    return fill(_SKIP_NUMBER)


def jump(width: int) -> list[ast.stmt]:
    """Move on by a fixed number of bytes."""
    return fill("p += WIDTH", WIDTH=constant(width)) if width else []


def blank(type_: AvroType, time: Callable[[int], object]) -> object:
    """A value of the same kind as those of a scalar type."""
    match type_:
        case Primitive(logical="decimal") | Fixed(logical="decimal"):
            return Decimal(0)
        case Primitive(logical=str() as logical) if logical in TIME_UNITS_NS:
            return time(0)
        case Primitive():
            return _BLANKS[type_.name]
        case Fixed(logical=None):
            return b""
        case _:
            return ""


def choice(variable: str, cases: Sequence[Case], otherwise: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of the case that `variable` equals. Cases are in ascending order."""
    if len(cases) > _CASES_MAX:
        middle = len(cases) // 2
        test = ast.Compare(name(variable), [ast.Lt()], [constant(cases[middle][0])])
        lower = choice(variable, cases[:middle], otherwise)
        return [ast.If(test, lower, choice(variable, cases[middle:], otherwise))]
    made: list[ast.stmt] = otherwise or [ast.Pass()]
    for value, body in reversed(cases):
        test = ast.Compare(name(variable), [ast.Eq()], [constant(value)])
        made = [ast.If(test, body or [ast.Pass()], made)]
    return made


def _content(type_: Primitive | Fixed) -> ast.expr:
    """The value whose bytes are from `q` to `p`."""
    if type_.logical == "decimal":
        return ast.Call(name("DECIMAL"), [_CONTENT, constant(type_.scale)], [])
    if isinstance(type_, Fixed):
        return ast.Call(name("UUID"), [_CONTENT], []) if type_.logical else _CONTENT
    return _TEXT_CONTENT if type_.name == "string" else _CONTENT
