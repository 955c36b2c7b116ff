"""Types as functions: `int()`, `uint()`, `double()`, `decimal()`, `string()`, `bytes()`, `bool()`.

Source: the CEL specification, "List of Standard Definitions"; texts are read as strictly as in
cel-go, without blanks, underscores or other scripts' digits.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

from ..arithmetic import int_of, uint_of
from ..types import (
    BOOL,
    BYTES,
    CIDR,
    DECIMAL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    IP,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    param,
)
from ..values import CelError, CelType, Timestamp, UInt, as_double, type_name
from .network import cidr_text, ip_text
from .registry import Library, identity
from .time import duration_text, timestamp_text

__all__ = [
    "CONVERSIONS",
    "bool_from_string",
    "bytes_from_string",
    "decimal_from_double",
    "decimal_from_int",
    "decimal_from_string",
    "decimal_text",
    "double_from_number",
    "double_from_string",
    "double_text",
    "dyn",
    "int_from_decimal",
    "int_from_double",
    "int_from_string",
    "int_from_timestamp",
    "int_from_uint",
    "string_from_bool",
    "string_from_bytes",
    "string_from_int",
    "type_of",
    "uint_from_decimal",
    "uint_from_double",
    "uint_from_int",
    "uint_from_string",
]

CONVERSIONS: Final = Library()
_function = CONVERSIONS.function

_INT: Final = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_UINT: Final = re.compile(r"[0-9]{1,40}", re.ASCII)
#: Longer than any double or decimal that somebody wrote; reading takes quadratic time.
_NUMBER_LENGTH_MAX: Final = 1_000
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_DOUBLE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NO_NUMBERS: Final = re.compile(r"[+-]?(?:inf|infinity)|nan", re.IGNORECASE)
_TRUE: Final = frozenset({"1", "t", "true", "TRUE", "True", "T"})
_FALSE: Final = frozenset({"0", "f", "false", "FALSE", "False", "F"})

for _name, _type in (
    ("int", INT),
    ("uint", UINT),
    ("double", DOUBLE),
    ("decimal", DECIMAL),
    ("string", STRING),
    ("bytes", BYTES),
    ("bool", BOOL),
):
    CONVERSIONS.add(_name, (_type,), _type, identity, form="function")


@_function("dyn", param("T"), result=DYN)
def dyn(value: object) -> object:
    """The value itself, of a type that the checker no longer knows."""
    return value


@_function("type", param("T"), result=TYPE)
def type_of(value: object) -> CelType:
    """The type of a value."""
    return CelType(type_name(value))


def _unreadable(kind: str) -> CelError:
    return CelError("conversion", f"the text is no {kind}")


def _out_of_range(kind: str) -> CelError:
    return CelError("range", f"the number does not fit {kind}")


@_function("int", UINT, result=INT)
def int_from_uint(number: UInt) -> object:
    """An int, where it fits."""
    return int_of(int(number))


@_function("int", DOUBLE, result=INT)
def int_from_double(number: float) -> object:
    """Towards zero; the largest doubles below 2**63 are still ints."""
    return int(number) if -(2.0**63) < number < 2.0**63 else _out_of_range("an int")


@_function("int", DECIMAL, result=INT)
def int_from_decimal(number: Decimal) -> object:
    """Towards zero."""
    return int_of(int(number)) if number.adjusted() < 30 else _out_of_range("an int")


@_function("int", STRING, result=INT)
def int_from_string(text: str) -> object:
    """Decimal digits with a sign."""
    return int_of(int(text)) if _INT.fullmatch(text) else _unreadable("int")


@_function("int", TIMESTAMP, result=INT)
def int_from_timestamp(time: Timestamp) -> int:
    """Whole seconds since the epoch."""
    return time.ns // 10**9


@_function("uint", INT, result=UINT)
def uint_from_int(number: int) -> object:
    """A uint, where it is not negative."""
    return uint_of(number)


@_function("uint", DOUBLE, result=UINT)
def uint_from_double(number: float) -> object:
    """Towards zero."""
    return UInt(int(number)) if 0 <= number < 2.0**64 else _out_of_range("a uint")


@_function("uint", DECIMAL, result=UINT)
def uint_from_decimal(number: Decimal) -> object:
    """Towards zero."""
    return uint_of(int(number)) if number.adjusted() < 30 else _out_of_range("a uint")


@_function("uint", STRING, result=UINT)
def uint_from_string(text: str) -> object:
    """Decimal digits."""
    return uint_of(int(text)) if _UINT.fullmatch(text) else _unreadable("uint")


@_function("double", INT, result=DOUBLE)
@_function("double", UINT, result=DOUBLE)
@_function("double", DECIMAL, result=DOUBLE)
def double_from_number(number: float | Decimal) -> float:
    """The nearest double."""
    return as_double(number)


@_function("double", STRING, result=DOUBLE)
def double_from_string(text: str) -> object:
    """Decimal or scientific notation, or the name of an infinity or of NaN."""
    if len(text) > _NUMBER_LENGTH_MAX:
        return _unreadable("double")
    if _NO_NUMBERS.fullmatch(text):
        return float(text)
    if not _DOUBLE.fullmatch(text):
        return _unreadable("double")
    number = float(text)
    return number if math.isfinite(number) else _out_of_range("a double")


@_function("decimal", INT, result=DECIMAL)
@_function("decimal", UINT, result=DECIMAL)
def decimal_from_int(number: int) -> Decimal:
    """The same number."""
    return Decimal(number)


@_function("decimal", DOUBLE, result=DECIMAL)
def decimal_from_double(number: float) -> object:
    """The shortest decimal that denotes the double."""
    return Decimal(repr(number)) if math.isfinite(number) else _out_of_range("a decimal")


@_function("decimal", STRING, result=DECIMAL)
def decimal_from_string(text: str) -> object:
    """Decimal or scientific notation."""
    if len(text) > _NUMBER_LENGTH_MAX or not _DECIMAL.fullmatch(text):
        return _unreadable("decimal")
    return Decimal(text)


@_function("string", INT, result=STRING)
@_function("string", UINT, result=STRING)
def string_from_int(number: int) -> str:
    """Decimal digits."""
    return str(int(number))


@_function("string", DOUBLE, result=STRING)
def double_text(number: float) -> str:
    """The shortest text that reads back as the same double."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("+Inf" if number > 0 else "-Inf")
    return repr(number).removesuffix(".0")


@_function("string", DECIMAL, result=STRING)
def decimal_text(number: Decimal) -> str | CelError:
    """All digits, without an exponent."""
    if abs(number.adjusted()) > _NUMBER_LENGTH_MAX:
        return _out_of_range("a text")
    return format(number, "f")


@_function("string", BYTES, result=STRING)
def string_from_bytes(data: bytes) -> object:
    """The text that the bytes encode in UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return CelError("invalid_utf8", "the bytes are not UTF-8")


@_function("string", BOOL, result=STRING)
def string_from_bool(value: bool) -> str:
    """`true` or `false`."""
    return "true" if value else "false"


CONVERSIONS.add("string", (TIMESTAMP,), STRING, timestamp_text, form="function")
CONVERSIONS.add("string", (DURATION,), STRING, duration_text, form="function")
CONVERSIONS.add("string", (IP,), STRING, ip_text, form="function")
CONVERSIONS.add("string", (CIDR,), STRING, cidr_text, form="function")


@_function("bytes", STRING, result=BYTES)
def bytes_from_string(text: str) -> object:
    """The text in UTF-8."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return CelError("invalid_utf8", "the text is not Unicode")


@_function("bool", STRING, result=BOOL)
def bool_from_string(text: str) -> object:
    """The spellings that cel-go takes."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else _unreadable("bool")
