"""How long RE2 takes at most for a character of text, by the pattern.

RE2 builds its automaton as it reads, and that takes little time per character, however long the
pattern is, as long as the automaton has few states. Where it has too many, each character is tried
at every place of the compiled program: `(a|b)*a(a|b){900}c` has 2,709 of them.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final, NamedTuple

from .regex import program_size, quick_search

__all__ = ["CHARACTER", "INSTRUCTION", "PatternCost", "pattern_cost"]

#: Units for a character that is looked at.
CHARACTER: Final = 0.1
#: Units for a character that is tried at one place of a program; measured, it takes as long as
#: what other functions do for that many units.
INSTRUCTION: Final = 0.03
#: Up to this many places for a character in a pattern there are some hundred states at most.
_POSITIONS_FEW: Final = 10
#: Units that need no look at whether there is only one way to match.
_REACHED_LITTLE: Final = 50_000


class PatternCost(NamedTuple):
    """Units for each character, and the most characters of a text that are read."""

    per_character: float
    reach: float

    def of(self, size: float) -> float:
        """Units for a text of so many characters."""
        return self.per_character * min(size, self.reach)


@lru_cache(maxsize=1024)
def pattern_cost(pattern: str) -> PatternCost:
    """The cost of a pattern that RE2 takes."""
    shape = _shape(pattern)
    if shape is not None and shape.positions <= _POSITIONS_FEW:
        return PatternCost(CHARACTER, math.inf)
    cost = PatternCost(max(CHARACTER, INSTRUCTION * program_size(pattern)), math.inf)
    if shape is None or not shape.anchored:
        return cost
    if not shape.unlimited:
        cost = cost._replace(reach=float(shape.positions + 1))
    if cost.per_character * cost.reach > _REACHED_LITTLE:
        quick = quick_search(pattern)
        if quick is not None and not quick.bounded:
            return PatternCost(CHARACTER, math.inf)
    return cost


class _Shape(NamedTuple):
    """Places for a character with repetitions written out, which is also the longest match."""

    positions: int
    unlimited: bool
    anchored: bool


_TOKEN: Final = re.compile(
    r"""
    (?P<quoted> \\Q (?P<text> .*? ) (?: \\E | \Z ) )
  | (?P<assertion> [\^$] | \\[AzbB] )
  | (?P<open> \( (?: \? (?: P?<\w+> | (?P<flags> [a-zA-Z-]* ) (?P<end> [:)] ) ) )? )
  | (?P<close> \) )
  | (?P<or> \| )
  | (?P<repeat> [*+?] | \{ (?P<low>[0-9]+) (?P<comma>,)? (?P<high>[0-9]*) \} )
  | (?P<one> \\[pP](?: \{[^}]*\} | . ) | \\x(?: \{[^}]*\} | .. ) | \\[0-7]{1,3} | \\.
      | \[ \^? \]? (?: \\[pP]\{[^}]*\} | \\. | \[:\^?\w+:\] | [^\]\\] )* \] | . )
    """,
    re.VERBOSE | re.DOTALL,
)


def _shape(pattern: str) -> _Shape | None:
    """None where the pattern is not understood."""
    totals, last = [0], 0
    unlimited = False
    anchored = pattern.startswith(("^", "\\A"))
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            return None
        position = token.end()
        kind = next(name for name in _KINDS if token[name] is not None)
        if kind == "open" and token["end"] != ")":
            totals.append(0)
        elif kind == "close":
            if len(totals) == 1:
                return None
            last = totals.pop()
            totals[-1] += last
        elif kind == "repeat":
            most = int(token["high"] or token["low"] or 1)
            unlimited |= token["repeat"] in "*+" or bool(token["comma"] and not token["high"])
            totals[-1] += last * (max(most, 1) - 1)
            last *= max(most, 1)
        elif kind in ("one", "quoted"):
            last = len(token["text"]) if kind == "quoted" else 1
            totals[-1] += last
        # With the flag `m`, `^` stands at every line.
        anchored &= "m" not in (token["flags"] or "")
        anchored &= not (kind == "or" and len(totals) == 1)
        anchored &= not (kind == "repeat" and token.start() <= 2 and not totals[0])
    return _Shape(totals[0], unlimited, anchored) if len(totals) == 1 else None


_KINDS: Final = ("quoted", "assertion", "open", "close", "or", "repeat", "one")
