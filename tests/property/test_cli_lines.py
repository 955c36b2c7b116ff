"""Whatever bytes a file has, its lines are those bytes; whatever a line says, it is told."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streamwarden.cli.events import EventReader
from streamwarden.cli.lines import Lines
from streamwarden.cli.times import parse_duration, parse_instant

#: Newlines and carriage returns are what matters; the rest is there to be kept.
CONTENT = st.lists(st.sampled_from([b"\n", b"\r", b"\0", b"a", b"\xff", b"{}"]), max_size=40).map(
    b"".join
)


@given(CONTENT, st.sampled_from(["", ".gz", ".zst"]), st.integers(1, 6))
def test_lines_are_the_file(content: bytes, suffix: str, limit: int) -> None:
    """Split at newlines and nothing else; those beyond the limit are known by their numbers."""
    data = content
    if suffix == ".gz":
        data = gzip.compress(content)
    elif suffix == ".zst":
        data = zstandard.ZstdCompressor().compress(content)
    expected = content.split(b"\n")
    if expected[-1] == b"":
        del expected[-1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        path.write_bytes(data)

        whole = list(Lines([str(path)]))
        cut = list(Lines([str(path)], line_max_bytes=limit))

    assert [line.data for line in whole] == expected
    assert [line.data for line in cut] == [d if len(d) <= limit else None for d in expected]
    assert [line.number for line in cut] == list(range(1, len(expected) + 1))


def said(parse: Callable[[], object]) -> object:
    """What `parse` gives, or the words of its ValueError; nothing else may come out of it."""
    try:
        return parse()
    except ValueError as error:
        return str(error)


@given(st.binary() | st.text().map(str.encode))
def test_a_line_is_a_record_or_says_why_not(line: bytes) -> None:
    """Nothing but ValueError comes out."""
    assert said(lambda: EventReader("t", "record", "value.id").read(line))


@given(st.text())
def test_a_text_is_a_time_or_says_what_to_write(text: str) -> None:
    """Within the calendar, and never another exception."""
    instant, duration = said(lambda: parse_instant(text)), said(lambda: parse_duration(text))

    assert isinstance(instant, str) or 0 <= cast("int", instant) <= 253_402_300_799_999
    assert isinstance(duration, str) or cast("float", duration) >= 0
