"""Conditions in words, for people who answer for policies and do not read CEL.

`value.amount > 50000 && !(value.country in ["US", "CA"])` becomes

    amount is greater than 50,000 and country is not one of ("US", "CA")

What has no good words stays CEL between backticks: a sentence is never less exact than its rule.
"""

from __future__ import annotations

from collections.abc import Sequence

from .cel import UInt, unparse
from .cel.ast import (
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
    Not,
    Or,
    Select,
)
from .condition_times import time_or_text, without_times
from .paths import NAME
from .privacy import path_of

__all__ = ["field_in_words", "in_words", "joined"]

#: From here on digits are grouped; below, a number may be a year.
_GROUPED_FROM = 10_000

_COMPARED = {
    "==": ("is", "is not"),
    "!=": ("is not", "is"),
    ">": ("is greater than", "is not greater than"),
    ">=": ("is at least", "is not at least"),
    "<": ("is less than", "is not less than"),
    "<=": ("is at most", "is not at most"),
}
_METHODS = {
    "contains": ("contains", "does not contain"),
    "startsWith": ("starts with", "does not start with"),
    "endsWith": ("ends with", "does not end with"),
    "matches": ("matches the pattern", "does not match the pattern"),
}
_CHECKS = {
    "isEmail": "an e-mail address",
    "isHostname": "a host name",
    "isIpv4": "an IPv4 address",
    "isIpv6": "an IPv6 address",
    "isUri": "a URI",
    "isUriRef": "a reference to a URI",
    "isUuid": "a UUID",
}
_VARIABLES = {
    "value": "the value",
    "key": "the key",
    "headers": "the headers",
    "topic": "the topic",
    "timestamp": "the time of the event",
    "now": "the time of the decision",
    "stage": "the stage",
    "client": "the client",
    "facts": "the facts",
    "stamp": "the stamp",
    "schema": "the schema",
    "partition": "the partition",
    "offset": "the offset",
}
_OF_VARIABLES = {
    "headers": "header {}",
    "facts": "the fact {}",
    "lists": "the list {}",
    "client": "the client's {}",
    "stamp": "the stamp's {}",
    "schema": "the schema's {}",
}
_QUANTIFIERS = {
    "all": ("for every {} in {}: {}", "for some {} in {}, not: {}"),
    "exists": ("for some {} in {}: {}", "for no {} in {}: {}"),
    "exists_one": ("for exactly one {} in {}: {}", "not for exactly one {} in {}: {}"),
}


def in_words(condition: Expr) -> str:
    """`condition` as a clause that goes on after "when" or "unless"."""
    return _clause(condition, negated=False)


def joined(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _clause(node: Expr, *, negated: bool) -> str:
    match node:
        case Not():
            return _clause(node.operand, negated=not negated)
        case And() | Or():
            return _several(node, negated=negated)
        case Has():
            field = _noun(Select(node.operand, node.field))
            return f"{field} is missing" if negated else f"{field} is present"
        case Conditional():
            test = _clause(node.test, negated=False)
            then = _clause(node.then, negated=negated)
            return f"(if {test}, {then}; otherwise {_clause(node.otherwise, negated=negated)})"
        case Comprehension() if node.macro in _QUANTIFIERS and len(node.variables) == 1:
            form = _QUANTIFIERS[node.macro][negated]
            inner = _clause(node.args[0], negated=False)
            return f"({form.format(node.variables[0], _noun(node.range), inner)})"
        case Call():
            return _call(node, negated=negated)
        case Literal(value=bool() as constant):
            return "always" if constant is not negated else "never"
        case _:
            return f"{_noun(node)} is {'not ' if negated else ''}true"


def _several(node: And | Or, *, negated: bool) -> str:
    """Operands joined; a group of the other kind among them stands in parentheses."""
    conjunction = isinstance(node, And) is not negated
    operands = _without_steps(node.operands) if isinstance(node, And) else node.operands
    words: list[str] = []
    for operand in operands:
        text = _clause(operand, negated=negated)
        inner = operand
        while isinstance(inner, Not):
            inner = inner.operand
        grouped = isinstance(inner, (And, Or)) and (" and " in text or " or " in text)
        words.append(f"({text})" if grouped else text)
    return joined(words, "and" if conjunction else "or")


def _without_steps(operands: Sequence[Expr]) -> list[Expr]:
    """`has(a) && a != null && has(a.b)` is just the last: what is in a field needs the field."""
    present = [path_of(Select(o.operand, o.field)) for o in operands if isinstance(o, Has)]
    inner = {path[:end] for path in present if path is not None for end in range(1, len(path))}

    def implied(node: Expr) -> bool:
        if isinstance(node, Has):
            return path_of(Select(node.operand, node.field)) in inner
        return (
            isinstance(node, Call)
            and node.function == "!="
            and isinstance(node.args[1], Literal)
            and node.args[1].value is None
            and path_of(node.args[0]) in inner
        )

    return [operand for operand in operands if not implied(operand)]


def _call(node: Call, *, negated: bool) -> str:
    name, args = node.function, node.args
    constant = all(isinstance(each, Literal) for each in args)
    if node.target is None and name in _COMPARED and len(args) == 2 and not constant:
        return f"{_noun(args[0])} {_COMPARED[name][negated]} {_noun(args[1])}"
    if node.target is None and name == "in":
        return _member(args[0], args[1], negated=negated)
    if node.target is not None and name in _METHODS and len(args) == 1:
        return f"{_noun(node.target)} {_METHODS[name][negated]} {_noun(args[0])}"
    subject = args[0] if node.target is None and len(args) == 1 else node.target
    if name in _CHECKS and subject is not None and len(args) == (node.target is None):
        return f"{_noun(subject)} is {'not ' if negated else ''}{_CHECKS[name]}"
    return f"`{unparse(node)}` does not hold" if negated else f"`{unparse(node)}` holds"


def _member(item: Expr, collection: Expr, *, negated: bool) -> str:
    isnt = "is not" if negated else "is"
    path = path_of(collection)
    if path == ("headers",) and isinstance(item, Literal) and isinstance(item.value, str):
        return f"header {_name(item.value)} is {'missing' if negated else 'present'}"
    if isinstance(collection, ListExpr) and collection.elements and not collection.optional:
        choices = [_noun(element) for element in without_times(collection.elements)]
        if len(choices) == 1:
            return f"{_noun(item)} {isnt} {choices[0]}"
        return f"{_noun(item)} {isnt} one of ({', '.join(choices)})"
    if path is not None and path[0] == "lists" and len(path) == 2:
        return f"{_noun(item)} {isnt} on {_noun(collection)}"
    if isinstance(item, Literal):
        return f"{_noun(collection)} {'does not contain' if negated else 'contains'} {_noun(item)}"
    return f"{_noun(item)} {isnt} in {_noun(collection)}"


def _noun(node: Expr) -> str:
    if isinstance(node, Literal):
        return _constant(node.value)
    if isinstance(node, ListExpr) and all(isinstance(e, Literal) for e in node.elements):
        return f"[{', '.join(map(_noun, node.elements))}]"
    if isinstance(node, (Ident, Select, Index)):
        path = path_of(node)
        if path is not None and None not in path and not _is_optional(node):
            return field_in_words(path)
    if isinstance(node, Call) and node.function == "size":
        sized = node.target if node.target is not None else node.args[0]
        return f"the size of {_noun(sized)}"
    time = time_or_text(node)
    if time is not None:
        return _constant(time)
    return f"`{unparse(node)}`"


def _is_optional(node: Expr) -> bool:
    while isinstance(node, (Select, Index)):
        if node.optional:
            return True
        node = node.operand
    return False


def field_in_words(path: Sequence[str | int | None]) -> str:
    """`("value", "customer", "email")` is customer.email, `("headers", "source")` header source."""
    first, rest = str(path[0]), path[1:]
    if not rest:
        return _VARIABLES.get(first, first)
    text = ""
    for segment in rest:
        if segment is None:
            text += "[]"
        elif isinstance(segment, int):
            text += f"[{segment}]"
        else:
            text += f".{_name(segment)}" if text else _name(segment)
    if first == "value":
        return text if text[0] != "[" else f"the value's {text}"
    form = _OF_VARIABLES.get(first)
    if form is None:  # a variable of a quantifier
        return f"{first}{text}" if text[0] == "[" else f"{first}.{text}"
    return form.format(text)


def _name(text: str) -> str:
    return text if NAME.fullmatch(text) or text.replace("-", "_").isidentifier() else f'"{text}"'


def _constant(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, UInt)):
        number = int(value)
        return f"{number:,}" if abs(number) >= _GROUPED_FROM else str(number)
    if isinstance(value, float) and value.is_integer() and abs(value) >= _GROUPED_FROM:
        return f"{value:,.1f}" if abs(value) < 1e15 else repr(value)
    return unparse(Literal(value))
