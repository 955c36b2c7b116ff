"""Conditions as formulas of atoms, to compare rules with each other without any event.

An atom asks one thing of one part of the event, its *subject*: `value.amount > 5`. A subject that
has no value makes the atom an error, whatever it asks. Negation is moved to the atoms, which holds
with errors too: `!(a && b)` and `!a || !b` are errors for the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeAlias

from ..cel import CelError, compile_exact, unparse
from ..cel.ast import (
    And,
    Call,
    Expr,
    Has,
    Ident,
    Index,
    ListExpr,
    Literal,
    Not,
    Or,
    Select,
    walk,
)
from ..cel.names import TYPE_NAMES
from ..cel.values import Duration, Timestamp, UInt

__all__ = ["All", "Atom", "Either", "Formula", "atoms", "formula_of", "one_of"]

#: Operators with the one that says the same from the other side.
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_TEXT_TESTS: Final = frozenset({"startsWith", "endsWith", "contains", "matches"})
_ORDERS: Final = frozenset({"<", "<=", ">", ">="})
#: From here on an int can equal a double that another int equals too.
_EXACT_MAX: Final = 2**53
_KINDS: Final[dict[type, str]] = {
    **dict.fromkeys((int, float, UInt, Decimal), "number"),
    str: "string",
    bytes: "bytes",
    Timestamp: "timestamp",
    Duration: "duration",
}


@dataclass(frozen=True, slots=True, eq=False)
class Atom:
    """One question. `text` is its canonical text, and that of its negation begins with `!`.

    `subject` is the text of what it asks about, `asks` the operator, `values` the constants that it
    is compared with.
    """

    text: str
    subject: str = ""
    asks: str = ""
    values: tuple[object, ...] = ()
    _test: Expr | None = field(default=None, repr=False)

    @property
    def listed(self) -> bool:
        """True where the atom is true for the `values` alone, and false for all others."""
        return self.asks in ("==", "in")

    @property
    def pinned(self) -> bool:
        """True where the atom is true for the `values` alone, and false or an error for others."""
        return self.asks in ("==", "in", "holds", "fails")

    @property
    def unlisted(self) -> bool:
        """True where the atom is false for the `values` alone, and true for all others."""
        return self.asks in ("!=", "not in")

    @property
    def ordered(self) -> bool:
        """True for a comparison with one constant; it is false for NaN."""
        return self.asks in _ORDERS

    @property
    def denied(self) -> str:
        """`>` of `!(v > 5)`, and so on; empty for what denies no order and no test of text."""
        asks = self.asks[1:] if self.asks.startswith("!") else ""
        return asks if asks in _ORDERS or asks in _TEXT_TESTS else ""

    @property
    def kind(self) -> str:
        """What a subject is for which the atom is true; empty where it can be anything."""
        asks = self.denied or self.asks
        if asks in _TEXT_TESTS:
            return "string"
        kinds = {_KINDS.get(type(value), "") for value in self.values} if asks in _ORDERS else {""}
        return kinds.pop() if len(kinds) == 1 else ""

    @property
    def has_test(self) -> bool:
        """True where it asks about the value of its subject, rather than whether it has one."""
        return self._test is not None

    def negated(self) -> Atom:
        """The negation of an atom that is listed."""
        test = None if self._test is None else Not(self._test)
        return Atom(f"!({self.text})", self.subject, "not in", self.values, test)

    def test(self, value: object) -> object:
        """What the atom is where its subject is `value`: a bool or a CelError."""
        if self._test is None:
            return CelError("unknown", "not looked into")
        return _program(unparse(self._test), self._test)({"it": value})


@dataclass(frozen=True, slots=True, eq=False)
class All:
    """A conjunction."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Either:
    """A disjunction."""

    parts: tuple[Formula, ...]


Formula: TypeAlias = Atom | All | Either


class _Compiled:
    """Programs by text, since atoms are tried on many values."""

    def __init__(self) -> None:
        self._make = lru_cache(maxsize=4096)(self._compile)
        self._trees: dict[str, Expr] = {}

    def __call__(self, text: str, tree: Expr) -> Callable[[dict[str, object]], object]:
        self._trees[text] = tree
        try:
            return self._make(text)
        finally:
            del self._trees[text]

    def _compile(self, text: str) -> Callable[[dict[str, object]], object]:
        return compile_exact(self._trees[text])


_program: Final = _Compiled()


def atoms(formula: Formula) -> Iterator[Atom]:
    """All atoms of a formula."""
    stack = [formula]
    while stack:
        top = stack.pop()
        if isinstance(top, Atom):
            yield top
        else:
            stack.extend(top.parts)


def one_of(subject: str, values: tuple[str, ...]) -> Atom:
    """The atom that a variable is one of some texts."""
    it, items = Ident("it"), ListExpr(tuple(map(Literal, values)))
    return Atom(f"{subject} in {list(values)}", subject, "in", values, Call("in", (it, items)))


def formula_of(expr: Expr, positive: bool = True) -> Formula:
    """`expr`, or its negation, as a formula."""
    match expr:
        case Not():
            return formula_of(expr.operand, not positive)
        case And() | Or():
            parts: list[Formula] = []
            kind = All if isinstance(expr, And) is positive else Either
            for operand in expr.operands:
                part = formula_of(operand, positive)
                parts += part.parts if isinstance(part, kind) else (part,)
            return kind(tuple(parts))
        case _:
            return _atom(expr, positive)


def _atom(expr: Expr, positive: bool) -> Atom:
    text = unparse(_plain(expr))
    shown = text if positive else f"!({text})"
    known = _constant(expr)
    if known is not None and isinstance(known[0], bool):
        holds = known[0] is positive
        return Atom(str(holds).lower(), "", "true" if holds else "false")
    found: Atom | None = None
    match expr:
        case Has() if not any(_is_optional(node) for node in walk(expr.operand)):
            subject = unparse(_plain(Select(expr.operand, expr.field)))
            return Atom(shown, subject, "has" if positive else "!has")
        case Call(target=None, args=(left, right)) if expr.function in _MIRRORED:
            found = _comparison(shown, left, expr.function, right, positive)
            if found is None:
                found = _comparison(shown, right, _MIRRORED[expr.function], left, positive)
        case Call(function="in", target=None, args=(left, ListExpr() as items)):
            found = _membership(shown, left, items, positive)
        case Call(target=target, args=(argument,)) if expr.function in _TEXT_TESTS:
            found = None if target is None else _text_test(shown, target, expr, argument, positive)
        case _:
            pass
    # Anything else is true or false, or an error because it is no condition.
    asks = "holds" if positive else "fails"
    return found or Atom(shown, text, asks, (positive,), _signed(Ident("it"), positive))


def _comparison(
    shown: str, subject: Expr, sign: str, constant: Expr, positive: bool
) -> Atom | None:
    value = _constant(constant)
    if value is None or _constant(subject) is not None:
        return None
    asks = sign
    if not positive:
        # A negated order is true for NaN, and so it is none itself.
        asks = {"==": "!=", "!=": "=="}.get(sign, f"!{sign}")
    test = Call(sign, (Ident("it"), constant))
    return Atom(shown, unparse(_plain(subject)), asks, value, _signed(test, positive))


def _membership(shown: str, subject: Expr, items: ListExpr, positive: bool) -> Atom | None:
    values = [_constant(item) for item in items.elements]
    known = tuple(value[0] for value in values if value is not None)
    if items.optional or len(known) < len(values) or _constant(subject) is not None:
        return None
    test = _signed(Call("in", (Ident("it"), items)), positive)
    return Atom(shown, unparse(_plain(subject)), "in" if positive else "not in", known, test)


def _text_test(shown: str, target: Expr, call: Call, argument: Expr, positive: bool) -> Atom | None:
    value = _constant(argument)
    if value is None or not isinstance(value[0], str):
        return None
    asks = call.function if positive else f"!{call.function}"
    test = _signed(Call(call.function, (argument,), Ident("it")), positive)
    return Atom(shown, unparse(_plain(target)), asks, value, test)


def _is_optional(node: Expr) -> bool:
    """Whether a field may be missing without an error."""
    return isinstance(node, Select | Index) and node.optional


def _signed(test: Expr, positive: bool) -> Expr:
    return test if positive else Not(test)


def _plain(expr: Expr) -> Expr:
    """`message` by its other name."""
    root: Expr = expr
    while isinstance(root, Select | Has):
        root = root.operand
    if isinstance(root, Ident) and root.name == "message":
        return _renamed(expr)
    return expr


def _renamed(expr: Expr) -> Expr:
    if isinstance(expr, Select):
        return Select(_renamed(expr.operand), expr.field, expr.optional)
    if isinstance(expr, Has):
        return Has(_renamed(expr.operand), expr.field)
    return Ident("value")


@lru_cache(maxsize=4096)
def _constant(expr: Expr) -> tuple[object] | None:
    """The value of an expression that reads nothing, in a tuple; None for any other."""
    if isinstance(expr, Literal):
        return (expr.value,)
    if any(isinstance(node, Ident) and node.name not in TYPE_NAMES for node in walk(expr)):
        return None
    value = compile_exact(expr)({})
    if isinstance(value, CelError | list | dict):
        return None
    if isinstance(value, int | float | Decimal) and not -_EXACT_MAX < value < _EXACT_MAX:
        return None
    return (value,)
