"""What the checker knows about a value before there is one.

`DYN` is anything; a record is a map whose fields a schema names; `nullable(T)` is T or null, as
Avro's unions with null are; `either([T, U])` is one or the other. `symbols(…)` is a text that is one
of a few, as Avro's enums are. Records may lead back to themselves: `LazyFields` says their fields
when somebody asks; so may lists and maps, by `LazyParams`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, overload

from .ranges import Range, widened

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
    "FIGURES",
    "INT",
    "IP",
    "NULL",
    "STRING",
    "TIMESTAMP",
    "TYPE",
    "UINT",
    "LazyFields",
    "LazyParams",
    "Type",
    "abstract",
    "alternatives",
    "either",
    "list_of",
    "map_of",
    "nullable",
    "optional_of",
    "param",
    "plain",
    "record",
    "symbols",
]

_Field: TypeAlias = "tuple[str, Type]"


@dataclass(frozen=True, slots=True)
class Type:
    """A static type. `kind` is its CEL name, or one of list, map, record, nullable, either, param, dyn.

    `params` holds element, key and value types; `name` that of a record, type parameter or
    abstract type; `fields` a record's, `optional` those of them that may be missing, and `open`
    says that it may have others. `symbols` are the only texts there are (empty: any), `size` the
    most characters, bytes or elements and `least` the fewest, `range` the numbers that there are,
    where a schema says so. `figures`: a text that always reads as a number, as in a column of CSV;
    `columns` are the members of a map that are such texts, and `keys` all that it can have, where
    they are known.
    """

    kind: str
    params: Sequence[Type] = ()
    name: str = ""
    fields: Sequence[_Field] = ()
    open: bool = False
    optional: frozenset[str] = frozenset()
    symbols: tuple[str, ...] = ()
    size: int | None = field(default=None, compare=False)
    least: int = field(default=0, compare=False)
    range: Range | None = field(default=None, compare=False)
    figures: bool = field(default=False, compare=False)
    columns: frozenset[str] = field(default=frozenset(), compare=False)
    keys: Collection[str] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        head = {"param": self.name, "record": self.name or "map", "abstract": self.name}.get(
            self.kind, self.kind
        )
        if self.kind == "nullable":
            return f"{self.params[0]} or null"
        if self.kind == "either":
            return " or ".join(map(str, self.params))
        if isinstance(self.params, LazyParams):
            return f"{head}(…)"
        return f"{head}({', '.join(map(str, self.params))})" if self.params else head

    def field(self, name: str) -> Type | None:
        """The type of a record's field; None where it has none of that name."""
        if isinstance(self.fields, LazyFields):
            return self.fields.named(name)
        return next((type_ for known, type_ in self.fields if known == name), None)

    @property
    def field_names(self) -> Collection[str]:
        """The names of a record's fields, in order."""
        if isinstance(self.fields, LazyFields):
            return self.fields.names
        return [known for known, _ in self.fields]


class LazyFields(Sequence["_Field"]):
    """Fields of a record whose types are found when they are first asked for, each by itself.

    So records can lead back to themselves. Two of them are equal where they are the same object.
    """

    __slots__ = ("_found", "_sources")

    def __init__(self, sources: Mapping[str, Callable[[], Type]]) -> None:
        self._sources = sources
        self._found: dict[str, Type] = {}

    @property
    def names(self) -> Collection[str]:
        """The names, in order."""
        return self._sources.keys()

    def named(self, name: str) -> Type | None:
        """The type of one field; None where there is none of that name."""
        if name not in self._found:
            source = self._sources.get(name)
            if source is None:
                return None
            self._found[name] = source()
        return self._found[name]

    def __len__(self) -> int:
        return len(self._sources)

    def __iter__(self) -> Iterator[_Field]:
        for name in self._sources:
            yield name, self.named(name) or DYN

    @overload
    def __getitem__(self, index: int) -> _Field: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Field]: ...
    def __getitem__(self, index: int | slice) -> _Field | Sequence[_Field]:
        return tuple(self)[index]

    def __repr__(self) -> str:
        return f"LazyFields({', '.join(self._sources)})"


class LazyParams(Sequence[Type]):
    """Types of elements that are found when they are first asked for.

    So lists and maps can lead back to themselves. Two of them are equal where they are the same
    object. What follows types to their ends ends here.
    """

    __slots__ = ("_found", "_source")

    def __init__(self, source: Callable[[], Sequence[Type]]) -> None:
        self._source = source
        self._found: Sequence[Type] = ()

    def _types(self) -> Sequence[Type]:
        if not self._found:
            self._found = self._source()
        return self._found

    def __bool__(self) -> bool:
        return True  # Without looking, which may be what is going on.

    def __len__(self) -> int:
        return len(self._types())

    @overload
    def __getitem__(self, index: int) -> Type: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Type]: ...
    def __getitem__(self, index: int | slice) -> Type | Sequence[Type]:
        return self._types()[index]

    def __repr__(self) -> str:
        return "LazyParams()"


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
#: A text that reads as a number.
FIGURES: Final = Type("string", figures=True)


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


def record(
    name: str,
    fields: Mapping[str, Type] | LazyFields,
    *,
    open: bool = False,  # noqa: A002 - the word for it
    optional: Collection[str] = (),
) -> Type:
    """A map with these fields, of which the `optional` ones may be missing; `open`: and others."""
    known = fields if isinstance(fields, LazyFields) else tuple(fields.items())
    return Type("record", (), name, known, open, frozenset(optional))


def symbols(texts: Iterable[str]) -> Type:
    """A text that is one of `texts`."""
    known = tuple(dict.fromkeys(texts))
    lengths = [len(text) for text in known] or [0]
    return Type("string", symbols=known, size=max(lengths), least=min(lengths))


def alternatives(type_: Type) -> tuple[Type, ...]:
    """What a value can be where it is not null: one type, or several."""
    inner = type_.params[0] if type_.kind == "nullable" else type_
    return tuple(inner.params) if inner.kind == "either" else (inner,)


def either(types: Iterable[Type]) -> Type:
    """A value of one of `types`; `DYN` where one of them is, or where there is none."""
    found: list[Type] = []
    null = False
    for type_ in types:
        null = null or type_.kind in ("nullable", "null_type")
        for each in alternatives(type_):
            if each.kind == "dyn":
                return DYN
            if each.kind != "null_type":
                _add_alternative(found, each)
    if not found:
        return NULL if null else DYN
    whole = found[0] if len(found) == 1 else Type("either", tuple(found))
    return nullable(whole) if null else whole


def _add_alternative(found: list[Type], added: Type) -> None:
    """Texts are one alternative, whatever the schema says of each; so is what is equal."""
    for position, known in enumerate(found):
        if known == added or known.kind == added.kind == "string":
            found[position] = _joined(known, added)
            return
    found.append(added)


def _joined(one: Type, two: Type) -> Type:
    """Two types that are equal but for what the schema says of their values."""
    if one.params:
        return plain(one)
    size = None if one.size is None or two.size is None else max(one.size, two.size)
    known = (*one.symbols, *two.symbols) if one.symbols and two.symbols else ()
    return replace(
        one,
        symbols=tuple(dict.fromkeys(known)),
        size=size,
        least=min(one.least, two.least),
        range=widened(one.range, two.range),
        figures=one.figures and two.figures,
    )


def plain(type_: Type) -> Type:
    """The type without the numbers and sizes that a schema names, or a list shows."""
    lazy = isinstance(type_.params, LazyParams)
    params = type_.params if lazy else tuple(map(plain, type_.params))
    return replace(
        type_,
        params=params,
        size=None,
        least=0,
        range=None,
        figures=False,
        columns=frozenset(),
        keys=None,
    )


def param(name: str) -> Type:
    """A type parameter, the same type wherever it stands in one signature."""
    return Type("param", (), name)


def abstract(name: str, *params: Type) -> Type:
    """A type that only has a name."""
    return Type("abstract", params, name)


ANY_LIST: Final = list_of(DYN)
ANY_MAP: Final = map_of(DYN, DYN)
