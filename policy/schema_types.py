"""What schemas say about policies before there is an event: types of values, masks they can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..schemas.avro_splice import check_mask
from ..schemas.avro_types import (
    Array,
    AvroType,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
)
from ..schemas.avro_wire import TIME_UNITS_NS
from ..schemas.registry import Schema, SchemaSource, Unavailable
from .cel.types import (
    BOOL,
    BYTES,
    DECIMAL,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    nullable,
    record,
    symbols,
)
from .json_schema_types import json_schema_type
from .model import Path

__all__ = ["SchemaTypes", "type_of"]

#: Types inside types, and all of them, that are told apart; what lies beyond is not checked.
_DEPTH_MAX: Final = 16
_TYPES_MAX: Final = 5000

_PRIMITIVES: Final[Mapping[str, Type]] = {
    "null": NULL,
    "boolean": BOOL,
    "int": INT,
    "long": INT,
    "float": DOUBLE,
    "double": DOUBLE,
    "bytes": BYTES,
    "string": STRING,
}


class SchemaTypes:
    """Answers the loader of policies from a source of schemas."""

    def __init__(self, schemas: SchemaSource) -> None:
        self._schemas = schemas

    def value_type(self, subject: str) -> Type | None:
        """The type of a subject's values; None where there is no such subject."""
        found = self._schemas.latest(subject)
        if isinstance(found, Schema):
            if found.kind == "JSON":
                return json_schema_type(found.text)
            return DYN if found.avro is None else type_of(found.avro.root)
        return DYN if isinstance(found, Unavailable) else None

    def mask_problem(self, subject: str, path: Path, how: str) -> str | None:
        """Why values of a subject cannot take a mask at `path`, which starts after `value`."""
        found = self._schemas.latest(subject)
        if not isinstance(found, Schema) or found.avro is None:
            return None
        return check_mask(found.avro.root, path, how)


def type_of(type_: AvroType) -> Type:
    """What the checker of conditions knows of an Avro type."""
    return _Converter().type(type_, 0)


class _Converter:
    """Recursive records are open at the second encounter, since types have no cycles."""

    def __init__(self) -> None:
        self._inside: list[Record] = []
        self._count = 0

    def type(self, type_: AvroType, depth: int) -> Type:
        self._count += 1
        if depth > _DEPTH_MAX or self._count > _TYPES_MAX:
            return DYN
        match type_:
            case Primitive(logical=str() as logical) if logical in TIME_UNITS_NS:
                return TIMESTAMP
            case Primitive(logical="decimal") | Fixed(logical="decimal"):
                return DECIMAL
            case Primitive():
                return _PRIMITIVES[type_.name]
            case Fixed():
                return STRING if type_.logical == "uuid" else Type("bytes", size=type_.size)
            case Enum():
                return symbols(type_.symbols)
            case Array():
                return list_of(self.type(type_.items, depth + 1))
            case Map():
                return map_of(STRING, self.type(type_.values, depth + 1))
            case Union():
                return self._union(type_, depth)
            case Record():
                return self._record(type_, depth)

    def _union(self, type_: Union, depth: int) -> Type:
        types = [self.type(branch, depth + 1) for branch in type_.branches]
        kinds = {each for each in types if each is not NULL}
        if not kinds:
            return NULL
        if len(kinds) > 1:
            return DYN
        only = kinds.pop()
        return nullable(only) if NULL in types else only

    def _record(self, type_: Record, depth: int) -> Type:
        if any(each is type_ for each in self._inside):
            return DYN
        self._inside.append(type_)
        fields = {field.name: self.type(field.type, depth + 1) for field in type_.fields}
        self._inside.pop()
        return record(type_.name, fields)
