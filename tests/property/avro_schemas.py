"""Avro schemas and data of every kind, and what they mean, by way of fastavro."""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeAlias, TypeGuard, cast
from uuid import UUID

import fastavro
import fastavro.read
import fastavro.write
from hypothesis import strategies as st

from streamwarden.schemas.avro_projection import Instant
from streamwarden.schemas.avro_types import (
    Array,
    AvroType,
    Enum,
    Fixed,
    Map,
    Primitive,
    Record,
    Union,
)
from streamwarden.schemas.avro_wire import write_long
from streamwarden.schemas.json_projection import Path, Shape

__all__ = [
    "SCHEMAS",
    "Json",
    "agrees",
    "encodings",
    "places_in",
    "read",
    "same",
    "shapes",
    "values_of",
    "write",
]

Json: TypeAlias = Any

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_LOGICAL: list[Json] = [
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "time-micros"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-micros"},
    {"type": "long", "logicalType": "local-timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-nanos"},
    {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 4},
    {"type": "string", "logicalType": "uuid"},
    {"type": "int", "logicalType": "something-else"},
]
_NAMES = ["a", "b", "card", "items", "odd-name", "é"]


def is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


class _Draws:
    """One schema in the making: names of types have to be unique, and known when used."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.named = 0
        self.complete: list[str] = []
        self.open: list[str] = []

    def type(self, depth: int, *, nullable_only: bool = False) -> Json:
        kinds = ["primitive"] * 3 + ["logical"]
        if depth:
            kinds += ["record", "record", "array", "map", "union", "enum", "fixed"]
            kinds += ["again"] * bool(self.complete) + ["recursive"] * bool(self.open)
        kind = self.draw(st.sampled_from(kinds))
        match kind:
            case "primitive":
                return self.draw(st.sampled_from(_PRIMITIVES[nullable_only:]))
            case "logical":
                return self.draw(st.sampled_from(_LOGICAL))
            case "array":
                return {"type": "array", "items": self.type(depth - 1)}
            case "map":
                return {"type": "map", "values": self.type(depth - 1)}
            case "again":
                return self.draw(st.sampled_from(self.complete))
            case "recursive":
                name = self.draw(st.sampled_from(self.open))
                forms: list[Json] = [["null", name], {"type": "array", "items": name}]
                forms += [{"type": "map", "values": name}, self.around(name)]
                return self.draw(st.sampled_from(forms))
            case "union":
                return self.union(depth)
            case _:
                return self.named_type(kind, depth)

    def around(self, name: str) -> Json:
        """A list of records that each have what is still being defined as a member."""
        self.named += 1
        fields = [{"name": "b", "type": "int"}, {"name": "card", "type": name}]
        inner = {"type": "record", "name": f"N{self.named}", "fields": fields}
        return {"type": "array", "items": inner}

    def union(self, depth: int) -> Json:
        """Branches that differ in kind, except records, enums and fixed, which have names."""
        branches: dict[str, Json] = {}
        for _ in range(self.draw(st.integers(1, 3))):
            known = list(self.complete)
            branch = self.type(depth - 1, nullable_only=True)
            kind = json.dumps(branch) if is_list(branch) else str(_base(branch))
            if is_list(branch) or kind in branches:
                self.complete = known
            else:
                branches[kind] = branch
        chosen = list(branches.values())
        null = self.draw(st.sampled_from(["first", "last", "none"]))
        if null == "none" and chosen:
            return chosen
        return ["null", *chosen] if null == "first" else [*chosen, "null"]

    def named_type(self, kind: str, depth: int) -> Json:
        self.named += 1
        name = f"N{self.named}"
        if kind == "enum":
            self.complete.append(name)
            return {"type": "enum", "name": name, "symbols": ["RED", "GREEN", "BLUE"]}
        if kind == "fixed":
            self.complete.append(name)
            forms: list[Json] = [
                {"size": self.draw(st.integers(0, 5))},
                {"size": 5, "logicalType": "decimal", "precision": 9, "scale": 2},
                {"size": 16, "logicalType": "uuid"},
            ]
            return {"type": "fixed", "name": name, **self.draw(st.sampled_from(forms))}
        self.open.append(name)
        names = self.draw(st.lists(st.sampled_from(_NAMES), unique=True, max_size=4))
        fields = [{"name": field, "type": self.type(depth - 1)} for field in names]
        self.open.remove(name)
        self.complete.append(name)
        return {"type": "record", "name": name, "fields": fields}


@st.composite
def _schemas(draw: st.DrawFn) -> Json:
    draws = _Draws(draw)
    if draw(st.integers(0, 5)):
        return draws.named_type("record", 4)
    return draws.type(4)


def _base(branch: Json) -> object:
    """What fastavro tells branches by when it writes."""
    if isinstance(branch, str):
        return branch
    return branch["name"] if "name" in branch else branch["type"]


SCHEMAS: st.SearchStrategy[Json] = _schemas()


def write(schema: Json, value: object) -> bytes:
    """The bytes of a value, logical types as what they are made of."""
    out = io.BytesIO()
    with _logical_types():
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), cast("Any", value))
    return out.getvalue()


def read(schema: Json, data: bytes) -> tuple[object, int]:
    """What the bytes hold, and how many of them. Raises whatever fastavro raises."""
    source = io.BytesIO(data)
    with _logical_types():
        value = fastavro.schemaless_reader(source, fastavro.parse_schema(schema), None)
    return value, source.tell()


@contextmanager
def _logical_types() -> Generator[None]:
    """Let fastavro make of logical types what projections do, and write what they are made of."""
    readers = cast("dict[str, Any]", fastavro.read.LOGICAL_READERS)
    writers = cast("dict[str, Any]", fastavro.write.LOGICAL_WRITERS)
    before = dict(readers), dict(writers)
    readers.clear()
    writers.clear()
    readers.update(_READERS)
    try:
        yield
    finally:
        readers.clear()
        readers.update(before[0])
        writers.update(before[1])


def _time_reader(unit_ns: int) -> Callable[..., Instant]:
    def reader(data: int, *_: object) -> Instant:
        return Instant(data * unit_ns)

    return reader


def _read_uuid(data: bytes, *_: object) -> str:
    return str(UUID(bytes=data))


def _read_decimal(data: bytes, schema: dict[str, Any], *_: object) -> Decimal:
    return Decimal(f"{int.from_bytes(data, 'big', signed=True)}e{-schema.get('scale', 0)}")


_READERS: dict[str, Callable[..., object]] = {
    **{
        f"long-{zone}timestamp-{unit}": _time_reader(length)
        for zone in ("", "local-")
        for unit, length in (("millis", 10**6), ("micros", 10**3), ("nanos", 1))
    },
    "int-date": _time_reader(86_400 * 10**9),
    "bytes-decimal": _read_decimal,
    "fixed-decimal": _read_decimal,
    "fixed-uuid": _read_uuid,
}


class _Encoder:
    """Draws bytes that hold a value."""

    def __init__(self, draw: st.DrawFn, canonical: bool) -> None:
        self.draw, self.canonical = draw, canonical

    def value(self, type_: AvroType, depth: int) -> bytes:
        match type_:
            case Primitive():
                return self.primitive(type_.name)
            case Fixed():
                return self.draw(st.binary(min_size=type_.size, max_size=type_.size))
            case Enum():
                return self.number(self.draw(st.integers(0, len(type_.symbols) - 1)))
            case Record():
                return b"".join(self.value(field.type, depth - 1) for field in type_.fields)
            case Array():
                return self.blocks([self.value(type_.items, depth - 1) for _ in self.some(depth)])
            case Map():
                keys = [self.draw(st.sampled_from(_NAMES[:4])) for _ in self.some(depth)]
                values = [self.value(type_.values, depth - 1) for _ in keys]
                names = [self.text(key.encode()) for key in keys]
                return self.blocks([key + item for key, item in zip(names, values, strict=True)])
            case Union():
                last = len(type_.branches) - 1
                simple = [p for p, b in enumerate(type_.branches) if isinstance(b, Primitive)]
                place = simple[0] if depth <= 0 and simple else self.draw(st.integers(0, last))
                return self.number(place) + self.value(type_.branches[place], depth - 1)

    def some(self, depth: int) -> range:
        return range(self.draw(st.integers(0, 3)) if depth > 0 else 0)

    def number(self, value: int) -> bytes:
        data = write_long(value)
        if self.canonical or len(data) > 8 or self.draw(st.integers(0, 9)):
            return data
        longer = b"\x80" * self.draw(st.integers(0, 1)) + b"\0"
        return data[:-1] + bytes([data[-1] | 128]) + longer

    def blocks(self, items: list[bytes]) -> bytes:
        made = b""
        while items:
            size = self.draw(st.integers(1, len(items)))
            content, items = b"".join(items[:size]), items[size:]
            if self.draw(st.booleans()):
                made += self.number(-size) + self.number(len(content)) + content
            else:
                made += self.number(size) + content
        return made + self.number(0)

    def text(self, data: bytes) -> bytes:
        return self.number(len(data)) + data

    def primitive(self, name: str) -> bytes:
        drawn = self.draw(_SCALARS[name])
        match name:
            case "null":
                return b""
            case "boolean":
                return bytes([drawn])
            case "int" | "long":
                return self.number(drawn)
            case "float" | "double":
                return struct.pack("<f" if name == "float" else "<d", drawn)
            case _:
                return self.text(drawn.encode() if isinstance(drawn, str) else drawn)


@st.composite
def encodings(draw: st.DrawFn, type_: AvroType, *, canonical: bool = False) -> bytes:
    """Bytes that hold a value of the type; unless `canonical` in all the ways that are allowed."""
    return _Encoder(draw, canonical).value(type_, 6)


def names_of(schema: Json) -> dict[str, Json]:
    """Every named type that a schema defines."""
    found: dict[str, Json] = {}
    pending = [schema]
    while pending:
        each = pending.pop()
        if is_list(each):
            pending += each
        elif is_dict(each):
            said = each
            if "name" in said:
                found[said["name"]] = said
            pending += [field["type"] for field in said.get("fields", ())]
            pending += [said[key] for key in ("items", "values", "type") if key in said]
    return found


def values_of(schema: Json) -> st.SearchStrategy[Any]:
    """Values that fastavro writes for `schema`."""
    return _values(schema, names_of(schema), 6)


def _values(schema: Json, names: dict[str, Json], depth: int) -> st.SearchStrategy[Any]:
    if is_list(schema):
        branches = schema
        if depth <= 0 and "null" in branches:
            return st.none()
        return st.one_of([_values(branch, names, depth - 1) for branch in branches])
    if isinstance(schema, str):
        return _values(names[schema], names, depth) if schema in names else _SCALARS[schema]
    said = schema
    match said["type"]:
        case "record":
            return st.fixed_dictionaries(
                {f["name"]: _values(f["type"], names, depth - 1) for f in said["fields"]}
            )
        case "array":
            if depth <= 0:
                return st.just([])
            return st.lists(_values(said["items"], names, depth - 1), max_size=3)
        case "map":
            if depth <= 0:
                return st.just({})
            keys = st.sampled_from(_NAMES) | st.text(max_size=3)
            return st.dictionaries(keys, _values(said["values"], names, depth - 1), max_size=3)
        case "enum":
            return st.sampled_from(said["symbols"])
        case "fixed":
            return st.binary(min_size=said["size"], max_size=said["size"])
        case inner:
            return _values(inner, names, depth)


_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-100, 100) | st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-100, 100) | st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=8) | st.binary(min_size=60, max_size=70),
    "string": st.text(max_size=8) | st.text(min_size=60, max_size=70),
}


def same(one: object, two: object) -> bool:
    """Equality in which NaN equals itself, and 1 neither True nor 1.0."""
    if is_dict(one) and is_dict(two):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if is_list(one) and is_list(two):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, float) and isinstance(two, float) and math.isnan(one):
        return math.isnan(two)
    return type(one) is type(two) and one == two


def places_in(type_: AvroType) -> list[Path]:
    """Paths that lead somewhere, some of them."""
    found: list[Path] = []
    pending: list[tuple[AvroType, Path]] = [(type_, ())]
    while pending and len(found) < 60:
        each, path = pending.pop(0)
        found += [path] if path and path not in found else []
        if len(path) > 4:
            continue
        match each:
            case Union():
                pending += [(branch, path) for branch in each.branches]
            case Record():
                pending += [(field.type, (*path, field.name)) for field in each.fields]
            case Map():
                pending += [(each.values, (*path, name)) for name in _NAMES[:3]]
            case Array():
                pending.append((each.items, (*path, None)))
            case _:
                continue
    return found


@st.composite
def shapes(draw: st.DrawFn, type_: AvroType) -> Shape:
    """What rules may read of events of the type: mostly what is there."""
    if not draw(st.integers(0, 9)):
        return Shape(whole=True)
    anything = st.lists(st.sampled_from([*_NAMES, None]), max_size=3).map(tuple)
    places = places_in(type_)
    paths = st.sampled_from(places) | anything if places else anything
    return Shape.of(draw(st.lists(paths, max_size=4)), draw(st.lists(paths, max_size=2)))


def agrees(found: object, whole: object, shape: Shape) -> bool:
    """Whether `found` is what `shape` wants of the whole value: all, parts, or only the kind."""
    if shape.whole:
        return same(found, whole)
    if is_dict(whole):
        if shape.elements is not None:
            return same(found, whole)
        return is_dict(found) and _members_agree(found, whole, shape)
    if is_list(whole) and shape.elements is not None:
        wanted = shape.elements
        return (
            is_list(found)
            and len(found) == len(whole)
            and all(agrees(one, two, wanted) for one, two in zip(found, whole, strict=True))
        )
    return type(found) is type(whole)


def _members_agree(found: dict[str, object], whole: dict[str, object], shape: Shape) -> bool:
    wanted = {name: inner for name, inner in shape.members.items() if name in whole}
    return found.keys() == wanted.keys() and all(
        agrees(found[name], whole[name], inner) for name, inner in wanted.items()
    )
