"""Accounts of slices: counted, bounded, and merged in any grouping."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from streamwarden.reconciler.findings import DRIFT, KINDS, Finding
from streamwarden.reconciler.reading import Gap
from streamwarden.reconciler.slices import Slice
from streamwarden.reconciler.tally import (
    CAUSES_MAX,
    EXAMPLES_MAX,
    HOLES_MAX,
    SliceReport,
    Tally,
    merge,
    merge_all,
)


def finding(offset: int, kind: str = "now-rejected", change: str = "", **more: object) -> Finding:
    """A finding on partition 0 of topic `t`."""
    settings: dict[str, object] = {
        "topic": "t",
        "partition": 0,
        "timestamp": 1,
        "stamped": {"bundle": "b@1"},
        "drift": kind if kind in DRIFT else None,
        "rules": ("p/r",),
        "detail": "",
        "current": dict,
        **more,
    }
    return Finding(kind=kind, offset=offset, change=change, **settings)  # type: ignore[arg-type]


def account(piece: Slice, found: list[Finding], gaps: list[Gap], problem: str = "") -> SliceReport:
    """The account of a slice with these findings."""
    tally = Tally()
    tally.events = piece.end - piece.first
    for each in found:
        tally.add(each)
    return tally.report(piece, gaps, problem)


@st.composite
def accounts(draw: st.DrawFn) -> list[SliceReport]:
    """Accounts of distinct slices of two partitions, with findings and gaps."""
    made: list[SliceReport] = []
    for index in range(draw(st.integers(0, 6))):
        first, partition = 10 * index, draw(st.integers(0, 1))
        piece = Slice(index, "t", partition, first, first + 10)
        places = draw(st.lists(st.integers(first, first + 9), unique=True, max_size=8))
        found = [
            finding(
                offset,
                draw(st.sampled_from(KINDS)),
                draw(st.sampled_from(["", "a: 1 → 2", "b: added"])),
                partition=partition,
            )
            for offset in sorted(places)
        ]
        gaps = [
            Gap(offset, offset + 1, draw(st.sampled_from(["transaction", "unread", "retention"])))
            for offset in sorted(draw(st.sets(st.integers(first, first + 9), max_size=3)))
        ]
        made.append(account(piece, found, gaps, draw(st.sampled_from(["", "lost"]))))
    return made


@given(accounts(), st.data())
def test_merging_does_not_depend_on_the_grouping(
    made: list[SliceReport], data: st.DataObject
) -> None:
    """Engines may merge partial sums in any order."""
    left: list[SliceReport] = list(made)
    while len(left) > 1:
        one, other = data.draw(st.permutations(range(len(left))))[:2]
        merged = merge(left[one], left[other])
        left = [report for place, report in enumerate(left) if place not in (one, other)]
        left.append(merged)

    assert merge_all(left) == merge_all(made)


@given(accounts())
def test_merging_keeps_every_count(made: list[SliceReport]) -> None:
    """The sum has all events, findings and offsets of its parts."""
    merged = merge_all(made)

    assert merged.events == sum(report.events for report in made)
    assert sum(sum(counts.values()) for counts in merged.counts.values()) == sum(
        sum(counts.values()) for report in made for counts in report.counts.values()
    )
    assert sum(cause.count for cause in merged.causes) == sum(
        cause.count for report in made for cause in report.causes
    )
    assert sum(place.covered for place in merged.coverage) == sum(
        place.covered for report in made for place in report.coverage
    )


def test_examples_are_the_lowest_coordinates() -> None:
    """Whatever comes first."""
    high = account(Slice(1, "t", 0, 10, 20), [finding(n) for n in (11, 12, 13, 14)], [])
    low = account(Slice(0, "t", 0, 0, 10), [finding(4)], [])

    (cause,) = merge(high, low).causes

    assert (cause.count, cause.examples) == (5, (("t", 0, 4), ("t", 0, 11), ("t", 0, 12)))
    assert len(cause.examples) == EXAMPLES_MAX


def test_memory_is_bounded_and_what_is_kept_is_exact() -> None:
    """Any number of causes: the first by name are kept, each with all of its findings."""
    many = 3 * CAUSES_MAX
    piece = Slice(0, "t", 0, 0, many)
    tally = Tally()
    for offset in range(2 * many):
        tally.add(finding(offset, change=f"{offset % many:06d}"))
    one = tally.report(piece, [], "")

    both = merge(one, one)

    assert len(one.causes) == len(both.causes) == CAUSES_MAX
    assert [cause.change for cause in both.causes] == [f"{n:06d}" for n in range(CAUSES_MAX)]
    assert {cause.count for cause in both.causes} == {4}
    assert both.counts == {"t": {"now-rejected": 4 * many}}


def test_what_was_not_read_is_not_covered() -> None:
    """Holes are got past; unread offsets and those that retention took are not."""
    gaps = [
        Gap(1, 3, "transaction"),
        Gap(4, 5, "compacted"),
        Gap(6, 7, "retention"),
        Gap(8, 10, "unread"),
    ]

    (place,) = account(Slice(0, "t", 0, 0, 10), [], gaps).coverage

    assert place.covered == 7
    assert place.lost == (Gap(6, 7, "retention"), Gap(8, 10, "unread"))
    assert place.holes == (Gap(1, 3, "transaction"), Gap(4, 5, "compacted"))
    assert place.missing == {"transaction": 2, "compacted": 1, "retention": 1, "unread": 2}


def test_only_the_first_holes_are_listed() -> None:
    """With a hole behind every record, the count says the rest."""
    size = 3 * HOLES_MAX
    gaps = [Gap(offset, offset + 1, "transaction") for offset in range(0, size, 2)]

    (place,) = account(Slice(0, "t", 0, 0, size), [], gaps).coverage

    assert len(place.holes) == HOLES_MAX
    assert (place.covered, place.missing) == (size, {"transaction": size // 2})
