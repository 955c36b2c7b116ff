"""Accounts of slices: counted, bounded, and merged in any grouping."""

from __future__ import annotations

import json

import hypothesis.strategies as st
from hypothesis import given

from streamwarden.reconciler.breakdown import DAYS_MAX, SHOWN_MAX_BYTES
from streamwarden.reconciler.causes import CAUSES_MAX, EXAMPLES_MAX, Cause, CauseSum
from streamwarden.reconciler.findings import DRIFT, KINDS, Finding
from streamwarden.reconciler.reading import Gap
from streamwarden.reconciler.rows import Rows
from streamwarden.reconciler.slices import Slice
from streamwarden.reconciler.tally import (
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
        "current": lambda: {"event": {"key": None}},
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


def test_causes_that_are_too_many_to_be_held_are_put_away() -> None:
    """None is lost on the way: what is away and what is held together have all findings."""
    many = 3 * CAUSES_MAX
    away: list[Cause] = []
    tally = Tally(away.extend)
    for offset in range(2 * many):
        tally.add(finding(offset, change=f"{offset % many:06d}"))

    found = tally.report(Slice(0, "t", 0, 0, many), [], "")

    assert len(found.causes) < CAUSES_MAX
    assert sum(cause.count for cause in (*away, *found.causes)) == 2 * many
    assert found.counts == {"t": {"now-rejected": 2 * many}}


def test_the_most_frequent_causes_are_kept_however_history_is_cut() -> None:
    """What is frequent comes last by name, after more causes of one event than are held."""
    frequent = 40
    names = [f"made up {n:06d}" for n in range(6 * CAUSES_MAX)]
    names[::100] = ["the cause of most"] * len(names[::100])
    names[1:frequent:2] = ["another"] * len(names[1:frequent:2])
    totals: list[tuple[tuple[Cause, ...], int]] = []
    for size in (len(names), 1000, 77):
        with CauseSum.opened() as causes:
            starts = range(0, len(names), size)
            for index, first in reversed(list(enumerate(starts))):
                end = min(first + size, len(names))
                away: list[Cause] = []
                tally = Tally(away.extend)
                for offset in range(first, end):
                    tally.add(finding(offset, change=names[offset]))
                piece = Slice(index, "t", 0, first, end)
                for cause in (*tally.report(piece, [], "").causes, *away):
                    causes.add(cause)
            totals.append(causes.total())

    assert totals[0] == totals[1] == totals[2]
    kept, number = totals[0]
    assert number == len(set(names))
    assert len(kept) == CAUSES_MAX
    counts = {cause.change: cause.count for cause in kept}
    assert counts["the cause of most"] == names.count("the cause of most")
    assert counts["another"] == names.count("another")
    most = next(cause for cause in kept if cause.change == "the cause of most")
    assert most.examples == (("t", 0, 0), ("t", 0, 100), ("t", 0, 200))
    assert [said["offset"] for said in most.shown] == [0, 100, 200]


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


DAY = 86_400_000


def test_findings_are_counted_by_day_rule_and_version() -> None:
    """A forged stamp names whatever its writer liked, so it counts for no version."""
    found = [
        finding(1, timestamp=DAY),
        finding(2, timestamp=2 * DAY - 1, rules=("p/r", "q/s")),
        finding(3, "forged", timestamp=2 * DAY),
        finding(4, "unchecked", timestamp=None, stamped=None),
    ]

    found_report = account(Slice(0, "t", 0, 0, 10), found, [])

    assert found_report.days == {
        "": {"unchecked": 1},
        "1970-01-02": {"now-rejected": 2},
        "1970-01-03": {"forged": 1},
    }
    with Rows.opened() as rows:
        for cause in found_report.causes:
            rows.add(cause)
        rules, versions = rows.total()
    assert rules == {
        "p/r": {"now-rejected": 1, "forged": 1, "unchecked": 1},
        "p/r, q/s": {"now-rejected": 1},
    }
    assert versions == {"": {"forged": 1, "unchecked": 1}, "b@1": {"now-rejected": 2}}


def test_of_too_many_days_the_latest_are_kept() -> None:
    """However many dates producers make up, a table stays small, and merges in any grouping."""
    tally, other = Tally(), Tally()
    for day in range(DAYS_MAX + 50):
        tally.count_day(day * DAY, 1)
        other.count_day((day + 10) * DAY, 1)
    piece = Slice(0, "t", 0, 0, 1)
    one, two = tally.report(piece, [], ""), other.report(piece, [], "")

    merged = merge(one, two)

    assert len(one.days) == len(merged.days) == DAYS_MAX
    assert max(merged.days) == max(two.days)
    assert merged == merge(two, one)


def test_examples_are_shown_in_full_and_stay_small() -> None:
    """The trail goes first, then what is long in the rest."""
    match = {"rule": "r", "why": {"expr": "x" * 20_000}, "reason": "y" * 20_000}
    found = finding(
        1, current=lambda: {"event": {"key": "k"}, "matches": [match] * 9, "facts": "z" * 20_000}
    )

    (cause,) = account(Slice(0, "t", 0, 0, 10), [found], []).causes

    (said,) = cause.shown
    assert (said["offset"], said["key"], said["current"]["cut"]) == (1, "k", True)
    assert [m["why"] for m in said["current"]["matches"]] == [None] * 5
    assert len(json.dumps(said)) < SHOWN_MAX_BYTES
