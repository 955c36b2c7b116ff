"""JSON values as Avro bytes, the way people write events down in tests.

Decimals are numbers or texts, dates and timestamps texts (`2026-01-31T12:00:00Z`) or the numbers
that they are stored as, bytes texts with a character each (as Avro's own JSON has them) or
`{"base64": "…"}`, a union the first branch that fits. Members without a value take their default.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import struct
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, cast
from uuid import UUID

from .avro_types import (
    NO_DEFAULT,
    Array,
    AvroType,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
)
from .avro_wire import TIME_UNITS_NS, write_long

__all__ = ["avro_bytes"]

_RANGES: Final = {"int": range(-(2**31), 2**31), "long": range(-(2**63), 2**63)}
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def avro_bytes(type_: AvroType, value: object, path: str = "value") -> bytes:
    """`value` written as `type_`. Raises ValueError that says what does not fit where."""
    match type_:
        case Primitive():
            return _primitive(type_, value, path)
        case Fixed():
            data = _fixed(type_, value, path)
            if len(data) != type_.size:
                raise _misfit(path, f"{type_.size} bytes")
            return data
        case Enum():
            if not isinstance(value, str) or value not in type_.symbols:
                raise _misfit(path, f"one of {', '.join(type_.symbols)}")
            return write_long(type_.symbols.index(value))
        case Union():
            return _union(type_, value, path)
        case Record():
            return _record(type_, value, path)
        case Array():
            if not isinstance(value, list):
                raise _misfit(path, "a list")
            items = [
                avro_bytes(type_.items, item, f"{path}[{index}]")
                for index, item in enumerate(cast("list[object]", value))
            ]
            return _block(items)
        case Map():
            if not isinstance(value, Mapping):
                raise _misfit(path, "a mapping")
            members = cast("Mapping[str, object]", value)
            return _block(
                [
                    _text(name) + avro_bytes(type_.values, item, f'{path}["{name}"]')
                    for name, item in members.items()
                ]
            )


def _misfit(path: str, wanted: str) -> ValueError:
    return ValueError(f"`{path}` is not {wanted}")


def _record(type_: Record, value: object, path: str) -> bytes:
    if not isinstance(value, Mapping):
        raise _misfit(path, f"a record `{type_.name}`")
    members = cast("Mapping[str, object]", value)
    names = {field.name for field in type_.fields}
    for name in members:
        if name not in names:
            raise ValueError(f"the schema has no `{path}.{name}`")
    parts: list[bytes] = []
    for field in type_.fields:
        found = members.get(field.name, field.default)
        if found is NO_DEFAULT:
            raise ValueError(f"`{path}.{field.name}` is missing, and has no default")
        parts.append(avro_bytes(field.type, found, f"{path}.{field.name}"))
    return b"".join(parts)


def _union(type_: Union, value: object, path: str) -> bytes:
    only = [branch for branch in type_.branches if not _is_null(branch)]
    if value is not None and len(only) == 1:  # then the message says what is wrong inside
        return write_long(type_.branches.index(only[0])) + avro_bytes(only[0], value, path)
    for place, branch in enumerate(type_.branches):
        try:
            return write_long(place) + avro_bytes(branch, value, path)
        except ValueError:
            continue
    raise _misfit(path, "of any type that the schema allows")


def _is_null(type_: AvroType) -> bool:
    return isinstance(type_, Primitive) and type_.name == "null"


def _block(items: list[bytes]) -> bytes:
    return b"".join([write_long(len(items)), *items, b"\0"]) if items else b"\0"


def _primitive(type_: Primitive, value: object, path: str) -> bytes:
    match type_.name:
        case "null":
            if value is None:
                return b""
        case "boolean":
            if isinstance(value, bool):
                return b"\1" if value else b"\0"
        case "int" | "long":
            number = _time(type_.logical, value)
            if type(number) is int and number in _RANGES[type_.name]:
                return write_long(number)
        case "float" | "double":
            if type(value) is int or type(value) is float:
                return struct.pack("<f" if type_.name == "float" else "<d", value)
        case "string":
            if isinstance(value, str):
                return _text(value)
        case _:
            data = _bytes(type_, value, path)
            return write_long(len(data)) + data
    raise _misfit(path, f"a {type_.logical or type_.name}")


def _time(logical: str | None, value: object) -> object:
    """A date or timestamp as text, in the units of its logical type; anything else as it is."""
    unit = None if logical is None else TIME_UNITS_NS.get(logical)
    if unit is None or not isinstance(value, str):
        return value
    try:
        at = dt.datetime.fromisoformat(value)
    except ValueError:
        return value
    at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at
    return (at - _EPOCH) // _MICROSECOND * 1000 // unit


def _bytes(type_: Primitive | Fixed, value: object, path: str) -> bytes:
    if type_.logical == "decimal" and not _is_mapping(value):
        unscaled = _unscaled(type_.scale, value, path)
        return unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        text = members.get("base64")
        try:
            if isinstance(text, str) and len(members) == 1:
                return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            pass
    elif isinstance(value, str):
        try:
            return value.encode("latin-1")
        except UnicodeEncodeError:
            pass
    raise _misfit(path, 'bytes: a text with a character each, or {"base64": "…"}')


def _fixed(type_: Fixed, value: object, path: str) -> bytes:
    if type_.logical == "decimal" and not _is_mapping(value):
        unscaled = _unscaled(type_.scale, value, path)
        try:
            return unscaled.to_bytes(type_.size, "big", signed=True)
        except OverflowError:
            raise _misfit(path, f"a decimal of {type_.size} bytes") from None
    if type_.logical == "uuid" and isinstance(value, str) and len(value) == 36:
        try:
            return UUID(value).bytes
        except ValueError:
            raise _misfit(path, "a UUID") from None
    return _bytes(type_, value, path)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _unscaled(scale: int, value: object, path: str) -> int:
    try:
        if type(value) is int or type(value) is float or isinstance(value, str):
            shifted = Decimal(str(value)).scaleb(scale)
            if shifted == shifted.to_integral_value():
                return int(shifted)
    except (InvalidOperation, OverflowError, ValueError):
        pass
    raise _misfit(path, f"a decimal with {scale} digits after the point")


def _text(value: str) -> bytes:
    data = value.encode()
    return write_long(len(data)) + data
