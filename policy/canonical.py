"""RFC 8785 canonical JSON, and documents in the JSON that it can carry without loss.

RFC 8785 writes every number as a double, so that `1` and `1.0` become the same text, and so do
whole numbers beyond 2**53. Documents tell them apart. Before a document is digested or stored it is
therefore made *portable*; the mapping is one-to-one:

- a double with a whole value becomes `{"$double": "1"}` (its RFC 8785 text; `-0` for minus zero);
- a whole number beyond ±(2**53-1) becomes `{"$int": "9007199254740993"}`;
- a mapping whose only key begins with `$` becomes `{"$map": {…}}`;
- everything else is itself. NaN and infinities are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, cast

__all__ = ["canonical_json", "from_portable", "portable"]

_SAFE: Final = 2**53 - 1
_TEXT: Final = json.JSONEncoder(ensure_ascii=False).encode


def canonical_json(value: object) -> bytes:
    """RFC 8785 of a JSON value.

    Raises ValueError for what I-JSON does not have: whole numbers beyond ±(2**53-1), NaN and
    infinities, keys that are no text, text that is not valid Unicode.
    """
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts).encode("utf-8")


def _write(value: object, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(_TEXT(value))
    elif value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, int):
        if not -_SAFE <= value <= _SAFE:
            raise ValueError("a whole number beyond 2**53")
        parts.append(str(int(value)))
    elif isinstance(value, float):
        parts.append(_number(value))
    elif isinstance(value, Mapping):
        _write_object(cast("Mapping[object, object]", value), parts)
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        opening = "["
        for item in cast("Sequence[object]", value):
            parts.append(opening)
            _write(item, parts)
            opening = ","
        parts.append("[]" if opening == "[" else "]")
    else:
        raise ValueError("not a JSON value")


def _write_object(members: Mapping[object, object], parts: list[str]) -> None:
    keys = list(members)
    if not all(isinstance(key, str) for key in keys):
        raise ValueError("a key that is not text")
    opening = "{"
    for key in sorted(cast("list[str]", keys), key=_utf16):
        parts.append(opening)
        parts.append(_TEXT(key))
        parts.append(":")
        _write(members[key], parts)
        opening = ","
    parts.append("{}" if opening == "{" else "}")


def _utf16(key: str) -> bytes:
    """RFC 8785 sorts by UTF-16 code units; big-endian bytes sort likewise."""
    return key.encode("utf-16-be")


def _number(value: float) -> str:
    """A double as ECMAScript's Number::toString writes it."""
    if value - value != 0:
        raise ValueError("not a finite number")
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    assert isinstance(exponent, int)
    point = len(text) + exponent  # where the decimal point stands, counted from the first digit
    if len(text) <= point <= 21:
        written = text + "0" * (point - len(text))
    elif 0 < point <= 21:
        written = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        written = "0." + "0" * -point + text
    else:
        head = text[0] + ("." + text[1:] if len(text) > 1 else "")
        written = f"{head}e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"-{written}" if sign else written


def portable(value: object) -> object:
    """`value` with the numbers that RFC 8785 would conflate told apart; see above."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -_SAFE <= value <= _SAFE else {"$int": str(value)}
    if isinstance(value, float):
        if not value.is_integer():
            _number(value)  # refuses what is not finite
            return value
        return {"$double": "-0" if str(value) == "-0.0" else _number(value)}
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        converted = {key: portable(item) for key, item in members.items()}
        if len(converted) == 1 and next(iter(converted)).startswith("$"):
            return {"$map": converted}
        return converted
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [portable(item) for item in cast("Sequence[object]", value)]
    raise ValueError("not a JSON value")


def from_portable(value: object) -> object:
    """The value that `portable` made `value` of; ValueError where there is none.

    So every value has one form: `1.0` or `{"$int": "1"}`, which `portable` never makes, are refused.
    """
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        if len(members) == 1:
            key, item = next(iter(members.items()))
            if key.startswith("$"):
                return _unwrapped(key, item)
        return {key: from_portable(item) for key, item in members.items()}
    if isinstance(value, list):
        return [from_portable(item) for item in cast("list[object]", value)]
    if isinstance(value, (int, float)) and portable(value) != value:
        raise ValueError("a number in another form")
    return value


def _unwrapped(key: str, item: object) -> object:
    made: object = None
    if key == "$map" and isinstance(item, Mapping):
        members = cast("Mapping[str, object]", item)
        made = {name: from_portable(inner) for name, inner in members.items()}
    elif key in ("$int", "$double") and isinstance(item, str):
        made = int(item) if key == "$int" else float(item)
    if made is None or portable(made) != {key: item}:
        raise ValueError(f"an unknown form `{key}`")
    return made
