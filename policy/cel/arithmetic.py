"""`+ - * / %` and negation on values.

Between an int and a double that a rule writes down there is no such operator, as CEL says. Values
of events are another matter: JSON writes 5 for 5.0, so there ints widen to doubles, and either to
a decimal where the schema has decimals.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from .values import (
    DURATION_MAX_NS,
    INT_MAX,
    INT_MIN,
    TIMESTAMP_MAX_NS,
    TIMESTAMP_MIN_NS,
    UINT_MAX,
    CelError,
    Duration,
    Timestamp,
    UInt,
    as_double,
    is_list,
    no_overload,
)

__all__ = [
    "ARITHMETIC",
    "SIZE_MAX",
    "Operator",
    "duration_of",
    "int_of",
    "negate",
    "promote",
    "timestamp_of",
    "too_large",
    "uint_of",
]

#: Characters, bytes or elements that an expression may build: more than any event holds, and
#: little enough that a hostile one cannot exhaust memory.
SIZE_MAX: Final = 4_000_000

#: Exact for every amount there is; more digits are rounded instead of growing without end.
_DECIMALS: Final = decimal.Context(prec=100, Emax=10_000, Emin=-10_000, traps=[])

Operator: TypeAlias = Callable[[object, object], object]


def too_large() -> CelError:
    """The error of a string or list that grew beyond `SIZE_MAX`."""
    return CelError("too_large", f"a result is larger than {SIZE_MAX:,} characters or elements")


def _overflow(kind: str) -> CelError:
    return CelError("overflow", f"the result does not fit {kind}")


def int_of(number: int) -> int | CelError:
    """`number` as an int, or the error of one that needs more than 64 bits."""
    return number if INT_MIN <= number <= INT_MAX else _overflow("an int")


def uint_of(number: int) -> UInt | CelError:
    """`number` as a uint, or the error of one that is negative or needs more than 64 bits."""
    return UInt(number) if 0 <= number <= UINT_MAX else _overflow("a uint")


def timestamp_of(ns: int) -> Timestamp | CelError:
    """A timestamp, or the error of one outside the years 1 to 9999."""
    if TIMESTAMP_MIN_NS <= ns <= TIMESTAMP_MAX_NS:
        return Timestamp(ns)
    return CelError("range", "the timestamp is outside the years 0001 to 9999")


def duration_of(ns: int) -> Duration | CelError:
    """A duration, or the error of one longer than some 292 years."""
    if -DURATION_MAX_NS - 1 <= ns <= DURATION_MAX_NS:
        return Duration(ns)
    return CelError("range", "the duration is longer than 64 bits of nanoseconds")


def promote(left: object, right: object) -> tuple[object, object]:
    """Operands that came from an event, as numbers of one type where they are int and double."""
    if type(left) is Decimal or type(right) is Decimal:
        return _widen(left), _widen(right)
    if type(left) is int and type(right) is float:
        return as_double(left), right
    if type(left) is float and type(right) is int:
        return left, as_double(right)
    return left, right


def _widen(number: object) -> object:
    if type(number) is int or type(number) is UInt:
        return Decimal(number)
    if type(number) is float and math.isfinite(number):
        return Decimal(repr(number))
    return number


def _decimal_of(number: Decimal) -> Decimal | CelError:
    return number if number.is_finite() else _overflow("a decimal")


def _add(left: object, right: object) -> object:
    if type(left) is int and type(right) is int:
        return int_of(left + right)
    if type(left) is float and type(right) is float:
        return left + right
    if type(left) is str and type(right) is str:
        return left + right if len(left) + len(right) <= SIZE_MAX else too_large()
    if type(left) is bytes and type(right) is bytes:
        return left + right if len(left) + len(right) <= SIZE_MAX else too_large()
    if is_list(left) and is_list(right):
        return _concatenate(left, right)
    if type(left) is UInt and type(right) is UInt:
        return uint_of(int(left) + int(right))
    if type(left) is Decimal and type(right) is Decimal:
        return _decimal_of(_DECIMALS.add(left, right))
    return _add_time(left, right)


def _concatenate(left: list[object], right: list[object]) -> object:
    if len(left) + len(right) > SIZE_MAX:
        return too_large()
    return [*left, *right]


def _add_time(left: object, right: object) -> object:
    if type(left) is Timestamp and type(right) is Duration:
        return timestamp_of(left.ns + right.ns)
    if type(left) is Duration and type(right) is Timestamp:
        return timestamp_of(left.ns + right.ns)
    if type(left) is Duration and type(right) is Duration:
        return duration_of(left.ns + right.ns)
    return no_overload("+", (left, right))


def _subtract(left: object, right: object) -> object:
    if type(left) is int and type(right) is int:
        return int_of(left - right)
    if type(left) is float and type(right) is float:
        return left - right
    if type(left) is Timestamp and type(right) is Duration:
        return timestamp_of(left.ns - right.ns)
    if type(left) is Timestamp and type(right) is Timestamp:
        return duration_of(left.ns - right.ns)
    if type(left) is Duration and type(right) is Duration:
        return duration_of(left.ns - right.ns)
    if type(left) is UInt and type(right) is UInt:
        return uint_of(int(left) - int(right))
    if type(left) is Decimal and type(right) is Decimal:
        return _decimal_of(_DECIMALS.subtract(left, right))
    return no_overload("-", (left, right))


def _multiply(left: object, right: object) -> object:
    if type(left) is int and type(right) is int:
        return int_of(left * right)
    if type(left) is float and type(right) is float:
        return left * right
    if type(left) is UInt and type(right) is UInt:
        return uint_of(int(left) * int(right))
    if type(left) is Decimal and type(right) is Decimal:
        return _decimal_of(_DECIMALS.multiply(left, right))
    return no_overload("*", (left, right))


def _divide(left: object, right: object) -> object:
    if type(left) is float and type(right) is float:
        return _divide_doubles(left, right)
    if type(left) is Decimal and type(right) is Decimal:
        return _decimal_of(_DECIMALS.divide(left, right)) if right else _by_zero("divide")
    if type(left) is type(right) and isinstance(left, int) and isinstance(right, int):
        if type(left) is bool:
            return no_overload("/", (left, right))
        if right == 0:
            return _by_zero("divide")
        quotient = abs(left) // abs(right)
        if type(left) is UInt:
            return UInt(quotient)
        return int_of(quotient if (left < 0) == (right < 0) else -quotient)
    return no_overload("/", (left, right))


def _divide_doubles(left: float, right: float) -> float:
    """IEEE 754: a division by zero is infinite, or no number."""
    if right:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _by_zero(verb: str) -> CelError:
    return CelError(f"{verb}_by_zero", f"{verb} by zero")


def _modulo(left: object, right: object) -> object:
    if type(left) is Decimal and type(right) is Decimal:
        return _decimal_of(_DECIMALS.remainder(left, right)) if right else _by_zero("modulus")
    if type(left) is type(right) and isinstance(left, int) and isinstance(right, int):
        if type(left) is bool:
            return no_overload("%", (left, right))
        if right == 0:
            return _by_zero("modulus")
        if left == INT_MIN and right == -1:
            return _overflow("an int")
        rest = abs(left) % abs(right)
        if type(left) is UInt:
            return UInt(rest)
        return -rest if left < 0 else rest
    return no_overload("%", (left, right))


def negate(value: object) -> object:
    """`-value`."""
    if type(value) is int:
        return int_of(-value)
    if type(value) is float:
        return -value
    if type(value) is Duration:
        return duration_of(-value.ns)
    if type(value) is Decimal:
        return value.copy_negate()
    return no_overload("-", (value,))


#: Each operator by its sign; operands are values, never errors or unknowns.
ARITHMETIC: Final[Mapping[str, Operator]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "%": _modulo,
}
