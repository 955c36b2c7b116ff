"""How deep JSON is nested, told by its brackets: a decoder finds out only at its limit, level by level."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["IN_A_ROW_MAX", "LONG", "is_too_deep", "nesting", "wary"]


class _TooDeepError(RecursionError):
    """Raised before anything was decoded."""


#: Valid JSON with so many brackets in a row, one after the other, is refused.
IN_A_ROW_MAX: Final = 500
#: As many closing ones are of a value at least so long.
LONG: Final = 2 * IN_A_ROW_MAX

_NOT_STRUCTURE: Final = bytes(sorted(set(range(256)) - set(b'[]{}"\\')))
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*"?', re.DOTALL)
_QUOTES: Final = re.compile(rb'\\.|"', re.DOTALL)
_RUN: Final = re.compile(rb"[\[{]+|[\]}]+")
#: What a list, an object with a short name and one with a longer take at least, and a little more.
_BYTES_A_LEVEL: Final = (1.25, 6, 16)
#: What deep nesting begins or ends with, and hardly anything else has. Long enough that finding
#: none in a value is a matter of a few hundredths of a microsecond.
_UNITS: Final = (b"[", b"}", b"]", b"}]")
_RUNS: Final = tuple(unit * (64 // len(unit)) for unit in _UNITS)
#: How much of a value is searched for them.
_SEEN: Final = 16_384
#: How many of the first bytes, and brackets in them, are looked at first.
_HEAD: Final = (128, 8)
#: The last byte of a value that is not cut short, but for bare words and numbers.
_ENDS: Final = frozenset(b'}]" \t\r\n')


def wary(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """`decode` for values of `LONG` bytes and more, which refuses at once what is nested too deeply.

    That is, most of it, and what has `IN_A_ROW_MAX` brackets in a row near its beginning: it raises
    RecursionError. Of the rest it comes to the same.
    """
    opened_list, closed, closed_list, closed_both = _RUNS

    def decode_warily(data: bytes) -> object:
        seen = data if len(data) <= _SEEN else data[:_SEEN]
        if not data[-IN_A_ROW_MAX:].strip(b"}]"):
            hopeless = True  # such an end is of no text
        elif opened_list in seen or closed in seen or closed_list in seen or closed_both in seen:
            hopeless = _runs(seen)
        elif data[-1] not in _ENDS:
            hopeless = _starts(seen, IN_A_ROW_MAX)
        else:
            hopeless = seen is not data and _starts(seen, sys.getrecursionlimit())
        if hopeless:
            raise _TooDeepError
        return decode(data)

    return decode_warily


def is_too_deep(data: bytes, error: Exception) -> bool:
    """Whether `data`, refused with `error`, is nested too deeply for any stack.

    Most that is, is so from the start.
    """
    if isinstance(error, _TooDeepError) or not isinstance(error, RecursionError):
        return isinstance(error, _TooDeepError)
    depth = sys.getrecursionlimit()
    return _starts(data, depth) or nesting(data) >= depth


def _starts(data: bytes, depth: int) -> bool:
    """Whether it begins with so many brackets that are opened."""
    first, at_least = _HEAD
    head = _brackets(data[:first])
    if len(head) < at_least or b"}" in head or b"]" in head:
        return False
    for each in _BYTES_A_LEVEL:
        size = int(depth * each)
        if size < len(data):
            brackets = _brackets(data[:size])
            if len(brackets) - len(brackets.lstrip(b"[{")) >= depth:
                return True
    return False


def _runs(data: bytes) -> bool:
    """Whether the first long run of brackets is too long, and not within a text."""
    for run, unit in zip(_RUNS, _UNITS, strict=True):
        start = data.find(run)
        if start >= 0 and data.startswith(unit * (IN_A_ROW_MAX // len(unit)), start):
            quotes = data.count(b'"', 0, start)
            if data.find(b"\\", 0, start) >= 0:
                quotes = _QUOTES.findall(data[:start]).count(b'"')
            return quotes % 2 == 0
    return False


def nesting(data: bytes) -> int:
    """How deep the lists and objects of `data` are nested, whether or not it is valid JSON."""
    depth = deepest = 0
    for run in _RUN.findall(_brackets(data)):
        depth += len(run) if run[0] in b"[{" else -len(run)
        deepest = max(deepest, depth)
    return deepest


def _brackets(data: bytes) -> bytes:
    """The brackets of `data` that are not in a string."""
    bare = data.translate(None, _NOT_STRUCTURE)
    if b"\\" not in bare:
        if b'"' not in bare:
            return bare
        quotes = bare.count(b'"')
        if quotes % 2:
            bare = bare[: bare.rindex(b'"')]  # where a string begins that does not end
            quotes -= 1
        # Each string is two quotes side by side where there are no brackets in any.
        if bare.count(b'""') * 2 == quotes:
            return bare.translate(None, b'"')
    return _STRING.sub(b"", data).translate(None, _NOT_STRUCTURE + b'"\\')
