"""How deep JSON is nested, told by its brackets: a decoder finds out only at its limit, level by level."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["LONG", "is_nested", "is_too_deep", "nesting", "wary"]


class _TooDeepError(RecursionError):
    """Raised before anything was decoded."""


#: Bytes from which on a value may be nested too deeply. Whoever lowers the interpreter's limit
#: below that has shorter ones refused by the decoder.
LONG: Final = 1_000

_NOT_STRUCTURE: Final = bytes(sorted(set(range(256)) - set(b'[]{}"\\')))
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*"?', re.DOTALL)
_RUN: Final = re.compile(rb"[\[{]+|[\]}]+")
#: What a list, and an object with a short name, takes at least and a little more.
_BYTES_A_LEVEL: Final = (1.25, 6)
#: What deep nesting begins or ends with, and hardly anything else has. Long enough that finding
#: none in a value is a matter of a few hundredths of a microsecond.
_UNITS: Final = (b"[", b"}", b"]", b"}]")
_RUNS: Final = tuple(unit * (64 // len(unit)) for unit in _UNITS)
#: How much of a value is searched for them.
_SEEN: Final = 16_384
#: How many of the first bytes, and brackets in them, are looked at first.
_HEAD: Final = (128, 20)
#: The last byte of a value that is not cut short, but for bare words and numbers.
_ENDS: Final = frozenset(b'}]" \t\r\n')


def wary(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """`decode` for long values, which raises RecursionError at once for most that it would.

    Of the rest it comes to the same.
    """
    if sys.version_info >= (3, 12):
        return decode  # there the decoder's limit is another, and not known
    opened_list, closed, closed_list, closed_both = _RUNS

    def decode_warily(data: bytes) -> object:
        seen = data if len(data) <= _SEEN else data[:_SEEN]
        if opened_list in seen or closed in seen or closed_list in seen or closed_both in seen:
            if _runs(seen, sys.getrecursionlimit()):
                raise _TooDeepError
        elif (seen is not data or data[-1] not in _ENDS) and _starts(seen, sys.getrecursionlimit()):
            raise _TooDeepError
        return decode(data)

    return decode_warily


def is_too_deep(data: bytes, error: Exception) -> bool:
    """Whether `data`, refused with `error`, is nested too deeply for any stack."""
    return isinstance(error, _TooDeepError) or (
        isinstance(error, RecursionError) and is_nested(data, sys.getrecursionlimit())
    )


def is_nested(data: bytes, depth: int) -> bool:
    """Whether `data` is nested at least so deep: most that is, is so from the start."""
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


def _runs(data: bytes, depth: int) -> bool:
    """Whether its first long run of brackets is so long, and not within a text.

    What has a run of closing ones there is nested so deep, or is no JSON.
    """
    for run, unit in zip(_RUNS, _UNITS, strict=True):
        start = data.find(run)
        if start >= 0 and data.startswith(unit * (depth // len(unit)), start):
            if data.find(b"\\", 0, start) >= 0:
                return nesting(data) >= depth
            return data.count(b'"', 0, start) % 2 == 0
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
