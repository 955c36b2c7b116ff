"""Reading the entries of a mapping: kinds, choices, names and dates, each problem in its place."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .nodes import ListNode, MapNode, Node, ScalarNode, Source, kind_of
from .problems import Problems, nearest, quoted
from .yaml_repair import quote

__all__ = ["BUNDLE_NAME", "ID", "Fields", "Reader", "parse_time"]

BUNDLE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Ids stand in headers, metric labels and file names.
_ID_MAX_CHARS: Final = 128
#: Texts are read by people, in trails and headers of 4 KiB; conditions have a limit of their own.
_TEXT_MAX_CHARS: Final = 2000
#: Keys whose value may look like a mapping (`{value.amount} is too much`) and was meant as text.
_FREE_TEXTS: Final = frozenset(("`title`", "`reason`", "`remediation`", "`note`"))
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)"
)


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch of a date (00:00 UTC) or a date and time with its zone.

    Raises ValueError where it is neither.
    """
    if _DATE.fullmatch(text):
        day = dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC)
        return (day - _EPOCH).days * 86_400 * 10**9
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("neither a date nor a time with its zone")
    zone = "+00:00" if match[3] in "Zz" else match[3]
    moment = dt.datetime.fromisoformat(match[1].upper() + zone)
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 10**9 + int((match[2] or "0").ljust(9, "0"))


class Reader:
    """Says what is wrong with the nodes of one document."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.source = source
        self.problems = problems

    def problem(
        self,
        place: Node | int,
        code: str,
        message: str,
        *,
        remedy: str = "",
        corrected: str | None = None,
        severity: str = "error",
    ) -> None:
        """Adds a problem at a node, or at a character of the source."""
        index = place if isinstance(place, int) else place.start
        self.problems.add(
            code,
            message,
            self.source.location(index),
            text=self.source.shown_at(index).rstrip(),
            remedy=remedy,
            corrected=corrected,
            severity=severity,
        )

    def written(self, node: Node) -> str:
        """What stands in the file for `node`."""
        return self.source.text[node.start : node.end].rstrip()

    def replaced(self, node: Node, new: str) -> str | None:
        """The line of `node` with `new` in its place; None where it has several lines."""
        old = self.written(node)
        if not old or "\n" in old:
            return None
        line = self.source.line_at(node.start).rstrip()
        head = self.source.before_on_line(node.start)
        return head + new + line[len(head) + len(old) :]

    def text(self, node: Node, what: str, max_chars: int = _TEXT_MAX_CHARS) -> str | None:
        """The text of `node`, or None with a problem."""
        if isinstance(node, ScalarNode) and isinstance(node.value, str):
            if node.value.strip() and len(node.value) <= max_chars:
                return node.value
            if node.value.strip():
                message = f"{what} has more than {max_chars:,} characters"
                self.problem(node, "SW142", message, remedy="shorten it")
            else:
                self.problem(node, "SW142", f"{what} is empty", remedy="give it a text")
            return None
        if isinstance(node, ScalarNode) and node.value is None and not node.text:
            self.problem(node, "SW142", f"{what} has no value", remedy="give it a text")
            return None
        quotable = isinstance(node, ScalarNode) or what in _FREE_TEXTS
        corrected = self.replaced(node, quote(self.written(node))) if quotable else None
        self.problem(
            node,
            "SW142",
            f"{what} takes a text, and this is {kind_of(node)}",
            remedy="write a text" if corrected is None else "put it in quotes",
            corrected=corrected,
        )
        return None

    def choice(
        self,
        node: Node,
        what: str,
        choices: Sequence[str],
        confused: Mapping[str, str] | None = None,
    ) -> str | None:
        """One of `choices`, or None with a problem."""
        text = self.text(node, what)
        if text is None or text in choices:
            return text
        meant = (confused or {}).get(text.lower()) or nearest(text, choices)
        self.problem(
            node,
            "SW143",
            f"{what} cannot be {quoted(text)}",
            remedy=f"did you mean `{meant}`?" if meant else f"one of {', '.join(choices)}",
        )
        return None

    def name(self, node: Node, what: str, pattern: re.Pattern[str] = ID) -> str | None:
        """An id that matches `pattern`, or None with a problem."""
        text = self.text(node, what)
        if text is None:
            return None
        if pattern.fullmatch(text) and len(text) <= _ID_MAX_CHARS:
            return text
        signs = "lower-case letters, digits" if pattern is BUNDLE_NAME else "letters, digits"
        self.problem(
            node,
            "SW144",
            f"{what} cannot be {quoted(text)}",
            remedy=f"use {signs}, `.`, `_` and `-`, beginning with a letter or digit, "
            f"at most {_ID_MAX_CHARS} characters",
        )
        return None

    def time(self, node: Node, what: str) -> int | None:
        """Nanoseconds of a date or time, or None with a problem."""
        text = self.text(node, what)
        if text is None:
            return None
        try:
            return parse_time(text)
        except (ValueError, OverflowError):
            self.problem(
                node,
                "SW146",
                f"{what} cannot be {quoted(text)}",
                remedy="write a date, `2026-03-01`, or a time with its zone, "
                "`2026-03-01T12:00:00Z`",
            )
            return None

    def items(
        self, node: Node, what: str, *, empty: bool = False, needed: str = ""
    ) -> tuple[Node, ...]:
        """The elements of a list, or nothing with a problem.

        `needed` is the remedy where an empty list stands at a key that cannot be left out.
        """
        if not isinstance(node, ListNode):
            self.problem(
                node,
                "SW142",
                f"{what} takes a list, and this is {kind_of(node)}",
                remedy="write `[a, b]`, or one element a line behind `- `",
                corrected=self.replaced(node, f"[{self.written(node)}]")
                if isinstance(node, ScalarNode) and isinstance(node.value, str)
                else None,
            )
            return ()
        if not node.items and not empty:
            remedy = needed or "name one, or remove the key"
            self.problem(node, "SW142", f"{what} is empty", remedy=remedy)
        return node.items

    def names(self, node: Node, what: str, *, needed: str = "") -> tuple[str, ...]:
        """A list of texts without doubles; malformed ones are left out with a problem."""
        seen: dict[str, None] = {}
        for item in self.items(node, what, needed=needed):
            text = self.text(item, f"an element of {what}")
            if text is None:
                continue
            if text in seen:
                self.problem(item, "SW142", f"{quoted(text)} stands twice in {what}")
            else:
                seen[text] = None
        return tuple(seen)

    def mapping(
        self, node: Node, what: str, example: str = "", *, alone: re.Pattern[str] | None = None
    ) -> MapNode | None:
        """`node` as a mapping, or None with a problem whose remedy shows `example`.

        A value that is `alone`, the first one that the example has, is put in its place.
        """
        if isinstance(node, MapNode):
            return node
        if alone and isinstance(node, ScalarNode) and alone.fullmatch(node.text):
            example = f"{example.partition(':')[0]}: {node.text}}}"
        self.problem(
            node,
            "SW142",
            f"{what} takes a mapping, and this is {kind_of(node)}",
            remedy=f"write `{example}`"
            if example
            else "write `key: value` lines, or `{key: value}`",
        )
        return None


class Fields:
    """The entries of one mapping with known keys; unknown ones are problems at once.

    `confused` maps words that people bring along from elsewhere to the key that is meant.
    """

    def __init__(
        self,
        reader: Reader,
        node: MapNode,
        what: str,
        known: Sequence[str],
        confused: Mapping[str, str] | None = None,
    ) -> None:
        self.reader = reader
        self.node = node
        self._what = what
        self._entries: dict[str, Node] = {}
        self._meant: set[str] = set()
        for key, value in node.entries:
            if key.text in known:
                self._entries[key.text] = value
                continue
            meant = (confused or {}).get(key.text.lower()) or nearest(key.text, known)
            self._meant.update(() if meant is None else (meant,))
            remedy = "" if meant is None else f"did you mean `{meant}`?"
            reader.problem(
                key,
                "SW140",
                f"{what} has no key {quoted(key.text)}",
                remedy=remedy or f"known are {', '.join(known)}",
            )

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def get(self, key: str) -> Node | None:
        """The node of `key`, if it is there."""
        return self._entries.get(key)

    def require(self, *keys: str) -> bool:
        """True where all `keys` are there; each missing one is a problem.

        One that an unknown key was probably meant to be has been told already.
        """
        missing = [key for key in keys if key not in self._entries]
        for key in missing:
            if key in self._meant:
                continue
            self.reader.problem(
                self.node, "SW141", f"{self._what} lacks `{key}:`", remedy=f"add `{key}:`"
            )
        return not missing

    def text(self, key: str) -> str | None:
        """The text of `key`; None where it is missing or malformed."""
        node = self.get(key)
        return None if node is None else self.reader.text(node, f"`{key}`")

    def choice(
        self, key: str, choices: Sequence[str], confused: Mapping[str, str] | None = None
    ) -> str | None:
        """One of `choices`; None where it is missing or malformed."""
        node = self.get(key)
        return None if node is None else self.reader.choice(node, f"`{key}`", choices, confused)

    def names(self, key: str, *, needed: str = "") -> tuple[str, ...]:
        """A list of texts; empty where it is missing or malformed."""
        node = self.get(key)
        return () if node is None else self.reader.names(node, f"`{key}`", needed=needed)

    def flag(self, key: str) -> bool | None:
        """A truth value; None where it is missing or malformed."""
        node = self.get(key)
        if node is None:
            return None
        if isinstance(node, ScalarNode) and isinstance(node.value, bool):
            return node.value
        self.reader.problem(
            node,
            "SW142",
            f"`{key}` takes true or false, and this is {kind_of(node)}",
            remedy="write `true` or `false` without quotes",
        )
        return None

    def whole(self, key: str, low: int, high: int) -> int | None:
        """A whole number between `low` and `high`; None where it is missing or malformed."""
        node = self.get(key)
        if node is None:
            return None
        value = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.reader.problem(node, "SW142", f"`{key}` takes a whole number from {low:,} to {high:,}")
        return None
