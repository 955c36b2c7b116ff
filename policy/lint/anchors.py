"""What a pattern is anchored by, read from its parts: groups, alternatives, repetitions and flags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["Anchors", "anchors_of"]

_TOKEN: Final = re.compile(
    r"""
    \\Q (?P<quoted> .*? ) (?: \\E | \Z )
  | (?P<edge> \\A | \\z | \^ | \$ )
  | (?P<empty> \\[bBE] )
  | (?P<escape> \\ (?: [pPx]\{ [^}]* \} | . ) )
  | (?P<any> \. | \[ \\s\\S \] | \[ \\S\\s \] | \[ \\d\\D \] | \[ \\D\\d \] | \[ \\w\\W \] | \[ \\W\\w \] )
  | (?P<set> \[ \^? \]? (?: \[:\^?[a-z]+:\] | \\. | [^\]\\] )* \] )
  | \(\? (?P<flags> [a-zA-Z]* (?: -[a-zA-Z]* )? ) (?P<within> [:)] )
  | (?P<open> \( (?: \?P?<[^>]*> )? )
  | (?P<close> \) )
  | (?P<or> \| )
  | (?P<literal> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_REPEAT: Final = re.compile(
    r"(?P<loose>[*+?])\??|\{(?P<least>[0-9]+)(?P<more>,(?P<most>[0-9]*))?\}\??"
)

_Side: TypeAlias = Literal["start", "end"]
_Sides: TypeAlias = frozenset[_Side]


class Anchors(NamedTuple):
    """`fixed`: every match begins at the start of the text, or every one ends at its end.

    `some`: the signs that hold for some matches only. `lines`: the signs that stand for lines.
    `bare` is the pattern without the signs at its ends and without the flag that makes them stand
    for lines; `flags` are those before it. `.*` at an end counts as its anchor, being meant.
    """

    fixed: bool
    some: tuple[str, ...]
    lines: tuple[str, ...]
    flags: str
    bare: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a pattern, by what holds of each of its matches.

    `tied` are the sides at which it stands at that of the text, wherever it is in a sequence;
    `open` those at which it says so or takes any text; `loose` those at which some matches do.
    """

    tied: _Sides = frozenset()
    open: _Sides = frozenset()
    loose: _Sides = frozenset()
    empty: bool = False


@dataclass(slots=True)
class _Level:
    """A group that is being read: its finished alternatives, and the parts of the current one."""

    lines: bool
    alternatives: list[_Part] = field(default_factory=list[_Part])
    parts: list[_Part] = field(default_factory=list[_Part])

    def end_alternative(self) -> None:
        self.alternatives.append(_sequence(self.parts))
        self.parts = []

    def whole(self) -> _Part:
        self.end_alternative()
        found = self.alternatives
        return _Part(
            _Sides.intersection(*[each.tied for each in found]),
            _Sides.intersection(*[each.open for each in found]),
            _Sides().union(*[each.loose for each in found]),
            all(each.empty for each in found),
        )


_BOTH: Final[_Sides] = frozenset({"start", "end"})
_EDGES: Final[dict[str, _Sides]] = {
    "^": frozenset({"start"}),
    r"\A": frozenset({"start"}),
    "$": frozenset({"end"}),
    r"\z": frozenset({"end"}),
}
_SIGNS: Final[dict[_Side, str]] = {"start": "^", "end": "$"}


def anchors_of(pattern: str) -> Anchors:
    """What `pattern`, which RE2 takes, is anchored by."""
    levels = [_Level(lines=False)]
    lines: dict[str, None] = {}
    edges: list[tuple[int, int]] = []
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            break  # nothing that RE2 takes
        here, position = position, token.end()
        level, kind = levels[-1], token.lastgroup
        part = _Part()
        if kind in ("open", "within"):
            inner = _Level(_multiline(token["flags"] or "", level.lines))
            if token["within"] == ")":
                level.lines = inner.lines
            else:
                levels.append(inner)
            continue
        if kind == "or":
            level.end_alternative()
            continue
        if kind == "close":
            part = level.whole()
            if len(levels) > 1:
                levels.pop()
        elif kind == "edge":
            edges.append((here, position))
            part = _edge(token.group(), level.lines, lines)
        elif kind == "empty":
            part = _Part(empty=True)
        elif kind == "quoted":
            part = _Part(empty=not token["quoted"])
        repeat = _REPEAT.match(pattern, position)
        if repeat is not None:
            position = repeat.end()
            part = _repeated(part, repeat, kind == "any")
        levels[-1].parts.append(part)
    whole = levels[0].whole()
    some = tuple(_SIGNS[side] for side in ("start", "end") if side in whole.loose)
    return Anchors(bool(whole.open), some, tuple(lines), *_bare(pattern, edges))


def _edge(sign: str, in_lines: bool, lines: dict[str, None]) -> _Part:
    if in_lines and sign in "^$":
        lines[sign] = None
        return _Part(empty=True)
    sides = _EDGES[sign]
    return _Part(sides, sides, sides, empty=True)


def _sequence(parts: Sequence[_Part]) -> _Part:
    """One after the other. A part that stands at the start of the text has nothing before it."""
    tied = _Sides().union(*[part.tied for part in parts])
    loose = _Sides().union(*[part.loose for part in parts])
    wide = _BOTH & _first_open(parts, "start") | _first_open(parts[::-1], "end")
    return _Part(tied, tied | wide, loose | wide, all(part.empty for part in parts))


def _first_open(parts: Sequence[_Part], side: _Side) -> _Sides:
    """The side, where the first part that takes text is open there."""
    first = next((part for part in parts if not part.empty), None)
    return frozenset({side}) if first is not None and side in first.open else frozenset()


def _repeated(part: _Part, repeat: re.Match[str], any_text: bool) -> _Part:
    endless = repeat["loose"] in ("*", "+") or (repeat["more"] and not repeat["most"])
    if any_text and endless:
        return _Part(open=_BOTH, loose=_BOTH)
    optional = repeat["loose"] in ("*", "?") or repeat["least"] == "0"
    return replace(part, tied=frozenset(), open=frozenset()) if optional else part


def _multiline(flags: str, before: bool) -> bool:
    on, _, off = flags.partition("-")
    return before if "m" not in flags else "m" in on and "m" not in off


_LEADING: Final = re.compile(r"\(\?(?P<on>[a-zA-Z]+)\)")


def _bare(pattern: str, edges: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """The flags before the pattern without `m`, and the rest of it without the signs in `edges`."""
    leading = _LEADING.match(pattern)
    on = "" if leading is None else leading["on"].replace("m", "")
    begin = 0 if leading is None else leading.end()
    pieces: list[str] = []
    for start, end in edges:
        pieces.append(pattern[begin:start])
        begin = end
    return f"(?{on})" if on else "", "".join([*pieces, pattern[begin:]])
