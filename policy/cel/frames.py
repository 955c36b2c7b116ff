"""What the parser has half read: frames on its stack.

A pending frame waits for an operand, and is built once something follows that binds less tightly
than its `power`; an open frame waits for its `closer`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from .ast import And, Call, Conditional, Expr, MapEntry, Not, Or, Span
from .lexer import Token

__all__ = [
    "Arguments",
    "Elements",
    "Else",
    "Entries",
    "Group",
    "Infix",
    "Open",
    "Pending",
    "Prefix",
    "Subscript",
    "Then",
]


@dataclass(slots=True)
class Prefix:
    """`!` or `-`, waiting for its operand."""

    sign: str
    start: int
    power: ClassVar[int] = 7

    def build(self, node: Expr, end: int) -> Expr:
        """The node, with `node` as the operand; `end` is where that ends."""
        span = Span(self.start, end)
        return Not(node, span) if self.sign == "!" else Call("-", (node,), None, span)


@dataclass(slots=True)
class Infix:
    """Left operands and a sign, waiting for the right operand; `&&` and `||` gather a chain."""

    sign: str
    operands: list[Expr]
    start: int
    power: int

    def build(self, node: Expr, end: int) -> Expr:
        """The node, with `node` as the operand; `end` is where that ends."""
        operands = (*self.operands, node)
        span = Span(self.start, end)
        if self.sign == "&&":
            return And(operands, span)
        if self.sign == "||":
            return Or(operands, span)
        return Call(self.sign, operands, None, span)


@dataclass(slots=True)
class Else:
    """`test ? then :`, waiting for what follows."""

    test: Expr
    then: Expr
    start: int
    power: ClassVar[int] = 1

    def build(self, node: Expr, end: int) -> Expr:
        """The node, with `node` as the operand; `end` is where that ends."""
        return Conditional(self.test, self.then, node, Span(self.start, end))


@dataclass(slots=True)
class Then:
    """`test ?`, waiting for `then :`."""

    test: Expr
    start: int
    closer: ClassVar[str] = ":"


@dataclass(slots=True)
class Group:
    """An open parenthesis."""

    start: int
    closer: ClassVar[str] = ")"


@dataclass(slots=True)
class Arguments:
    """An open call; `start` is where the whole call starts, `name` the token of its name."""

    name: Token
    target: Expr | None
    start: int
    items: list[Expr] = field(default_factory=list[Expr])
    closer: ClassVar[str] = ")"


@dataclass(slots=True)
class Subscript:
    """An open `operand[`."""

    operand: Expr
    optional: bool
    start: int
    closer: ClassVar[str] = "]"


@dataclass(slots=True)
class Elements:
    """An open list."""

    start: int
    items: list[Expr] = field(default_factory=list[Expr])
    optional: set[int] = field(default_factory=set[int])
    closer: ClassVar[str] = "]"


@dataclass(slots=True)
class Entries:
    """An open map; `key` waits for its value."""

    start: int
    items: list[MapEntry] = field(default_factory=list[MapEntry])
    key: Expr | None = None
    optional: bool = False
    closer: ClassVar[str] = "}"


Pending: TypeAlias = Prefix | Infix | Else
Open: TypeAlias = Then | Group | Arguments | Subscript | Elements | Entries
