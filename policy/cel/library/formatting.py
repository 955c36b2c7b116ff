"""`"…%s…".format([…])`, as in cel-go's strings extension."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from ..arithmetic import SIZE_MAX, too_large
from ..types import ANY_LIST, STRING
from ..values import (
    BoolKey,
    CelError,
    CelType,
    Cidr,
    Duration,
    Ip,
    Timestamp,
    UInt,
    Unknown,
    is_list,
    is_map,
    normal,
    shown,
    type_name,
    written_key,
)
from .conversions import decimal_text, double_text
from .network import cidr_text, ip_text
from .registry import Library
from .time import duration_text, timestamp_text

__all__ = ["FORMATTING", "Formatter", "Piece", "format_"]

FORMATTING: Final = Library()

_CLAUSE: Final = re.compile(r"%(?:%|(?:\.(?P<precision>[0-9]{0,9}))?(?P<clause>.?))", re.DOTALL)
_PRECISION_MAX: Final = 1_000  # A double has no more digits than that.
_DEPTH_MAX: Final = 100
Piece: TypeAlias = str | CelError | Unknown
Formatter: TypeAlias = Callable[[object, int], Piece]


def _wrong(clause: str, value: object) -> CelError | Unknown:
    if isinstance(value, Unknown):
        return value
    kind = shown(type_name(value))
    return CelError("invalid_argument", f"`%{clause}` does not take {kind}")


@FORMATTING.method("format", STRING, ANY_LIST, result=STRING)
def format_(template: str, args: list[object]) -> object:
    """The template with each clause replaced by the next argument."""
    pieces: list[str] = []
    position = used = size = 0
    for match in _CLAUSE.finditer(template):
        pieces.append(template[position : match.start()])
        position = match.end()
        if match.group() == "%%":
            piece: Piece = "%"
        elif used < len(args):
            piece = _format_one(match, normal(args[used]))
            used += 1
        else:
            return CelError("invalid_argument", "`format` has fewer arguments than clauses")
        if not isinstance(piece, str):
            return piece
        size += len(pieces[-1]) + len(piece)
        if size > SIZE_MAX:
            return too_large()
        pieces.append(piece)
    return "".join((*pieces, template[position:]))


def _format_one(match: re.Match[str], value: object) -> Piece:
    clause, precision = match["clause"], match["precision"]
    formatter = _FORMATTERS.get(clause)
    if formatter is None or precision == "":
        return CelError("invalid_argument", "`format` has a clause that does not exist")
    digits = int(precision or 0) if precision is not None else 6
    if digits > _PRECISION_MAX:
        return CelError("invalid_argument", f"`format` has a precision over {_PRECISION_MAX:,}")
    return formatter(value, digits)


def _no_finite(value: object) -> str | None:
    """The name of an infinity or NaN; None for any other value."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return None


def _as_decimal_digits(value: object, _digits: int) -> Piece:
    if type(value) in (int, UInt):
        return f"{int(value)}"  # type: ignore[call-overload]
    if type(value) is float or type(value) is Decimal:
        return _text(value, 0)
    return _wrong("d", value)


def _as_float(value: object, digits: int, style: str) -> Piece:
    special = _no_finite(value)
    if special is not None:
        return special
    if value in ("NaN", "Infinity", "-Infinity"):
        return str(value)
    if type(value) in (float, int, UInt, Decimal):
        return f"{float(value):.{digits}{style}}"  # type: ignore[arg-type]
    return _wrong(style, value)


def _as_binary(value: object, _digits: int) -> Piece:
    if type(value) in (int, UInt, bool):
        return f"{int(value):b}"  # type: ignore[call-overload]
    return _wrong("b", value)


def _as_octal(value: object, _digits: int) -> Piece:
    if type(value) in (int, UInt):
        return f"{int(value):o}"  # type: ignore[call-overload]
    return _wrong("o", value)


def _as_hexadecimal(value: object, _digits: int) -> Piece:
    if type(value) in (int, UInt):
        return f"{int(value):x}"  # type: ignore[call-overload]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").hex()
    return value.hex() if isinstance(value, bytes) else _wrong("x", value)


def _as_upper_hexadecimal(value: object, digits: int) -> Piece:
    text = _as_hexadecimal(value, digits)
    return text.upper() if isinstance(text, str) else text


def _as_text(value: object, _digits: int) -> Piece:
    return _text(value, _DEPTH_MAX)


_FORMATTERS: Final[Mapping[str, Formatter]] = {
    "s": _as_text,
    "d": _as_decimal_digits,
    "f": lambda value, digits: _as_float(value, digits, "f"),
    "e": lambda value, digits: _as_float(value, digits, "e"),
    "b": _as_binary,
    "o": _as_octal,
    "x": _as_hexadecimal,
    "X": _as_upper_hexadecimal,
}


def _text(value: object, depth: int) -> Piece:
    """`%s` of any value; maps in the order of their keys' texts."""
    value = normal(value)
    if is_list(value):
        return _joined("[", value, "]", depth)
    if is_map(value):
        return _map_text(value, depth)
    text = _plain_text(value)
    return _wrong("s", value) if text is None else text


def _plain_text(value: object) -> str | CelError | None:
    """The text of a value that is no list or map; None where it has none."""
    match value:
        case str():
            return value
        case bool() | None | BoolKey():
            return _WORDS[written_key(value)]
        case int():
            return str(int(value))
        case float():
            return _no_finite(value) or double_text(value)
        case Decimal():
            return decimal_text(value)
        case bytes():
            return str(value, "utf-8", "replace")
        case Timestamp():
            return timestamp_text(value)
        case Duration():
            return duration_text(value)
        case CelType():
            return value.name
        case Ip() | Cidr():
            return ip_text(value) if isinstance(value, Ip) else cidr_text(value)
        case _:
            return None


_WORDS: Final[Mapping[object, str]] = {True: "true", False: "false", None: "null"}


def _map_text(entries: dict[object, object], depth: int) -> Piece:
    if depth == 0:
        return CelError("too_deep", "`%s` of a value that is nested too deeply")
    named: list[tuple[str, object]] = []
    for key, item in entries.items():
        name = _text(key, depth - 1)
        if not isinstance(name, str):
            return name
        named.append((name, item))
    return _joined_entries(sorted(named, key=lambda entry: entry[0]), depth)


def _joined(opening: str, items: list[object], closing: str, depth: int) -> Piece:
    if depth == 0:
        return CelError("too_deep", "`%s` of a value that is nested too deeply")
    texts: list[str] = []
    size = 0
    for item in items:
        text = _text(item, depth - 1)
        if not isinstance(text, str):
            return text
        size += len(text)
        if size > SIZE_MAX:
            return too_large()
        texts.append(text)
    return f"{opening}{', '.join(texts)}{closing}"


def _joined_entries(entries: list[tuple[str, object]], depth: int) -> Piece:
    texts: list[object] = []
    for name, item in entries:
        text = _text(item, depth - 1)
        if not isinstance(text, str):
            return text
        texts.append(f"{name}: {text}")
    return _joined("{", texts, "}", depth)
