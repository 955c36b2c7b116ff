"""History is cut into slices that cover it once, in order."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from streamwarden.reconciler.slices import Partition, cut

RANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 200), st.booleans()), max_size=6)


@given(RANGES, st.integers(1, 60))
def test_slices_cover_every_offset_once(ranges: list[tuple[int, int, bool]], size: int) -> None:
    """Whatever the size: no offset twice, none left out, none added; indexes count up."""
    partitions = [
        Partition("t", number, parked, first, first, first + length, 0)
        for number, (first, length, parked) in enumerate(ranges)
    ]

    pieces = cut(partitions, size)

    assert [piece.index for piece in pieces] == list(range(len(pieces)))
    assert all(0 < piece.end - piece.first <= size for piece in pieces)
    assert [
        (piece.topic, piece.partition, piece.parked, offset)
        for piece in pieces
        for offset in range(piece.first, piece.end)
    ] == [
        (part.topic, part.number, part.parked, offset)
        for part in partitions
        for offset in range(part.first, part.end)
    ]
