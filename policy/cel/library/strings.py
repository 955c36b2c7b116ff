"""Functions on text: those of standard CEL and the strings extension of cel-go.

Positions and sizes count code points. Nothing here builds more than `SIZE_MAX` of them.
"""

from __future__ import annotations

import string
from typing import Final

from ..arithmetic import SIZE_MAX, too_large
from ..regex import matches
from ..types import ANY_LIST, ANY_MAP, BOOL, BYTES, INT, STRING, list_of
from ..values import CelError, Unknown, merge, no_overload
from .registry import Library

__all__ = [
    "STRINGS",
    "char_at",
    "index_of",
    "index_of_from",
    "join",
    "join_with",
    "last_index_of",
    "last_index_of_until",
    "lower_ascii",
    "quote",
    "replace",
    "replace_some",
    "reverse",
    "size_of_map",
    "split",
    "split_some",
    "substring",
    "substring_until",
    "trim",
    "upper_ascii",
]

STRINGS: Final = Library()
_method = STRINGS.method

_method("contains", STRING, STRING, result=BOOL)(str.__contains__)
_method("startsWith", STRING, STRING, result=BOOL)(str.startswith)
_method("endsWith", STRING, STRING, result=BOOL)(str.endswith)
STRINGS.add("matches", (STRING, STRING), BOOL, matches, form="both")
for _type in (STRING, BYTES, ANY_LIST):
    STRINGS.add("size", (_type,), INT, len, form="both")


@STRINGS.function("size", ANY_MAP, result=INT, form="both")
def size_of_map(entries: dict[object, object]) -> object:
    """The number of entries, where it is known."""
    return merge(entries.values()) or len(entries)


def _outside() -> CelError:
    return CelError("index_out_of_range", "a position is outside the text")


@_method("charAt", STRING, INT, result=STRING)
def char_at(text: str, position: int) -> object:
    """One character; nothing at the very end."""
    return text[position : position + 1] if 0 <= position <= len(text) else _outside()


@_method("indexOf", STRING, STRING, result=INT)
def index_of(text: str, part: str) -> int:
    """The first position of `part`, or -1."""
    return text.find(part)


@_method("indexOf", STRING, STRING, INT, result=INT)
def index_of_from(text: str, part: str, start: int) -> object:
    """The first position from `start` on."""
    return text.find(part, start) if 0 <= start <= len(text) else _outside()


@_method("lastIndexOf", STRING, STRING, result=INT)
def last_index_of(text: str, part: str) -> int:
    """The last position of `part`, or -1."""
    return text.rfind(part)


@_method("lastIndexOf", STRING, STRING, INT, result=INT)
def last_index_of_until(text: str, part: str, start: int) -> object:
    """The last position up to `start`."""
    return text.rfind(part, 0, start + len(part)) if 0 <= start <= len(text) else _outside()


@_method("join", list_of(STRING), result=STRING)
def join(items: list[object]) -> object:
    """The texts one after another."""
    return join_with(items, "")


@_method("join", list_of(STRING), STRING, result=STRING)
def join_with(items: list[object], separator: str) -> object:
    """The texts with `separator` between them."""
    size = len(separator) * max(len(items) - 1, 0)
    for item in items:
        if not isinstance(item, str):
            return item if isinstance(item, Unknown) else no_overload("join", (items,))
        size += len(item)
    return separator.join(items) if size <= SIZE_MAX else too_large()  # type: ignore[arg-type]


_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER: Final = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


@_method("lowerAscii", STRING, result=STRING)
def lower_ascii(text: str) -> str:
    """A to Z as a to z; other letters stay."""
    return text.translate(_LOWER)


@_method("upperAscii", STRING, result=STRING)
def upper_ascii(text: str) -> str:
    """A to z as A to Z; other letters stay."""
    return text.translate(_UPPER)


@_method("reverse", STRING, result=STRING)
def reverse(text: str) -> str:
    """The code points from last to first."""
    return text[::-1]


@_method("replace", STRING, STRING, STRING, result=STRING)
def replace(text: str, old: str, new: str) -> object:
    """Every `old` replaced by `new`."""
    return replace_some(text, old, new, -1)


@_method("replace", STRING, STRING, STRING, INT, result=STRING)
def replace_some(text: str, old: str, new: str, limit: int) -> object:
    """The first `limit` ones; all when it is negative."""
    found = text.count(old)
    count = found if limit < 0 else min(found, limit)
    if len(text) + count * (len(new) - len(old)) > SIZE_MAX:
        return too_large()
    return text.replace(old, new, count)


@_method("split", STRING, STRING, result=list_of(STRING))
def split(text: str, separator: str) -> list[str]:
    """The parts between separators; characters where the separator is empty."""
    return text.split(separator) if separator else list(text)


@_method("split", STRING, STRING, INT, result=list_of(STRING))
def split_some(text: str, separator: str, limit: int) -> list[str]:
    """At most `limit` parts, the last one unsplit; all when it is negative."""
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0:
        return list(text)
    rest = text[limit - 1 :]
    return [*text[: limit - 1], rest] if rest else list(text)


@_method("substring", STRING, INT, result=STRING)
def substring(text: str, start: int) -> object:
    """From `start` on."""
    return text[start:] if 0 <= start <= len(text) else _outside()


@_method("substring", STRING, INT, INT, result=STRING)
def substring_until(text: str, start: int, end: int) -> object:
    """From `start` up to, without, `end`."""
    return text[start:end] if 0 <= start <= end <= len(text) else _outside()


#: Unicode's White_Space; Python's own idea of it has four control characters more.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@_method("trim", STRING, result=STRING)
def trim(text: str) -> str:
    """Without white space at both ends."""
    return text.strip(_WHITE_SPACE)


_QUOTED: Final = str.maketrans({
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
})  # fmt: skip


@STRINGS.function("strings.quote", STRING, result=STRING)
def quote(text: str) -> object:
    """The text as a literal, between double quotes."""
    quoted = f'"{text.translate(_QUOTED)}"'
    return quoted if len(quoted) <= SIZE_MAX else too_large()
