"""The folder in which a run keeps what its slices came to.

    DIR/plan.json        what was asked for, and the frozen ranges
    DIR/00000012.jsonl   the findings of slice 12, in order
    DIR/00000012.causes  what was too much of its causes for its account, a line each
    DIR/00000012.notes   what its events must match in a decision log, where one is compared
    DIR/00000012.json    its account, written last: a slice without one is done again

With a checkpoint the folder outlives the run, which can then be killed at any time: started again,
it goes on where it stopped and comes to the same result. It is emptied when a run has come to its
end, so that the next one starts anew.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from streamwarden.errors import ReconcileError

from .causes import Cause
from .slices import Partition, Slice
from .tally import SliceReport

__all__ = ["Plan", "Spool", "whole_file"]

_COPY_BYTES = 1 << 20
_as_cause = msgspec.json.Decoder(Cause).decode
_SUFFIXES = (".json", ".jsonl", ".causes", ".notes", ".part")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run was asked for and found at its start; the same for every part of it.

    `asked` tells runs apart. `published` is the store's history: name, number, digest. `now` is
    the clock in nanoseconds. `rate` is the share of events that is drawn, None all. `base` are the
    runs that an incremental one goes on from, by `topic/partition`.
    """

    asked: dict[str, str]
    now: int
    slice_offsets: int
    partitions: tuple[Partition, ...]
    published: tuple[tuple[str, int, str], ...] = ()
    rate: float | None = None
    base: dict[str, str] = field(default_factory=dict[str, str])


class Spool:
    """See the module's first lines. Slices may be written by several processes, each its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other runs out of the folder. Raises ReconcileError when one is in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ReconcileError(
                    f"another run is working in checkpoint `{self.folder}`",
                    remedy="wait for it, or name another folder",
                ) from None
            yield

    def plan(self) -> Plan | None:
        """The plan of the run that was stopped here, None where there is none."""
        try:
            return msgspec.json.decode((self.folder / "plan.json").read_bytes(), type=Plan)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
            raise ReconcileError(
                f"checkpoint `{self.folder}` cannot be read: {error}",
                remedy="empty the folder, or name another one",
            ) from None

    def begin(self, plan: Plan) -> None:
        """Start a run here."""
        self.clear()
        self._write(self.folder / "plan.json", msgspec.json.encode(plan))

    @contextmanager
    def findings(self, piece: Slice) -> Generator[BinaryIO]:
        """Where the findings of a slice go, one JSON object a line."""
        with self._findings(piece).open("wb") as out:
            yield out
            _sync(out)

    @contextmanager
    def noting(self, piece: Slice) -> Generator[BinaryIO]:
        """Where it goes what an entry of the decision log must match, for each event of a slice."""
        with self._notes(piece).open("wb") as out:
            yield out
            _sync(out)

    @contextmanager
    def causes(self, piece: Slice) -> Generator[Callable[[Iterable[Cause]], None]]:
        """Takes the causes of a slice that are too many for its account; mostly there are none."""
        path = self._causes(piece)
        path.unlink(missing_ok=True)

        def put_away(causes: Iterable[Cause]) -> None:
            with path.open("ab") as out:
                out.writelines(msgspec.json.encode(cause) + b"\n" for cause in causes)

        yield put_away
        if path.exists():
            with path.open("ab") as out:
                _sync(out)

    def put_away(self, piece: Slice) -> Iterator[Cause]:
        """The causes of a slice that are not in its account; names may come more than once."""
        path = self._causes(piece)
        if path.exists():
            with path.open("rb") as found:
                yield from map(_as_cause, found)

    def notes(self, piece: Slice, size: int) -> Iterator[bytes]:
        """What was noted of a slice, in pieces of `size` bytes."""
        path = self._notes(piece)
        if path.exists():
            with path.open("rb") as found:
                while note := found.read(size):
                    yield note

    def pieces(self, piece: Slice, size: int) -> Iterator[tuple[str, bytes]]:
        """The files of a slice but its account, by their kind, in pieces of `size` bytes."""
        for kind, path in self._files(piece).items():
            if path.exists():
                with path.open("rb") as found:
                    while data := found.read(size):
                        yield kind, data

    @contextmanager
    def taking(self, piece: Slice) -> Generator[Callable[[str, bytes], None]]:
        """Makes the files of a slice of the pieces that another spool gave."""
        files = self._files(piece)
        for path in files.values():
            path.unlink(missing_ok=True)
        with ExitStack() as stack:
            made: dict[str, BinaryIO] = {}

            def take(kind: str, data: bytes) -> None:
                if kind not in made:
                    made[kind] = stack.enter_context(files[kind].open("wb"))
                made[kind].write(data)

            yield take
            for out in made.values():
                _sync(out)

    def save(self, piece: Slice, report: SliceReport) -> None:
        """The slice is done."""
        self._write(self._account(piece), msgspec.json.encode(report))

    def load(self, piece: Slice) -> SliceReport | None:
        """What a slice came to, None where it is not done."""
        try:
            return msgspec.json.decode(self._account(piece).read_bytes(), type=SliceReport)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def forget(self, piece: Slice) -> None:
        """Have a slice done again."""
        self._account(piece).unlink(missing_ok=True)

    def copy_findings(self, slices: Iterable[Slice], target: Path) -> None:
        """The findings of `slices` as one file, in their order; it appears when it is whole."""
        with whole_file(target) as out:
            for piece in slices:
                path = self._findings(piece)
                if not path.exists():
                    continue
                with path.open("rb") as found:
                    while chunk := found.read(_COPY_BYTES):
                        out.write(chunk)

    def lines(self, slices: Iterable[Slice]) -> Iterator[bytes]:
        """The findings of `slices`, one line of JSON each, in their order."""
        for piece in slices:
            path = self._findings(piece)
            if path.exists():
                with path.open("rb") as found:
                    yield from found

    def clear(self) -> None:
        """Leave nothing of a run behind but the folder."""
        (self.folder / "plan.json").unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.stem.isdigit() and path.suffix in _SUFFIXES:
                path.unlink(missing_ok=True)

    def _files(self, piece: Slice) -> dict[str, Path]:
        return {
            "findings": self._findings(piece),
            "notes": self._notes(piece),
            "causes": self._causes(piece),
        }

    def _causes(self, piece: Slice) -> Path:
        return self.folder / f"{piece.index:08d}.causes"

    def _account(self, piece: Slice) -> Path:
        return self.folder / f"{piece.index:08d}.json"

    def _findings(self, piece: Slice) -> Path:
        return self.folder / f"{piece.index:08d}.jsonl"

    def _notes(self, piece: Slice) -> Path:
        return self.folder / f"{piece.index:08d}.notes"

    def _write(self, path: Path, data: bytes) -> None:
        part = path.with_suffix(".part")
        with part.open("wb") as out:
            out.write(data)
            _sync(out)
        part.replace(path)


@contextmanager
def whole_file(target: Path) -> Generator[BinaryIO]:
    """A file to write that appears when it is whole."""
    part = target.with_name(target.name + ".part")
    if target.exists() and not target.is_file():
        part = target  # a device or a pipe
    with part.open("wb") as out:
        yield out
    if part is not target:
        part.replace(target)


def _sync(out: BinaryIO) -> None:
    out.flush()
    os.fsync(out.fileno())
