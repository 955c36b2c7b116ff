"""What a JSON Schema says about values, as far as the checker of conditions can use it.

Understood are type, properties, required, additionalProperties, items, enum, const, maxItems,
maxLength, references within the schema, and oneOf, anyOf and allOf of what has one type; the rest
is left open, so that nothing is called wrong that a valid event can be. Objects may have fields
that the schema does not name unless it says `additionalProperties: false`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import unquote

from ..schemas.json_projection import DecodeError, decode_json
from .cel.types import (
    BOOL,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    Type,
    list_of,
    map_of,
    nullable,
    record,
    symbols,
)

__all__ = ["json_schema_type"]

_DEPTH_MAX: Final = 16
_TYPES_MAX: Final = 5000
_PLAIN: Final[Mapping[str, Type]] = {
    "boolean": BOOL,
    "integer": INT,
    "number": DOUBLE,
    "null": NULL,
}
#: What says something about an object without naming its fields.
_SILENT: Final = frozenset({"required", "if", "not"})
_OBJECT_WORDS: Final = ("properties", "required", "additionalProperties", "patternProperties")


def json_schema_type(text: str) -> Type:
    """The type of values that are valid by the schema; DYN where it says nothing of use."""
    try:
        written = decode_json(text.encode())
    except (DecodeError, UnicodeEncodeError):
        return DYN
    return _Converter(written).type(written, 0)


class _Converter:
    """References that lead back to themselves are open, since types have no cycles."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._following: list[str] = []
        self._count = 0

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
                return _either([self.type(b, depth + 1) for b in cast("list[object]", branches)])
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
            known += [type_] if type_.kind != "dyn" else []
        if not known or not all(found.kind == "record" for found in known):
            return known[0] if len(known) == 1 else DYN
        fields: dict[str, Type] = {}
        for found in known:
            fields |= found.fields
            required |= {name for name, _ in found.fields} - found.optional
        return record(
            _title(said) or known[0].name, fields, open=True, optional=fields.keys() - required
        )

    def _plain(self, said: dict[str, object], depth: int) -> Type:
        if "const" in said:
            return _enumerated([said["const"]])
        if isinstance(said.get("enum"), list):
            return _enumerated(cast("list[object]", said["enum"]))
        kind = said.get("type")
        if isinstance(kind, list):
            return _either(
                [self._of_kind(each, said, depth) for each in cast("list[object]", kind)]
            )
        if kind is None and any(word in said for word in _OBJECT_WORDS):
            kind = "object"
        return self._of_kind(kind, said, depth)

    def _of_kind(self, kind: object, said: dict[str, object], depth: int) -> Type:
        match kind:
            case "object":
                return self._object(said, depth)
            case "array":
                items = said.get("items")
                type_ = DYN if "prefixItems" in said else self.type(items, depth + 1)
                return list_of(type_, _size(said.get("maxItems")))
            case "string":
                return Type("string", size=_size(said.get("maxLength")))
            case str():
                return _PLAIN.get(kind, DYN)
            case _:
                return DYN

    def _object(self, said: dict[str, object], depth: int) -> Type:
        properties, others = said.get("properties"), said.get("additionalProperties", True)
        if "patternProperties" in said:
            others = True
        if not isinstance(properties, dict):
            closed = others is False
            others = self.type(others, depth + 1)
            return record("", {}) if closed else map_of(STRING, others)
        written = cast("dict[str, object]", properties)
        fields = {name: self.type(each, depth + 1) for name, each in written.items()}
        required = _names(said.get("required"))
        return record(
            _title(said),
            fields,
            open=others is not False,
            optional=[name for name in fields if name not in required],
        )


def _title(said: dict[str, object]) -> str:
    title = said.get("title")
    return title if isinstance(title, str) else ""


def _names(written: object) -> list[object]:
    return cast("list[object]", written) if isinstance(written, list) else []


def _size(written: object) -> int | None:
    """A limit, where one is given."""
    return written if type(written) is int and written >= 0 else None


def _enumerated(values: list[object]) -> Type:
    texts = [value for value in values if isinstance(value, str)]
    others = [value for value in values if value is not None and not isinstance(value, str)]
    if others:
        if all(type(value) is bool for value in values):
            return BOOL
        return INT if all(type(value) is int for value in values) else DYN
    if not texts:
        return NULL
    return nullable(symbols(texts)) if None in values else symbols(texts)


def _either(types: list[Type]) -> Type:
    """One type, or null as well; what differs otherwise is open."""
    kinds = list(dict.fromkeys(type_ for type_ in types if type_.kind != "null_type"))
    without_null = [type_.params[0] if type_.kind == "nullable" else type_ for type_ in kinds]
    if not kinds:
        return NULL if types else DYN
    if len(set(without_null)) > 1:
        return DYN
    may_be_null = len(kinds) < len(types) and any(type_.kind == "null_type" for type_ in types)
    may_be_null = may_be_null or any(type_.kind == "nullable" for type_ in kinds)
    return nullable(without_null[0]) if may_be_null else without_null[0]
