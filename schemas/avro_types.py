"""Avro schemas as plain values, checked so that no schema can make a reader of them run away.

The text of a schema is as hostile as an event: who may register one may make it deep, endless or
huge. What `parse_schema` returns is bounded in depth and size, every name in it is resolved, no
record contains itself without a choice on the way, and what costs no bytes to encode is rare.
Recursive records are cycles between the objects. Names follow the Avro specification 1.12
(avro.apache.org/docs/1.12.0/specification).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from .json_projection import DecodeError, decode_schema

__all__ = [
    "DECIMAL_MAX_DIGITS",
    "NO_DEFAULT",
    "Array",
    "AvroSchema",
    "AvroType",
    "Enum",
    "Field",
    "Fixed",
    "Map",
    "Primitive",
    "Record",
    "SchemaError",
    "Union",
    "empties",
    "min_width",
    "parse_schema",
    "static_width",
]

#: A registry takes 1 MB by default; the largest schemas seen in use have some 300 kB.
_TEXT_MAX_CHARS: Final = 4 * 2**20
#: Types inside types. Standards with deep models (FHIR, FpML) stay below 40.
_DEPTH_MAX: Final = 64
_TYPES_MAX: Final = 50_000
_BRANCHES_MAX: Final = 500
#: Members that take no bytes (null, an empty record) inside one value: data of n bytes must not
#: become many times n objects.
_EMPTIES_MAX: Final = 64
_FIXED_MAX_BYTES: Final = 16 * 2**20
#: Of a decimal; 38 is what databases take, and digits cost time that grows with their square.
DECIMAL_MAX_DIGITS: Final = 1000

_TOO_DEEP: Final = f"types are nested more than {_DEPTH_MAX} deep"

NO_DEFAULT: Final = object()


class SchemaError(ValueError):
    """A schema that cannot be used. The text names types and fields of the schema."""


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """null, boolean, int, long, float, double, bytes or string; `scale` is that of a decimal."""

    name: str
    logical: str | None = None
    scale: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """`size` bytes."""

    name: str
    size: int
    logical: str | None = None
    scale: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Enum:
    """One of `symbols`; `default` is the one for symbols that a reader does not know."""

    name: str
    symbols: tuple[str, ...]
    default: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """Items of one type."""

    items: AvroType


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Values of one type by text."""

    values: AvroType


@dataclass(frozen=True, slots=True, eq=False)
class Union:
    """One of `branches`, none of which is a union."""

    branches: tuple[AvroType, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A member of a record; `default` is JSON, or NO_DEFAULT."""

    name: str
    type: AvroType
    default: object = NO_DEFAULT
    tags: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Record:
    """Named fields in order. Filled in once, by the parser; then as immutable as the rest.

    `width` is the least number of bytes that a value takes, `static` says that it is the only one,
    `empties` counts the members that take none, `height` the types inside types.
    """

    name: str
    fields: tuple[Field, ...] = field(
        default=(), repr=False
    )  # may lead back here, and in many ways
    width: int = 0
    static: bool = False
    empties: int = 0
    height: int = 0
    complete: bool = False


AvroType: TypeAlias = Primitive | Fixed | Enum | Array | Map | Union | Record


@dataclass(frozen=True, slots=True, eq=False)
class AvroSchema:
    """A parsed schema: its outermost type, and every named type that it defines or refers to."""

    root: AvroType
    names: Mapping[str, Record | Enum | Fixed] = field(
        default_factory=dict[str, "Record | Enum | Fixed"]
    )

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that any field carries, sorted."""
        records = [named for named in self.names.values() if isinstance(named, Record)]
        return tuple(
            sorted({tag for record in records for field in record.fields for tag in field.tags})
        )


def parse_schema(text: str, references: Sequence[str] = ()) -> AvroSchema:
    """The schema that `text` says. Raises SchemaError.

    `references` are the texts of schemas whose names it uses, those first that others need.
    """
    parser = _Parser()
    try:
        for reference in references:
            parser.read(reference)
        root = parser.read(text)
    except RecursionError:  # the caller's stack is deep already
        raise SchemaError(_TOO_DEEP) from None
    return AvroSchema(root, parser.names)


def min_width(type_: AvroType) -> int:
    """The least number of bytes that a value of the type takes."""
    match type_:
        case Primitive():
            return _WIDTHS[type_.name]
        case Fixed():
            return type_.size
        case Record():
            return type_.width
        case Union():
            return 1 + min(min_width(branch) for branch in type_.branches)
        case _:
            return 1


def static_width(type_: AvroType) -> int | None:
    """The number of bytes that every value of the type takes; None where they differ."""
    match type_:
        case Primitive():
            return _WIDTHS[type_.name] if type_.name in _STATIC else None
        case Fixed():
            return type_.size
        case Record():
            return type_.width if type_.static else None
        case _:
            return None


def empties(type_: AvroType) -> int:
    """How many members of a value take no bytes, not counting what data chooses to be there."""
    if isinstance(type_, Record):
        return type_.empties
    return 1 if static_width(type_) == 0 else 0


_WIDTHS: Final = {
    "null": 0,
    "boolean": 1,
    "int": 1,
    "long": 1,
    "float": 4,
    "double": 8,
    "bytes": 1,
    "string": 1,
}
_STATIC: Final = frozenset(("null", "boolean", "float", "double"))

_LOGICAL: Final[dict[str, frozenset[str]]] = {
    "int": frozenset(("date", "time-millis")),
    "long": frozenset(
        {
            *("time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos"),
            *("local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos"),
        }
    ),
    "string": frozenset(("uuid",)),
}
_UUID_BYTES: Final = 16


class _Parser:
    """Reads one text after the other into one table of names."""

    def __init__(self) -> None:
        self.names: dict[str, Record | Enum | Fixed] = {}
        self._primitives = {name: Primitive(name) for name in _WIDTHS}
        self._count = 0
        # Records with a member that is still being read: it may lead back to them by way of a list
        # or a union, which can end, or directly, which cannot.
        self._waiting: list[Record] = []

    def read(self, text: str) -> AvroType:
        if len(text) > _TEXT_MAX_CHARS:
            raise SchemaError(f"the schema has more than {_TEXT_MAX_CHARS} characters")
        try:
            written = decode_schema(text)
        except DecodeError:
            raise SchemaError("the schema is not JSON") from None
        found = self._type(written, "", 0)
        for record in self._waiting:
            self._measure_after_members(record, set())
        self._waiting.clear()
        return found

    def _type(self, written: object, namespace: str, depth: int) -> AvroType:
        self._count += 1
        if self._count > _TYPES_MAX:
            raise SchemaError(f"the schema has more than {_TYPES_MAX} types")
        if depth > _DEPTH_MAX:
            raise SchemaError(_TOO_DEEP)
        if isinstance(written, str):
            return self._named(written, namespace, depth)
        if isinstance(written, list):
            return self._union(cast("list[object]", written), namespace, depth)
        if not isinstance(written, dict):
            raise SchemaError("a type is a name, an object or a list")
        said = cast("dict[str, object]", written)
        kind = said.get("type")
        match kind:
            case "record" | "error":
                return self._record(said, namespace, depth)
            case "enum":
                return self._enum(said, namespace)
            case "fixed":
                return self._fixed(said, namespace)
            case "array":
                return Array(self._inner(said, "items", namespace, depth))
            case "map":
                return Map(self._inner(said, "values", namespace, depth))
            case str() if kind in _WIDTHS:
                return self._primitive(kind, said)
            case None:
                raise SchemaError("an object without `type` is no type")
            case _:
                return self._type(kind, namespace, depth + 1)

    def _inner(self, said: dict[str, object], key: str, namespace: str, depth: int) -> AvroType:
        if key not in said:
            raise SchemaError(f"`{said['type']}` needs `{key}`")
        return self._type(said[key], namespace, depth + 1)

    def _named(self, name: str, namespace: str, depth: int) -> AvroType:
        if name in self._primitives:
            return self._primitives[name]
        found = self.names.get(_full(name, namespace)) or self.names.get(name)
        if found is None:
            raise SchemaError(f"the type `{_shown(name)}` is not defined")
        if isinstance(found, Record) and depth + found.height > _DEPTH_MAX:
            raise SchemaError(_TOO_DEEP)
        return found

    def _union(self, written: list[object], namespace: str, depth: int) -> Union:
        if not 0 < len(written) <= _BRANCHES_MAX:
            raise SchemaError(f"a union has 1 to {_BRANCHES_MAX} branches")
        branches = tuple(self._type(branch, namespace, depth + 1) for branch in written)
        if any(isinstance(branch, Union) for branch in branches):
            raise SchemaError("a union cannot be a branch of a union")
        return Union(branches)

    def _primitive(self, name: str, said: dict[str, object]) -> Primitive:
        """A logical type that does not fit is ignored, as the specification asks."""
        logical = said.get("logicalType")
        if name == "bytes" and logical == "decimal":
            scale = _scale(said)
            return Primitive(name) if scale is None else Primitive(name, "decimal", scale)
        if isinstance(logical, str) and logical in _LOGICAL.get(name, ()):
            return Primitive(name, logical)
        return self._primitives[name]

    def _define(self, said: dict[str, object], namespace: str) -> tuple[str, str]:
        """The full name that `said` defines, and the namespace of what is inside."""
        name = said.get("name")
        if not isinstance(name, str) or not name.rpartition(".")[2]:
            raise SchemaError(f"a type `{said['type']}` needs a `name`")
        own = said.get("namespace")
        full = _full(name, own if isinstance(own, str) else namespace)
        if full in self.names or full in self._primitives:
            raise SchemaError(f"the type `{_shown(full)}` is defined twice")
        return full, full.rpartition(".")[0]

    def _record(self, said: dict[str, object], namespace: str, depth: int) -> Record:
        full, namespace = self._define(said, namespace)
        written = said.get("fields")
        if not isinstance(written, list):
            raise SchemaError(f"the record `{_shown(full)}` needs a list of `fields`")
        record = self.names[full] = Record(full)
        fields: dict[str, Field] = {}
        for item in cast("list[object]", written):
            made = self._field(item, namespace, depth, full)
            if made.name in fields:
                raise SchemaError(f"`{_shown(full)}` has two fields `{_shown(made.name)}`")
            fields[made.name] = made
        self._complete(record, tuple(fields.values()))
        return record

    def _field(self, written: object, namespace: str, depth: int, record: str) -> Field:
        said = cast("dict[str, object]", written) if isinstance(written, dict) else {}
        name = said.get("name")
        if not isinstance(name, str) or "type" not in said:
            raise SchemaError(f"every field of `{_shown(record)}` needs a `name` and a `type`")
        tags = said.get("confluent:tags")
        return Field(
            name,
            self._type(said["type"], namespace, depth + 1),
            said.get("default", NO_DEFAULT),
            tuple(tag for tag in cast("list[object]", tags) if isinstance(tag, str))
            if isinstance(tags, list)
            else (),
        )

    def _complete(self, record: Record, fields: tuple[Field, ...]) -> None:
        record.fields = fields
        record.height = 1 + max((_height(field.type) for field in fields), default=0)
        if _unmeasured(record):
            self._waiting.append(record)
        else:
            self._measure(record)

    def _measure_after_members(self, record: Record, around: set[str]) -> None:
        """Measure what waited; `around` names the records that `record` is a member of."""
        if record.complete:
            return
        if record.name in around:
            raise SchemaError(f"a value of `{_shown(record.name)}` would have no end")
        for member in _unmeasured(record):
            self._measure_after_members(member, {*around, record.name})
        self._measure(record)

    def _measure(self, record: Record) -> None:
        types = [field.type for field in record.fields]
        record.width = sum(min_width(type_) for type_ in types)
        record.static = all(static_width(type_) is not None for type_ in types)
        record.empties = sum(empties(type_) for type_ in types) + (record.width == 0)
        if record.empties > _EMPTIES_MAX:
            raise SchemaError(f"`{_shown(record.name)}` has too many members that take no bytes")
        record.complete = True

    def _enum(self, said: dict[str, object], namespace: str) -> Enum:
        full, _ = self._define(said, namespace)
        symbols = said.get("symbols")
        listed = cast("list[object]", symbols) if isinstance(symbols, list) else []
        names = [symbol for symbol in listed if isinstance(symbol, str)]
        if not listed or len(set(names)) != len(listed):
            raise SchemaError(f"the enum `{_shown(full)}` needs a list of different `symbols`")
        default = said.get("default")
        known = default if isinstance(default, str) and default in names else None
        made = Enum(full, tuple(names), known)
        self.names[full] = made
        return made

    def _fixed(self, said: dict[str, object], namespace: str) -> Fixed:
        full, _ = self._define(said, namespace)
        size = said.get("size")
        if type(size) is not int or not 0 <= size <= _FIXED_MAX_BYTES:
            raise SchemaError(f"`{_shown(full)}` needs a `size` of 0 to {_FIXED_MAX_BYTES}")
        logical, scale = said.get("logicalType"), _scale(said)
        made = Fixed(full, size)
        if logical == "decimal" and scale is not None and 0 < size <= DECIMAL_MAX_DIGITS // 2:
            made = Fixed(full, size, "decimal", scale)
        elif logical == "uuid" and size == _UUID_BYTES:
            made = Fixed(full, size, "uuid")
        self.names[full] = made
        return made


def _unmeasured(record: Record) -> list[Record]:
    """The records that are members of `record` and not measured yet."""
    return [
        field.type
        for field in record.fields
        if isinstance(field.type, Record) and not field.type.complete
    ]


def _height(type_: AvroType) -> int:
    match type_:
        case Record():
            return type_.height  # 0 while it is being read: a cycle adds no depth
        case Array():
            return 1 + _height(type_.items)
        case Map():
            return 1 + _height(type_.values)
        case Union():
            return 1 + max(_height(branch) for branch in type_.branches)
        case _:
            return 1


def _scale(said: dict[str, object]) -> int | None:
    """The scale of a decimal, None where precision or scale are none."""
    precision, scale = said.get("precision"), said.get("scale", 0)
    if type(precision) is not int or type(scale) is not int:
        return None
    return scale if 0 <= scale <= precision <= DECIMAL_MAX_DIGITS and precision > 0 else None


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _shown(name: str) -> str:
    """A name for a message: one line, not too long."""
    line = " ".join(name.split())
    return line if len(line) <= 80 else line[:79] + "…"
