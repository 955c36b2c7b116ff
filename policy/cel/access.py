"""Fields, keys, positions and presence, on values.

Messages name what the rule wrote, never what the event held.
"""

from __future__ import annotations

from typing import Final

from .ast import Span
from .library.optionals import NONE
from .values import (
    CelError,
    Optional,
    UInt,
    Unknown,
    is_list,
    is_map,
    map_key,
    merge,
    normal,
    shown,
    type_name,
)

__all__ = ["MISSING", "find", "has_field", "index", "no_such_key", "select"]

#: Stands for what a map does not have; never a value.
MISSING: Final = object()


def _no_fields(container: object, field: str, span: Span) -> CelError:
    kind = shown(type_name(container))
    return CelError("no_such_field", f"{kind} has no fields, so no `{field}`", span)


def no_such_key(key: str | None, span: Span) -> CelError:
    """The error of a key that a map does not have; `key` is named where the rule wrote it."""
    return CelError("no_such_key", f"no such key: `{key}`" if key else "no such key", span)


def select(container: object, field: str, optional: bool, span: Span) -> object:
    """`container.field`, or `container.?field`."""
    if type(container) is Optional:
        if not container.present:
            return container
        return select(container.value, field, True, span)
    if is_map(container):
        value = container.get(field, MISSING)
        if value is MISSING:
            return NONE if optional else no_such_key(field, span)
        return _wrapped(normal(value), optional)
    return merge((container,)) or _no_fields(container, field, span)


def _wrapped(value: object, optional: bool) -> object:
    return Optional(True, value) if optional and type(value) is not Unknown else value


def has_field(container: object, field: str, span: Span) -> object:
    """`has(container.field)`."""
    if type(container) is Optional:
        return has_field(container.value, field, span) if container.present else False
    if is_map(container):
        value = container.get(field, MISSING)
        return value if type(value) is Unknown else value is not MISSING
    return merge((container,)) or _no_fields(container, field, span)


def find(container: object, key: object) -> object:
    """The element or entry at `key`; MISSING where there is none, an error for a wrong type."""
    if is_map(container):
        held = map_key(key)
        return held if type(held) is CelError else normal(container.get(held, MISSING))
    if is_list(container):
        if type(key) is float and key.is_integer():
            key = int(key)
        if type(key) is int or type(key) is UInt:
            return normal(container[key]) if 0 <= key < len(container) else MISSING
        return CelError("invalid_argument", f"{shown(type_name(key))} is no position in a list")
    message = f"{shown(type_name(container))} has no elements"
    return CelError("no_such_overload", message)


def index(container: object, key: object, optional: bool, name: str | None, span: Span) -> object:
    """`container[key]`, or `container[?key]`; `name` is a literal key."""
    abnormal = merge((container, key))
    if abnormal is not None:
        return abnormal
    if type(container) is Optional:
        if not container.present:
            return container
        return index(container.value, key, True, name, span)
    value = find(container, key)
    if value is MISSING:
        if optional:
            return NONE
        if is_list(container):
            return CelError("index_out_of_range", "the list has no such position", span)
        return no_such_key(name, span)
    if type(value) is CelError:
        return value.at(span)
    return _wrapped(value, optional)
