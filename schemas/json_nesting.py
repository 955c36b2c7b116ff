"""How deep JSON is nested, told by its brackets: a decoder finds out only at its limit, level by level.

Of a value with many brackets near its beginning they are followed before anything is decoded; to
see that a value has few takes a fraction of decoding it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["LONG", "NESTING_MAX", "is_nested", "is_refused", "is_too_deep", "wary"]


class _TooDeepError(RecursionError):
    """Raised before anything was decoded."""


#: A value of `LONG` bytes or more that is nested so deep within its first `_SEEN` bytes is refused,
#: and one that ends with so many brackets.
NESTING_MAX: Final = 128
#: Shorter values are not looked at: so deep, little else fits into them.
LONG: Final = 1_000

_SEEN: Final = 4_096
#: How much of it is followed at once, until it is too deep: hostile nesting starts early.
_AT_ONCE: Final = 768

_NOT_STRUCTURE: Final = bytes(sorted(set(range(256)) - set(b'[]{}"')))
#: Lists that begin, then lists that end.
_RUN: Final = re.compile(rb"(\[*)\]*")
#: So many of those are looked at one by one; more are made fewer first.
_RUNS_MAX: Final = 64
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")


def wary(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """`decode` for values of `LONG` bytes and more: what is nested too deeply raises RecursionError.

    Of the rest it comes to the same.
    """

    def decode_warily(data: bytes) -> object:
        if is_refused(data):
            raise _TooDeepError
        return decode(data)

    return decode_warily


def is_refused(data: bytes) -> bool:
    """Whether a value of `LONG` bytes or more is refused by its brackets alone."""
    if not data[-NESTING_MAX:].strip(b"]}"):
        return True  # such an end is of no text
    head = data[:_SEEN]
    size = len(head)
    opened = size - len(head.replace(b"{", b"", NESTING_MAX))
    opened += size - len(head.replace(b"[", b"", NESTING_MAX - opened))
    return opened == NESTING_MAX and is_nested(head, NESTING_MAX)


def is_too_deep(data: bytes, error: Exception) -> bool:
    """Whether `data`, refused with `error`, is nested too deeply for any stack."""
    if not isinstance(error, RecursionError):
        return False
    # What is deeper than half of its length ends too early: no fresh stack makes that JSON.
    limit = min(sys.getrecursionlimit(), len(data) // 2 + 1)
    return isinstance(error, _TooDeepError) or is_nested(data, limit)


def is_nested(data: bytes, depth: int) -> bool:
    """Whether lists and objects are nested so deep in `data`, whether or not it is valid JSON."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    level, quote = 0, b""
    for start in range(0, len(data), _AT_ONCE):
        bare = data[start : start + _AT_ONCE].translate(_ALIKE, _NOT_STRUCTURE)
        brackets, quote = _outside_strings(quote + bare)
        opened = brackets.count(b"[")
        if level + opened >= depth and _climbs(brackets, depth - level):
            return True
        level += opened - (len(brackets) - opened)
    return False


def _outside_strings(bare: bytes) -> tuple[bytes, bytes]:
    """The brackets in `bare` that are not in a string, and the quote of one that does not end."""
    quotes, begun = bare.count(b'"'), b""
    if not quotes:
        return bare, begun
    if quotes % 2:
        bare, begun = bare[: bare.rindex(b'"')], b'"'
    # Where no string has brackets, its quotes stand side by side.
    if bare.count(b'""') == quotes // 2:
        return bare.translate(None, b'"'), begun
    return b"".join(bare.split(b'"')[::2]), begun


def _climbs(brackets: bytes, levels: int) -> bool:
    """Whether so many more levels are open somewhere."""
    if brackets.startswith(b"[" * levels):
        return True
    while brackets.count(b"][") > _RUNS_MAX:
        brackets = brackets.replace(b"][", b"")  # as deep as before, only less often
        if brackets.count(b"[") < levels:
            return False
    level = 0
    for run in _RUN.finditer(brackets):
        start, middle = run.span(1)
        level += middle - start
        if level >= levels:
            return True
        level -= run.end() - middle
    return False
