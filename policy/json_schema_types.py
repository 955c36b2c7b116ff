"""What a JSON Schema says about values, as far as the checker of conditions can use it.

Understood are type, properties, required, additionalProperties, items and prefixItems (an element of
a tuple is one of what its positions are), enum, const, the least and most of numbers, texts and
lists, the most of objects, references within the schema, oneOf and anyOf, and allOf of objects; the
rest is left open, so that nothing is called wrong that a valid event can be. Objects may have fields
that the schema does not name unless it says `additionalProperties: false`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, cast
from urllib.parse import unquote

from ..schemas.json_projection import DecodeError, decode_schema
from .cel.ranges import Number, Range
from .cel.types import (
    ANY_LIST,
    BOOL,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    LazyFields,
    LazyParams,
    Type,
    either,
    map_of,
    record,
    symbols,
)

__all__ = ["json_schema_type"]

#: Types inside types, and all of them, that are told apart on the way to one field; what lies
#: beyond is not checked.
_DEPTH_MAX: Final = 16
_TYPES_MAX: Final = 5000
_PLAIN: Final[Mapping[str, Type]] = {
    "boolean": BOOL,
    "null": NULL,
}
#: What says something about an object without naming its fields.
_SILENT: Final = frozenset({"required", "if", "not"})
_ANY_OBJECT: Final = map_of(STRING, DYN)
_OBJECT_WORDS: Final = ("properties", "required", "additionalProperties", "patternProperties")


def json_schema_type(text: str) -> Type:
    """The type of values that are valid by the schema; DYN where it says nothing of use."""
    try:
        written = decode_schema(text)
    except DecodeError:
        return DYN
    return _Converter(written).type(written, 0)


class _Converter:
    """Objects are looked at field by field, as conditions ask, so that they may lead back to themselves.

    So are the elements of lists and maps that do, or that stand deep in others. References that
    lead back with nothing of these between them are open.
    """

    def __init__(self, root: object) -> None:
        self._root = root
        self._following: list[str] = []
        self._count = 0
        # By identity; what is written is kept, so that nothing else can have the same.
        self._objects: dict[int, tuple[dict[str, object], Type]] = {}
        # Lists and maps inside which the one at hand stands, and what leads to their elements.
        self._around: set[int] = set()
        self._lazy: dict[tuple[int, int], tuple[dict[str, object], LazyParams]] = {}

    def field(self, written: object) -> Type:
        """The type of one field of an object, or of the elements of a list or map."""
        outer = self._following, self._around, self._count
        self._following, self._around, self._count = [], set(), 0
        found = self.type(written, 0)
        self._following, self._around, self._count = outer
        return found

    def type(self, written: object, depth: int) -> Type:
        self._count += 1
        if depth > _DEPTH_MAX or self._count > _TYPES_MAX or not isinstance(written, dict):
            return DYN
        said = cast("dict[str, object]", written)
        reference = said.get("$ref")
        if isinstance(reference, str):
            return self._reference(reference, depth)
        for word in ("oneOf", "anyOf"):
            branches = said.get(word)
            if isinstance(branches, list) and "type" not in said and "properties" not in said:
                parts = cast("list[object]", branches)
                return either([self.type(part, depth + 1) for part in parts])
        if isinstance(said.get("allOf"), list):
            return self._all(said, depth)
        return self._plain(said, depth)

    def _reference(self, reference: str, depth: int) -> Type:
        if not reference.startswith("#") or reference in self._following:
            return DYN
        found = self._root
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = cast("dict[str, object]", found).get(name) if isinstance(found, dict) else None
        self._following.append(reference)
        type_ = self.type(found, depth + 1)
        self._following.pop()
        return type_

    def _all(self, said: dict[str, object], depth: int) -> Type:
        """Objects that say different things of one value are one record; of the rest, the one."""
        rest = {word: value for word, value in said.items() if word != "allOf"}
        known: list[Type] = []
        required: set[object] = set()
        for each in (rest, *cast("list[object]", said["allOf"])):
            part = cast("dict[str, object]", each) if isinstance(each, dict) else {}
            if part and not _SILENT.isdisjoint(part) and "properties" not in part:
                required |= {*_names(part.get("required"))}
                continue
            type_ = self.type(part, depth + 1)
            # `type: object` beside the parts says nothing of fields.
            known += [type_] if type_.kind != "dyn" and type_ != _ANY_OBJECT else []
        if not known or not all(found.kind == "record" for found in known):
            return known[0] if len(known) == 1 else DYN
        fields: dict[str, Callable[[], Type]] = {}
        for found in known:
            fields |= {name: partial(_named, found, name) for name in found.field_names}
            required |= set(found.field_names) - found.optional
        title = _title(said) or known[0].name
        return record(title, LazyFields(fields), open=True, optional=fields.keys() - required)

    def _plain(self, said: dict[str, object], depth: int) -> Type:
        if "const" in said:
            return _enumerated([said["const"]])
        if isinstance(said.get("enum"), list):
            return _enumerated(cast("list[object]", said["enum"]))
        kind = said.get("type")
        if isinstance(kind, list):
            kinds = cast("list[object]", kind)
            return either([self._of_kind(each, said, depth) for each in kinds])
        if kind is None and any(word in said for word in _OBJECT_WORDS):
            kind = "object"
        return self._of_kind(kind, said, depth)

    def _of_kind(self, kind: object, said: dict[str, object], depth: int) -> Type:
        match kind:
            case "object":
                return self._object(said, depth)
            case "array":
                found = replace(ANY_LIST, params=self._elements(said, _items(said), (), depth))
                least, most = _size(said.get("minItems")), _size(said.get("maxItems"))
                return replace(found, size=most, least=least or 0)
            case "string":
                least = _size(said.get("minLength")) or 0
                return Type("string", size=_size(said.get("maxLength")), least=least)
            case "integer":
                return replace(INT, range=_range(said))
            case "number":
                return replace(DOUBLE, range=_range(said))
            case str():
                return _PLAIN.get(kind, DYN)
            case _:
                return DYN

    def _elements(
        self, said: dict[str, object], written: object, keys: tuple[Type, ...], depth: int
    ) -> Sequence[Type]:
        """The types of the keys, if any, and elements of a list or map."""
        own = id(said)
        if depth < _DEPTH_MAX and own not in self._around:
            following, self._following = self._following, []
            self._around.add(own)
            found = (*keys, self.type(written, depth + 1))
            self._around.discard(own)
            self._following = following
            return found
        place = own, len(keys)
        if place not in self._lazy:
            self._lazy[place] = said, LazyParams(lambda: (*keys, self.field(written)))
        return self._lazy[place][1]

    def _object(self, said: dict[str, object], depth: int) -> Type:
        properties, others = said.get("properties"), said.get("additionalProperties", True)
        if "patternProperties" in said:
            others = True
        if not isinstance(properties, dict):
            if others is False:
                return record("", {})
            params = self._elements(said, others, (STRING,), depth)
            return replace(_ANY_OBJECT, params=params, size=_size(said.get("maxProperties")))
        if id(said) not in self._objects:
            written = cast("dict[str, object]", properties)
            fields = {name: partial(self.field, each) for name, each in written.items()}
            required = _names(said.get("required"))
            made = record(
                _title(said),
                LazyFields(fields),
                open=others is not False,
                optional=[name for name in fields if name not in required],
            )
            most = _size(said.get("maxProperties"))
            if most is None and others is False:
                most = len(fields)
            self._objects[id(said)] = said, replace(made, size=most)
        return self._objects[id(said)][1]


def _named(type_: Type, name: str) -> Type:
    return type_.field(name) or DYN


def _title(said: dict[str, object]) -> str:
    title = said.get("title")
    return title if isinstance(title, str) else ""


def _names(written: object) -> list[object]:
    return cast("list[object]", written) if isinstance(written, list) else []


def _items(said: dict[str, object]) -> object:
    """What all elements of a list are: of a tuple, one of what its positions are."""
    items = said.get("items")
    if isinstance(items, list):  # up to draft 2019-09
        return _any_of(cast("list[object]", items), said.get("additionalItems", True))
    positions = said.get("prefixItems")
    if isinstance(positions, list):
        return _any_of(cast("list[object]", positions), said.get("items", True))
    return items


def _any_of(positions: list[object], others: object) -> object:
    return {"anyOf": positions if others is False else [*positions, others]}


def _size(written: object) -> int | None:
    """A limit, where one is given."""
    return written if type(written) is int and written >= 0 else None


def _number(written: object) -> Number | None:
    return written if type(written) is int or type(written) is float else None


def _range(said: dict[str, object]) -> Range | None:
    """The numbers between the limits; `exclusive…: true` is how drafts up to 4 say it."""
    low, low_open = _limit(said, "minimum", "exclusiveMinimum", max)
    high, high_open = _limit(said, "maximum", "exclusiveMaximum", min)
    return None if low is None and high is None else Range(low, high, low_open, high_open)


def _limit(
    said: dict[str, object],
    word: str,
    exclusive: str,
    narrower: Callable[[Number, Number], Number],
) -> tuple[Number | None, bool]:
    limit, beyond = _number(said.get(word)), said.get(exclusive)
    if isinstance(beyond, bool):
        return limit, beyond and limit is not None
    other = _number(beyond)
    if limit is None or other is None:
        return (limit, False) if other is None else (other, True)
    return (other, True) if narrower(limit, other) == other else (limit, False)


def _enumerated(values: list[object]) -> Type:
    """One of a few values: texts, numbers, true and false, null."""
    types: list[Type] = []
    texts = [value for value in values if isinstance(value, str)]
    numbers = [number for value in values if (number := _number(value)) is not None]
    flags = [value for value in values if isinstance(value, bool)]
    if texts:
        types.append(symbols(texts))
    if numbers:
        whole = all(type(number) is int for number in numbers)
        types.append(replace(INT if whole else DOUBLE, range=Range(values=tuple(numbers))))
    if flags:
        types.append(replace(BOOL, range=Range(values=tuple(flags))))
    nulls = values.count(None)
    types += [NULL] if nulls else []
    others = len(values) - len(texts) - len(numbers) - len(flags) - nulls
    return DYN if others else either(types)
