"""The syntax tree of the Common Expression Language, as plain immutable values.

Every form a condition can be written in (CEL text, structured conditions, imported data-contract
rules) becomes this tree; the checker, the evaluator, the code generator and the explanation read
nothing else. Names follow the CEL specification (github.com/google/cel-spec, doc/langdef.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

__all__ = [
    "NOWHERE",
    "And",
    "Call",
    "Comprehension",
    "Conditional",
    "Expr",
    "Has",
    "Ident",
    "Index",
    "ListExpr",
    "Literal",
    "MapEntry",
    "MapExpr",
    "Not",
    "Or",
    "Select",
    "Span",
    "children",
    "rebuilt",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Span:
    """Where a node stands in its source text: character offsets, end exclusive."""

    start: int
    end: int


NOWHERE = Span(0, 0)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: None, bool, int, `UInt`, float, str or bytes (values of `policy.cel.values`)."""

    value: object
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Ident:
    """A name; a leading dot (`.name`: resolve from the root) is kept in `name`."""

    name: str
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `operand.?field` when `optional`."""

    operand: Expr
    field: str
    optional: bool = False
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Has:
    """The macro `has(operand.field)`."""

    operand: Expr
    field: str
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Index:
    """`operand[index]`, or `operand[?index]` when `optional`."""

    operand: Expr
    index: Expr
    optional: bool = False
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Not:
    """`!operand`."""

    operand: Expr
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class And:
    """`a && b && …`, flattened: two operands or more."""

    operands: tuple[Expr, ...]
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Or:
    """`a || b || …`, flattened: two operands or more."""

    operands: tuple[Expr, ...]
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Conditional:
    """`test ? then : otherwise`."""

    test: Expr
    then: Expr
    otherwise: Expr
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator.

    Operators keep their sign as `function`: `== != < <= > >= in + - * / %`, and `-` with one
    argument is negation. `target` is the receiver of a method call (`target.function(args)`).
    """

    function: str
    args: tuple[Expr, ...]
    target: Expr | None = None
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class ListExpr:
    """`[a, ?b]`: `optional` holds the positions written with `?`."""

    elements: tuple[Expr, ...]
    optional: frozenset[int] = frozenset()
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One `key: value` of a map literal."""

    key: Expr
    value: Expr
    optional: bool = False


@dataclass(frozen=True, slots=True)
class MapExpr:
    """`{k: v, ?k: v}`."""

    entries: tuple[MapEntry, ...]
    span: Span = NOWHERE


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A macro over a range, kept as written instead of expanded to a fold.

    `macro` is one of all, exists, exists_one, map, filter, transformList, transformMap,
    transformMapEntry, sortBy, optMap, optFlatMap, bind; `variables` the names it binds (one, or
    two in the two-variable forms); `args` the remaining arguments in the order written
    (`map(x, filter, transform)` has two).
    """

    macro: str
    range: Expr
    variables: tuple[str, ...]
    args: tuple[Expr, ...]
    span: Span = NOWHERE


Expr: TypeAlias = (
    Literal
    | Ident
    | Select
    | Has
    | Index
    | Not
    | And
    | Or
    | Conditional
    | Call
    | ListExpr
    | MapExpr
    | Comprehension
)


def children(node: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions of `node`, in the order they are written."""
    match node:
        case Literal() | Ident():
            return ()
        case Select() | Has() | Not():
            return (node.operand,)
        case Index():
            return (node.operand, node.index)
        case And() | Or():
            return node.operands
        case Conditional():
            return (node.test, node.then, node.otherwise)
        case Call():
            return node.args if node.target is None else (node.target, *node.args)
        case ListExpr():
            return node.elements
        case MapExpr():
            return tuple(part for entry in node.entries for part in (entry.key, entry.value))
        case Comprehension():
            return (node.range, *node.args)


def rebuilt(node: Expr, inner: Callable[[Expr], Expr]) -> Expr:
    """`node` with `inner` of each of its operands; what binds names stays as it is."""
    match node:
        case Literal() | Ident() | Comprehension():
            return node
        case Select() | Has() | Not():
            return replace(node, operand=inner(node.operand))
        case Index():
            return replace(node, operand=inner(node.operand), index=inner(node.index))
        case And() | Or():
            return replace(node, operands=tuple(map(inner, node.operands)))
        case Conditional():
            test, then, otherwise = map(inner, (node.test, node.then, node.otherwise))
            return Conditional(test, then, otherwise, node.span)
        case Call():
            target = None if node.target is None else inner(node.target)
            return replace(node, args=tuple(map(inner, node.args)), target=target)
        case ListExpr():
            return replace(node, elements=tuple(map(inner, node.elements)))
        case MapExpr():
            entries = tuple(
                replace(entry, key=inner(entry.key), value=inner(entry.value))
                for entry in node.entries
            )
            return replace(node, entries=entries)


def walk(node: Expr) -> Iterator[Expr]:
    """`node` and every expression below it, parents first."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(children(top)))
