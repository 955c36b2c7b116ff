"""Writing decisions to a file: JSON lines, appended, in a file that others may move away."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from .log_writer import Line

__all__ = ["FileWriter"]

#: Others than the owner's group have no business with decisions.
_MODE = 0o640


class FileWriter:
    """Appends whole lines, each batch in one write, so that processes may share the file.

    A file that was moved or removed (logrotate) is made anew before the next batch. What cannot be
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
        ends = 0
        mended = self._broken  # then the first end is that of a line that was given up
        try:
            file = self._open()
            data = (b"\n" if mended else b"") + b"".join(line.data + b"\n" for line in lines)
            while data:
                written = os.write(file, data)
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
