"""How deep JSON is nested, told by its brackets."""

from __future__ import annotations

import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarden.schemas.json_nesting import LONG, nesting, wary

LIMIT = sys.getrecursionlimit()
DEEP = 2 * LIMIT

decode = msgspec.json.Decoder().decode
early_only = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="the decoder's limit is not the interpreter's from 3.12 on"
)


@pytest.mark.parametrize(
    ("data", "depth"),
    [
        (b"1", 0),
        (b"[[1], {}]", 2),
        (b'{"[[[[": "]]\\"[[["}', 1),
        (b'{"a": "[", "b": ["]"]}', 2),
        (b'["\\\\", "[[["]', 1),
        (b'["unfinished [[[', 1),
    ],
)
def test_nesting(data: bytes, depth: int) -> None:
    assert nesting(data) == depth


def untouched(_: bytes) -> object:
    raise AssertionError("decoded")


@early_only
@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'[{"a":' * DEEP + b"1" + b"}]" * DEEP,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"id": "order-1", "note": ' + b"[" * DEEP + b"]" * DEEP + b', "tags": ["x"]}',
        b'{"tags": ["x"], "id": "]", "note": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    ],
)
def test_what_is_too_deep_is_not_decoded(data: bytes) -> None:
    with pytest.raises(RecursionError):
        wary(untouched)(data)
    with pytest.raises(RecursionError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b'["' + b"]" * DEEP + b'"]',
        b'{"a": "' + b"}" * DEEP + b'"}',
        b'{"a": "' + b"{" * DEEP + b'", "b": "' + b"[" * DEEP + b'"}',
        b'["\\"' + b"[" * DEEP + b'"]',
        b"[" * 500 + b"]" * 500,
        b'{"a":' * 500 + b"1" + b"}" * 500,
        b"[" + b"[[]]," * DEEP + b"[]]",
        b'"' + b"x" * DEEP + b'"\n',
        b"1" * 300,
    ],
)
def test_what_only_looks_so_is_decoded(data: bytes) -> None:
    assert wary(decode)(data) == decode(data)


_pieces = st.sampled_from([b"[", b"]", b"{", b"}", b'{"a":', b'"', b"\\", b",", b"1", b"}]", b"[{"])


@given(
    st.lists(st.tuples(_pieces, st.sampled_from([1, 2, 63, 64, 65, LIMIT, DEEP])), max_size=8),
    st.sampled_from([b"", b'{"id": 1, "rest": ', b'["' + b"x" * LONG + b'", ']),
)
def test_the_outcome_is_that_of_the_decoder(parts: list[tuple[bytes, int]], before: bytes) -> None:
    data = before + b"".join(piece * times for piece, times in parts) or b"0"
    try:
        expected = decode(data)
    except Exception:  # noqa: BLE001 - whatever refuses it
        with pytest.raises((RecursionError, ValueError)):
            wary(decode)(data)
    else:
        assert wary(decode)(data) == expected
