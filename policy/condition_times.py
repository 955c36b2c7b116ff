"""Times in structured conditions, which YAML writes as text.

The record's `timestamp` and `now` are times, so the text is read as one: `now > timestamp("…")`. A
field can be a time, as Avro has them, or a text. There is no need to know when the condition is
read: RFC 3339 text is compared as what the field turns out to be,

    value.at > (type(value.at) == google.protobuf.Timestamp ? timestamp("…") : "…")
    value.at in ["…", timestamp("…")]

so that text compares as text, as it does everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

from .cel.ast import Call, Conditional, Expr, Ident, ListExpr, Literal, Not, Select
from .cel.library.time import timestamp_from_string
from .cel.unparse import unparse
from .cel.values import CelError
from .model import Path

__all__ = [
    "choices",
    "compared",
    "in_yaml",
    "is_time_variable",
    "time_or_text",
    "unreadable",
    "without_times",
]

_TIME_VARIABLES: Final = frozenset({"timestamp", "now"})
#: Variables in which schemas, or the caller, can put times.
_HOLDERS: Final = frozenset({"value", "message", "key", "facts"})
_TIMESTAMP: Final = re.compile(r'timestamp\(("[^"]*")\)')
_TIME_TYPE: Final = Select(Select(Ident("google"), "protobuf"), "Timestamp")


def is_time_variable(path: Path) -> bool:
    """Whether a path is the time of the event or of the decision."""
    return len(path) == 1 and path[0] in _TIME_VARIABLES


def unreadable(path: Path, value: object) -> str | None:
    """The text that a time is compared with and that is none; None where all is well."""
    if not is_time_variable(path):
        return None
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    return next((each for each in values if isinstance(each, str) and not _is_time(each)), None)


def compared(path: Path, field: Expr, sign: str, literal: Expr) -> Expr:
    """`field sign literal`, where the literal may be the text of a time."""
    text = _time_of(literal)
    if text is None:
        return Call(sign, (field, literal))
    time = Call("timestamp", (literal,))
    if is_time_variable(path):
        return Call(sign, (field, time))
    if path[0] not in _HOLDERS:
        return Call(sign, (field, literal))
    if sign == "==":
        return Call("in", (field, ListExpr((literal, time))))
    if sign == "!=":
        return Not(Call("in", (field, ListExpr((literal, time)))))
    is_time = Call("==", (Call("type", (field,)), _TIME_TYPE))
    return Call(sign, (field, Conditional(is_time, time, literal)))


def choices(path: Path, listed: Expr) -> Expr:
    """The list behind `in`, with each text of a time as a time too."""
    if not isinstance(listed, ListExpr):
        return listed
    found: list[Expr] = []
    for item in listed.elements:
        timed = _time_of(item) is not None and (is_time_variable(path) or path[0] in _HOLDERS)
        if not timed or not is_time_variable(path):
            found.append(item)
        if timed:
            found.append(Call("timestamp", (item,)))
    return replace(listed, elements=tuple(found))


def time_or_text(expr: Expr, field: Expr | None = None) -> str | None:
    """The text of what `compared` makes of one behind `field` and a sign of order.

    None of anything else; without `field` that stands before the sign, whatever it is.
    """
    match expr:
        case Conditional(
            test=Call(
                function="==",
                args=(Call(function="type", target=None, args=(asked,)), Select() as type_),
            ),
            then=then,
            otherwise=Literal(value=str() as text),
        ) if _is_time_of(then, text) and unparse(type_) == unparse(_TIME_TYPE):
            return text if field is None or unparse(asked) == unparse(field) else None
        case _:
            return None


def without_times(elements: Sequence[Expr]) -> list[Expr]:
    """The elements as they were written: without the times that stand behind their texts."""
    texts = [each.value if isinstance(each, Literal) else None for each in elements]
    return [
        element
        for element, before in zip(elements, [None, *texts], strict=False)
        if not _is_time_of(element, before)
    ]


def in_yaml(remedy: str) -> str:
    """What to write instead, without the functions that are for CEL."""
    return _TIMESTAMP.sub(r"\1", remedy)


def _is_time_of(expr: Expr, text: object) -> bool:
    match expr:
        case Call(function="timestamp", target=None, args=(Literal(value=str() as known),)):
            return known == text
        case _:
            return False


def _time_of(literal: Expr) -> str | None:
    value = literal.value if isinstance(literal, Literal) else None
    return value if isinstance(value, str) and _is_time(value) else None


def _is_time(text: str) -> bool:
    return not isinstance(timestamp_from_string(text), CelError)
