"""The classes that values fall into, and how generated code tells them apart."""

from __future__ import annotations

from .pycode import Node, class_is, compare, conjunction, constant, disjunction, name

__all__ = ["class_test", "classes_of"]

_JSON = ("str", "number", "bool", "null", "list", "map", "missing")
#: What bytes of other formats, and what the caller knows, may hold besides.
_UNRULY = ("decimal", "timestamp", "nan")


def classes_of(variable: str, *, unruly: bool) -> list[str]:
    """Every class that a value below `variable` can have; `missing` is one of them."""
    if unruly:
        return [*_JSON, "bytes", *_UNRULY]
    return [*_JSON, "bytes"] if variable in ("key", "headers", "value") else [*_JSON]


def class_test(each: str, value: Node, *, unruly: bool, object_: str = "dict") -> Node:
    """Whether `value` is of class `each`; `object_` names the class of objects."""
    match each:
        case "number":
            number = class_is(value, "float")
            if unruly:
                number = conjunction([number, compare(value, "==", value)])
            return disjunction([number, class_is(value, "int")])
        case "null":
            return compare(value, "is", constant(None))
        case "map":
            return class_is(value, object_)
        case "missing":
            return compare(value, "is", name("MISSING"))
        case "decimal":
            return class_is(value, "Decimal")
        case "timestamp":
            return class_is(value, "Timestamp")
        case "nan":
            return compare(value, "!=", value)
        case _:
            return class_is(value, each)
