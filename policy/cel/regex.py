"""Regular expressions in RE2's semantics and RE2's time: linear, whatever pattern and text.

Every pattern is compiled by google-re2, which also says what is wrong with it. Its calls from
Python cost a microsecond or more; `safe_matcher` runs Python's `re` instead where a pattern
provably means the same there and cannot backtrack far.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import re2

from .values import CelError

__all__ = [
    "PATTERN_LENGTH_MAX",
    "QUICK_TEXT_MAX",
    "STEPS_MAX",
    "QuickSearch",
    "literal_ends",
    "matches",
    "pattern_problem",
    "program_size",
    "quick_search",
    "safe_matcher",
    "translate",
]

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


def program_size(pattern: str) -> int:
    """The instructions of the program that RE2 makes of `pattern`; 0 where it refuses it."""
    compiled = _compile(pattern)
    return 0 if isinstance(compiled, str) else compiled.programsize


#: What a pattern that comes with an event may take: the characters of the text times the
#: instructions of the pattern. Where RE2 is slowest that takes about half a second.
STEPS_MAX: Final = 40_000_000
#: Such a pattern may have some 16,000 instructions, so that compiling it takes milliseconds.
_MEMORY_MAX_BYTES: Final = 1 << 20
_UNKNOWN_OPTIONS: Final = re2.Options()
_UNKNOWN_OPTIONS.log_errors = False
_UNKNOWN_OPTIONS.max_mem = _MEMORY_MAX_BYTES


@lru_cache(maxsize=64)
def _compile_unknown(pattern: str) -> Any | None:
    """A pattern that comes with an event; few are kept, since each may take all its memory."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        return None
    try:
        return re2.compile(pattern, _UNKNOWN_OPTIONS)
    except (UnicodeEncodeError, re2.error):
        return None


def matches(text: str, pattern: str) -> object:
    """CEL's `text.matches(pattern)`: whether the pattern is found anywhere in the text.

    For patterns that are known only now: of a constant one, `safe_matcher` is compiled beforehand.
    """
    compiled = _compile_unknown(pattern)
    if compiled is None:
        return CelError("invalid_regex", "the pattern is no RE2 regular expression, or too large")
    if len(text) * compiled.programsize * (1 if text.isascii() else 4) > STEPS_MAX:
        return CelError("too_large", "a pattern and its text are too large together")
    return _search(compiled, text)


def _search(compiled: Any, text: str) -> object:
    try:
        return compiled.search(text) is not None
    except UnicodeEncodeError:
        return _BAD_TEXT


#: Up to this length a search with `re` takes at most some hundred thousand steps.
QUICK_TEXT_MAX: Final = 200
_WAYS_MAX: Final = 64
_AFTER_MAX: Final = 8


def safe_matcher(pattern: str) -> Callable[[str], object]:
    """The fastest function that says what `matches(text, pattern)` says.

    Raises ValueError for a pattern that RE2 refuses.
    """
    compiled = _compile(pattern)
    if isinstance(compiled, str):
        raise ValueError(compiled)
    quick = quick_search(pattern)
    if quick is None:
        return lambda text: _search(compiled, text)
    search = quick.search

    def match(text: str) -> object:
        if len(text) <= QUICK_TEXT_MAX and text.isascii():
            return search(text) is not None
        return _search(compiled, text)

    return match


class QuickSearch(NamedTuple):
    """A search with Python's `re` that finds what RE2 finds, None where that is nothing.

    `bounded`: in text of up to QUICK_TEXT_MAX characters, longer ones could take long. `ascii`: in
    ASCII text, of which alone it is certain. The text has to be Unicode.
    """

    search: Callable[[str], object | None]
    bounded: bool
    ascii: bool


def quick_search(pattern: str) -> QuickSearch | None:
    """The search for `pattern`; None where `re` is not certain to find the same soon enough."""
    translated = _translated(pattern)
    if translated is None:
        return None
    compiled = re.compile(translated.text, re.ASCII)
    # A search would try an anchored pattern at every character.
    search = compiled.match if _is_anchored(pattern) else compiled.search
    return QuickSearch(search, not translated.linear, not translated.positive)


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
    #: Characters that are matched after the last repetition that may have several ways to match.
    after: int = 0
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
            self.after += _count(repeat)
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
                self.after = 0
                if kind in _CHARACTERS:
                    self.open_end = characters

    def steps(self, anchored: bool) -> tuple[int, int]:
        """A search takes at most `length ** power * ways` steps, give or take what comes after."""
        return 1 + (0 if anchored else 1) + self.before, self.ways * self.alternatives[0]

    @property
    def has_short_end(self) -> bool:
        """Whether little is tried again for each way in which a repetition can match."""
        return not self.loose or self.after <= _AFTER_MAX


def _count(repeat: re.Match[str] | None) -> int:
    """How many characters an atom matches at most; an unlimited repetition counts as one."""
    return int((repeat and (repeat["high"] or repeat["low"])) or 1)


class _Translated(NamedTuple):
    """A pattern for `re`: linear if it does not backtrack, positive if it names what it matches."""

    text: str
    linear: bool
    positive: bool


def translate(pattern: str) -> str | None:
    """The same pattern for Python's `re` on ASCII text; None where that is not certain.

    Taken are literals, classes, sets, anchors and plain groups that are not repeated.
    """
    translated = _translated(pattern)
    return None if translated is None else translated.text


def _translated(pattern: str) -> _Translated | None:
    pieces: list[str] = []
    cost = _Cost()
    position = 0
    positive = True
    while position < len(pattern):
        atom = _ATOM.match(pattern, position)
        if atom is None:
            return None
        position = atom.end()
        kind = atom.lastgroup
        positive = positive and kind != "any" and not atom.group().startswith("[^")
        # `$` is the end of the text for RE2, and Python's would also stand before a newline.
        pieces.append(r"\Z" if kind == "end" else atom.group())
        repeat = _REPEAT.match(pattern, position)
        cost.add(kind, atom.group(), repeat)
        if repeat is not None:
            position = repeat.end()
            if kind in _NOT_REPEATED or pattern[position : position + 1] in _REPEAT_SIGNS:
                return None
            pieces.append(repeat.group())
    power, ways = cost.steps(_is_anchored(pattern))
    if power > 2 or ways > _WAYS_MAX:
        return None
    linear = power == 1 and ways == 1 and cost.has_short_end
    return _Translated("".join(pieces), linear, positive)


def _is_anchored(pattern: str) -> bool:
    """Whether a pattern that can be translated matches at the start of the text, if at all."""
    depth = 0
    for atom in _ATOM.finditer(pattern):
        kind = atom.lastgroup
        depth += (kind == "open") - (kind == "close")
        if kind == "or" and not depth:
            return False
    return pattern.startswith("^")


def literal_ends(pattern: str) -> tuple[str, str]:
    """How every text starts and ends in which `pattern`, which RE2 takes, is found.

    Empty where the pattern is not anchored there, or that is not certain.
    """
    atoms = _single_atoms(pattern)
    if atoms is None:
        return "", ""
    kinds = [kind for kind, _ in atoms]
    characters = [_character(kind, text) for kind, text in atoms]
    start = _run(characters[1:]) if kinds[:1] == ["start"] else ""
    end = _run(characters[-2::-1])[::-1] if kinds[-1:] == ["end"] else ""
    return start, end


def _single_atoms(pattern: str) -> list[tuple[str, str]] | None:
    """The atoms of a pattern that is no choice of several; "repeated" is a kind of them."""
    atoms: list[tuple[str, str]] = []
    position = depth = 0
    while position < len(pattern):
        atom = _ATOM.match(pattern, position)
        kind = None if atom is None else atom.lastgroup
        if atom is None or kind is None or (kind == "or" and not depth):
            return None
        position = atom.end()
        depth += (kind == "open") - (kind == "close")
        repeat = _REPEAT.match(pattern, position)
        if repeat is not None:
            position, kind = repeat.end(), "repeated"
        if pattern[position : position + 1] in _REPEAT_SIGNS:
            return None
        atoms.append((kind, atom.group()))
    return atoms


def _character(kind: str, atom: str) -> str:
    """The only character that an atom matches; empty for any other."""
    if kind == "literal":
        return atom
    if kind == "escaped":
        return atom[1]
    return atom[1] if kind == "set" and len(atom) == 3 and atom[1] != "^" else ""


def _run(characters: Sequence[str]) -> str:
    """What comes before the first empty one."""
    return "".join(itertools.takewhile(bool, characters))


#: Atoms that match one character; text with others than ASCII's is left to RE2.
_CHARACTERS: Final = frozenset({"literal", "escaped", "class", "any", "set"})
_ASCII: Final = tuple(map(chr, range(128)))
_NOT_REPEATED: Final = frozenset({"start", "end", "open", "close", "or"})
_REPEAT_SIGNS: Final = frozenset("*+?{")  # Lazy and possessive forms; Python's differ from RE2's.
