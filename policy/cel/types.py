"""What the checker knows about a value before there is one.

`DYN` is anything; a record is a map whose fields a schema names; `nullable(T)` is T or null, as
Avro's unions with null are. `symbols(…)` is a text that is one of a few, as Avro's enums are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
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
    "symbols",
]


@dataclass(frozen=True, slots=True)
class Type:
    """A static type. `kind` is its CEL name, or one of list, map, record, nullable, param, dyn.

    `params` holds element, key and value types; `name` that of a record, type parameter or
    abstract type; `fields` a record's, `optional` those of them that may be missing, and `open`
    says that it may have others. `symbols` are the only texts there are (empty: any), `size` the
    most characters, bytes or elements, where a schema says so.
    """

    kind: str
    params: tuple[Type, ...] = ()
    name: str = ""
    fields: tuple[tuple[str, Type], ...] = ()
    open: bool = False
    optional: frozenset[str] = frozenset()
    symbols: tuple[str, ...] = ()
    size: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        head = {"param": self.name, "record": self.name or "map", "abstract": self.name}.get(
            self.kind, self.kind
        )
        if self.kind == "nullable":
            return f"{self.params[0]} or null"
        return f"{head}({', '.join(map(str, self.params))})" if self.params else head

    def field(self, name: str) -> Type | None:
        """The type of a record's field; None where it has none of that name."""
        return next((type_ for known, type_ in self.fields if known == name), None)


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


def list_of(element: Type, size: int | None = None) -> Type:
    """A list whose elements are of type `element`, of which there are at most `size`."""
    return Type("list", (element,), size=size)


def map_of(key: Type, value: Type) -> Type:
    """A map from `key` to `value`."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """An optional that holds a `value`, or nothing."""
    return Type("optional_type", (value,))


def nullable(inner: Type) -> Type:
    """`inner` or null."""
    return inner if inner.kind in {"nullable", "null_type", "dyn"} else Type("nullable", (inner,))


def record(
    name: str,
    fields: Mapping[str, Type],
    *,
    open: bool = False,  # noqa: A002 - the word for it
    optional: Collection[str] = (),
) -> Type:
    """A map with these fields, of which the `optional` ones may be missing; `open`: and others."""
    return Type("record", (), name, tuple(fields.items()), open, frozenset(optional))


def symbols(texts: Iterable[str]) -> Type:
    """A text that is one of `texts`."""
    known = tuple(dict.fromkeys(texts))
    return Type("string", symbols=known, size=max(map(len, known), default=0))


def param(name: str) -> Type:
    """A type parameter, the same type wherever it stands in one signature."""
    return Type("param", (), name)


def abstract(name: str, *params: Type) -> Type:
    """A type that only has a name."""
    return Type("abstract", params, name)


ANY_LIST: Final = list_of(DYN)
ANY_MAP: Final = map_of(DYN, DYN)
