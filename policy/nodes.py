"""What a document says and where it says it: values with their places in the file.

A stored bundle has no files; `nodes_of` makes the same nodes from JSON, all at one place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

from streamwarden.errors import Location

__all__ = [
    "DEPTH_MAX",
    "ListNode",
    "MapNode",
    "Node",
    "Repaired",
    "ScalarNode",
    "Source",
    "data_of",
    "kind_of",
    "nodes_of",
]

#: Deeper than any event that people describe by hand, and far from the interpreter's own limit.
DEPTH_MAX: Final = 64

#: What was written in a line, and each move since: behind which column (from 1), and how far.
Repaired: TypeAlias = "tuple[str, tuple[tuple[int, int], ...]]"


@dataclass(slots=True)
class Source:
    """A file's text (every line end one line feed) and the places in it.

    `repaired` has what was written in the lines that were corrected to read on, and how far what
    stands behind which column was moved: places and lines are told as in the file.
    """

    file: str
    text: str
    repaired: dict[int, Repaired] = field(default_factory=dict[int, "Repaired"])
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._starts = [0]
        at = self.text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = self.text.find("\n", at + 1)

    def location(self, index: int) -> Location:
        """The place of the character at `index`."""
        line = bisect_right(self._starts, index)
        return self.place(line, index - self._starts[line - 1] + 1)

    def place(self, line: int, column: int) -> Location:
        """The place in the file of a line and column of the text, both from 1."""
        if line in self.repaired:
            for behind, shift in reversed(self.repaired[line][1]):
                if column > behind:
                    column = max(1, column - shift)
        return Location(self.file, line, column)

    def shown_at(self, index: int) -> str:
        """The line that the character at `index` is on, as in the file."""
        line = bisect_right(self._starts, index)
        return self.repaired[line][0] if line in self.repaired else self.line(line)

    def before_on_line(self, index: int) -> str:
        """What stands before the character at `index` on its line."""
        return self.text[self._starts[bisect_right(self._starts, index) - 1] : index]

    def line(self, number: int) -> str:
        """Line `number` (from 1) without its end."""
        if not 0 < number <= len(self._starts):
            return ""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]

    def line_at(self, index: int) -> str:
        """The line that the character at `index` is on."""
        return self.line(bisect_right(self._starts, index))


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """null, bool, int, float or text. `start` and `end` are character positions in the source.

    `text` is the value as text, before the core schema made a number of it; `style` is empty for
    an unquoted text, else `'`, `"`, `|` or `>`.
    """

    value: bool | int | float | str | None
    text: str
    style: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list of nodes."""

    items: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping; keys are text and unique, in the order written."""

    entries: tuple[tuple[ScalarNode, Node], ...]
    start: int
    end: int

    def get(self, key: str) -> Node | None:
        """The value of `key`, or None."""
        return next((value for name, value in self.entries if name.text == key), None)


Node: TypeAlias = ScalarNode | ListNode | MapNode


def data_of(node: Node) -> object:
    """The plain value: dict, list, text, number, bool or None."""
    match node:
        case ScalarNode():
            return node.value
        case ListNode():
            return [data_of(item) for item in node.items]
        case MapNode():
            return {key.text: data_of(value) for key, value in node.entries}


def nodes_of(value: object) -> Node:
    """Nodes of a plain value, all placed at the beginning; ValueError where it is none."""
    return _nodes_of(value, 0)


def _nodes_of(value: object, depth: int) -> Node:
    if depth > DEPTH_MAX:
        raise ValueError(f"nested more than {DEPTH_MAX} levels deep")
    if value is None or isinstance(value, (bool, int, float, str)):
        text = "" if value is None else str(value)
        style = '"' if isinstance(value, str) else ""
        return ScalarNode(value, text, style, 0, 0)
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        if not all(isinstance(key, str) for key in members):
            raise ValueError("a key that is no text")
        return MapNode(
            tuple(
                (ScalarNode(str(key), str(key), '"', 0, 0), _nodes_of(item, depth + 1))
                for key, item in members.items()
            ),
            0,
            0,
        )
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        items = cast("Sequence[object]", value)
        return ListNode(tuple(_nodes_of(item, depth + 1) for item in items), 0, 0)
    raise ValueError("neither text, number, list nor mapping")


def kind_of(node: Node) -> str:
    """What a value is, in the words of the messages, such as `a text`."""
    match node:
        case ListNode():
            return "a list"
        case MapNode():
            return "a mapping"
        case ScalarNode(value=None):
            return "nothing"
        case ScalarNode(value=bool()):
            return "true or false"
        case ScalarNode(value=int() | float()):
            return "a number"
        case ScalarNode():
            return "a text"
