"""Lines of files, standard input and compressed files, read as a stream within bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamwarden.errors import ConfigurationError

__all__ = ["LINE_MAX_BYTES", "Line", "Lines"]

#: Many times Kafka's usual limit of 1 MB a record, so that only a file that is no list of events
#: meets it; without a limit such a file would be read into memory as one line.
LINE_MAX_BYTES = 16 * 1024 * 1024

_CHUNK_BYTES = 1 << 16
_IDLE_S = 0.2
#: Zstandard can make a thousandfold of what it is given: small bites keep the result small.
_ZSTD_BITE_BYTES = 256


class Line(NamedTuple):
    """One line without its newline. `data` is None where the line is longer than the limit."""

    file: str
    number: int
    data: bytes | None

    @property
    def place(self) -> str:
        """`events.jsonl:12`."""
        return f"{self.file}:{self.number}"


class Lines:
    r"""The lines of `paths` in order; `-` is standard input. Iterate once.

    Only `\n` ends a line, and belongs to none; a `\r` before it is content, and a last line needs
    no newline. `.gz` and `.zst` files are decompressed. Raises ConfigurationError for a file that
    cannot be read, where possible before anything of any file is read.

    `idle` is called now and then while standard input has nothing to read; once it says True,
    standard input is taken to be at its end, and `cut_short` is True.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        line_max_bytes: int = LINE_MAX_BYTES,
        idle: Callable[[], bool] | None = None,
    ) -> None:
        self._paths = list(paths)
        self.line_max_bytes = line_max_bytes
        self.idle = idle
        self.cut_short = False
        self._finished = 0  # bytes of the files that are done
        self._raw: io.BufferedIOBase | None = None
        self.total_bytes = self._check()

    def _check(self) -> int | None:
        """The size of all files together, None where it cannot be known."""
        if self._paths.count("-") > 1:
            raise ConfigurationError("standard input is given twice", remedy="give `-` once")
        total: int | None = 0
        for path in self._paths:
            if path == "-":
                total = None
                continue
            try:
                found = Path(path).stat()
                if not stat.S_ISREG(found.st_mode):
                    total = None  # opening a pipe would wait for its writer
                    if stat.S_ISDIR(found.st_mode):
                        raise IsADirectoryError
                    continue
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                raise _unreadable(path, error) from None
            total = None if total is None else total + found.st_size
        return total

    @property
    def position_bytes(self) -> int:
        """How many bytes of the files (as they lie on disk) were read so far."""
        raw = self._raw
        return self._finished + (raw.tell() if raw is not None and raw.seekable() else 0)

    def __iter__(self) -> Iterator[Line]:
        for path in self._paths:
            yield from self._file(path)

    def _file(self, path: str) -> Iterator[Line]:
        name = "standard input" if path == "-" else path
        try:
            self._raw = raw = self._stdin() if path == "-" else Path(path).open("rb")  # noqa: SIM115
        except OSError as error:
            raise _unreadable(path, error) from None
        try:
            reader = _decompressed(path, raw)
            number = 0
            while True:
                try:
                    data = _line(reader, self.line_max_bytes)
                except (OSError, EOFError, zlib.error) as error:
                    raise _unreadable(f"{name}:{number + 1}", error) from None
                if data == b"" or (self.cut_short and data is not None and data[-1:] != b"\n"):
                    return  # what was there of the next line is no line
                number += 1
                if data is not None and data.endswith(b"\n"):
                    data = data[:-1]
                yield Line(name, number, data)
        finally:
            self._finished = self.position_bytes
            self._raw = None
            if path != "-":
                raw.close()

    def _stdin(self) -> io.BufferedIOBase:
        try:
            return io.BufferedReader(_Pipe(sys.stdin.fileno(), self), _CHUNK_BYTES)
        except (OSError, ValueError):  # no file descriptor: somebody put a stream in its place
            assert isinstance(sys.stdin.buffer, io.BufferedIOBase)
            return sys.stdin.buffer


class _Pipe(io.RawIOBase):
    """Standard input; while there is nothing in it, its owner's `idle` is asked."""

    def __init__(self, descriptor: int, owner: Lines) -> None:
        self._descriptor, self._owner = descriptor, owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        owner = self._owner
        while not owner.cut_short and not select.select([self._descriptor], [], [], _IDLE_S)[0]:
            owner.cut_short = owner.idle is not None and owner.idle()
        if owner.cut_short:
            return 0
        return os.readv(self._descriptor, [target])


def _line(reader: io.BufferedIOBase, limit: int) -> bytes | None:
    """The next line with its newline, `b""` at the end, None for one that is too long."""
    data = reader.readline(limit + 1)
    if len(data) <= limit or data.endswith(b"\n"):
        return data
    while data and not data.endswith(b"\n"):
        data = reader.readline(_CHUNK_BYTES)
    return None


def _decompressed(path: str, raw: io.BufferedIOBase) -> io.BufferedIOBase:
    if path.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if path.endswith(".zst"):
        return io.BufferedReader(_Zstandard(raw), _CHUNK_BYTES)
    return raw


class _Zstandard(io.RawIOBase):
    """Decompressed content of one frame or several.

    Not zstandard's own stream reader: that takes a file that was cut off for a shorter one.
    """

    def __init__(self, raw: io.BufferedIOBase) -> None:
        import zstandard  # noqa: PLC0415 - for those who have such files

        self._raw = raw
        self._error = zstandard.ZstdError
        self._open = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._open()
        self._inside = False  # in the middle of a frame
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._output and self._refill():
            pass
        size = min(len(target), len(self._output))
        target[:size] = self._output[:size]
        self._output = self._output[size:]
        return size

    def _refill(self) -> bool:
        """Decompress a bite more; False at the end of the file."""
        if not self._input:
            self._input = self._raw.read(_CHUNK_BYTES)
            if not self._input:
                if self._inside:
                    raise EOFError("the file ends in the middle of its compressed content")
                return False
        bite, self._input = self._input[:_ZSTD_BITE_BYTES], self._input[_ZSTD_BITE_BYTES:]
        try:
            self._output = memoryview(self._frame.decompress(bite))
        except self._error as error:
            raise OSError(f"not Zstandard: {error}") from None
        self._inside = True
        if self._frame.eof:
            self._input = self._frame.unused_data + self._input
            self._frame, self._inside = self._open(), False
        return True


def _unreadable(path: str, error: BaseException) -> ConfigurationError:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    remedy = "check path and rights"
    if isinstance(error, IsADirectoryError) or os.path.isdir(path):  # noqa: PTH112 - a name as given
        text, remedy = "it is a directory", "name the files in it"
    elif not (isinstance(error, OSError) and error.strerror):
        remedy = "check that the file is complete"
    return ConfigurationError(f"cannot read `{path}`: {text}", remedy=remedy)
