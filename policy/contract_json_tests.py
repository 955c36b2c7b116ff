"""Whether a value fits a JSON Schema, as a condition: what tells the branches of a `oneOf` apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from .cel.ast import And, Call, Comprehension, Expr, Ident, ListExpr, Literal, Not, Or
from .contract_fields import has_member, is_kind, member

__all__ = ["KINDS", "fits"]

#: The types of the language that values of a JSON type have.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "null": ("null_type",),
    "boolean": ("bool",),
    "integer": ("int",),
    "number": ("int", "double"),
    "string": ("string",),
    "array": ("list",),
    "object": ("map",),
}
_COMPARED: Final = {
    "minimum": (">=", "number"),
    "maximum": ("<=", "number"),
    "exclusiveMinimum": (">", "number"),
    "exclusiveMaximum": ("<", "number"),
    "minLength": (">=", "string"),
    "maxLength": ("<=", "string"),
    "minItems": (">=", "array"),
    "maxItems": ("<=", "array"),
    "minProperties": (">=", "object"),
    "maxProperties": ("<=", "object"),
}
#: Words that say nothing of what is valid.
_SILENT: Final = frozenset(
    (
        *("$id", "$schema", "$comment", "$defs", "definitions", "title", "description"),
        *("default", "examples", "deprecated", "readOnly", "writeOnly", "format"),
    )
)
_DEPTH_MAX: Final = 12
_TRUE: Final = Literal(True)

_Lookup: TypeAlias = Callable[[str], object]


def fits(schema: object, value: Expr, lookup: _Lookup, depth: int = 0) -> Expr:
    """That `value` is valid. Raises ValueError for what conditions cannot say."""
    if isinstance(schema, bool):
        return Literal(schema)
    if depth > _DEPTH_MAX or not isinstance(schema, dict):
        raise ValueError("branches that are nested in themselves, or too deeply")
    said = cast("Mapping[str, Any]", schema)
    if "$ref" in said:
        return fits(lookup(str(said["$ref"])), value, lookup, depth + 1)
    kinds: list[str] = [said["type"]] if isinstance(said.get("type"), str) else said.get("type", [])
    parts: list[Expr] = []
    if kinds:
        found = tuple(dict.fromkeys(kind for name in kinds for kind in KINDS[name]))
        parts.append(is_kind(value, *found))
    about: dict[str, list[Expr]] = {}
    for word, given in said.items():
        if word in _SILENT or word == "type" or ":" in word or "." in word:
            continue
        if word in _COMPARED:
            sign, kind = _COMPARED[word]
            left = value if kind == "number" else Call("size", (value,))
            about.setdefault(kind, []).append(Call(sign, (left, Literal(given))))
        else:
            for kind, part in _word(word, given, said, value, lookup, depth):
                about.setdefault(kind, []).append(part)
    for kind, tests in about.items():
        if kind and kinds != [kind]:
            parts.append(Or((Not(is_kind(value, *KINDS[kind])), _all(tests))))
        else:
            parts.extend(tests)
    return _all(parts)


def _all(parts: Sequence[Expr]) -> Expr:
    left = [part for part in parts if part != _TRUE]
    if len(left) < 2:
        return left[0] if left else _TRUE
    return And(tuple(left))


def _word(
    word: str, given: Any, said: Mapping[str, Any], value: Expr, lookup: _Lookup, depth: int
) -> Iterator[tuple[str, Expr]]:
    """What one word asks for, with the JSON type that it speaks of (empty: any)."""

    def inner(schema: object, at: Expr = value) -> Expr:
        return fits(schema, at, lookup, depth + 1)

    item = Ident(f"part_{depth}")
    match word:
        case "enum" | "const":
            constants = given if word == "enum" else [given]
            yield "", Call("in", (value, ListExpr(tuple(map(_constant, constants)))))
        case "required":
            yield from (("object", has_member(value, str(name))) for name in given)
        case "properties":
            for name, schema in given.items():
                asked = inner(schema, member(value, name))
                if asked != _TRUE:
                    yield "object", Or((Not(has_member(value, name)), asked))
        case "additionalProperties" if isinstance(given, bool):
            names = ListExpr(tuple(map(Literal, said.get("properties") or {})))
            if not given:
                known = Call("in", (item, names))
                yield "object", Comprehension("all", value, (item.name,), (known,))
        case "items" if isinstance(given, dict):
            asked = inner(cast("object", given), item)
            yield "array", Comprehension("all", value, (item.name,), (asked,))
        case "pattern":
            yield "string", Call("matches", (Literal(given),), value)
        case "allOf":
            yield from (("", inner(schema)) for schema in given)
        case "anyOf":
            yield "", Or(tuple(map(inner, given))) if len(given) > 1 else inner(given[0])
        case "not":
            yield "", Not(inner(given))
        case _:
            raise ValueError(f"`{word}`")


def _constant(given: object) -> Expr:
    if given is None or isinstance(given, (bool, int, float, str)):
        return Literal(given)
    raise ValueError("lists and objects as constants")
