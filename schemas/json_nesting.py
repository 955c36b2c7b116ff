"""How deep JSON is nested, told by its brackets: a decoder finds out only at its limit, level by level.

Of a value that is nested as deep as `NESTING_MAX`, brackets are counted before anything is decoded;
of others, only those that begin something, which is fast. Valid JSON of less than `LONG` bytes
cannot be nested so deep.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["LONG", "NESTING_MAX", "is_too_deep", "nesting", "wary"]


class _TooDeepError(RecursionError):
    """Raised before anything was decoded."""


#: JSON that is nested so deep within its first `_SEEN` bytes is refused.
NESTING_MAX: Final = 500
#: Values from so many bytes on are looked at: what is shorter, and so deep, is never closed.
LONG: Final = 700

_SEEN: Final = 8_192
#: How much of it is looked at first, where there are many brackets: hostile nesting starts early.
_BEGINNING: Final = 3_072
#: How often empty lists and objects are taken out, to tell many brackets from deep ones.
_ROUNDS: Final = 4

_NOT_STRUCTURE: Final = bytes(sorted(set(range(256)) - set(b'[]{}"')))
_RUN: Final = re.compile(rb"[\[{]+|[\]}]+")


def wary(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """`decode` for values of `LONG` bytes and more: what is nested too deeply raises RecursionError.

    Of the rest it comes to the same.
    """

    def decode_warily(data: bytes) -> object:
        head = data[:_SEEN]
        size = len(head)
        opened = size - len(head.replace(b"{", b"", NESTING_MAX))
        opened += size - len(head.replace(b"[", b"", NESTING_MAX - opened))
        if opened == NESTING_MAX and _is_deep(head):
            raise _TooDeepError
        return decode(data)

    return decode_warily


def is_too_deep(data: bytes, error: Exception) -> bool:
    """Whether `data`, refused with `error`, is nested too deeply for any stack."""
    if not isinstance(error, RecursionError):
        return False
    return isinstance(error, _TooDeepError) or nesting(data) >= sys.getrecursionlimit()


def nesting(data: bytes) -> int:
    """How deep the lists and objects of `data` are nested, whether or not it is valid JSON."""
    return _depth(_brackets(data))


def _is_deep(head: bytes) -> bool:
    for part in (head[:_BEGINNING], head):
        brackets = _brackets(part)
        if not _is_shallow(brackets) and _depth(brackets) >= NESTING_MAX:
            return True
    return False


def _is_shallow(brackets: bytes) -> bool:
    """Whether little is left without lists and objects that are empty, again and again."""
    for levels in range(0, 2 * _ROUNDS, 2):
        if len(brackets) + levels < NESTING_MAX:
            return True
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return False


def _depth(brackets: bytes) -> int:
    depth = deepest = 0
    for run in _RUN.findall(brackets):
        depth += len(run) if run[0] in b"[{" else -len(run)
        deepest = max(deepest, depth)
    return deepest


def _brackets(data: bytes) -> bytes:
    """The brackets of `data` that are not in a string, whether or not the last string ends."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    bare = data.translate(None, _NOT_STRUCTURE)
    # Where no string has brackets, its quotes stand side by side.
    outside, _, rest = bare.replace(b'""', b"").partition(b'"')
    return outside if b'"' not in rest else b"".join(bare.split(b'"')[::2])
