"""Collecting problems, so that all of all files are told at once, in the order of the files."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

from streamwarden.errors import Location, PolicyError, Problem

__all__ = ["PROBLEMS_MAX", "Problems", "closest", "nearest", "quoted", "shorten"]

#: Of each severity: somebody who sees so many has a systematic mistake, and more would hide the first.
PROBLEMS_MAX: Final = 1000
_LINE_MAX_CHARS: Final = 200
#: Comparing with more takes longer than the remedy is worth.
_CHOICES_MAX: Final = 2000
_QUOTED_MAX_CHARS: Final = 80
_PLURALS: Final = {"error": "problems", "warning": "warnings"}


class Problems:
    """Problems found so far. `dropped` counts those beyond `PROBLEMS_MAX`, by severity."""

    def __init__(self) -> None:
        self.items: list[Problem] = []
        self.dropped: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._order: dict[str, int] = {}

    def expect(self, file: str) -> None:
        """Puts the problems of `file` behind those of the files expected before."""
        self._order.setdefault(file, len(self._order))

    def add(
        self,
        code: str,
        message: str,
        location: Location,
        *,
        text: str = "",
        remedy: str = "",
        corrected: str | None = None,
        severity: str = "error",
    ) -> None:
        """Adds one problem; `text` is cut where it is very long, and words are made one line."""
        if self.drops(severity):
            return
        self._keep(
            Problem(
                code,
                _printable(message),
                location,
                shorten(text),
                _printable(remedy),
                corrected,
                severity,
            )
        )

    def take(self, other: Problems) -> None:
        """Adds what was found apart."""
        for problem in other.items:
            if not self.drops(problem.severity):
                self._keep(problem)
        self.dropped += other.dropped

    def _keep(self, problem: Problem) -> None:
        self._kept[problem.severity] += 1
        self.items.append(problem)

    def drops(self, severity: str) -> bool:
        """Whether one more of that severity is only counted, so that it need not be put into words.

        It is counted by that.
        """
        full = self._kept[severity] >= PROBLEMS_MAX
        self.dropped[severity] += full
        return full

    @property
    def errors(self) -> list[Problem]:
        """Those that keep a bundle from being made, in order."""
        return [problem for problem in self.sorted() if problem.severity == "error"]

    def sorted(self) -> list[Problem]:
        """All of them by file (as expected, else as found), line and column; doubles once."""
        order = dict(self._order)
        for problem in self.items:
            order.setdefault(problem.location.file, len(order))
        unique = dict.fromkeys(self.items)
        for severity, dropped in self.dropped.items():
            if dropped:
                last = [each for each in self.items if each.severity == severity][-1]
                told = f"{dropped:,} more {_PLURALS[severity]} are not shown"
                unique[Problem("SW118", told, last.location, severity=severity)] = None
        return sorted(
            unique,
            key=lambda p: (order[p.location.file], p.location.line, p.location.column),
        )

    def raise_errors(self) -> None:
        """Raises `PolicyError` with all errors, if there are any."""
        errors = self.errors
        if errors:
            raise PolicyError(errors)


def shorten(text: str) -> str:
    """`text` as one printable line of bounded length."""
    if len(text) > _LINE_MAX_CHARS:
        text = text[: _LINE_MAX_CHARS - 1] + "…"
    return _printable(text)


def quoted(text: object) -> str:
    """The user's own words, in backticks, on one line and not too many of them."""
    words = str(text)
    if len(words) > _QUOTED_MAX_CHARS:
        words = words[: _QUOTED_MAX_CHARS - 1] + "…"
    return f"`{_printable(words)}`"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was probably meant to be."""
    lowered = {choice.lower(): choice for choice in islice(choices, _CHOICES_MAX)}
    near = difflib.get_close_matches(word.lower()[:64], list(lowered), n=1, cutoff=0.65)
    return lowered[near[0]] if near else None


def closest(word: str, choices: Iterable[str]) -> str:
    """A remedy such as "did you mean `topics`?", or nothing where no choice is near."""
    near = nearest(word, choices)
    return "" if near is None else f"did you mean `{near}`?"
