"""What the checker knows about a value before there is one.

`DYN` is anything; a record is a map whose fields a schema names; `nullable(T)` is T or null, as
Avro's unions with null are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "ANY_LIST",
    "ANY_MAP",
    "BOOL",
    "BYTES",
    "CIDR",
    "DECIMAL",
    "DOUBLE",
    "DURATION",
    "DYN",
    "INT",
    "IP",
    "NULL",
    "STRING",
    "TIMESTAMP",
    "TYPE",
    "UINT",
    "Type",
    "abstract",
    "list_of",
    "map_of",
    "nullable",
    "optional_of",
    "param",
    "record",
]


@dataclass(frozen=True, slots=True)
class Type:
    """A static type. `kind` is its CEL name, or one of list, map, record, nullable, param, dyn.

    `params` holds element, key and value types; `name` that of a record, type parameter or
    abstract type; `fields` a record's, and `open` says that it may have others.
    """

    kind: str
    params: tuple[Type, ...] = ()
    name: str = ""
    fields: tuple[tuple[str, Type], ...] = ()
    open: bool = False

    def __str__(self) -> str:
        head = {"param": self.name, "record": self.name or "map", "abstract": self.name}.get(
            self.kind, self.kind
        )
        if self.kind == "nullable":
            return f"{self.params[0]} or null"
        return f"{head}({', '.join(map(str, self.params))})" if self.params else head

    def field(self, name: str) -> Type | None:
        """The type of a record's field; None where it has none of that name."""
        return next((type_ for field, type_ in self.fields if field == name), None)


BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
DECIMAL: Final = Type("decimal")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
NULL: Final = Type("null_type")
TYPE: Final = Type("type")
TIMESTAMP: Final = Type("google.protobuf.Timestamp")
DURATION: Final = Type("google.protobuf.Duration")
IP: Final = Type("net.IP")
CIDR: Final = Type("net.CIDR")
DYN: Final = Type("dyn")


def list_of(element: Type) -> Type:
    """A list whose elements are of type `element`."""
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    """A map from `key` to `value`."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """An optional that holds a `value`, or nothing."""
    return Type("optional_type", (value,))


def nullable(inner: Type) -> Type:
    """`inner` or null."""
    return inner if inner.kind in {"nullable", "null_type", "dyn"} else Type("nullable", (inner,))


def record(name: str, fields: Mapping[str, Type], *, open: bool = False) -> Type:  # noqa: A002 - the word for it
    """A map with these fields; one that is `open` may have further ones."""
    return Type("record", (), name, tuple(fields.items()), open)


def param(name: str) -> Type:
    """A type parameter, the same type wherever it stands in one signature."""
    return Type("param", (), name)


def abstract(name: str, *params: Type) -> Type:
    """A type that only has a name."""
    return Type("abstract", params, name)


ANY_LIST: Final = list_of(DYN)
ANY_MAP: Final = map_of(DYN, DYN)
