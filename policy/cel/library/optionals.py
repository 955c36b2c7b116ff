"""Optional values. `or`, `orValue` and the macros evaluate lazily and are the evaluator's."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from ..types import BOOL, list_of, optional_of, param
from ..values import CelError, Duration, Optional, Timestamp, UInt, Unknown, is_map, merge
from .registry import Library

__all__ = [
    "LAZY_METHODS",
    "NONE",
    "OPTIONALS",
    "first",
    "has_value",
    "last",
    "of",
    "of_non_zero",
    "or_",
    "or_value",
    "unwrap",
    "value_of",
]

OPTIONALS: Final = Library()
NONE: Final = Optional(False)
#: Their argument is evaluated only where the receiver has no value.
LAZY_METHODS: Final = frozenset({"or", "orValue"})
_T: Final = param("T")
_OPTIONAL: Final = optional_of(_T)

OPTIONALS.add("optional.none", (), _OPTIONAL, lambda: NONE, form="function")


@OPTIONALS.function("optional.of", _T, result=_OPTIONAL)
def of(value: object) -> Optional:
    """An optional that has the value."""
    return Optional(True, value)


@OPTIONALS.function("optional.ofNonZeroValue", _T, result=_OPTIONAL)
def of_non_zero(value: object) -> object:
    """One that has the value, unless it is empty, zero, false or null."""
    if is_map(value) and all(type(entry) is Unknown for entry in value.values()):
        return merge(value.values()) or NONE
    return NONE if _is_zero(value) else Optional(True, value)


def _is_zero(value: object) -> bool:
    if isinstance(value, Duration | Timestamp):
        return value.ns == 0
    return value is None or (isinstance(value, _EMPTIABLE) and not value)


_EMPTIABLE: Final = (bool, int, UInt, float, Decimal, str, bytes, list, dict)


@OPTIONALS.method("hasValue", _OPTIONAL, result=BOOL)
def has_value(optional: Optional) -> bool:
    """Whether there is a value."""
    return optional.present


@OPTIONALS.method("value", _OPTIONAL, result=_T)
def value_of(optional: Optional) -> object:
    """The value; an error where there is none."""
    if optional.present:
        return optional.value
    return CelError("no_value", "an optional without a value has no `value()`")


@OPTIONALS.method("or", _OPTIONAL, _OPTIONAL, result=_OPTIONAL)
def or_(first: Optional, second: Optional) -> Optional:
    """The first one that has a value."""
    return first if first.present else second


@OPTIONALS.method("orValue", _OPTIONAL, _T, result=_T)
def or_value(optional: Optional, default: object) -> object:
    """The value, or the default."""
    return optional.value if optional.present else default


@OPTIONALS.function("optional.unwrap", list_of(_OPTIONAL), result=list_of(_T))
@OPTIONALS.method("unwrapOpt", list_of(_OPTIONAL), result=list_of(_T))
def unwrap(items: list[object]) -> object:
    """The values of those that have one."""
    values: list[object] = []
    for item in items:
        if not isinstance(item, Optional):
            wrong = CelError("no_such_overload", "`unwrap` takes a list of optionals")
            return item if isinstance(item, Unknown) else wrong
        if item.present:
            values.append(item.value)
    return values


@OPTIONALS.method("first", list_of(_T), result=_OPTIONAL)
def first(items: list[object]) -> Optional:
    """The first element, if there is one."""
    return Optional(True, items[0]) if items else NONE


@OPTIONALS.method("last", list_of(_T), result=_OPTIONAL)
def last(items: list[object]) -> Optional:
    """The last element, if there is one."""
    return Optional(True, items[-1]) if items else NONE
