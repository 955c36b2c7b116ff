"""The fields of a JSON Schema with their tags, as data-contract rules know them.

Names start with `$`: `$.address.zip`, and elements of an array go by the name of the array. Of a
`oneOf` the first branch that a value fits is looked at, of an `anyOf` each, of an `allOf` all; what
stands beside them is looked at as well. Null, and values that an `enum` or `const` lists, are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote

from .cel.ast import And, Expr, Not
from .contract_fields import Case, ContractField, Fits, Step, is_kind, tags_of
from .contract_json_tests import KINDS, fits

__all__ = ["json_contract_fields"]

_NAMES: Final[Mapping[str, str]] = {
    "string": "STRING",
    "integer": "INT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
}
#: Schemas inside schemas; one that refers to itself ends here.
_DEPTH_MAX: Final = 24

_Schema: TypeAlias = Mapping[str, Any]


def json_contract_fields(schema: str, named: Mapping[str, object]) -> tuple[ContractField, ...]:
    """The fields of a JSON Schema, given as text. `named` has tags by patterns of names.

    Raises ValueError for what is no JSON Schema, or refers to itself or to other documents.
    """
    root: object = json.loads(schema)
    return tuple(_Walk(root, named).walk(root, _Place((), "$"), 0))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands; `tags` and `name` are those of the property that it belongs to."""

    steps: tuple[Step, ...]
    full_name: str
    name: str = ""
    tags: tuple[str, ...] = field(default=())

    def below(self, step: Step) -> _Place:
        return _Place((*self.steps, step), self.full_name, self.name, self.tags)


class _Walk:
    def __init__(self, root: object, named: Mapping[str, object]) -> None:
        self.root = root
        self.named = named

    def walk(self, written: object, at: _Place, depth: int) -> Iterator[ContractField]:
        if not isinstance(written, dict):
            return
        if depth > _DEPTH_MAX:
            raise ValueError(f"`{at.full_name}` is nested in itself, or too deeply")
        schema = cast("_Schema", written)
        kinds: object = schema.get("type")
        if isinstance(kinds, list) and kinds:
            yield from self.several(schema, cast("list[str]", kinds), at, depth)
        elif {"allOf", "oneOf", "anyOf"} & schema.keys():
            yield from self.combined(schema, at, depth)
        elif "items" in schema and kinds in (None, "array"):
            yield from self.items(schema, at, depth)
        elif "$ref" in schema:
            yield from self.walk(self.lookup(str(schema["$ref"])), at, depth + 1)
        elif "const" in schema or "enum" in schema:
            return
        elif kinds in _NAMES and at.name:
            yield self.field(at, [str(kinds)])
        elif kinds == "object" or (kinds is None and "properties" in schema):
            yield from self.properties(schema, at, depth)

    def several(
        self, schema: _Schema, kinds: Sequence[str], at: _Place, depth: int
    ) -> Iterator[ContractField]:
        """For `type: [string, integer]`, the first type that fits."""
        left = [kind for kind in kinds if kind != "null"]
        if len(left) == 1:
            yield from self.walk({**schema, "type": left[0]}, at, depth + 1)
            return
        if set(left) <= _NAMES.keys() and not (
            {"allOf", "oneOf", "anyOf", "items", "$ref", "const", "enum"} & schema.keys()
        ):
            if at.name and left:
                yield self.field(at, left)
            return
        branches = [{**schema, "type": kind} for kind in left]
        tests = [{"type": kind} for kind in left]
        yield from self.first(branches, tests, at, depth)

    def combined(self, schema: _Schema, at: _Place, depth: int) -> Iterator[ContractField]:
        if "allOf" in schema:
            for branch in schema["allOf"]:
                yield from self.walk(branch, at, depth + 1)
        elif "oneOf" in schema:
            branches = [branch for branch in schema["oneOf"] if not _is_null(branch)]
            yield from self.first(branches, branches, at, depth)
        else:
            branches = [branch for branch in schema["anyOf"] if not _is_null(branch)]
            for branch in branches:
                place = at if len(branches) == 1 else at.below(Fits(self.test(branch)))
                yield from self.walk(branch, place, depth + 1)
        yield from self.properties(schema, at, depth)
        if "items" in schema:
            yield from self.items(schema, at, depth)

    def first(
        self, branches: Sequence[_Schema], tests: Sequence[object], at: _Place, depth: int
    ) -> Iterator[ContractField]:
        """The branches, each for values that fit it and none before."""
        if len(branches) == 1:
            yield from self.walk(branches[0], at, depth + 1)
            return
        for number, branch in enumerate(branches):
            place = at.below(Fits(self.test(tests[number], tests[:number])))
            yield from self.walk(branch, place, depth + 1)

    def test(self, schema: object, before: Sequence[object] = ()) -> Callable[[Expr], Expr]:
        def whether(value: Expr) -> Expr:
            wanted = fits(schema, value, self.lookup)
            refused = [Not(fits(each, value, self.lookup)) for each in before]
            return And((wanted, *refused)) if refused else wanted

        return whether

    def items(self, schema: _Schema, at: _Place, depth: int) -> Iterator[ContractField]:
        if isinstance(schema["items"], list):
            raise ValueError(f"`{at.full_name}` has `items` that are a list")
        yield from self.walk(schema["items"], at.below("[]"), depth + 1)

    def properties(self, schema: _Schema, at: _Place, depth: int) -> Iterator[ContractField]:
        written: object
        for name, written in cast("_Schema", schema.get("properties") or {}).items():
            if not isinstance(written, dict):
                continue
            said = cast("_Schema", written)
            full_name = f"{at.full_name}.{name}"
            tags = tags_of(said.get("confluent:tags"), self.named, full_name)
            yield from self.walk(said, _Place((*at.steps, name), full_name, name, tags), depth + 1)

    def field(self, at: _Place, kinds: Sequence[str]) -> ContractField:
        cases = tuple(
            Case(_NAMES[kind], KINDS[kind], _test_of(kind)) for kind in kinds if kind in _NAMES
        )
        return ContractField(at.steps, at.name, at.full_name, cases, at.tags, skips_null=True)

    def lookup(self, reference: str) -> object:
        """What a reference inside the document leads to."""
        if not reference.startswith("#"):
            raise ValueError(f"`{reference}` refers to another schema")
        found: Any = self.root
        for piece in unquote(reference[1:]).split("/")[1:]:
            name = piece.replace("~1", "/").replace("~0", "~")
            found = found[int(name) if isinstance(found, list) else name]
        return cast("object", found)


def _test_of(kind: str) -> Callable[[Expr], Expr]:
    return lambda value: is_kind(value, *KINDS[kind])


def _is_null(schema: object) -> bool:
    return isinstance(schema, dict) and cast("_Schema", schema).get("type") == "null"
