"""Paths such as `value.items[0].price`: parsing and writing them.

A path is a variable, then names after dots, positions `[0]`, quoted names `["odd-name"]`, and where
it makes sense `[]` for every element. The first segment is always the variable.
"""

from __future__ import annotations

import re
from typing import Final

from .model import Path

__all__ = ["NAME", "VARIABLES", "PathError", "format_path", "parse_path"]

#: What rules may read, as DESIGN lists it; `message` is another name for `value`.
VARIABLES: Final = (
    "value",
    "message",
    "key",
    "headers",
    "topic",
    "timestamp",
    "stage",
    "client",
    "lists",
    "facts",
    "stamp",
    "schema",
    "now",
    "partition",
    "offset",
)
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_POSITION: Final = re.compile(r"\[\s*([0-9]{1,9})\s*\]")
_EACH: Final = re.compile(r"\[\s*\]")
_STAR: Final = re.compile(r"\[\s*\*\s*\]")
_QUOTED: Final = re.compile(r"""\[\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')\s*\]""")
_ESCAPE: Final = re.compile(r"""\\(u[0-9a-fA-F]{4}|.)""", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\", "/": "/"}
#: More segments than a document may nest (64) reach nothing.
_SEGMENTS_MAX: Final = 64


class PathError(ValueError):
    """Text that is no path; `offset` says from where on, `remedy` what to do."""

    def __init__(self, message: str, offset: int, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.offset, self.remedy = message, offset, remedy


def parse_path(text: str, *, each: bool = False) -> Path:
    """The segments of `text`: names are str, positions int, and `[]` (with `each`) None."""
    match = NAME.match(text)
    if match is None:
        raise PathError("a path starts with a name", 0, "such as `value.amount`")
    segments: list[str | int | None] = [match.group()]
    at = match.end()
    while at < len(text):
        segment, at = _segment(text, at, each=each)
        segments.append(segment)
        if len(segments) > _SEGMENTS_MAX:
            raise PathError(f"a path has at most {_SEGMENTS_MAX} segments", at)
    return tuple(segments)


def _segment(text: str, at: int, *, each: bool) -> tuple[str | int | None, int]:
    if text[at] == ".":
        match = NAME.match(text, at + 1)
        if match is None:
            raise PathError("a name is missing after the dot", at, 'odd names go in `["…"]`')
        return match.group(), match.end()
    if text[at] != "[":
        raise PathError(
            f"`{text[at]}` cannot stand in a path" if text[at].isprintable() else "malformed",
            at,
            _odd_name(text, at),
        )
    match = _POSITION.match(text, at)
    if match is not None:
        return int(match[1]), match.end()
    match = _QUOTED.match(text, at)
    if match is not None:
        return _unescape(match[1] if match[1] is not None else match[2], at), match.end()
    match = _EACH.match(text, at)
    if match is None and (star := _STAR.match(text, at)) is not None and each:
        remedy = f"write `{text[:at]}[]{text[star.end() :]}`"
        raise PathError("every element is written `[]`", at, remedy)
    if match is None:
        raise PathError("brackets hold a position or a quoted name", at, 'such as `["odd-name"]`')
    if not each:
        raise PathError("`[]` (every element) only makes sense in masks and `sensitive`", at)
    return None, match.end()


def _odd_name(text: str, at: int) -> str:
    """The remedy for `value.odd-name`: the same with brackets."""
    dot = text.rfind(".", 0, at)
    tail = re.match(r"[^.\[\]]*", text[dot + 1 :])
    if dot < 0 or tail is None or '"' in tail.group():
        return "write names after dots, or odd names in brackets and quotes"
    return f'write `{text[:dot]}["{tail.group()}"]`'


def _unescape(written: str, at: int) -> str:
    def one(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] == "u" and len(escape) == 5:
            character = chr(int(escape[1:], 16))
            if "\ud800" <= character <= "\udfff":
                raise PathError("half of a surrogate pair", at)
            return character
        if escape in _ESCAPES:
            return _ESCAPES[escape]
        raise PathError("an escape that does not exist", at, "write a backslash twice")

    return _ESCAPE.sub(one, written)


def format_path(path: Path) -> str:
    """`path` as people write it; `parse_path(format_path(p), each=True)` is `p`."""
    parts: list[str] = []
    for position, segment in enumerate(path):
        if segment is None:
            parts.append("[]")
        elif isinstance(segment, int):
            parts.append(f"[{segment}]")
        elif NAME.fullmatch(segment):
            parts.append(f".{segment}" if position else segment)
        else:
            parts.append(f'["{_escape(segment)}"]')
    return "".join(parts)


def _escape(name: str) -> str:
    def one(match: re.Match[str]) -> str:
        character = match.group()
        return f"\\{character}" if character in '"\\' else f"\\u{ord(character):04x}"

    return re.sub(r'["\\\x00-\x1f\x7f]', one, name)
