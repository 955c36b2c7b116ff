"""Regular expressions in RE2's semantics and RE2's time: linear, whatever pattern and text.

Every pattern is compiled by google-re2, which also says what is wrong with it. Its calls from
Python cost a microsecond or more; `safe_matcher` runs Python's `re` instead where a pattern
provably means the same there and cannot backtrack far.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import re2

from .values import CelError

__all__ = ["PATTERN_LENGTH_MAX", "matches", "pattern_problem", "safe_matcher", "translate"]

#: Longer than what people write; compiled programs grow with the pattern.
PATTERN_LENGTH_MAX: Final = 10_000

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_BAD_TEXT: Final = CelError("invalid_utf8", "the text is not Unicode")


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> Any | str:
    """The compiled pattern, or what is wrong with it."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        return f"it is longer than {PATTERN_LENGTH_MAX:,} characters"
    try:
        return re2.compile(pattern, _OPTIONS)
    except UnicodeEncodeError:
        return "it is not Unicode"
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with `pattern` in RE2's words; None when nothing is."""
    compiled = _compile(pattern)
    return compiled if isinstance(compiled, str) else None


def matches(text: str, pattern: str) -> object:
    """CEL's `text.matches(pattern)`: whether the pattern is found anywhere in the text."""
    compiled = _compile(pattern)
    if isinstance(compiled, str):
        return CelError("invalid_regex", "the pattern is no RE2 regular expression")
    try:
        return compiled.search(text) is not None
    except UnicodeEncodeError:
        return _BAD_TEXT


#: Below this length a search with `re` takes at most some hundred thousand steps.
_BACKTRACKING_TEXT_MAX: Final = 200
_WAYS_MAX: Final = 64


def safe_matcher(pattern: str) -> Callable[[str], object]:
    """The fastest function that says what `matches(text, pattern)` says.

    Raises ValueError for a pattern that RE2 refuses.
    """
    problem = pattern_problem(pattern)
    if problem is not None:
        raise ValueError(problem)
    translated = translate(pattern)
    if translated is None:
        return lambda text: matches(text, pattern)
    search = re.compile(translated, re.ASCII).search

    def match(text: str) -> object:
        if len(text) <= _BACKTRACKING_TEXT_MAX and text.isascii():
            return search(text) is not None
        return matches(text, pattern)

    return match


_ATOM: Final = re.compile(
    r"""
    (?P<literal> [A-Za-z0-9_@#&%~=:;,<>!"'/\ -] )
  | (?P<escaped> \\[.\-+*?()\[\]{}|^$/\\] )
  | (?P<class> \\[dw] )
  | (?P<any> \. )
  | (?P<set> \[\^? (?: [A-Za-z0-9_@.+%\ ](?!-) | [A-Z]-[A-Z] | [a-z]-[a-z] | [0-9]-[0-9] | \\[dw.\-] )+ -? \] )
  | (?P<start> \^ )
  | (?P<end> \$ )
  | (?P<open> \( (?:\?:)? (?!\?) )
  | (?P<close> \) )
  | (?P<or> \| )
    """,
    re.VERBOSE,
)
_REPEAT: Final = re.compile(
    r"(?P<loose>[*+])|\?|\{(?P<low>[0-9]{1,3})(?P<range>,(?P<high>[0-9]{0,3}))?\}"
)


@dataclass(slots=True)
class _Cost:
    """How far a search could backtrack: `loose` repetitions, and `ways` to take alternatives."""

    loose: int = 0
    before: int = 0  # the most that stand before another repetition
    ways: int = 1
    alternatives: list[int] = field(default_factory=lambda: [1])
    #: What the last repetition can match, while nothing that ends it for certain came after it.
    open_end: frozenset[str] | None = None

    def add(self, kind: str | None, atom: str, repeat: re.Match[str] | None) -> None:
        """Count an atom and its repetition.

        A repetition that is followed by something it cannot match itself has one way to match.
        """
        characters = frozenset[str]()
        if kind in _CHARACTERS:
            matches_one = re.compile(atom, re.ASCII | re.DOTALL).fullmatch
            characters = frozenset(filter(matches_one, _ASCII))
            needed = repeat is None or repeat.group()[0] == "+"
            if self.open_end is not None and needed and not characters & self.open_end:
                self.loose -= 1
        self.open_end = None
        if kind == "open":
            self.alternatives.append(1)
        elif kind == "or":
            self.alternatives[-1] += 1
        elif kind == "close":
            self.ways *= self.alternatives.pop()
        if repeat is not None:
            if repeat.group() == "?":
                self.ways *= 2
            elif repeat["loose"] or (repeat["range"] and repeat["high"] != repeat["low"]):
                self.before = max(self.before, self.loose)
                self.loose += 1
                if kind in _CHARACTERS:
                    self.open_end = characters

    def is_small(self, anchored: bool) -> bool:
        """Whether a search takes quadratic time at most."""
        starts = 0 if anchored and self.alternatives[0] == 1 else 1
        return starts + self.before <= 1 and self.ways * self.alternatives[0] <= _WAYS_MAX


def translate(pattern: str) -> str | None:
    """The same pattern for Python's `re` on ASCII text; None where that is not certain.

    Taken are literals, classes, sets, anchors and plain groups that are not repeated.
    """
    pieces: list[str] = []
    cost = _Cost()
    position = 0
    while position < len(pattern):
        atom = _ATOM.match(pattern, position)
        if atom is None:
            return None
        position = atom.end()
        kind = atom.lastgroup
        # `$` is the end of the text for RE2, and Python's would also stand before a newline.
        pieces.append(r"\Z" if kind == "end" else atom.group())
        repeat = _REPEAT.match(pattern, position)
        cost.add(kind, atom.group(), repeat)
        if repeat is not None:
            position = repeat.end()
            if kind in _NOT_REPEATED or pattern[position : position + 1] in _REPEAT_SIGNS:
                return None
            pieces.append(repeat.group())
    return "".join(pieces) if cost.is_small(pattern.startswith("^")) else None


#: Atoms that match one character; text with others than ASCII's is left to RE2.
_CHARACTERS: Final = frozenset({"literal", "escaped", "class", "any", "set"})
_ASCII: Final = tuple(map(chr, range(128)))
_NOT_REPEATED: Final = frozenset({"start", "end", "open", "close", "or"})
_REPEAT_SIGNS: Final = frozenset("*+?{")  # Lazy and possessive forms; Python's differ from RE2's.
