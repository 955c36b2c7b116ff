"""Avro values that stand in for others: null, the default of a field, the zero of a type."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, TypeGuard
from uuid import UUID

from .avro_types import (
    NO_DEFAULT,
    Array,
    AvroType,
    Enum,
    Field,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
)
from .avro_wire import TIME_UNITS_NS, write_long

__all__ = ["default_bytes", "null_bytes", "parts_of_zero", "zero_bytes", "zero_shown"]

#: Values inside a default or a zero. Defaults can refer to defaults, and so make a small schema
#: say something huge.
_STEPS_MAX: Final = 10_000
_BYTES_MAX: Final = 2**20

_INT: Final = range(-(2**31), 2**31)
_LONG: Final = range(-(2**63), 2**63)


def null_bytes(type_: AvroType) -> bytes | None:
    """How null is written where the type allows it; None where it does not."""
    if isinstance(type_, Union):
        for place, branch in enumerate(type_.branches):
            if isinstance(branch, Primitive) and branch.name == "null":
                return write_long(place)
        return None
    return b"" if isinstance(type_, Primitive) and type_.name == "null" else None


def default_bytes(field: Field) -> bytes | None:
    """How the default of a field is written; None where it has none that fits."""
    if field.default is NO_DEFAULT:
        return None
    try:
        return _Encoder().value(field.type, field.default)
    except (_NoFitError, RecursionError):
        return None


def zero_bytes(type_: AvroType) -> bytes | None:
    """How the zero of a type is written; None where it would be endless.

    Numbers are 0, texts, arrays and maps empty, times the epoch, records what their fields are;
    null where there is a choice, else the first branch; of an enum the default or the first symbol
    (which says something: see `parts_of_zero`).
    """
    try:
        return _Encoder().zero(type_)
    except (_NoFitError, RecursionError):
        return None


def parts_of_zero(type_: AvroType) -> list[AvroType]:
    """The types of the values that the zero of a type is made of; few of one that is endless."""
    found: list[AvroType] = []
    waiting = [type_]
    for _ in range(_STEPS_MAX):
        if not waiting:
            break
        each = waiting.pop()
        match each:
            case Record():
                waiting += [field.type for field in reversed(each.fields)]
            case Union():
                waiting += [] if null_bytes(each) is not None else [each.branches[0]]
            case _:
                found.append(each)
    return found


def zero_shown(type_: AvroType) -> str:
    """The zero of a type where it reads like a value of an event; empty for texts and the like."""
    match type_:
        case Primitive("boolean"):
            return "false"
        case Primitive() | Fixed() if type_.logical == "decimal":
            return "0"
        case Primitive(logical="date"):
            return "1970-01-01"
        case Primitive(logical=str() as logical) if logical in TIME_UNITS_NS:
            return "1970-01-01T00:00:00Z"
        case Primitive("int" | "long" | "float" | "double"):
            return "0"
        case _:
            return ""


class _NoFitError(Exception):
    """A value that is none of the type."""


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _is_dict(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


class _Encoder:
    """Writes one value, within limits."""

    def __init__(self) -> None:
        self._steps = 0

    def value(self, type_: AvroType, value: object) -> bytes:
        """`value` as JSON has it, as bytes of the type."""
        self._step()
        match type_:
            case Primitive():
                return self._primitive(type_.name, value)
            case Union():
                return self._union(type_, value)
            case Record() if _is_dict(value):
                return self._joined([self._member(field, value) for field in type_.fields])
            case Array() if _is_list(value):
                return self._block([self.value(type_.items, item) for item in value])
            case Map() if _is_dict(value):
                entries = value.items()
                return self._block(
                    [_text(key) + self.value(type_.values, item) for key, item in entries]
                )
            case Enum() if isinstance(value, str) and value in type_.symbols:
                return write_long(type_.symbols.index(value))
            case Fixed() if isinstance(value, str) and len(value) == type_.size:
                return _latin(value)
            case _:
                raise _NoFitError

    def zero(self, type_: AvroType) -> bytes:
        """The zero of the type."""
        self._step()
        match type_:
            case Primitive("bytes", logical="decimal"):
                return b"\x02\x00"  # no bytes at all are no number for some readers
            case Primitive(logical="uuid"):
                return _text(str(UUID(int=0)))
            case Primitive("float"):
                return bytes(4)
            case Primitive("double"):
                return bytes(8)
            case Primitive():
                return b"" if type_.name == "null" else b"\0"
            case Fixed():
                return bytes(type_.size)
            case Enum():
                return write_long(type_.symbols.index(type_.default or type_.symbols[0]))
            case Record():
                return self._joined([self.zero(field.type) for field in type_.fields])
            case Union():
                return null_bytes(type_) or write_long(0) + self.zero(type_.branches[0])
            case _:
                return b"\0"

    def _step(self) -> None:
        self._steps += 1
        if self._steps > _STEPS_MAX:
            raise _NoFitError

    def _primitive(self, name: str, value: object) -> bytes:
        match name:
            case "null" if value is None:
                return b""
            case "boolean" if isinstance(value, bool):
                return b"\1" if value else b"\0"
            case "int" if type(value) is int and value in _INT:
                return write_long(value)
            case "long" if type(value) is int and value in _LONG:
                return write_long(value)
            case "float" | "double" if type(value) is int or type(value) is float:
                return _float("<f" if name == "float" else "<d", value)
            case "string" if isinstance(value, str):
                return _text(value)
            case "bytes" if isinstance(value, str):
                return write_long(len(value)) + _latin(value)
            case _:
                raise _NoFitError

    def _union(self, type_: Union, value: object) -> bytes:
        """A default is one of the first branch, by newer versions of Avro of any."""
        for place, branch in enumerate(type_.branches):
            try:
                return write_long(place) + self.value(branch, value)
            except _NoFitError:
                continue
        raise _NoFitError

    def _member(self, field: Field, value: dict[str, object]) -> bytes:
        found = value.get(field.name, field.default)
        return self.value(field.type, found)

    def _block(self, items: list[bytes]) -> bytes:
        if not items:
            return b"\0"
        return self._joined([write_long(len(items)), *items, b"\0"])

    def _joined(self, parts: Sequence[bytes]) -> bytes:
        if sum(map(len, parts)) > _BYTES_MAX:
            raise _NoFitError
        return b"".join(parts)


def _text(value: str) -> bytes:
    data = value.encode()
    return write_long(len(data)) + data


def _latin(value: str) -> bytes:
    """Bytes as defaults write them: a character each."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise _NoFitError from None


def _float(layout: str, value: Any) -> bytes:
    try:
        return struct.pack(layout, value)
    except (OverflowError, struct.error):
        raise _NoFitError from None
