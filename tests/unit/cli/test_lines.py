"""Lines come as they are, whatever the file is, and never fill the memory."""

from __future__ import annotations

import gzip
import os
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from streamwarden.cli.lines import Lines
from streamwarden.errors import ConfigurationError

CONTENT = b'{"a":1}\r\n\n  x \xff\x00\nlast'
EXPECTED = [b'{"a":1}\r', b"", b"  x \xff\x00", b"last"]


def compressed(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data)
    return zstandard.ZstdCompressor().compress(data) if suffix == ".zst" else data


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_is_its_bytes_without_the_newline(tmp_path: Path, suffix: str) -> None:
    """A carriage return is content, an empty line is a line, the last needs no newline."""
    path = tmp_path / f"events.jsonl{suffix}"
    path.write_bytes(compressed(CONTENT, suffix))

    lines = list(Lines([str(path)]))

    assert [line.data for line in lines] == EXPECTED
    assert [line.number for line in lines] == [1, 2, 3, 4]
    assert lines[2].place == f"{path}:3"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_that_were_joined_are_read_as_one(tmp_path: Path, suffix: str) -> None:
    """`cat a.gz b.gz` is a valid file, and so are two frames of Zstandard."""
    path = tmp_path / f"events{suffix}"
    path.write_bytes(compressed(b"a\nb", suffix) + compressed(b"c\n", suffix))

    assert [line.data for line in Lines([str(path)])] == [b"a", b"bc"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_was_cut_off_is_no_shorter_file(tmp_path: Path, suffix: str) -> None:
    """What is missing is told, with the line."""
    path = tmp_path / f"events{suffix}"
    data = compressed(b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(9000)), suffix)
    path.write_bytes(data[:-9])

    with pytest.raises(ConfigurationError, match=r"cannot read `.*events.*:\d+`.*complete"):
        list(Lines([str(path)]))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_something_else_is_told(tmp_path: Path, suffix: str) -> None:
    """Its name says that it is compressed, and it is not."""
    path = tmp_path / f"events{suffix}"
    path.write_bytes(b"plain text\n")

    with pytest.raises(ConfigurationError, match="cannot read"):
        list(Lines([str(path)]))


def test_a_line_beyond_the_limit_is_skipped_and_counted(tmp_path: Path) -> None:
    """The lines after it are read; one of exactly the limit is fine."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * 10 + b"\n" + b"y" * 11 + b"\n" + b"z\n" + b"w" * 300_000)

    lines = list(Lines([str(path)], line_max_bytes=10))

    assert [line.data for line in lines] == [b"x" * 10, None, b"z", None]
    assert [line.number for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_bomb_does_not_fill_the_memory(tmp_path: Path, suffix: str) -> None:
    """A small file that is one line of 50 MB."""
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(compressed(b"0" * 50_000_000, suffix))
    tracemalloc.start()

    lines = list(Lines([str(path)], line_max_bytes=1_000_000))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [line.data for line in lines] == [None]
    assert peak < 30_000_000


@pytest.mark.parametrize("name", ["absent.jsonl", "folder"])
def test_what_cannot_be_read_is_told_before_anything_is(tmp_path: Path, name: str) -> None:
    """No event of the first file is sent when the second is not there."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "first").write_bytes(b"1\n")

    with pytest.raises(ConfigurationError, match=f"cannot read `.*{name}`"):
        Lines([str(tmp_path / "first"), str(tmp_path / name)])


def test_several_files_are_read_in_order_with_their_position(tmp_path: Path) -> None:
    """Numbers begin anew; the position is for a progress bar."""
    (tmp_path / "a").write_bytes(b"1\n2\n")
    (tmp_path / "b").write_bytes(b"3\n")
    lines = Lines([str(tmp_path / "a"), str(tmp_path / "b")])

    read = [(Path(line.file).name, line.number, line.data) for line in lines]

    assert read == [("a", 1, b"1"), ("a", 2, b"2"), ("b", 1, b"3")]
    assert (lines.total_bytes, lines.position_bytes) == (6, 6)


def test_a_named_pipe_is_read_when_its_writer_comes(tmp_path: Path) -> None:
    """`<(command)` of a shell; asking for its size would wait."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"1\n2\n"))
    lines = Lines([str(path)])
    writer.start()

    assert [line.data for line in lines] == [b"1", b"2"]
    assert lines.total_bytes is None
    writer.join()


def test_standard_input_is_asked_for_twice_in_vain() -> None:
    """The second would read nothing."""
    with pytest.raises(ConfigurationError, match="given twice"):
        Lines(["-", "-"])


def test_while_standard_input_is_silent_its_reader_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lines that are there come first; then `idle` says when to end. Half a line is none."""
    readable, writable = os.pipe()
    os.write(writable, b"1\n2\nunfinished")
    asked: list[float] = []

    def idle() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 2

    with os.fdopen(readable, "r") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        lines = Lines(["-"], idle=idle)

        assert [line.data for line in lines] == [b"1", b"2"]

    os.close(writable)
    assert len(asked) == 2
    assert lines.cut_short
