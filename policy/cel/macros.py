"""Calls that are not calls: macros become nodes of their own, qualified functions lose their dot.

A macro written with the wrong number of arguments stays a call; the checker says what is wrong.
"""

from __future__ import annotations

from typing import Final

from .ast import Call, Comprehension, Expr, Has, Ident, ListExpr, Literal, Select, Span
from .lexer import CelSyntaxError

__all__ = ["MACROS", "QUALIFIED", "block_variable", "expand"]

#: Macro → numbers of variables and of further arguments that it can be written with.
MACROS: Final[dict[str, frozenset[tuple[int, int]]]] = {
    "all": frozenset({(1, 1), (2, 1)}),
    "exists": frozenset({(1, 1), (2, 1)}),
    "exists_one": frozenset({(1, 1), (2, 1)}),
    "map": frozenset({(1, 1), (1, 2)}),
    "filter": frozenset({(1, 1)}),
    "transformList": frozenset({(2, 1), (2, 2)}),
    "transformMap": frozenset({(2, 1), (2, 2)}),
    "transformMapEntry": frozenset({(2, 1), (2, 2)}),
    "sortBy": frozenset({(1, 1)}),
    "optMap": frozenset({(1, 1)}),
    "optFlatMap": frozenset({(1, 1)}),
    "bind": frozenset({(1, 1)}),
}
_SPELLINGS: Final = {"existsOne": "exists_one"}

#: Functions that are called by a qualified name; their first part is no variable.
QUALIFIED: Final = frozenset({
    *(f"math.{name}" for name in (
        "greatest", "least", "ceil", "floor", "round", "trunc", "abs", "sign", "sqrt",
        "isNaN", "isInf", "isFinite",
        "bitAnd", "bitOr", "bitXor", "bitNot", "bitShiftLeft", "bitShiftRight",
    )),
    *(f"optional.{name}" for name in ("of", "none", "ofNonZeroValue", "unwrap")),
    *(f"sets.{name}" for name in ("contains", "equivalent", "intersects")),
    "base64.encode", "base64.decode", "ip.isCanonical", "strings.quote", "lists.range",
})  # fmt: skip


def expand(name: str, args: tuple[Expr, ...], target: Expr | None, span: Span) -> Expr:
    """The node that the call `target.name(args)` stands for."""
    if target is None:
        if name == "has" and len(args) == 1:
            return _has(args[0], span)
        return Call(name, args, None, span)
    if isinstance(target, Ident):
        qualifier = target.name.removeprefix(".")
        if qualifier == "cel":
            return _cel(name, args, target, span)
        if f"{qualifier}.{name}" in QUALIFIED:
            return Call(f"{qualifier}.{name}", args, None, span)
    macro = _SPELLINGS.get(name, name)
    for variables, rest in MACROS.get(macro, ()) if macro != "bind" else ():
        if variables + rest == len(args) and _fits(variables, args):
            names = tuple(_variable(arg) for arg in args[:variables])
            if len(set(names)) < variables:
                raise CelSyntaxError(
                    "two variables of a macro have one name", args[1].span.start, _length(args[1])
                )
            return Comprehension(macro, target, names, args[variables:], span)
    return Call(name, args, target, span)


def _has(arg: Expr, span: Span) -> Expr:
    if isinstance(arg, Select) and not arg.optional:
        return Has(arg.operand, arg.field, span)
    return Call("has", (arg,), None, span)


def _fits(variables: int, args: tuple[Expr, ...]) -> bool:
    """Of two readings with as many arguments, take the one with names where names have to be."""
    return len(args) != 3 or variables == 1 or isinstance(args[1], Ident)


def _variable(arg: Expr) -> str:
    if isinstance(arg, Ident) and not arg.name.startswith("."):
        return arg.name
    raise CelSyntaxError(
        "the variable of a macro is a plain name",
        arg.span.start,
        _length(arg),
        remedy="write for example `value.items.exists(item, item.price > 10)`",
    )


def _length(node: Expr) -> int:
    return max(node.span.end - node.span.start, 1)


def _cel(name: str, args: tuple[Expr, ...], target: Expr, span: Span) -> Expr:
    """`cel.bind`, and what optimizers write: `cel.block`, `cel.index`, `cel.iterVar`."""
    if name == "bind" and len(args) == 3:
        return Comprehension("bind", args[1], (_variable(args[0]),), args[2:], span)
    if name == "block" and len(args) == 2:
        bindings = args[0]
        if isinstance(bindings, ListExpr) and not bindings.optional:
            return _block(bindings.elements, args[1], span)
    numbers = [arg.value for arg in args if isinstance(arg, Literal) and type(arg.value) is int]
    if len(numbers) == len(args) == {"index": 1, "iterVar": 2, "accuVar": 2}.get(name):
        return Ident(block_variable(name, *numbers), span)
    return Call(name, args, target, span)


def block_variable(name: str, *numbers: int) -> str:
    """The variable that `cel.index(n)`, `cel.iterVar(n, m)` or `cel.accuVar(n, m)` stands for."""
    return f"@{name}:{':'.join(map(str, numbers))}"


def _block(elements: tuple[Expr, ...], result: Expr, span: Span) -> Expr:
    node = result
    for number in reversed(range(len(elements))):
        name = block_variable("index", number)
        node = Comprehension("bind", elements[number], (name,), (node,), span)
    return node
