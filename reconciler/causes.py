"""Causes of findings, counted exactly, however many there are; the most frequent are kept.

A cause is named in part by what stands in events: whoever makes up stamps makes up causes. So that
memory stays bounded, what is too much for it goes to disk by the hash of its name, and each part of
that is summed on its own: no cause is left out before all of its findings are counted.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec

__all__ = [
    "CAUSES_MAX",
    "EXAMPLES_MAX",
    "Cause",
    "CauseName",
    "CauseSum",
    "joined",
    "most_frequent",
]

#: Distinct causes kept; hardly a run has a hundred.
CAUSES_MAX: Final = 500
EXAMPLES_MAX: Final = 3
#: Parts on disk: of ten million causes each then has some tens of thousands.
_PARTS: Final = 128

CauseName: TypeAlias = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Cause:
    """Findings that have the same reason. `rule` joins several with `, `; `""` is none.

    `shown` are the findings at the places of `examples`, as lines of the findings file.
    """

    kind: str
    rule: str
    change: str
    drift: str
    stamped: str
    count: int
    examples: tuple[tuple[str, int, int], ...]
    shown: tuple[Mapping[str, Any], ...] = ()

    @property
    def name(self) -> CauseName:
        """What tells causes apart."""
        return (self.kind, self.rule, self.change, self.drift, self.stamped)


class _Counted(msgspec.Struct):
    """As much of a cause as it takes to count it."""

    kind: str
    rule: str
    change: str
    drift: str
    stamped: str
    count: int


_counted = msgspec.json.Decoder(_Counted).decode
_whole = msgspec.json.Decoder(Cause).decode


def joined(one: Cause, other: Cause) -> Cause:
    """The findings of both, which have the same name; the examples are the lowest places."""
    both = zip(one.examples + other.examples, one.shown + other.shown, strict=True)
    examples = heapq.nsmallest(EXAMPLES_MAX, both, key=itemgetter(0))
    return Cause(
        *one.name,
        one.count + other.count,
        tuple(place for place, _ in examples),
        tuple(said for _, said in examples),
    )


def most_frequent(causes: Iterable[Cause], most: int = CAUSES_MAX) -> list[Cause]:
    """The causes with the highest counts, then by name."""
    return heapq.nsmallest(most, causes, key=lambda cause: (-cause.count, cause.name))


class CauseSum:
    """Sums causes of slices, in any order. Call `close` when the result was taken."""

    def __init__(self, most: int = CAUSES_MAX) -> None:
        self._most = most
        self._held: dict[CauseName, Cause] = {}
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._parts: dict[int, BinaryIO] = {}

    @classmethod
    @contextmanager
    def opened(cls) -> Generator[CauseSum]:
        """A sum whose files are removed at the end."""
        made = cls()
        with made._stack:
            yield made

    def add(self, cause: Cause) -> None:
        """Count the findings of `cause`."""
        present = self._held.get(cause.name)
        self._held[cause.name] = cause if present is None else joined(present, cause)
        if len(self._held) > 2 * self._most:
            self._put_away()

    def total(self) -> tuple[tuple[Cause, ...], int]:
        """The most frequent causes in the order of their names, and how many there are in all."""
        if self._folder is None:
            kept, number = most_frequent(self._held.values(), self._most), len(self._held)
        else:
            self._put_away()
            kept, number = self._from_disk()
        return tuple(sorted(kept, key=lambda cause: cause.name)), number

    def _put_away(self) -> None:
        if self._folder is None:
            made = tempfile.TemporaryDirectory(prefix="streamwarden-")
            self._folder = Path(self._stack.enter_context(made))
        for name, cause in self._held.items():
            part = _part_of(name)
            out = self._parts.get(part)
            if out is None:
                opened = (self._folder / str(part)).open("w+b")
                out = self._parts[part] = self._stack.enter_context(opened)
            out.write(msgspec.json.encode(cause) + b"\n")
        self._held.clear()

    def _from_disk(self) -> tuple[list[Cause], int]:
        kept: list[Cause] = []
        number = 0
        for part in self._parts.values():
            counts: dict[CauseName, int] = {}
            for line in _lines(part):
                said = _counted(line)
                name = (said.kind, said.rule, said.change, said.drift, said.stamped)
                counts[name] = counts.get(name, 0) + said.count
            number += len(counts)
            wanted = set(heapq.nsmallest(self._most, counts, key=lambda n: (-counts[n], n)))
            found: dict[CauseName, Cause] = {}
            for cause in map(_whole, _lines(part)):
                if cause.name in wanted:
                    present = found.get(cause.name)
                    found[cause.name] = cause if present is None else joined(present, cause)
            kept = most_frequent([*kept, *found.values()], self._most)
        return kept, number


def _part_of(name: CauseName) -> int:
    return (
        blake2b("\0".join(name).encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]
        % _PARTS
    )


def _lines(part: BinaryIO) -> Iterator[bytes]:
    part.seek(0)
    return iter(part)
