"""Names with dots, and names of types.

Rules have plain variables. CEL at large also has qualified ones, `a.b.c`, looked up in a container
first; `resolve` finds them in a tree, where they look like selections.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from .ast import (
    Comprehension,
    Expr,
    Ident,
    Select,
    rebuilt,
    walk,
)
from .values import CelType

__all__ = ["TYPE_NAMES", "dotted_name", "renamed", "resolve", "unbound"]

#: What names a type, as a value.
TYPE_NAMES: Final = {
    name: CelType(name)
    for name in (
        "bool", "int", "uint", "double", "decimal", "string", "bytes", "list", "map", "null_type",
        "type", "optional_type", "google.protobuf.Timestamp", "google.protobuf.Duration",
        "net.IP", "net.CIDR",
    )
}  # fmt: skip


#: Nodes that take the place of a name that is bound.
_UNBOUND_MAX: Final = 64


def dotted_name(node: Expr) -> str:
    """`a.b.c` for such a chain of selections; the empty string for anything else."""
    fields: list[str] = []
    while isinstance(node, Select) and not node.optional:
        fields.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(fields)]) if isinstance(node, Ident) else ""


def resolve(
    node: Expr, names: Collection[str], container: str, bound: frozenset[str] = frozenset()
) -> Expr:
    """`node` with each reference to one of `names` as an `Ident` of that name.

    Longest first, in the container and then in those around it; macros' variables (`bound`) hide
    names that do not start with a dot.
    """

    def inner(child: Expr) -> Expr:
        return resolve(child, names, container, bound)

    match node:
        case Ident():
            return _resolved(node, node.name, names, container, bound) or node
        case Select():
            found = _resolved(node, dotted_name(node), names, container, bound)
            return found or replace(node, operand=inner(node.operand))
        case Comprehension():
            within = bound | set(node.variables)
            args = tuple(resolve(arg, names, container, within) for arg in node.args)
            return replace(node, range=inner(node.range), args=args)
        case _:
            return rebuilt(node, inner)


def renamed(node: Expr, bound: Mapping[str, str] | None = None, depth: int = 0) -> Expr:
    """`node` with the variables of macros called by how many there are around them.

    Expressions that differ in the names of such variables alone become the same one. `bound` has
    the new names of the `depth` variables around the expression.
    """
    bound = bound or {}
    match node:
        case Ident():
            return replace(node, name=bound.get(node.name, node.name))
        case Comprehension():
            new = {name: f"@{depth + number}" for number, name in enumerate(node.variables)}
            within, inside = {**bound, **new}, depth + len(new)
            return replace(
                node,
                range=renamed(node.range, bound, depth),
                variables=tuple(new.values()),
                args=tuple(renamed(arg, within, inside) for arg in node.args),
            )
        case _:
            return rebuilt(node, lambda child: renamed(child, bound, depth))


def unbound(node: Comprehension) -> Expr | None:
    """What `cel.bind(name, bound, body)` comes to with `bound` in the place of the name.

    None where that would be something else, or long: where a macro within takes a name that
    `bound` reads, or loops would run more often.
    """
    (name,), (body,) = node.variables, node.args
    read = {each.name for each in walk(node.range) if isinstance(each, Ident)}
    taken = {
        each for part in walk(body) if isinstance(part, Comprehension) for each in part.variables
    }
    uses = sum(isinstance(each, Ident) and each.name == name for each in walk(body))
    size = sum(1 for _ in walk(node.range))
    loops = any(isinstance(each, Comprehension) for each in walk(node.range))
    if taken & {name, *read} or uses * size > _UNBOUND_MAX or (loops and uses > 1):
        return None

    def inner(part: Expr) -> Expr:
        match part:
            case Ident():
                return node.range if part.name == name else part
            case Comprehension():
                return replace(part, range=inner(part.range), args=tuple(map(inner, part.args)))
            case _:
                return rebuilt(part, inner)

    return inner(body)


def _resolved(
    node: Expr, name: str, names: Collection[str], container: str, bound: frozenset[str]
) -> Ident | None:
    if not name or name.partition(".")[0] in bound:
        return None
    found = next(
        (candidate for candidate in _candidates(name, container) if candidate in names), ""
    )
    # The leading dot keeps a variable of a macro around it from hiding the name.
    return Ident("." + found, node.span) if found else None


def _candidates(name: str, container: str) -> Iterator[str]:
    if name.startswith("."):
        yield name[1:]
        return
    while container:
        yield f"{container}.{name}"
        container = container.rpartition(".")[0]
    yield name
