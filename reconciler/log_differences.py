"""Each event without an entry in the log of decisions, and each entry without an event, as a file.

There may be as many as there are events, so they are sorted on disk: each bucket of the comparison
gives a sorted run, and the runs are merged as they are written out.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from .checkpoint import whole_file
from .slices import Slice

__all__ = ["Difference", "LogDifferences"]

#: Slice, offset (or the entry's number), milliseconds, effect, whether missed.
#: As bytes they sort as the numbers do; entries, which have no slice, stand behind all of them.
_ROW: Final = struct.Struct(">QQqbb")
_ENTRY: Final = 2**64 - 1


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file. `kind` is event_without_entry or entry_without_event.

    Of an event its coordinates are known, and whether the log should have it (`missed`); of an
    entry which one it is in the log, from 1. `at` is in milliseconds.
    """

    kind: str
    at: int
    effect: str
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    missed: bool | None = None
    entry: int | None = None


class LogDifferences:
    """Collects differences in `folder`; effects are given as positions in `effects`."""

    def __init__(self, folder: Path, effects: Sequence[str]) -> None:
        self._folder, self._effects = folder, effects
        self._rows: list[bytes] = []
        self._runs: list[Path] = []

    def event(self, index: int, offset: int, at: int, effect: str, *, missed: bool) -> None:
        """An event of slice `index` that has no entry."""
        self._add(index, offset, at, effect, missed)

    def entry(self, number: int, at: int, effect: str) -> None:
        """An entry that has no event."""
        self._add(_ENTRY, number, at, effect, missed=False)

    def _add(self, index: int, number: int, at: int, effect: str, missed: bool) -> None:
        self._rows.append(_ROW.pack(index, number, at, self._effects.index(effect), missed))

    def cut(self) -> None:
        """Put what came since the last cut on disk, sorted."""
        if self._rows:
            run = self._folder / f"run-{len(self._runs)}"
            run.write_bytes(b"".join(sorted(self._rows)))
            self._runs.append(run)
            self._rows = []

    def write(self, target: Path, slices: Sequence[Slice]) -> None:
        """Write them all as lines of JSON: events in the order of `slices`, then entries."""
        self.cut()
        runs = [run.open("rb") for run in self._runs]
        try:
            with whole_file(target) as out:
                encode = msgspec.json.Encoder().encode
                for row in heapq.merge(*map(_rows, runs)):
                    out.write(encode(self._line(row, slices)) + b"\n")
        finally:
            for run in runs:
                run.close()

    def _line(self, row: bytes, slices: Sequence[Slice]) -> Difference:
        found: tuple[int, int, int, int, int] = _ROW.unpack(row)
        index, number, at, effect, missed = found
        name = self._effects[effect]
        if index == _ENTRY:
            return Difference("entry_without_event", at, name, entry=number)
        piece = slices[index]
        return Difference(
            "event_without_entry",
            at,
            name,
            topic=piece.topic,
            partition=piece.partition,
            offset=number,
            missed=bool(missed),
        )


def _rows(run: BinaryIO) -> Iterator[bytes]:
    while row := run.read(_ROW.size):
        yield row
