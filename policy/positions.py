"""From an offset in a YAML text to the place in the file, through folding, indentation and escapes.

Characters other than white space stand in the value in the order in which they stand in the file,
so that the n-th of the one is the n-th of the other; escapes and doubled quotes count as what they
mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .nodes import ScalarNode, Source

__all__ = ["index_of"]

_ESCAPE: Final = re.compile(
    # JSON may write one character as two escapes, its halves.
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\n|.)",
    re.DOTALL,
)
_LONGEST_ESCAPE_CHARS: Final = 10
_WHITE_ESCAPES: Final = frozenset(("\\n", "\\t", "\\ ", "\\\t", "\\N", "\\_", "\\L", "\\P"))
_SPACES: Final = " \t\n\r\x85\xa0\u2028\u2029"


def index_of(source: Source, node: ScalarNode, offset: int) -> int:
    """The position in the source of the character at `offset` of `node.text`.

    Exact for every character but white space, which is told by its neighbour.
    """
    if node.end <= node.start:
        return node.start
    if offset >= len(node.text.rstrip(_SPACES)):
        return _after_last(source, node)
    while offset < len(node.text) and node.text[offset] in _SPACES:
        offset += 1
    wanted = sum(character not in _SPACES for character in node.text[:offset])
    for index in _characters(source, node):
        if wanted == 0:
            return index
        wanted -= 1
    return node.start


def _after_last(source: Source, node: ScalarNode) -> int:
    last = node.start
    for index in _characters(source, node):
        last = index
    return min(last + 1, len(source.text))


def _characters(source: Source, node: ScalarNode) -> Iterator[int]:
    """Where each character other than white space begins, in order."""
    written = source.text
    if node.style in ("|", ">"):
        header = written.find("\n", node.start)
        start, end = (header + 1 if header >= 0 else node.end), node.end
    elif node.style:
        start, end = node.start + 1, node.end - 1
    else:
        start, end = node.start, node.end
    index = start
    while index < end:
        character = written[index]
        if node.style == '"' and character == "\\":
            match = _ESCAPE.match(written, index)
            escape = match.group() if match else character
            if escape not in _WHITE_ESCAPES and escape != "\\\n" and not _means_space(escape):
                yield index
            index += len(escape)
            continue
        if character not in _SPACES:
            yield index
        # A doubled single quote is one character of the value.
        index += 2 if node.style == "'" and character == "'" else 1


def _means_space(escape: str) -> bool:
    if escape[1] not in "xuU" or not 4 <= len(escape) <= _LONGEST_ESCAPE_CHARS:
        return False
    code = int(escape[2:], 16)  # noqa: FURB166 - the prefix is a backslash, not a zero
    return code < 0x110000 and chr(code) in _SPACES
