"""The fields of an Avro schema with their tags, as data-contract rules know them.

A rule of kind CEL_FIELD is tried on every primitive field, or on those that bear one of its tags:
`confluent:tags` of the field itself, and the tags that the metadata of the schema gives to names
(`shop.Order.email`, `**.ssn`; `*` stands for anything but a dot, `**` for anything). Null is a
primitive type like any other: a record that may be null is tried where it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from .cel.ast import And, Call, Expr, Has, Ident, Index, ListExpr, Literal, Not, Or, Select
from .paths import NAME

__all__ = [
    "Case",
    "ContractField",
    "Fits",
    "Step",
    "contract_fields",
    "has_member",
    "is_kind",
    "matches_name",
    "member",
    "tags_of",
]

_PRIMITIVES: Final = frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
)
#: The types of the language that values of an Avro type have.
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "null": ("null_type",),
    "boolean": ("bool",),
    "int": ("int",),
    "long": ("int",),
    "float": ("double", "int"),
    "double": ("double", "int"),
    "bytes": ("bytes",),
    "fixed": ("bytes",),
    "string": ("string",),
    "enum": ("string",),
    "array": ("list",),
    "map": ("map",),
    "record": ("map",),
    "error": ("map",),
}
_INT_MAX: Final = 2**31 - 1
#: Words of the language that cannot stand after a dot.
_KEYWORDS: Final = frozenset(("in", "true", "false", "null"))
#: Records inside records; a schema that refers to itself ends here.
_DEPTH_MAX: Final = 12

_Schema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fits:
    """A step that leads nowhere: what stands here is looked at where the test holds.

    `test` gives the condition for an expression; it raises ValueError where there is none.
    """

    test: Callable[[Expr], Expr]


#: A name of a field, `[]` for the elements of an array, `{}` for the values of a map, or a test.
Step: TypeAlias = str | Fits


@dataclass(frozen=True, slots=True)
class Case:
    """A type that a field may have.

    `name` is what rules know it by, such as INT, and empty for types that they are not tried on.
    `kinds` are the types of the language that its values have, `test` tells them from other cases;
    `members` are the fields of a record.
    """

    name: str
    kinds: tuple[str, ...]
    test: Callable[[Expr], Expr]
    date: bool = False
    members: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ContractField:
    """A field that rules are tried on. `steps` lead to it from the value.

    `full_name` is the record's full name and the field's. The first of `cases` that fits is the
    type of a value. With `skips_null` nothing is tried on null.
    """

    steps: tuple[Step, ...]
    name: str
    full_name: str
    cases: tuple[Case, ...]
    tags: tuple[str, ...]
    skips_null: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        """The steps without tests."""
        return tuple(step for step in self.steps if isinstance(step, str))

    @property
    def shown(self) -> str:
        """How people write it: `value.items[].sku`."""
        return "value" + "".join(s if s in ("[]", "{}") else f".{s}" for s in self.path)


def contract_fields(schema: str, named: Mapping[str, object]) -> tuple[ContractField, ...]:
    """The fields of an Avro schema, given as text. `named` has tags by patterns of names.

    Raises ValueError for what is no Avro schema, or refers to itself.
    """
    return tuple(_Walk(named).walk(json.loads(schema), (), "", None, 0))


def matches_name(pattern: str, name: str) -> bool:
    """Whether a full name fits a pattern of the metadata."""
    pieces: list[str] = re.split(r"(\*\*|\*|\?)", pattern.replace("**.*", "**"))
    wild: dict[str, str] = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    return re.fullmatch("".join(wild.get(p) or re.escape(p) for p in pieces), name) is not None


def tags_of(own: object, named: Mapping[str, object], full_name: str) -> tuple[str, ...]:
    """The tags that stand at the field, and those that the metadata gives to its name, sorted."""
    tags = set(cast("Sequence[str]", own or ()))
    for pattern, given in named.items():
        if matches_name(pattern, full_name):
            tags.update(cast("list[str]", given))
    return tuple(sorted(tags))


def is_kind(value: Expr, *kinds: str) -> Expr:
    """That a value is of one of some types of the language."""
    tests = [
        Call("==", (value, Literal(None)))
        if kind == "null_type"
        else Call("==", (Call("type", (value,)), Ident(kind)))
        for kind in kinds
    ]
    return tests[0] if len(tests) == 1 else Or(tuple(tests))


def member(value: Expr, name: str) -> Expr:
    """A field of a record."""
    if NAME.fullmatch(name) and name not in _KEYWORDS:
        return Select(value, name)
    return Index(value, Literal(name))


def has_member(value: Expr, name: str) -> Expr:
    """That a record has a field."""
    if NAME.fullmatch(name) and name not in _KEYWORDS:
        return Has(value, name)
    return Call("in", (Literal(name), value))


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
        several = sum(branch != "null" for branch in branches) > 1
        cases: list[Case] = []
        for branch in branches:
            kind = branch if isinstance(branch, str) else branch.get("type")
            if isinstance(kind, (dict, list)):  # a type wrapped once more
                yield from self.walk(kind, steps, space, owner, depth)
                continue
            if kind in _PRIMITIVES:
                cases.append(self.case(branch, kind, space))
                continue
            inside = (*steps, Fits(_only(cases, len(cases)))) if several else steps
            yield from self.complex(branch, kind, inside, space, owner, depth)
            cases.append(self.case(branch, kind, space))
        if owner is not None and any(case.name for case in cases):
            yield ContractField(steps, owner.name, owner.full_name, tuple(cases), owner.tags)

    def case(self, schema: Any, kind: str, space: str) -> Case:
        name = kind.upper() if kind in _PRIMITIVES else ""
        if kind not in _KINDS:
            schema = self.named_type(kind, space)[0]
            kind = schema["type"]
        said = cast("_Schema", schema if isinstance(schema, dict) else {})
        kinds = _KINDS[kind]

        def test(value: Expr) -> Expr:
            if kind == "int":
                least, most = Literal(-_INT_MAX - 1), Literal(_INT_MAX)
                within = (Call(">=", (value, least)), Call("<=", (value, most)))
                return And((is_kind(value, "int"), *within))
            if kind == "enum":
                symbols = tuple(map(Literal, said["symbols"]))
                return Call("in", (value, ListExpr(symbols)))
            return is_kind(value, *kinds)

        members = frozenset(field["name"] for field in said.get("fields") or ())
        date = kind == "int" and said.get("logicalType") == "date"
        return Case(name, kinds, test, date, members)

    def named_type(self, name: str, space: str) -> tuple[_Schema, str]:
        found = self.types.get(name) or self.types.get(f"{space}.{name}")
        if found is None:
            raise ValueError(f"there is no type `{name}`")
        return found

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
            found = self.named_type(kind, space)
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
            tags = tags_of(field.get("confluent:tags"), self.named, full_name)
            owner = _Owner(field["name"], full_name, tags)
            yield from self.walk(field["type"], (*steps, field["name"]), space, owner, depth + 1)


def _only(cases: Sequence[Case], place: int) -> Callable[[Expr], Expr]:
    """That a value is of the case at `place`. The list may still grow.

    Records are told apart by a field that one has and the other has not.
    """

    def test(value: Expr) -> Expr:
        own = cases[place]
        parts = [own.test(value)]
        for other in cases:
            if other is own or other.kinds != own.kinds:
                continue
            if own.members - other.members:
                parts.append(has_member(value, min(own.members - other.members)))
            elif other.members - own.members:
                parts.append(Not(has_member(value, min(other.members - own.members))))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    return test


def _full_name(schema: _Schema, space: str) -> str:
    name = str(schema["name"])
    if "." in name:
        return name
    space = str(schema.get("namespace", space))
    return f"{space}.{name}" if space else name
