"""How deep JSON is nested, told by its brackets."""

from __future__ import annotations

import itertools
import sys
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarden.schemas.json_nesting import LONG, NESTING_MAX, is_nested, wary

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
        (b'["ends in a backslash [[[\\', 1),
        (b'[{"\\\\": "\\\\\\"[[[", "]": {"}": [1]}}]', 4),
        (b'{"a":{"b":{"', 3),
    ],
)
def test_nesting(data: bytes, depth: int) -> None:
    assert is_nested(data, depth)
    assert not is_nested(data, depth + 1)


def untouched(_: bytes) -> object:
    raise AssertionError("decoded")


@pytest.mark.parametrize("depth", [NESTING_MAX, LIMIT, DEEP])
@pytest.mark.parametrize(
    ("before", "opened", "closed", "after"),
    [
        (b"", b"[", b"]", b""),
        (b"", b'{"a":', b"}", b""),
        (b"", b'{"a":', b"}\n", b""),
        (b"", b'{"a" : ', b" }", b""),
        (b"", b'{"{":', b"}", b""),
        (b"", b'[{"\\"":', b"}\t]", b""),
        (b"", b'[1, {"a":', b"}, 1]", b""),
        (b"", b'[[], {"a":', b"}, {}]", b""),
        (b'{"id": "order-1", "note": ', b"[", b"]", b', "tags": ["x"]}'),
        (b'{"tags": ["x\\"["], "id": "]\\\\", "note": ', b'{"a":', b"}", b"}"),
    ],
)
def test_what_is_nested_too_deeply_is_refused_and_nothing_is_decoded(
    depth: int, before: bytes, opened: bytes, closed: bytes, after: bytes
) -> None:
    """Also where it is not closed, and where it is much larger."""
    whole = before + opened * depth + b"1" + closed * depth + after

    for data in (whole, before + opened * depth + b"x" * LONG, whole + b" " * 20_000):
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
        b"[" * 127 + b"]" * 127,
        b'{"a":' * 127 + b"1" + b"}" * 127,
        b'{"a":' * 127 + b"1" + b"} " * 127,
        b'["' + b"x" * 4_096 + b'",' + b'{"a":' * 600 + b"1" + b"} " * 600 + b"]",
        b"[" + b'{"a": [{}, {"b": [1]}]},' * 600 + b"1]",
        b"[" + b"[[]]," * DEEP + b"[]]",
        b'"' + b"x" * DEEP + b'"\n',
        b"1" * 300,
    ],
)
def test_what_only_looks_so_is_decoded(data: bytes) -> None:
    assert wary(decode)(data) == decode(data)


_pieces = st.sampled_from([b"[", b"]", b"{", b"}", b'{"a":', b'"', b"\\", b",", b"1", b"}]", b"[{"])


@given(
    st.lists(st.tuples(_pieces, st.sampled_from([1, 2, 61, 120, 490])), max_size=8),
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
        if deepest(expected) < NESTING_MAX:
            assert wary(decode)(data) == expected
        else:
            with pytest.raises(RecursionError):
                wary(untouched)(data)


_nested = st.lists(
    st.sampled_from(
        [
            b'{"a":?}',
            b'{"{":?}',
            b'["[",?]',
            b'{"\\\\":?}',
            b'["\\"]",?]',
            b"[?]",
            b"[[],?,{}]",
            b'{"x":[],"a" :?\n}',
        ]
    ),
    min_size=1,
    max_size=3,
)


@given(_nested, st.integers(110, 150), st.sampled_from([b"", b"x" * 2_000]))
def test_valid_json_is_refused_by_how_deep_it_is_alone(
    levels: list[bytes], depth: int, text: bytes
) -> None:
    around = [levels[i % len(levels)].split(b"?") for i in range(depth)]
    opened = b"".join(begin for begin, _ in around)
    closed = b"".join(end for _, end in reversed(around))
    data = opened + b'["' + text + b'"]' + closed
    value = decode(data)
    assert is_nested(data, deepest(value))
    assert not is_nested(data, deepest(value) + 1)
    if depth + 1 < NESTING_MAX:
        assert wary(decode)(data) == value
    else:
        with pytest.raises(RecursionError):
            wary(untouched)(data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"[]", b"[[]", b"[]]", b"[[]][]", b"]][[", b"[", b"]"]),
            st.sampled_from([1, 2, 30, 130, 400]),
        ),
        max_size=8,
    )
)
def test_brackets_are_followed_however_often_they_turn(parts: list[tuple[bytes, int]]) -> None:
    data = b"".join(piece * times for piece, times in parts)
    heights = list(itertools.accumulate((1 if each == b"["[0] else -1 for each in data), initial=0))
    assert is_nested(data, max(heights) or 1) == (max(heights) > 0)
    assert not is_nested(data, max(heights) + 1)


def deepest(value: object) -> int:
    """How deep `value` is nested, without recursion."""
    depth, level = 0, [value]
    while nested := [inner for each in level if (inner := _within(each)) is not None]:
        level = [each for inner in nested for each in inner]
        depth += 1
    return depth


def _within(value: object) -> list[object] | None:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else None
