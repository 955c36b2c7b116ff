"""The values that rules compute with, and how they compare.

CEL's null, bool, int, double, string, bytes, list and map are Python's None, bool, int, float,
str, bytes, list and dict; the rest is here. Errors and unknowns are values too: evaluation never
raises. An int outside 64 bits can only come from an event and counts as a double.

Equality and order follow the CEL specification: numbers of different types compare as numbers
(an int with a double as doubles), values of different types are unequal, and a bool is no number.
A decimal compares exactly: with a double, as the shortest decimal that denotes that double, so
that a decimal 0.1 equals the 0.1 that somebody wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Generic, TypeAlias, TypeGuard, TypeVar

from .ast import NOWHERE, Span

__all__ = [
    "DURATION_MAX_NS",
    "FALSE_KEY",
    "INT_MAX",
    "INT_MIN",
    "TIMESTAMP_MAX_NS",
    "TIMESTAMP_MIN_NS",
    "TRUE_KEY",
    "UINT_MAX",
    "BoolKey",
    "CelError",
    "CelType",
    "Cidr",
    "Duration",
    "Ip",
    "Number",
    "Optional",
    "Table",
    "Timestamp",
    "UInt",
    "Unknown",
    "as_double",
    "equal",
    "holds",
    "is_list",
    "is_map",
    "is_number",
    "map_key",
    "merge",
    "no_overload",
    "normal",
    "ordering",
    "shown",
    "type_name",
    "written_key",
]

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1
TIMESTAMP_MIN_NS: Final = -62_135_596_800 * 10**9  # 0001-01-01T00:00:00Z
TIMESTAMP_MAX_NS: Final = 253_402_300_799 * 10**9 + 999_999_999  # 9999-12-31T23:59:59.999999999Z
DURATION_MAX_NS: Final = INT_MAX  # Some 292 years, as in the other implementations.


Number: TypeAlias = float | Decimal  # An int counts as a float for type checkers.


class UInt(int):
    """CEL's uint: an int of its own type, 0 to 2**64-1 (its maker checks the range)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time: nanoseconds since the epoch, UTC."""

    ns: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A length of time in nanoseconds; may be negative."""

    ns: int


@dataclass(frozen=True, slots=True)
class CelType:
    """The type of a value, as a value: `type(1)` is `CelType("int")`."""

    name: str


@dataclass(frozen=True, slots=True)
class Ip:
    """An address: `version` 4 or 6; an IPv4 address mapped into IPv6 is held as IPv4."""

    version: int
    number: int


@dataclass(frozen=True, slots=True)
class Cidr:
    """A network as written: an address, which may have host bits, and a prefix length."""

    address: Ip
    length: int


@dataclass(frozen=True, slots=True)
class Optional:
    """CEL's optional: a value, or the absence of one (`present` is False, `value` None)."""

    present: bool
    value: object = None


@dataclass(frozen=True, slots=True)
class CelError:
    """Why an expression has no value; a value itself, absorbed or handed on as CEL says.

    `code` is stable. `message` never holds data: field names as the rule writes them, types in
    CEL's words, names of functions.
    """

    code: str
    message: str
    span: Span = NOWHERE

    def at(self, span: Span) -> CelError:
        """This error at `span`, unless it already has a place."""
        return CelError(self.code, self.message, span) if self.span is NOWHERE else self


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not known here; `paths` says which ones it would have come from.

    In a list it stands for a value at that position; in a dict for a value or for no entry.
    """

    paths: frozenset[tuple[str | int, ...]] = frozenset()


@dataclass(frozen=True, slots=True)
class BoolKey:
    """A bool as the key of a map: for Python True and 1 would be the same key."""

    value: bool


TRUE_KEY: Final = BoolKey(True)
FALSE_KEY: Final = BoolKey(False)

_T = TypeVar("_T")


class Table(list[_T], Generic[_T]):
    """A long list of constants that answers `in` from an index; otherwise an ordinary list."""

    __slots__ = ("_rest", "_strings")

    def __init__(self, items: Iterable[_T] = ()) -> None:
        super().__init__(items)
        self._strings = frozenset(item for item in self if type(item) is str)
        self._rest = [item for item in self if type(item) is not str]

    def holds(self, value: object) -> object:
        """Whether `value in self`, in CEL's sense."""
        if type(value) is str:
            return value in self._strings
        return holds(self._rest, value)


_TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    Decimal: "decimal",
    str: "string",
    bytes: "bytes",
    list: "list",
    Table: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    CelType: "type",
    Optional: "optional_type",
    Ip: "net.IP",
    Cidr: "net.CIDR",
}


def type_name(value: object) -> str:
    """The CEL name of a value's type; `unsupported` for anything that is no CEL value."""
    return _TYPE_NAMES.get(type(value), "unsupported")


def shown(type_: str) -> str:
    """A type in a sentence."""
    article = "an" if type_[:1] in "aeio" else "a"
    return "null" if type_ == "null_type" else f"{article} {type_}"


def is_list(value: object) -> TypeGuard[list[object]]:
    """True for lists and tables."""
    return type(value) is list or type(value) is Table


def is_map(value: object) -> TypeGuard[dict[object, object]]:
    """True for maps, whatever their keys."""
    return type(value) is dict


def is_number(value: object) -> TypeGuard[Number]:
    """True for int, uint, double and decimal; a bool is none."""
    return type(value) in _NUMBERS


_NUMBERS: Final = frozenset({int, float, UInt, Decimal})


def normal(value: object) -> object:
    """`value` as CEL sees it: an int beyond 64 bits is a double."""
    if type(value) is int and not INT_MIN <= value <= INT_MAX:
        return as_double(value)
    return value


def as_double(number: float | Decimal) -> float:
    """The nearest double; an infinity for what is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def no_overload(function: str, values: Iterable[object], span: Span = NOWHERE) -> CelError:
    """The error of an operator or function that does not take values of these types."""
    types = ", ".join(type_name(value) for value in values)
    return CelError("no_such_overload", f"no such overload: `{function}` of ({types})", span)


def merge(values: Iterable[object]) -> Unknown | CelError | None:
    """What a strict function gives for these arguments: unknown before error, None if neither."""
    error: CelError | None = None
    unknown: Unknown | None = None
    for value in values:
        if type(value) is Unknown:
            unknown = value if unknown is None else Unknown(unknown.paths | value.paths)
        elif type(value) is CelError and error is None:
            error = value
    return error if unknown is None else unknown


def map_key(key: object) -> object:
    """`key` as Python dicts hold it, for a lookup; a `CelError` when it cannot be a key."""
    if type(key) is str or type(key) is int or type(key) is float or type(key) is UInt:
        return key
    if type(key) is bool:
        return TRUE_KEY if key else FALSE_KEY
    return merge((key,)) or CelError("unsupported_key", f"a {type_name(key)} cannot be a map key")


def written_key(key: object) -> object:
    """`key` as it was written: the reverse of `map_key`."""
    return key.value if type(key) is BoolKey else key


_PLAIN: Final = frozenset({str, bool, float, bytes, type(None), CelType, Timestamp, Duration, Ip})


def equal(left: object, right: object) -> object:
    """`left == right`: True, False, or the error or unknown that an operand is or holds."""
    if type(left) is type(right) and type(left) in _PLAIN:
        return left == right
    if is_number(left) and is_number(right):
        return _numbers_equal(left, right)
    return _deep_equal(left, right)


def _numbers_equal(left: Number, right: Number) -> bool:
    one, two = _aligned(left, right)
    return one == two


def _aligned(left: Number, right: Number) -> tuple[Number, Number]:
    """Two numbers as ones that Python compares as CEL does: doubles, ints, or decimals."""
    if type(left) is Decimal or type(right) is Decimal:
        if left != left or right != right:  # noqa: PLR0124 - NaN, with which decimals do not compare
            return math.nan, math.nan
        return _as_decimal(left), _as_decimal(right)
    if (
        type(left) is float
        or type(right) is float
        or not INT_MIN <= left <= UINT_MAX
        or not INT_MIN <= right <= UINT_MAX
        or (type(left) is int and left > INT_MAX)
        or (type(right) is int and right > INT_MAX)
    ):
        return as_double(left), as_double(right)
    return left, right


def _as_decimal(number: Number) -> Number:
    if type(number) is float and math.isfinite(number):
        return Decimal(repr(number))
    return number


def _deep_equal(left: object, right: object) -> object:
    """Equality of containers and oddities, without recursion: events may be nested deeply."""
    pending: list[tuple[object, object]] = [(left, right)]
    unsure: list[object] = []
    for _ in range(_PAIRS_MAX):
        if not pending:
            return merge(unsure) or True
        left, right = pending.pop()
        if type(left) in _UNSURE or type(right) in _UNSURE:
            unsure += [left, right]
        elif is_number(left) and is_number(right):
            if not _numbers_equal(left, right):
                return False
        elif type(left) is Optional and type(right) is Optional:
            if left.present is not right.present:
                return False
            pending.append((left.value, right.value))
        elif is_list(left) and is_list(right):
            if len(left) != len(right):
                return False
            pending += zip(reversed(left), reversed(right), strict=True)
        elif is_map(left) and is_map(right):
            if not _pair_entries(left, right, pending, unsure):
                return False
        elif type(left) is not type(right) or left != right:
            return False
    return CelError("too_large", f"the values compared have more than {_PAIRS_MAX:,} parts")


#: More than the parts of any event; a value that holds itself many times over has more.
_PAIRS_MAX: Final = 1_000_000
_UNSURE: Final = frozenset({CelError, Unknown})
_ABSENT: Final = object()


def _pair_entries(
    left: dict[object, object],
    right: dict[object, object],
    pending: list[tuple[object, object]],
    unsure: list[object],
) -> bool:
    """Add the entries of two maps to `pending`; False when their keys differ for certain."""
    for key, value in left.items():
        mate = right.get(key, _ABSENT)
        if mate is not _ABSENT:
            pending.append((value, mate))
        elif type(value) is Unknown:
            unsure.append(value)
        else:
            return False
    extra = [value for key, value in right.items() if key not in left]
    unsure += extra
    return all(type(value) is Unknown for value in extra)


def holds(items: Iterable[object], value: object) -> object:
    """`value in items`: True as soon as one is equal, else unknown or error, else False."""
    unsure: list[object] = []
    for item in items:
        verdict = equal(item, value)
        if verdict is True:
            return True
        if verdict is not False:
            unsure.append(verdict)
    return merge(unsure) or False


_ORDERED: Final = frozenset({str, bytes, bool, Timestamp, Duration})


def ordering(left: object, right: object) -> tuple[Any, Any] | None:
    """The operands of an order operator as values that Python orders as CEL does.

    None where CEL has no order: values of different types other than numbers, and containers.
    """
    if is_number(left) and is_number(right):
        return _aligned(left, right)
    if type(left) is type(right) and type(left) in _ORDERED:
        return left, right
    return None
