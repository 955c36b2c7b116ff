"""What holes in offsets are, as far as it can be told."""

from __future__ import annotations

import pytest

from streamwarden.reconciler.holes import Holes
from streamwarden.reconciler.reading import Gap, Reader
from streamwarden.reconciler.slices import Slice

from .logs import FakeLog

PIECE = Slice(0, "t", 0, 0, 20)
GAPS = [Gap(2, 5, "hole"), Gap(7, 8, "retention"), Gap(9, 12, "hole")]


@pytest.mark.parametrize("compacts", [False, None])
def test_inside_a_log_only_transactions_leave_holes(compacts: bool | None) -> None:
    """Other gaps keep their reason; the topic is asked about once."""
    asked: list[str] = []

    def ask(topic: str) -> bool | None:
        asked.append(topic)
        return compacts

    holes = Holes(ask, lambda: pytest.fail("nothing has to be read again"))

    for _ in range(2):
        assert holes.reasons(PIECE, GAPS) == [
            Gap(2, 5, "transaction"),
            Gap(7, 8, "retention"),
            Gap(9, 12, "transaction"),
        ]
    assert asked == ["t"]


def test_without_holes_nobody_is_asked() -> None:
    """The common case costs nothing."""
    holes = Holes(lambda _: pytest.fail("asked"), lambda: pytest.fail("read"))

    assert holes.reasons(PIECE, [GAPS[1]]) == [GAPS[1]]


def test_where_cleanup_compacts_aborted_records_are_told_apart() -> None:
    """A reading that sees aborted records finds them in the holes; the rest was compacted."""
    log = FakeLog([0, 1, 3, 4, 5, 10, 15], end=20)
    holes = Holes(lambda _: True, lambda: Reader({}, connect=log.connect, clock=log.clock))

    assert holes.reasons(PIECE, GAPS) == [
        Gap(2, 3, "compacted"),
        Gap(3, 5, "transaction"),
        Gap(7, 8, "retention"),
        Gap(9, 10, "compacted"),
        Gap(10, 11, "transaction"),
        Gap(11, 12, "compacted"),
    ]
    holes.close()
    assert log.assigned == [2, -1]
