"""What people write who know other languages, and how that is written in CEL.

Each remedy that shows an expression shows one that parses, and means what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .ast import Call, Expr, Ident, Index, Select
from .lexer import Token
from .operators import ORDER
from .unparse import unparse

__all__ = ["chained", "hyphenated", "not_in", "operator_slip", "word_slip"]

_ELEMENTS: Final = "write `value.items.exists(item, item.price > 10)` to ask about elements"
_WORDS: Final = {
    "and": "write `&&` for and",
    "or": "write `||` for or",
    "not": "write `!x`, or `!(x > 1)`, for not",
    "is": "write `==` to compare",
    "like": 'write `text.contains("part")` or `text.matches("pattern")`',
    "between": "write `low <= x && x <= high`",
    "if": "write `test ? this : that`",
    "contains": 'write `text.contains("part")`, or `"x" in list`',
    "matches": 'write `text.matches("pattern")`',
    "startswith": 'write `text.startsWith("part")`',
    "endswith": 'write `text.endsWith("part")`',
}
_ONE: Final = "a condition is one expression; write `&&` for and"
_CLOSING: Final = frozenset((")", "]", "}", ",", "?", ":", "&&", "||"))
_SHOWN_MAX_CHARS: Final = 120
_THOUSANDS: Final = re.compile(r"[0-9]{3}")


def word_slip(word: str, follower: str = "") -> str:
    """The remedy for a word that is no operator here; empty for others."""
    if word.lower() == "is" and follower == "not":
        return "write `!=` to compare"
    return _WORDS.get(word.lower(), "")


def not_in(text: str, tokens: Sequence[Token], at: int, start: int) -> str:
    """The remedy for `x not in list`, whose `not` is token `at`; `x` begins at `start`."""
    if [token.text for token in tokens[at : at + 2]] != ["not", "in"]:
        return ""
    depth, end = 0, at + 2
    while tokens[end].kind != "end":
        sign = tokens[end].text if tokens[end].kind == "operator" else ""
        if depth == 0 and sign in _CLOSING:
            break
        depth += (sign in ("(", "[", "{")) - (sign in (")", "]", "}"))
        end += 1
    one = text[start : tokens[at - 1].end]
    other = text[tokens[at + 1].end : tokens[end - 1].end].strip()
    if not other or "\n" in one + other or len(one + other) > _SHOWN_MAX_CHARS:
        return "write `!(x in list)`"
    return f"write `!({one} in {other})`"


def operator_slip(text: str, tokens: Sequence[Token], at: int, *, operand: bool) -> str:
    """The remedy for an operator, token `at`, that may not stand there; empty for others.

    `operand`: an operand was expected in its place, else another operator.
    """
    token, before = tokens[at], tokens[at - 1] if at else None
    if before is None:
        return ""
    pair = text[before.start : token.end]
    if pair == "<>":
        return "write `!=` to compare"
    if pair == "->":
        return _ELEMENTS
    if before.text == "[" and token.text in ("*", "]", ":"):
        return _ELEMENTS
    if token.text != "," or operand:
        return ""
    if before.kind == "literal":
        return _comma(before, tokens[at + 1])
    return _ONE


def _comma(before: Token, after: Token) -> str:
    """The remedy for a number with a comma."""
    touching = after.start == before.end + 1 and after.kind == "literal"
    if not (touching and type(before.value) is int and after.text.isdecimal()):
        return _ONE
    with_point = f"`{before.text}.{after.text}`"
    if _THOUSANDS.fullmatch(after.text):
        return f"write `{before.text}{after.text}`, or {with_point} for a fraction"
    return f"write {with_point}, with a point"


def chained(node: Call) -> str:
    """`1 < a && a < 3` for `1 < a < 3`; empty for other comparisons."""
    left = node.args[0]
    if not isinstance(left, Call) or left.function not in ORDER or left.target is not None:
        return ""
    middle = Call(node.function, (left.args[1], node.args[1]), None, node.span)
    return f"write `{unparse(left)} && {unparse(middle)}`"


def hyphenated(node: Call) -> tuple[Expr, str, Ident] | None:
    """Of `value.odd-name`, written without spaces: `value`, `odd-name`, and the name behind `-`."""
    left, right = node.args
    while isinstance(right, Select | Index | Call):
        inner = right.operand if isinstance(right, Select | Index) else right.target
        if inner is None:
            return None
        right = inner
    if not isinstance(right, Ident) or right.span.start != left.span.end + 1:
        return None
    if isinstance(left, Select) and not left.optional:
        return left.operand, f"{left.field}-{right.name}", right
    if not isinstance(left, Call) or left.function != "-" or len(left.args) != 2:
        return None
    before = hyphenated(left)
    if before is None or before[2] is not left.args[1]:
        return None
    return before[0], f"{before[1]}-{right.name}", before[2]
