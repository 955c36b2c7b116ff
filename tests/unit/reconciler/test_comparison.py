"""Two runs compared: causes by name, findings by coordinates, whatever their number."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import ReconcileError
from streamwarden.reconciler.comparison import compare_causes, compare_findings, moved
from streamwarden.reconciler.findings import KINDS
from streamwarden.reconciler.overlap import overlap
from streamwarden.reconciler.runs import StoredRun

from .test_runs import whole

__all__ = ["cause", "line", "run"]


def line(offset: int, kind: str = "now-rejected", **more: Any) -> dict[str, Any]:
    """A finding on partition 0 of `t`."""
    return {"kind": kind, "topic": "t", "partition": 0, "offset": offset, "drift": None, **more}


def run(
    folder: Path,
    name: str,
    found: Iterable[dict[str, Any]] | None,
    *,
    first: int = 0,
    end: int = 100,
    causes: Iterable[dict[str, Any]] = (),
    **more: Any,
) -> StoredRun:
    """A stored run over two partitions of `t` and one of `u`, from `first` up to `end`."""
    place = folder / name
    place.mkdir(parents=True)
    parts: list[dict[str, Any]] = [
        {
            "topic": topic,
            "partition": number,
            "start": 0,
            "first": first,
            "end": end,
            "covered": end - first,
            "pending": 0,
            "gaps": [],
        }
        for topic, number in (("t", 0), ("t", 1), ("u", 0))
    ]
    report = whole(partitions=parts, causes=list(causes), **more)
    (place / "report.json").write_text(json.dumps(report))
    if found is not None:
        with (place / "findings.jsonl").open("w") as out:
            out.writelines(json.dumps(each) + "\n" for each in found)
    return StoredRun(name, place)


def cause(count: int, kind: str = "now-rejected", change: str = "over: 50 → 10") -> dict[str, Any]:
    """A cause as reports have it."""
    return {
        "kind": kind,
        "count": count,
        "rule": "p/r",
        "change": change,
        "drift": None,
        "stamped": "b@1",
        "examples": [{"topic": "t", "partition": 0, "offset": 1}],
    }


def test_findings_are_told_by_what_the_other_run_read(tmp_path: Path) -> None:
    """New on what both read, later beyond it, gone, unseen, or of another kind."""
    before = run(tmp_path, "one", [line(1), line(2), line(3), line(120)], end=150)
    after = run(tmp_path, "two", [line(2), line(3, "forged"), line(4)], end=100)
    sunk: list[tuple[str, int]] = []

    forward = compare_findings(
        before, after, lambda sort, raw: sunk.append((sort, json.loads(raw)["offset"]))
    )
    backward = compare_findings(after, before)

    assert forward is not None
    assert backward is not None
    assert forward.counts == {
        "gone": {"now-rejected": 1},
        "other": {"forged": 1},
        "new": {"now-rejected": 1},
        "unseen": {"now-rejected": 1},
    }
    assert sunk == [("gone", 1), ("other", 3), ("new", 4), ("unseen", 120)]
    assert {sort: backward.total(sort) for sort in ("new", "later", "other", "gone")} == {
        "new": 1,
        "later": 1,
        "other": 1,
        "gone": 1,
    }


def named(offset: int) -> dict[str, Any]:
    """A finding whose cause is that of `cause()`."""
    rules = [{"policy": "p", "rule": "r", "reason": "too much"}]
    more: dict[str, Any] = {"change": "over: 50 → 10", "detail": "", "rules": rules}
    return line(offset, stamped={"bundle": "b@1", "effect": "allow"}, **more)


def counts(number: int) -> dict[str, int]:
    """Counts by kind as reports have them."""
    return {**dict.fromkeys(KINDS, 0), "now-rejected": number}


def test_what_only_one_run_read_has_not_moved(tmp_path: Path) -> None:
    """Nothing vanished where nobody looked again, and nothing appeared where nobody had looked."""
    full = run(
        *(tmp_path, "one", [named(1), named(2), named(60)]),
        causes=[cause(3)],
        counts=counts(3),
    )
    part = run(
        *(tmp_path, "two", [named(60), named(110)]),
        first=50,
        end=120,
        causes=[cause(2)],
        counts=counts(2),
    )

    forward, backward = compare_findings(full, part), compare_findings(part, full)
    ahead = overlap(full.report, part.report)
    back = overlap(part.report, full.report)

    assert forward is not None
    assert backward is not None
    assert forward.counts == {"unseen": {"now-rejected": 2}, "later": {"now-rejected": 1}}
    assert backward.counts == {"older": {"now-rejected": 2}, "unseen": {"now-rejected": 1}}
    (grew,) = compare_causes(full.report, part.report, forward)
    (shrank,) = compare_causes(part.report, full.report, backward)
    assert (grew.sort, grew.before, grew.after, grew.unseen) == ("grew", 3, 2, 2)
    assert (shrank.sort, shrank.before, shrank.after, shrank.older) == ("same", 2, 3, 2)
    assert moved(full.report, part.report, ahead, forward) == {"now-rejected": 1}
    assert moved(part.report, full.report, back, backward) == {}
    assert moved(full.report, part.report, ahead, None) is None


def test_runs_with_nothing_in_common_are_not_compared(tmp_path: Path) -> None:
    """What the one found is unseen by the other."""
    full = run(tmp_path, "one", [named(1), named(2)], causes=[cause(2)], counts=counts(2))
    new = run(tmp_path, "two", [], first=100, end=120)

    change = compare_findings(full, new)
    shared = overlap(full.report, new.report)

    assert change is not None
    assert [each.sort for each in compare_causes(full.report, new.report, change)] == ["unseen"]
    assert moved(full.report, new.report, shared, change) is None
    (unsure,) = compare_causes(full.report, new.report, alike=False)
    assert (unsure.sort, unsure.sure) == ("vanished", False)


def test_the_order_of_topics_does_not_matter(tmp_path: Path) -> None:
    """Runs may have been asked for the same topics in another order."""
    one = [line(1), line(5), line(2, partition=1), line(0, topic="u")]
    two = [line(0, topic="u"), line(1), line(5), line(2, partition=1)]

    change = compare_findings(run(tmp_path, "one", one), run(tmp_path, "two", two))

    assert change is not None
    assert change.counts == {}


def test_memory_does_not_grow_with_the_findings(tmp_path: Path) -> None:
    """Files are compared line by line, and only the first few of each sort are kept."""
    size = 40_000
    before = run(tmp_path, "one", (line(n, note="x" * 200) for n in range(0, size, 2)), end=size)
    after = run(tmp_path, "two", (line(n, note="x" * 200) for n in range(1, size, 2)), end=size)
    assert before.report
    assert after.report

    tracemalloc.start()
    change = compare_findings(before, after)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert change is not None
    assert (change.total("new"), change.total("gone")) == (size // 2, size // 2)
    assert len(change.examples["new"]) == 10
    assert peak < 2_000_000


def test_runs_that_kept_no_findings_are_not_compared(tmp_path: Path) -> None:
    """None says so; nothing is guessed."""
    with_findings, without = run(tmp_path, "one", [line(1)]), run(tmp_path, "two", None)

    assert compare_findings(with_findings, without) is None
    assert compare_findings(without, with_findings) is None


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    """With its name."""
    before, after = run(tmp_path, "one", []), run(tmp_path, "two", [])
    (tmp_path / "two" / "findings.jsonl").write_text('{"kind": "forged"')

    with pytest.raises(ReconcileError, match="no finding"):
        compare_findings(before, after)


def test_causes_appear_vanish_grow_and_shrink() -> None:
    """The ones that grew most come first; equal ones are told too."""
    before = {"causes": [cause(5, change="a"), cause(9, change="b"), cause(2, change="c")]}
    after = {"causes": [cause(8, change="a"), cause(1, change="b"), cause(7, change="d")]}

    changes = compare_causes(before, {**after, "causes_omitted": 0})

    assert [(c.sort, c.cause["change"], c.before, c.after, c.sure) for c in changes] == [
        ("appeared", "d", 0, 7, True),
        ("grew", "a", 5, 8, True),
        ("vanished", "c", 2, 0, True),
        ("shrank", "b", 9, 1, True),
    ]


def test_a_cause_that_may_have_been_left_out_is_not_sure() -> None:
    """A report lists the most frequent causes only."""
    before = {"causes": [cause(5, change="a")], "causes_omitted": 3}
    after = {"causes": [cause(1, change="b")], "causes_omitted": 0}

    changes = {c.cause["change"]: c.sure for c in compare_causes(before, after)}

    assert changes == {"a": True, "b": False}
