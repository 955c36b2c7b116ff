"""The math extension of cel-go."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from ..arithmetic import int_of
from ..types import ANY_LIST, BOOL, DECIMAL, DOUBLE, DYN, INT, UINT, Type
from ..values import (
    INT_MAX,
    UINT_MAX,
    CelError,
    UInt,
    Unknown,
    as_double,
    is_number,
    no_overload,
    normal,
    ordering,
)
from .registry import Library, identity

__all__ = [
    "MATH",
    "VARIADIC_MAX",
    "abs_of_int",
    "bit_not_of_uint",
    "sign_of_double",
    "sign_of_uint",
    "sqrt",
]

MATH: Final = Library()

#: `math.greatest(a, b, …)` takes as many arguments as anybody writes; a list takes any number.
VARIADIC_MAX: Final = 32


def _most(name: str, before: Callable[[Any, Any], bool]) -> None:
    def of_list(items: list[object]) -> object:
        """The first of the numbers that no other one is beyond."""
        if not items:
            return CelError("invalid_argument", f"`{name}` of an empty list")
        most: object = None
        for item in map(normal, items):
            if not is_number(item):
                return item if isinstance(item, Unknown) else no_overload(name, (items,))
            pair = ordering(item, most) if most is not None else None
            if most is None or (pair is not None and before(*pair)):
                most = item
        return most

    def of_arguments(*items: object) -> object:
        return of_list(list(items))

    MATH.add(name, (ANY_LIST,), DYN, of_list, form="function")
    for number in (INT, UINT, DOUBLE, DECIMAL):
        MATH.add(name, (number,), number, identity, form="function")
        MATH.add(name, (number, number), number, of_arguments, form="function")
    for count in range(2, VARIADIC_MAX + 1):
        MATH.add(name, (DYN,) * count, DYN, of_arguments, form="function")


_most("math.greatest", operator.gt)
_most("math.least", operator.lt)


def _round(number: float) -> float:
    """To the nearest whole number, halves away from zero."""
    whole = math.floor(abs(number))
    return math.copysign(whole + 1.0 if abs(number) - whole >= 0.5 else whole, number)


def _of_double(name: str, code: Callable[[float], float]) -> None:
    def whole(number: float) -> float:
        # A double of this size has no fraction, and an infinity or NaN stays itself.
        return code(number) if abs(number) < 2.0**53 else number

    MATH.add(name, (DOUBLE,), DOUBLE, whole, form="function")


_of_double("math.ceil", lambda number: math.copysign(math.ceil(number), number))
_of_double("math.floor", lambda number: math.copysign(math.floor(number), number))
_of_double("math.trunc", lambda number: math.copysign(math.trunc(number), number))
_of_double("math.round", _round)

MATH.add("math.isNaN", (DOUBLE,), BOOL, math.isnan, form="function")
MATH.add("math.isInf", (DOUBLE,), BOOL, math.isinf, form="function")
MATH.add("math.isFinite", (DOUBLE,), BOOL, math.isfinite, form="function")
MATH.add("math.abs", (UINT,), UINT, identity, form="function")
MATH.add("math.abs", (DOUBLE,), DOUBLE, abs, form="function")
MATH.add("math.abs", (DECIMAL,), DECIMAL, Decimal.copy_abs, form="function")


@MATH.function("math.abs", INT, result=INT)
def abs_of_int(number: int) -> object:
    """Without its sign; the smallest int has no such counterpart."""
    return int_of(abs(number))


def _sign(number: float | Decimal) -> int:
    return (number > 0) - (number < 0)


MATH.add("math.sign", (INT,), INT, _sign, form="function")
MATH.add("math.sign", (DECIMAL,), INT, _sign, form="function")


@MATH.function("math.sign", UINT, result=UINT)
def sign_of_uint(number: UInt) -> UInt:
    """0 or 1."""
    return UInt(_sign(number))


@MATH.function("math.sign", DOUBLE, result=DOUBLE)
def sign_of_double(number: float) -> float:
    """-1.0, 0.0 or 1.0; NaN stays itself."""
    return number if math.isnan(number) else float(_sign(number))


@MATH.function("math.sqrt", INT, result=DOUBLE)
@MATH.function("math.sqrt", UINT, result=DOUBLE)
@MATH.function("math.sqrt", DOUBLE, result=DOUBLE)
@MATH.function("math.sqrt", DECIMAL, result=DOUBLE)
def sqrt(number: float | Decimal) -> float:
    """The square root; NaN of a negative number."""
    root = as_double(number)
    return math.sqrt(root) if root >= 0 else math.nan


def _signed(bits: int) -> int:
    """64 bits read as a two's complement."""
    bits &= UINT_MAX
    return bits - (UINT_MAX + 1) if bits > INT_MAX else bits


def _bitwise(name: str, code: Callable[[int, int], int]) -> None:
    def of_uints(left: UInt, right: UInt) -> UInt:
        return UInt(code(int(left), int(right)))

    MATH.add(name, (INT, INT), INT, code, form="function")
    MATH.add(name, (UINT, UINT), UINT, of_uints, form="function")


_bitwise("math.bitAnd", int.__and__)
_bitwise("math.bitOr", int.__or__)
_bitwise("math.bitXor", int.__xor__)
MATH.add("math.bitNot", (INT,), INT, int.__invert__, form="function")


@MATH.function("math.bitNot", UINT, result=UINT)
def bit_not_of_uint(bits: UInt) -> UInt:
    """All 64 bits turned around."""
    return UInt(UINT_MAX - bits)


def _shift(name: str, number: Type, code: Callable[[int, int], int]) -> None:
    """Shifts of 64 bits and more give 0; an int is shifted as the 64 bits that it is."""

    def shifted(bits: int, by: int) -> object:
        if by < 0:
            return CelError("invalid_argument", f"`{name}` by a negative number of bits")
        result = code(bits & UINT_MAX, by) if by < 64 else 0
        return UInt(result & UINT_MAX) if number is UINT else _signed(result)

    MATH.add(name, (number, INT), number, shifted, form="function")


for _type in (INT, UINT):
    _shift("math.bitShiftLeft", _type, int.__lshift__)
    _shift("math.bitShiftRight", _type, int.__rshift__)
