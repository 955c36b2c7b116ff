"""The classes that values fall into, and how generated code tells them apart."""

from __future__ import annotations

from typing import Final

from .formula import CALCULATED
from .pycode import (
    Node,
    attribute,
    class_is,
    compare,
    conjunction,
    constant,
    disjunction,
    name,
)

__all__ = ["NUMBERS", "class_test", "classes_of", "number_test"]

#: What generated code calls NUMBERS. A bool is none.
NUMBERS: Final = frozenset({int, float})

_JSON = ("str", "number", "bool", "null", "list", "map", "missing")
#: What bytes of other formats, and what the caller knows, may hold besides.
_UNRULY = ("decimal", "timestamp", "nan")


def classes_of(variable: str, *, unruly: bool) -> list[str]:
    """Every class that a value below `variable` can have; `missing` is one of them."""
    if variable == CALCULATED:
        return ["str", "number", "bool", "null", "missing", *_UNRULY, "other"]
    if unruly:
        return [*_JSON, "bytes", *_UNRULY]
    return [*_JSON, "bytes"] if variable in ("key", "headers", "value") else [*_JSON]


def number_test(value: Node, *, doubles: bool = False) -> Node:
    """Whether a value is an int or a double, `doubles` where it is likely to be one."""
    if doubles:
        return disjunction([class_is(value, "float"), class_is(value, "int")])
    return compare(attribute(value, "__class__"), "in", name("NUMBERS"))


def class_test(
    each: str, value: Node, *, unruly: bool, object_: str = "dict", doubles: bool = False
) -> Node:
    """Whether `value` is of class `each`; `object_` names the class of objects."""
    match each:
        case "number" if unruly:
            number = conjunction([class_is(value, "float"), compare(value, "==", value)])
            return disjunction([number, class_is(value, "int")])
        case "number":
            return number_test(value, doubles=doubles)
        case "null":
            return compare(value, "is", constant(None))
        case "map":
            return class_is(value, object_)
        case "missing":
            return compare(value, "is", name("MISSING"))
        case "other":
            return compare(value, "is", name("OTHER"))
        case "decimal":
            return class_is(value, "Decimal")
        case "timestamp":
            return class_is(value, "Timestamp")
        case "nan":
            return compare(value, "!=", value)
        case _:
            return class_is(value, each)
