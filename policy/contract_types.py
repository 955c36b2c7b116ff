"""What the types of a data contract tell of its conditions.

Two things depend on them. A date of Avro is a number of days for the original clients, and a time
here. And their CEL fails where numbers of two kinds meet, or a number and something else:
`message.count == 3.0`, `value != ''` on a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ..schemas.avro_types import (
    Array,
    AvroType,
    Enum,
    Map,
    Primitive,
    Record,
    SchemaError,
    Union,
    parse_schema,
)
from .cel import Environment, check, unparse
from .cel.ast import Call, Conditional, Expr, Ident, ListExpr, Literal, Or, Select, walk
from .cel.types import (
    DYN,
    NULL,
    STRING,
    Type,
    abstract,
    list_of,
    map_of,
    nullable,
    record,
)
from .json_schema_types import json_schema_type
from .schema_types import type_of

__all__ = [
    "DATE",
    "as_days",
    "contract_type",
    "dates_in",
    "is_no_condition",
    "mixtures",
    "type_at",
    "types_in",
]

#: A date of Avro.
DATE: Final = abstract("date")

_NUMBERS: Final = frozenset(("int", "uint", "double"))
_KINDS: Final = _NUMBERS | {"string", "bool", "bytes", "null_type", "list", "map", "timestamp"}
_SHOWN: Final = {"null_type": "null"}
_EQUALITY: Final = frozenset(("==", "!=", "in"))
#: Types that are told apart.
_TYPES_MAX: Final = 5000
_SECONDS_PER_DAY: Final = 86_400
_TIMESTAMP: Final = Select(Select(Ident("google"), "protobuf"), "Timestamp")


def contract_type(kind: str, schema: str) -> Type:
    """The type of the events; DYN where the schema is none, or of another kind."""
    if kind == "JSON":
        return json_schema_type(schema)
    if kind != "AVRO":
        return DYN
    try:
        return _Avro().type(parse_schema(schema).root)
    except SchemaError:
        return DYN


class _Avro:
    """Records inside themselves, and what lies beyond many types, are not known."""

    def __init__(self) -> None:
        self.inside: list[Record] = []
        self.count = 0

    def type(self, type_: AvroType) -> Type:
        self.count += 1
        if self.count > _TYPES_MAX:
            return DYN
        match type_:
            case Primitive("int", "date"):
                return DATE
            case Array():
                return list_of(self.type(type_.items))
            case Map():
                return map_of(STRING, self.type(type_.values))
            case Union():
                return self.union(type_)
            case Record():
                return self.record(type_)
            case Enum():
                return STRING
            case _:
                return type_of(type_)

    def union(self, type_: Union) -> Type:
        types = [self.type(branch) for branch in type_.branches]
        left = [each for each in types if each != NULL]
        if len(left) != 1:
            return DYN if left else NULL
        return left[0] if len(left) == len(types) else nullable(left[0])

    def record(self, type_: Record) -> Type:
        if any(each is type_ for each in self.inside):
            return DYN
        self.inside.append(type_)
        fields = {field.name: self.type(field.type) for field in type_.fields}
        self.inside.pop()
        return record(type_.name, fields)


def _alternatives(type_: Type) -> tuple[Type, ...]:
    """What a value can be where it is not null."""
    inner = type_.params[0] if type_.kind == "nullable" else type_
    return tuple(inner.params) if inner.kind == "either" else (inner,)


def type_at(root: Type, steps: Sequence[str]) -> Type:
    """The type of what `steps` lead to; DYN where that is not known."""
    at = root
    for step in steps:
        found = DYN
        for each in _alternatives(at):
            if step in ("[]", "{}"):
                wanted = "list" if step == "[]" else "map"
                inner = each.params[-1] if each.kind == wanted else None
            else:
                inner = each.field(step) if each.kind == "record" else None
            if inner is not None:
                found = inner
        at = found
    return at


def types_in(expr: Expr, variables: Mapping[str, Type]) -> Mapping[int, Type]:
    """The types of the parts of a condition, by their identity."""
    return check(expr, Environment(variables, expect_bool=False, noting=True)).types


def dates_in(expr: Expr, types: Mapping[int, Type]) -> frozenset[int]:
    """The parts that are dates, by their identity, but for those that are compared with null."""
    nodes = list(walk(expr))
    idle = {
        id(arg)
        for node in nodes
        if isinstance(node, Call) and any(map(_is_null, node.args))
        for arg in node.args
    }
    return frozenset(
        id(node)
        for node in nodes
        if id(node) not in idle and DATE in _alternatives(types.get(id(node), DYN))
    )


def as_days(date: Expr) -> Expr:
    """The days since 1970 of a date, which in JSON is that number already."""
    whether = Call("==", (Call("type", (date,)), _TIMESTAMP))
    days = Call("/", (Call("int", (date,)), Literal(_SECONDS_PER_DAY)))
    return Conditional(whether, days, date)


def mixtures(expr: Expr, types: Mapping[int, Type]) -> Iterator[str]:
    """What the original CEL fails on, in words: `int and double in "message.i == 3.0"`."""
    harmless = set(_null_tests(expr))
    for node in walk(expr):
        if not isinstance(node, Call) or len(node.args) != 2 or id(node) in harmless:
            continue
        left, right = node.args
        others: Sequence[Expr] = (right,)
        if node.function == "in":
            if not isinstance(right, ListExpr):
                continue
            others = right.elements
        for other in others:
            found = _clash(node.function, _kinds(left, types), _kinds(other, types))
            if found is not None:
                first, second = (_SHOWN.get(kind, kind) for kind in found)
                yield f"{first} and {second} in `{unparse(node)}`"
                break


def is_no_condition(expr: Expr, types: Mapping[int, Type]) -> bool:
    """Whether it is neither true nor false, as far as that is known."""
    kinds = _kinds(expr, types)
    return bool(kinds) and "bool" not in kinds


def _null_tests(expr: Expr) -> Iterator[int]:
    """`x == null || …`: where that fails the rest decides, as it does where it is false."""
    for part in expr.operands if isinstance(expr, Or) else ():
        if isinstance(part, Call) and part.function == "==" and any(map(_is_null, part.args)):
            yield id(part)


def _is_null(node: Expr) -> bool:
    return isinstance(node, Literal) and node.value is None


def _kinds(node: Expr, types: Mapping[int, Type]) -> frozenset[str]:
    """The kinds of values that a part may have; none where that is not known."""
    if _is_null(node):
        return frozenset(("null_type",))
    type_ = types.get(id(node), DYN)
    kinds = {"int" if each == DATE else each.kind for each in _alternatives(type_)}
    if type_.kind == "nullable":
        kinds.add(NULL.kind)
    kinds = {"map" if kind == "record" else kind for kind in kinds}
    return frozenset(kinds) if kinds <= _KINDS else frozenset()


def _clash(function: str, left: frozenset[str], right: frozenset[str]) -> tuple[str, str] | None:
    for first in sorted(left):
        for second in sorted(right):
            if first != second and _fails(function, first, second):
                return first, second
    return None


def _fails(function: str, left: str, right: str) -> bool:
    both = {left, right}
    if function in _EQUALITY:
        return bool(both & _NUMBERS) or "list" in both
    if not both <= _NUMBERS or ("uint" in both and function in "+-*/%"):
        return False
    return function in ("/", "%") or left != "double"
