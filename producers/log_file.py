"""Writing decisions to a file: JSON lines, appended, in a file that others may move away."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .log_writer import Line

__all__ = ["FileWriter"]

#: Others than the owner's group have no business with decisions.
_MODE = 0o640
#: Another process may be in the middle of a write: then the file is longer a moment later.
_LOOK_AGAIN_S = 0.02


class FileWriter:
    """Appends whole lines, each batch in one write, so that processes may share the file.

    A file that was moved or removed (logrotate) is made anew before the next batch; one that ends in
    half a line, since a process was killed or a disk was full, goes on in a new one. What cannot be
    written is told to `failed` with its reason, unless `block`: then it is left to be tried again.
    """

    def __init__(self, path: Path, *, block: bool, failed: Callable[[str, str, int], None]) -> None:
        self._path, self._block, self._failed = path, block, failed
        self._file: int | None = None
        self._broken = False  # the last line in the file has no end

    @property
    def pending(self) -> int:
        """Lines on their way: none, what is written is written."""
        return 0

    def write(self, lines: Sequence[Line]) -> int:
        """Append; gives how many lines need not be given again."""
        ends, mended = 0, False
        try:
            file = self._open()
            mended = self._broken  # then the first end is that of a line that was given up
            # Joined once: the data of a batch is copied no further.
            first = [b""] if mended else []
            data = b"\n".join([*first, *(line.data for line in lines), b""])
            while data:
                written = os.write(file, data)
                if written == len(data):
                    self._broken = False
                    break
                ends += data.count(b"\n", 0, written)
                if written:
                    self._broken = data[written - 1] != 0x0A
                data = data[written:]
        except OSError as error:
            done = max(0, ends - mended)
            self.close()
            why = f"`{self._path}`: {(error.strerror or str(error)).lower()}"
            self._failed("write_failed", why, 0 if self._block else len(lines) - done)
            return done if self._block else len(lines)
        return len(lines)

    def _open(self) -> int:
        if self._file is not None and self._moved(self._file):
            self.close()
        if self._file is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._file = os.open(self._path, flags, _MODE)
            found = _ends_in_half_a_line(self._path)
            self._broken = self._broken if found is None else found
        return self._file

    def _moved(self, file: int) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(file))
        except FileNotFoundError:
            return True

    def serve(self) -> None:
        """Nothing is told later."""

    def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def abandon(self) -> None:
        """In a child process: a file that is only appended to may be shared."""


def _ends_in_half_a_line(path: Path) -> bool | None:
    """True where the next line has to begin with the end of another; None where nobody can tell."""
    try:
        size = path.stat().st_size
        if not stat.S_ISREG(path.stat().st_mode) or not size:
            return False
        if _last_byte(path) == b"\n":
            return False
        time.sleep(_LOOK_AGAIN_S)
        return path.stat().st_size == size
    except OSError:
        return None


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
