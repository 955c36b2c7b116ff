"""What the types of a data contract tell of its conditions.

Two things depend on them. A date of Avro is a number of days for the original clients, and a time
here. And their CEL fails where numbers of two kinds meet, or a number and something else:
`message.count == 3.0`, `value != ''` on a number. A number is of the kind in which it was sent, so
that `message.amount < 10.5` fails of a double that is sent as `5`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

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
from .cel.ast import (
    Call,
    Comprehension,
    Conditional,
    Expr,
    Ident,
    Index,
    ListExpr,
    Literal,
    Or,
    Select,
    walk,
)
from .cel.types import (
    DYN,
    NULL,
    STRING,
    Type,
    abstract,
    either,
    list_of,
    map_of,
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
    "unknown_fields",
    "whole_numbers",
]

_Kinds: TypeAlias = frozenset[str]
_KindsOf: TypeAlias = Callable[[Expr, Mapping[int, Type]], _Kinds]

#: A date of Avro.
DATE: Final = abstract("date")

#: The code of fields that a schema does not have.
_NO_FIELD: Final = "SW125"
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
        return either(self.type(branch) for branch in type_.branches)

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


def unknown_fields(expr: Expr, variables: Mapping[str, Type]) -> Iterator[str]:
    """What is read that the schema does not have, each in words, with what was probably meant."""
    for problem in check(expr, Environment(variables, expect_bool=False)).problems:
        if problem.code == _NO_FIELD:
            yield f"{problem.message}; {problem.remedy}" if problem.remedy else problem.message


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
    for node, (left, right) in _clashes(expr, types, _kinds):
        first, second = _SHOWN.get(left, left), _SHOWN.get(right, right)
        yield f"{first} and {second} in `{unparse(node)}`"


def whole_numbers(expr: Expr, types: Mapping[int, Type]) -> Iterator[Expr]:
    """Where the original CEL fails if what is a double by the schema is sent as a whole number."""
    constant = {
        name
        for node in walk(expr)
        if isinstance(node, Comprehension) and isinstance(node.range, ListExpr)
        for name in node.variables
    }

    def kinds(part: Expr, types: Mapping[int, Type]) -> frozenset[str]:
        known = _kinds(part, types)
        return known | {"int"} if "double" in known and _is_sent(part, constant) else known

    always = {id(node) for node, _ in _clashes(expr, types, _kinds)}
    yield from (node for node, _ in _clashes(expr, types, kinds) if id(node) not in always)


def _is_sent(node: Expr, constant: Collection[str]) -> bool:
    """Whether a number is of the kind in which it was sent."""
    match node:
        case Ident():
            return node.name not in constant
        case Select() | Index():
            return True
        case Call(function="+" | "-" | "*", target=None):
            return all(_is_sent(arg, constant) for arg in node.args)
        case Conditional():
            return _is_sent(node.then, constant) or _is_sent(node.otherwise, constant)
        case _:
            return False


def _clashes(
    expr: Expr, types: Mapping[int, Type], kinds: _KindsOf
) -> Iterator[tuple[Call, tuple[str, str]]]:
    """Each operator that fails on what it brings together, with the first two kinds of that."""
    harmless = set(_null_tests(expr))
    for node in walk(expr):
        if not isinstance(node, Call) or len(node.args) != 2 or id(node) in harmless:
            continue
        left, right = node.args
        others = [kinds(right, types)]
        if node.function == "in":
            others = _inside(right, types, kinds)
        found = (_clash(node.function, kinds(left, types), other) for other in others)
        clash = next((each for each in found if each is not None), None)
        if clash is not None:
            yield node, clash


def _inside(node: Expr, types: Mapping[int, Type], kinds: _KindsOf) -> list[_Kinds]:
    """The kinds of the elements of a list."""
    if isinstance(node, ListExpr):
        return [kinds(element, types) for element in node.elements]
    lists = [each for each in _alternatives(types.get(id(node), DYN)) if each.kind == "list"]
    # An element of the list stands for all of them.
    element = Index(node, Literal(0))
    return [kinds(element, {id(element): each.params[0]}) for each in lists]


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
