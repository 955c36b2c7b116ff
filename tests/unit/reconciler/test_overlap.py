"""What two runs read: both of them, or only one."""

from __future__ import annotations

from typing import Any

from streamwarden.reconciler.overlap import Extent, Overlap, extents, overlap


def part(first: int, end: int, *lost: tuple[int, int, str], topic: str = "t") -> dict[str, Any]:
    """A partition as a report has it."""
    gaps = [{"from": start, "to": to, "reason": reason} for start, to, reason in lost]
    return {"topic": topic, "partition": 0, "first": first, "end": end, "gaps": gaps}


def report(*parts: dict[str, Any]) -> dict[str, Any]:
    """As much of a report as tells what was read."""
    return {"partitions": list(parts)}


def test_what_was_lost_was_not_read() -> None:
    """Gaps of compaction and transactions held nothing to read."""
    given = part(
        10,
        100,
        (60, 70, "unread"),
        (10, 20, "retention"),
        (30, 40, "compacted"),
        (90, 100, "unread"),
    )

    extent = extents(report(given))["t", 0]

    assert extent == Extent((range(20, 60), range(70, 90)), 100)
    assert len(extent) == 60
    assert [offset for offset in (10, 19, 20, 35, 59, 60, 69, 70, 89, 90) if offset in extent] == [
        *(20, 35, 59, 70, 89)
    ]
    assert 5 not in Extent()


def test_a_run_that_goes_on_from_another_shares_nothing_with_it() -> None:
    """However much it reads."""
    shared = overlap(report(part(0, 100)), report(part(100, 130)))

    assert shared == Overlap(both=0, unseen=100, later=30, older=0)
    assert not shared.comparable


def test_what_only_the_later_run_read_may_be_older() -> None:
    """A full run after one of new events, one that lacked a part, one that found nothing new."""
    full = report(part(0, 150))

    assert overlap(report(part(100, 130)), full) == Overlap(30, 0, 20, 100)
    assert overlap(report(part(0, 130, (40, 50, "unread"))), full) == Overlap(120, 0, 20, 10)
    assert overlap(report(part(130, 130)), full) == Overlap(0, 0, 20, 130)
    assert overlap(report(part(0, 150, (140, 150, "unread"))), full) == Overlap(140, 0, 0, 10)


def test_what_retention_took_is_unseen() -> None:
    """And what a topic has that is new is later."""
    shared = overlap(report(part(0, 100)), report(part(40, 120), part(0, 7, topic="u")))

    assert shared == Overlap(both=60, unseen=40, later=27, older=0)
    assert shared.comparable


def test_runs_over_nothing_can_be_compared() -> None:
    """Whatever is found since then is new."""
    assert overlap(report(part(0, 0)), report(part(0, 9))) == Overlap(later=9)
    assert Overlap(later=9).comparable
