"""The fields of an Avro schema with their tags, as data-contract rules know them.

A rule of kind CEL_FIELD is tried on every primitive field, or on those that bear one of its tags:
`confluent:tags` of the field itself, and the tags that the metadata of the schema gives to names
(`shop.Order.email`, `**.ssn`; `*` stands for anything but a dot, `**` for anything).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

__all__ = ["ContractField", "Step", "contract_fields", "matches_name"]

_PRIMITIVES: Final = frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
)
#: Records inside records; a schema that refers to itself ends here.
_DEPTH_MAX: Final = 12

#: A name of a field, `[]` for the elements of an array, `{}` for the values of a map.
Step: TypeAlias = str
_Schema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ContractField:
    """A primitive field. `steps` lead to it from the value; `types` are its types, null among them.

    `full_name` is the record's full name and the field's.
    """

    steps: tuple[Step, ...]
    name: str
    full_name: str
    types: tuple[str, ...]
    tags: tuple[str, ...]


def contract_fields(schema: str, named: Mapping[str, object]) -> tuple[ContractField, ...]:
    """The primitive fields of an Avro schema, given as text. `named` has tags by patterns of names.

    Raises ValueError for what is no Avro schema, or refers to itself.
    """
    return tuple(_Walk(named).walk(json.loads(schema), (), "", None, 0))


def matches_name(pattern: str, name: str) -> bool:
    """Whether a full name fits a pattern of the metadata."""
    pieces: list[str] = re.split(r"(\*\*|\*|\?)", pattern)
    wild: dict[str, str] = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    return re.fullmatch("".join(wild.get(p) or re.escape(p) for p in pieces), name) is not None


@dataclass(frozen=True, slots=True)
class _Owner:
    """The field that a type belongs to."""

    name: str
    full_name: str
    tags: tuple[str, ...]


class _Walk:
    def __init__(self, named: Mapping[str, object]) -> None:
        self.named = named
        self.types: dict[str, tuple[_Schema, str]] = {}

    def walk(
        self, schema: Any, steps: tuple[Step, ...], space: str, owner: _Owner | None, depth: int
    ) -> Iterator[ContractField]:
        branches: list[Any] = [schema] if isinstance(schema, (str, dict)) else schema
        primitive: list[str] = []
        for branch in branches:
            kind = branch if isinstance(branch, str) else branch.get("type")
            if isinstance(kind, (dict, list)):  # a type wrapped once more
                yield from self.walk(kind, steps, space, owner, depth)
            elif kind in _PRIMITIVES:
                primitive.append(kind)
            else:
                yield from self.complex(branch, kind, steps, space, owner, depth)
        if owner is not None and any(kind != "null" for kind in primitive):
            yield ContractField(steps, owner.name, owner.full_name, tuple(primitive), owner.tags)

    def complex(
        self,
        schema: Any,
        kind: str,
        steps: tuple[Step, ...],
        space: str,
        owner: _Owner | None,
        depth: int,
    ) -> Iterator[ContractField]:
        if kind == "array":
            yield from self.walk(schema["items"], (*steps, "[]"), space, owner, depth)
        elif kind == "map":
            yield from self.walk(schema["values"], (*steps, "{}"), space, owner, depth)
        elif kind in ("record", "error"):
            name = _full_name(schema, space)
            self.types[name] = (schema, space)
            yield from self.record(schema, name, steps, depth)
        elif kind in ("enum", "fixed"):
            self.types[_full_name(schema, space)] = (schema, space)
        else:
            found = self.types.get(kind) or self.types.get(f"{space}.{kind}")
            if found is None:
                raise ValueError(f"there is no type `{kind}`")
            if found[0].get("type") in ("record", "error"):
                yield from self.record(found[0], _full_name(*found), steps, depth)

    def record(
        self, schema: _Schema, name: str, steps: tuple[Step, ...], depth: int
    ) -> Iterator[ContractField]:
        if depth >= _DEPTH_MAX:
            raise ValueError(f"the record `{name}` is nested in itself, or too deeply")
        space = name.rpartition(".")[0]
        for field in schema["fields"]:
            full_name = f"{name}.{field['name']}"
            tags: set[str] = set(field.get("confluent:tags") or ())
            for pattern, given in self.named.items():
                if matches_name(pattern, full_name):
                    tags.update(cast("list[str]", given))
            owner = _Owner(field["name"], full_name, tuple(sorted(tags)))
            yield from self.walk(field["type"], (*steps, field["name"]), space, owner, depth + 1)


def _full_name(schema: _Schema, space: str) -> str:
    name = str(schema["name"])
    if "." in name:
        return name
    space = str(schema.get("namespace", space))
    return f"{space}.{name}" if space else name
