"""Values replaced in, or dropped from, a JSON document, byte by byte.

Masking must not disturb what it does not mask: numbers keep their spelling, members their order,
the rest its whitespace. So the document is not decoded and written again; the text of the values
at the given paths is found and exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from .json_nesting import LONG, is_refused
from .json_projection import DecodeError, JsonProjection, Shape

__all__ = ["Edit", "Path", "Replace", "splice"]

#: Names are str, positions int, None stands for every element of a list.
Path: TypeAlias = tuple[str | int | None, ...]

#: From the text of a value to the text that takes its place; None drops it.
Replace: TypeAlias = Callable[[bytes], bytes | None]

Edit: TypeAlias = tuple[Path, Replace]

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STRING_OR_BRACKET: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
_SCALAR: Final = re.compile(rb"[^ \t\r\n,\]}]+")
_QUOTE, _COMMA, _BACKSLASH = b'",\\'
_OPENERS: Final = frozenset(b"[{")
_CLOSERS: Final = frozenset(b"]}")
_OBJECT: Final = b"{"[0]

#: Finds out whether bytes have the structure of JSON, without making objects of them.
_STRUCTURE: Final = JsonProjection(Shape())


def splice(data: bytes, edits: Sequence[Edit]) -> bytes:
    """`data` with the values at the paths of `edits` replaced by what their functions say.

    A function that gives None drops the member with its comma, or the element; the whole document
    becomes null. Where a name comes several times every occurrence is edited, however it is
    escaped. Of edits on a value and on something inside it the outer one counts, of two on the
    same value the first. Where nothing is edited, `data` itself is returned. Time is linear in
    the length of `data`. Raises DecodeError for bytes that are not JSON, and where what comes out
    would not be: what is nested deeply may have come nearer to the beginning.
    """
    _STRUCTURE.decode(data)
    root = _Target()
    for rank, (path, replace) in enumerate(edits):
        root.add(path, rank, replace)
    walk = _Walk(data)
    walk.run([root])
    if not walk.cuts:
        return data
    pieces: list[bytes] = []
    at = 0
    for start, end, text in walk.cuts:
        pieces += (data[at:start], text)
        at = end
    edited = b"".join([*pieces, data[at:]])
    if len(edited) >= LONG and is_refused(edited):
        raise DecodeError("the JSON would be nested too deeply")
    return edited


class _Target:
    """A node of the paths, merged into a tree."""

    __slots__ = ("every", "members", "positions", "rank", "replace")

    def __init__(self) -> None:
        self.members: dict[bytes, _Target] = {}
        self.positions: dict[int, _Target] = {}
        self.every: _Target | None = None
        self.replace: Replace | None = None
        self.rank = 0

    def add(self, path: Path, rank: int, replace: Replace) -> None:
        node = self
        for segment in path:
            if segment is None:
                node.every = node = node.every or _Target()
            elif isinstance(segment, str):
                name = segment.encode("utf-8", "surrogatepass")
                node = node.members.setdefault(name, _Target())
            else:
                node = node.positions.setdefault(segment, _Target())
        if node.replace is None:
            node.replace, node.rank = replace, rank


class _Frame:
    """An object or list that the walk is inside of."""

    __slots__ = ("comma", "is_object", "item", "kept", "open_cut", "position", "targets")

    def __init__(self, targets: list[_Target], is_object: bool) -> None:
        self.targets, self.is_object = targets, is_object
        self.position = 0
        self.item = 0  # where the member or element begins
        self.comma = 0  # the comma before it
        self.kept = False  # whether anything before it stays
        self.open_cut: int | None = None  # a cut that takes the comma that follows


class _Walk:
    """One pass over a document that is known to have the structure of JSON.

    `cuts` are (start, end, replacement) in ascending order.
    """

    __slots__ = ("cuts", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.cuts: list[tuple[int, int, bytes]] = []

    def run(self, targets: list[_Target]) -> None:
        stack: list[_Frame] = []
        at = self._space(0)
        while True:
            if self._worth_entering(at, targets):
                frame = _Frame(targets, self.data[at] == _OBJECT)
                at = self._space(at + 1)
                if self.data[at] not in _CLOSERS:
                    stack.append(frame)
                    at, targets = self._item(frame, at)
                    continue
                end = at + 1
                self._keep(stack)
            else:
                end = self._end(at)
                self._edit(stack, at, end, targets)
            while stack:
                at = self._space(end)
                if self.data[at] == _COMMA:
                    at, targets = self._next(stack[-1], at)
                    break
                stack.pop()
                end = at + 1
                self._keep(stack)
            else:
                return

    def _space(self, at: int) -> int:
        found = _SPACE.match(self.data, at)
        return found.end() if found else at

    def _worth_entering(self, at: int, targets: list[_Target]) -> bool:
        if not targets or self.data[at] not in _OPENERS:
            return False
        return all(target.replace is None for target in targets)

    def _item(self, frame: _Frame, at: int) -> tuple[int, list[_Target]]:
        """The value of the member or element that begins at `at`, and what is wanted of it."""
        frame.item = at
        if not frame.is_object:
            found = [target.positions.get(frame.position) for target in frame.targets]
            found += [target.every for target in frame.targets]
            frame.position += 1
            return at, [target for target in found if target is not None]
        end = self._end(at)
        name = self.data[at + 1 : end - 1]
        if _BACKSLASH in name:
            name = _unescaped(self.data[at:end])
        found = [target.members.get(name) for target in frame.targets]
        colon = self._space(end)
        return self._space(colon + 1), [target for target in found if target is not None]

    def _next(self, frame: _Frame, comma: int) -> tuple[int, list[_Target]]:
        if frame.open_cut is not None:
            start, _, text = self.cuts[frame.open_cut]
            self.cuts[frame.open_cut] = (start, comma + 1, text)
            frame.open_cut = None
        frame.comma = comma
        return self._item(frame, self._space(comma + 1))

    def _end(self, at: int) -> int:
        """Where the value that begins at `at` ends."""
        data = self.data
        first = data[at]
        if first not in _OPENERS:
            found = (_STRING if first == _QUOTE else _SCALAR).match(data, at)
            assert found is not None, "the structure has been checked"
            return found.end()
        depth, end = 0, at
        while True:
            found = _STRING_OR_BRACKET.search(data, end)
            assert found is not None, "the structure has been checked"
            end = found.end()
            bracket = data[end - 1]
            if bracket in _OPENERS:
                depth += 1
            elif bracket in _CLOSERS:
                depth -= 1
                if depth == 0:
                    return end

    def _edit(self, stack: list[_Frame], at: int, end: int, targets: list[_Target]) -> None:
        chosen = [target for target in targets if target.replace is not None]
        old = self.data[at:end]
        new: bytes | None = old
        if chosen:
            replace = min(chosen, key=lambda target: target.rank).replace
            assert replace is not None, "only targets with an edit were chosen"
            new = replace(old)
        if new is None and stack:
            self._drop(stack[-1], end)
            return
        self._keep(stack)
        if new != old:
            self.cuts.append((at, end, b"null" if new is None else new))

    def _drop(self, frame: _Frame, end: int) -> None:
        """Cut the item together with one comma: the one before it, if anything before it stays."""
        if frame.kept:
            self.cuts.append((frame.comma, end, b""))
        else:
            frame.open_cut = len(self.cuts)
            self.cuts.append((frame.item, end, b""))

    def _keep(self, stack: list[_Frame]) -> None:
        if stack:
            stack[-1].kept = True


def _unescaped(name: bytes) -> bytes:
    """The UTF-8 of a name in its quotes; as it stands where it is not valid."""
    try:
        return msgspec.json.decode(name, type=str).encode()
    except (msgspec.DecodeError, UnicodeError):
        return name
