"""How deep JSON is nested, told by its brackets."""

from __future__ import annotations

import re
import sys

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamwarden.schemas.json_nesting import IN_A_ROW_MAX, LONG, nesting, wary

LIMIT = sys.getrecursionlimit()
DEEP = 2 * LIMIT

decode = msgspec.json.Decoder().decode


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


@pytest.mark.parametrize("depth", [IN_A_ROW_MAX, LIMIT, DEEP])
@pytest.mark.parametrize(
    ("before", "opened", "closed", "after"),
    [
        (b"", b"[", b"]", b""),
        (b"", b'{"a":', b"1" + b"}", b""),
        (b"", b'[{"a":', b"1" + b"}]", b""),
        (b'{"id": "order-1", "note": ', b"[", b"]", b', "tags": ["x"]}'),
        (b'{"tags": ["x\\"["], "id": "]\\\\", "note": ', b'{"a":', b"}", b"}"),
    ],
)
def test_brackets_in_a_row_are_refused_and_nothing_is_decoded(
    depth: int, before: bytes, opened: bytes, closed: bytes, after: bytes
) -> None:
    """Also where the value begins with them and they are not closed, and where it is much larger."""
    inner, bracket = closed[:-1] if closed[:1] == b"1" else b"", closed.lstrip(b"1")
    whole = before + opened * depth + (inner or b"1") + bracket * depth + after

    unclosed = () if b"]" in before else (before + opened * 2 * depth,)
    for data in (whole, *unclosed, whole + b" " * 20_000):
        with pytest.raises(RecursionError):
            wary(untouched)(data)


@pytest.mark.parametrize("unit", [(b"[", b"]"), (b'{"a":', b"}")])
def test_huge_ones_are_refused_by_their_beginning(unit: tuple[bytes, bytes]) -> None:
    with pytest.raises(RecursionError):
        wary(untouched)(unit[0] * 100_000 + b"1" + unit[1] * 100_000)


@pytest.mark.parametrize(
    "data",
    [
        b'["' + b"]" * DEEP + b'"]',
        b'{"a": "' + b"}" * DEEP + b'"}',
        b'{"a": "' + b"{" * DEEP + b'", "b": "' + b"[" * DEEP + b'"}',
        b'["\\"' + b"[" * DEEP + b'"]',
        b'["' + b"]" * DEEP + b"x" * 20_000 + b'"]',
        b"[" * 499 + b"]" * 499,
        b'{"a":' * 499 + b"1" + b"}" * 499,
        b'{"a":' * 600 + b"1" + b"} " * 600,
        b'{"a":' * 600 + b'"' + b"x" * 20_000 + b'"' + b"} " * 600,
        b"[" + b"[[]]," * DEEP + b"[]]",
        b'"' + b"x" * DEEP + b'"\n',
        b"1" * 300,
    ],
)
def test_what_only_looks_so_is_decoded(data: bytes) -> None:
    assert wary(decode)(data) == decode(data)


_pieces = st.sampled_from([b"[", b"]", b"{", b"}", b'{"a":', b'"', b"\\", b",", b"1", b"}]", b"[{"])


@given(
    st.lists(st.tuples(_pieces, st.sampled_from([1, 2, 63, 64, 65, 490])), max_size=8),
    st.sampled_from([b"", b'{"id": 1, "rest": ', b'["' + b"x" * LONG + b'", ']),
)
def test_the_outcome_is_that_of_the_decoder(parts: list[tuple[bytes, int]], before: bytes) -> None:
    data = before + b"".join(piece * times for piece, times in parts) or b"0"
    in_a_row = max(map(len, re.findall(rb"[\[\]{}]+", data)), default=0)
    assume(in_a_row < IN_A_ROW_MAX)
    try:
        expected = decode(data)
    except Exception:  # noqa: BLE001 - whatever refuses it
        with pytest.raises((RecursionError, ValueError)):
            wary(decode)(data)
    else:
        assert wary(decode)(data) == expected
