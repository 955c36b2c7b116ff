"""How deep JSON is nested, told by its brackets: a decoder finds out only at its limit, level by level.

Of a value with many brackets near its beginning they are followed before anything is decoded; to
see that a value has few takes a fraction of decoding it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Final

__all__ = ["LONG", "NESTING_MAX", "is_nested", "is_too_deep", "wary"]


class _TooDeepError(RecursionError):
    """Raised before anything was decoded."""


#: A value of `LONG` bytes or more that is nested so deep within its first `_SEEN` bytes is refused,
#: and one that ends with so many brackets.
NESTING_MAX: Final = 150
#: Shorter values are not looked at: so deep, little else fits into them.
LONG: Final = 700

_SEEN: Final = 4_096
#: How much of it is looked at first: hostile nesting starts early, with little between brackets.
_BEGINNING: Final = 960
#: How often empty lists and objects are taken out, to tell many brackets from deep ones.
_ROUNDS: Final = 8
#: Of so many runs of brackets each is followed without that.
_FEW: Final = 30

_NOT_STRUCTURE: Final = bytes(sorted(set(range(256)) - set(b'[]{}"')))
#: Lists that begin, then lists that end.
_RUN: Final = re.compile(rb"(\[*)\]*")
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")


def wary(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """`decode` for values of `LONG` bytes and more: what is nested too deeply raises RecursionError.

    Of the rest it comes to the same.
    """

    def decode_warily(data: bytes) -> object:
        if not data[-NESTING_MAX:].strip(b"]}"):
            raise _TooDeepError  # such an end is of no text
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
    return isinstance(error, _TooDeepError) or is_nested(data, sys.getrecursionlimit())


def is_nested(data: bytes, depth: int) -> bool:
    """Whether lists and objects are nested so deep in `data`, whether or not it is valid JSON."""
    return _reaches(_brackets(data), depth)


def _is_deep(head: bytes) -> bool:
    return is_nested(head[:_BEGINNING], NESTING_MAX) or is_nested(head, NESTING_MAX)


def _reaches(brackets: bytes, depth: int) -> bool:
    if len(brackets) < depth:
        return False
    level = 0
    for count, run in enumerate(_RUN.finditer(brackets)):
        if count == _FEW and _is_shallow(brackets, depth):
            return False
        start, middle = run.span(1)
        level += middle - start
        if level >= depth:
            return True
        level -= run.end() - middle
    return False


def _is_shallow(brackets: bytes, depth: int) -> bool:
    """Whether little is left without lists that are empty, again and again."""
    for levels in range(_ROUNDS):
        if len(brackets) + levels < depth:
            return True
        brackets = brackets.replace(b"[]", b"")
    return False


def _brackets(data: bytes) -> bytes:
    """The brackets of `data` that are not in a string, which need not end; all as those of lists."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    bare = data.translate(_ALIKE, _NOT_STRUCTURE)
    # Where no string has brackets, its quotes stand side by side.
    outside, _, rest = bare.replace(b'""', b"").partition(b'"')
    return outside if b'"' not in rest else b"".join(bare.split(b'"')[::2])
