"""What schemas say about policies before there is an event: types of values, masks they can take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from ..schemas.avro_splice import check_mask, zero_left
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
from ..schemas.registry import NotFound, Schema, SchemaSource, Unavailable
from .cel.ranges import Range
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
    LazyFields,
    Type,
    either,
    list_of,
    map_of,
    record,
    symbols,
)
from .json_schema_types import json_schema_type
from .model import Path

__all__ = ["SchemaTypes", "type_of"]

_PRIMITIVES: Final[Mapping[str, Type]] = {
    "null": NULL,
    "boolean": BOOL,
    "int": replace(INT, range=Range(-(2**31), 2**31 - 1)),
    "long": replace(INT, range=Range(-(2**63), 2**63 - 1)),
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

    __call__ = value_type

    def remedy(self, subject: str) -> str:
        """What to do about a subject that there is not; empty where nobody knows."""
        found = self._schemas.latest(subject)
        return found.remedy if isinstance(found, NotFound) else ""

    def mask_problem(self, subject: str, path: Path, how: str) -> str | None:
        """Why values of a subject cannot take a mask at `path`, which starts after `value`."""
        found = self._schemas.latest(subject)
        if not isinstance(found, Schema) or found.avro is None:
            return None
        return check_mask(found.avro.root, path, how)

    def mask_zero(self, subject: str, path: Path, how: str) -> str | None:
        """What a mask leaves at `path` that reads like a fact, such as 0; None where nothing."""
        found = self._schemas.latest(subject)
        if not isinstance(found, Schema) or found.avro is None:
            return None
        return zero_left(found.avro.root, path, how)


def type_of(type_: AvroType) -> Type:
    """What the checker of conditions knows of an Avro type."""
    return _Converter().type(type_)


class _Converter:
    """Each record becomes one type, whose fields are looked at when a condition asks for them."""

    def __init__(self) -> None:
        # By identity; the record is kept beside its type, so that no other one can have the same.
        self._records: dict[int, tuple[Record, Type]] = {}

    def type(self, type_: AvroType) -> Type:
        match type_:
            case Primitive(logical=str() as logical) if logical in TIME_UNITS_NS:
                return TIMESTAMP
            case Primitive(logical="decimal") | Fixed(logical="decimal"):
                return DECIMAL
            case Primitive():
                return _PRIMITIVES[type_.name]
            case Fixed():
                uuid = type_.logical == "uuid"
                return STRING if uuid else Type("bytes", size=type_.size, least=type_.size)
            case Enum():
                return symbols(type_.symbols)
            case Array():
                return list_of(self.type(type_.items))
            case Map():
                return map_of(STRING, self.type(type_.values))
            case Union():
                return either(map(self.type, type_.branches))
            case Record():
                return self._record(type_)

    def _record(self, type_: Record) -> Type:
        if id(type_) not in self._records:
            fields = {field.name: partial(self.type, field.type) for field in type_.fields}
            self._records[id(type_)] = type_, record(type_.name, LazyFields(fields))
        return self._records[id(type_)][1]
