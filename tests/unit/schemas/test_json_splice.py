"""Splicing masks into JSON documents."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from streamwarden.schemas.json_projection import DecodeError, decode_json
from streamwarden.schemas.json_splice import Path, splice


def stars(_: bytes) -> bytes:
    return b'"***"'


def drop(_: bytes) -> None:
    return None


@pytest.mark.parametrize(
    ("data", "path", "replace", "expected"),
    [
        (b'{"a": 1, "b": 2}', ("a",), stars, b'{"a": "***", "b": 2}'),
        (b'{"a": 1, "b": 2}', ("c",), stars, b'{"a": 1, "b": 2}'),
        (b'{"\\u0061": 1, "a":[1]}', ("a",), stars, b'{"\\u0061": "***", "a":"***"}'),
        (b'{"a": 1, "b": 2, "c": 3}', ("b",), drop, b'{"a": 1, "c": 3}'),
        (b'{"a": 1, "b": 2, "c": 3}', ("a",), drop, b'{ "b": 2, "c": 3}'),
        (b'{"a": 1, "b": 2, "c": 3}', ("c",), drop, b'{"a": 1, "b": 2}'),
        (b'{"a": 1}', ("a",), drop, b"{}"),
        (b'{"a": 1, "a": 2, "b": 0, "a": 3}', ("a",), drop, b'{  "b": 0}'),
        (b"[1, 2, 3]", (None,), drop, b"[  ]"),
        (b"[1, 2, 3]", (1,), drop, b"[1, 3]"),
        (b'[{"x": 1}, 5, {"y": [], "x": {}}]', (None, "x"), stars, b'[{"x": "***"}, 5, {"y": [], "x": "***"}]'),
        (b'{"a": {"b": 1}}', ("a", "b", "c"), stars, b'{"a": {"b": 1}}'),
        (b' "x" ', (), stars, b' "***" '),
        (b' "x" ', (), drop, b" null "),
        (b'{"a": "]}\\"", "b": 1}', ("b",), stars, b'{"a": "]}\\"", "b": "***"}'),
    ],
)  # fmt: skip
def test_splice(
    data: bytes, path: Path, replace: Callable[[bytes], bytes | None], expected: bytes
) -> None:
    assert splice(data, [(path, replace)]) == expected


def test_nothing_to_edit_gives_the_same_object() -> None:
    """A value that was masked before costs no copy."""
    data = b'{"a": "***", "b": {"c": 1}}'

    assert splice(data, [(("a",), lambda old: old), (("b", "x"), stars)]) is data


def test_the_outer_edit_counts() -> None:
    """A dropped parent needs no masked child, whichever was written first."""
    data = b'{"a": {"b": 1}, "c": 2}'

    assert splice(data, [(("a", "b"), stars), (("a",), drop)]) == b'{ "c": 2}'
    assert splice(data, [(("a",), stars), (("a", "b"), drop)]) == b'{"a": "***", "c": 2}'


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a": 1} x', b'{"a" 1}', b"[1, 2", b'{"a": "\\ud800"}']
)
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    """A document whose structure is in doubt is never passed on as masked."""
    with pytest.raises(DecodeError):
        splice(data, [(("a",), stars)])


@pytest.mark.parametrize(
    ("text", "written"), [(b"x" * 5_000, b'"***"'), (b"", b'"%s"' % (b"*" * 1_000))]
)
def test_what_is_edited_can_be_read_again(text: bytes, written: bytes) -> None:
    """What is nested deeply may come near the beginning, or the whole become long by it."""
    data = b'{"a": "%s", "b": %s1%s}' % (text, b"[" * 130, b"]" * 130 + b" " * len(text))
    decode_json(data)

    with pytest.raises(DecodeError, match="nested too deeply"):
        splice(data, [(("a",), lambda _: written)])


def test_time_is_linear() -> None:
    """Neither depth nor strings full of brackets make the scan slower than the document is long."""
    deep = b'{"a":' * 120 + b'"x"' + b"}" * 120
    wide = b'{"z": "%s", "l": [%s], "a": 1}' % (b'\\"[{' * 50_000, b'"x",' * 50_000 + b"1")

    started = time.process_time()
    assert splice(deep, [(("a",) * 120, stars)]).count(b"***") == 1
    assert splice(wide, [(("a",), stars)]).endswith(b'"a": "***"}')

    assert time.process_time() - started < 10
