"""The syntax tree as canonical CEL text: `parse(unparse(tree))` is the tree, but for places.

One blank around operators and after commas, double quotes, and parentheses only where the tree
needs them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

from .ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Index,
    ListExpr,
    Literal,
    MapExpr,
    Not,
    Or,
    Select,
)
from .macros import block_variable
from .values import UInt

__all__ = ["unparse"]

_CONDITIONAL: Final = 1
_OR: Final = 2
_AND: Final = 3
_OPERATORS: Final = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 4),
    **dict.fromkeys("+-", 5),
    **dict.fromkeys("*/%", 6),
}
_UNARY: Final = 7
_POSTFIX: Final = 8
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_QUOTABLE: Final = re.compile(r"[A-Za-z0-9_.\-/ ]+", re.ASCII)
_KEYWORDS: Final = frozenset({"true", "false", "null", "in"})


def unparse(expr: Expr) -> str:
    """Canonical CEL text of an expression."""
    return _text(expr, 0)


def _text(node: Expr, power: int) -> str:
    """The text of `node` where something binds it that strongly: in parentheses if need be."""
    own, text = _written(node)
    return text if own >= power else f"({text})"


def _list(nodes: Iterable[Expr]) -> str:
    return ", ".join([_text(node, 0) for node in nodes])


def _written(node: Expr) -> tuple[int, str]:
    """How strongly the outermost operator of `node` binds, and the text."""
    match node:
        case Literal():
            return _literal(node.value)
        case Ident():
            return _POSTFIX, _identifier(node.name)
        case Select():
            mark = "?" if node.optional else ""
            return _POSTFIX, f"{_text(node.operand, _POSTFIX)}{_field(node.field, mark)}"
        case Has():
            return _POSTFIX, f"has({_text(node.operand, _POSTFIX)}{_field(node.field, '')})"
        case Index():
            mark = "?" if node.optional else ""
            return _POSTFIX, f"{_text(node.operand, _POSTFIX)}[{mark}{_text(node.index, 0)}]"
        case Not():
            power = _UNARY if isinstance(node.operand, Not) else _POSTFIX
            return _UNARY, f"!{_text(node.operand, power)}"
        case And():
            return _AND, " && ".join([_text(part, _AND + 1) for part in node.operands])
        case Or():
            return _OR, " || ".join([_text(part, _OR + 1) for part in node.operands])
        case Conditional():
            test, then = (_text(part, _CONDITIONAL + 1) for part in (node.test, node.then))
            return _CONDITIONAL, f"{test} ? {then} : {_text(node.otherwise, _CONDITIONAL)}"
        case Call():
            return _call(node)
        case ListExpr() | MapExpr():
            return _POSTFIX, _collection(node)
        case Comprehension():
            return _POSTFIX, _macro(node)


def _collection(node: ListExpr | MapExpr) -> str:
    if isinstance(node, MapExpr):
        entries = (
            f"{'?' if entry.optional else ''}{_text(entry.key, 0)}: {_text(entry.value, 0)}"
            for entry in node.entries
        )
        return f"{{{', '.join(entries)}}}"
    elements = (
        f"{'?' if position in node.optional else ''}{_text(element, 0)}"
        for position, element in enumerate(node.elements)
    )
    return f"[{', '.join(elements)}]"


def _field(name: str, mark: str) -> str:
    if _NAME.fullmatch(name) and name not in _KEYWORDS:
        return f".{mark}{name}"
    if _QUOTABLE.fullmatch(name):
        return f".{mark}`{name}`"
    # CEL has no way to select such a field; an index means the same.
    return f"[{mark}{_string(name)}]"


def _identifier(name: str) -> str:
    """A name; `@index:1` is how `cel.index(1)` is held."""
    if not name.startswith("@"):
        return name
    function, *numbers = name[1:].split(":")
    return f"cel.{function}({', '.join(numbers)})"


def _call(node: Call) -> tuple[int, str]:
    args = node.args
    power = _OPERATORS.get(node.function)
    if node.target is None and power is not None:
        if len(args) == 1:
            number = isinstance(args[0], Literal)
            return _UNARY, f"-{_text(args[0], _POSTFIX + 1 if number else _POSTFIX)}"
        left, right = _text(args[0], power), _text(args[1], power + 1)
        return power, f"{left} {node.function} {right}"
    target = "" if node.target is None else f"{_text(node.target, _POSTFIX)}."
    return _POSTFIX, f"{target}{node.function}({_list(args)})"


def _macro(node: Comprehension) -> str:
    variables = ", ".join(map(_identifier, node.variables))
    if node.macro == "bind":
        if node.variables[0] == block_variable("index", 0):
            return _block(node)
        return f"cel.bind({variables}, {_text(node.range, 0)}, {_list(node.args)})"
    macro = "existsOne" if node.macro == "exists_one" and len(node.variables) == 2 else node.macro
    return f"{_text(node.range, _POSTFIX)}.{macro}({variables}, {_list(node.args)})"


def _block(node: Comprehension) -> str:
    """`cel.block`, which is held as one binding inside the other."""
    values: list[Expr] = []
    inner: Expr = node
    while (
        isinstance(inner, Comprehension)
        and inner.macro == "bind"
        and inner.variables[0] == block_variable("index", len(values))
    ):
        values.append(inner.range)
        inner = inner.args[0]
    return f"cel.block([{_list(values)}], {_text(inner, 0)})"


def _literal(value: object) -> tuple[int, str]:
    if value is None:
        return _POSTFIX, "null"
    if isinstance(value, bool):
        return _POSTFIX, "true" if value else "false"
    if isinstance(value, str):
        return _POSTFIX, _string(value)
    if isinstance(value, bytes):
        return _POSTFIX, _bytes(value)
    if isinstance(value, UInt):
        return _POSTFIX, f"{int(value)}u"
    if isinstance(value, int):
        return (_UNARY if value < 0 else _POSTFIX), str(value)
    if isinstance(value, float):
        negative = math.copysign(1, value) < 0
        text = repr(value) if math.isfinite(value) else f"{'-' if negative else ''}1e999"
        return (_UNARY if negative else _POSTFIX), text
    raise TypeError("a literal holds null, bool, int, uint, double, string or bytes")


_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def _string(text: str) -> str:
    """Between double quotes; what cannot be seen is escaped."""
    return f'"{"".join(map(_character, text))}"'


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    point = ord(character)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _bytes(data: bytes) -> str:
    characters = (
        _character(chr(byte)) if byte < 0x7F and chr(byte).isprintable() else f"\\x{byte:02x}"
        for byte in data
    )
    return f'b"{"".join(characters)}"'
