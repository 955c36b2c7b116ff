"""Where a run goes on, given what earlier ones read and what has become of the log since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwarden.reconciler.incremental import Resume
from streamwarden.reconciler.runs import Runs
from streamwarden.reconciler.slices import Partition

from .test_runs import whole

NOON_MS = 1_772_366_400_000


def keep(folder: Path, end: int, *, complete: bool = True, topic_id: str = "", **asked: Any) -> str:
    """A run that read partition 0 of `t` to `end`; its id."""
    part: dict[str, Any] = {
        "topic": "t",
        "partition": 0,
        "start": 0,
        "first": 0,
        "end": end,
        "covered": end,
    }
    if topic_id:
        part["topic_id"] = topic_id
    report = whole(
        complete=complete,
        asked={"topics": ["t"], **asked},
        partitions=[{**part, "pending": 0, "gaps": []}],
    )
    return Runs(folder).write(report, started_ms=NOON_MS + end).id


def part(first: int, end: int, *, number: int = 0, topic_id: str = "") -> Partition:
    """A partition whose log begins at `first`."""
    return Partition("t", number, False, first, first, end, 0, topic_id=topic_id)


def test_the_latest_run_that_fits_counts(tmp_path: Path) -> None:
    """Complete, whole, and asked the same; topics and the beginning may differ."""
    keep(tmp_path, 10)
    base = keep(tmp_path, 20, since=5, incremental=True)
    keep(tmp_path, 30, complete=False)
    others: list[dict[str, Any]] = [
        {"sample": "5%"},
        {"until": 9},
        {"offsets": [0, 3]},
        {"owners": ["risk"]},
        {"stage": "consume"},
    ]
    for number, other in enumerate(others):
        keep(tmp_path, 31 + number, **other)

    resume = Resume.of(tmp_path, {"topics": ["t", "u"], "incremental": True})
    parts, used = resume.cut([part(0, 50), part(0, 5, number=1)])

    assert [(p.number, p.first, p.end) for p in parts] == [(0, 20, 50), (1, 0, 5)]
    assert used == {"t/0": base}
    assert not parts[0].taken


def test_what_nobody_read_is_told(tmp_path: Path) -> None:
    """Removed by retention since the last run: not read, and not complete."""
    keep(tmp_path, 20)
    resume = Resume.of(tmp_path, {"topics": ["t"]})

    ((behind,), _) = resume.cut([part(25, 50)])
    ((whole,), _) = resume.cut([part(20, 50)])
    ((anew,), used) = resume.cut([part(0, 7)])

    assert (behind.first, behind.taken) == (25, True)
    assert (whole.first, whole.taken) == (20, False)
    assert (anew.first, anew.end, used) == (0, 7, {})


def test_a_topic_that_was_made_anew_is_read_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its id tells, also where it has more offsets than the one before; without one nothing does."""
    run = keep(tmp_path, 20, topic_id="one")
    resume = Resume.of(tmp_path, {"topics": ["t"]})

    ((anew,), used) = resume.cut([part(0, 50, topic_id="two")])
    ((same,), again) = resume.cut([part(0, 50, topic_id="one")])
    ((nameless,), _) = resume.cut([part(0, 50)])

    assert (anew.first, used) == (0, {})
    assert (same.first, again) == (20, {"t/0": run})
    assert nameless.first == 20
    assert caplog.messages == ["topic `t` was made anew since the last run: all of it is read"]


def test_a_run_that_cannot_be_read_is_passed_over_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No JSON, or no report: the one before counts."""
    base = keep(tmp_path, 10)
    broken = [keep(tmp_path, 20_000), keep(tmp_path, 30_000)]
    for run, text in zip(broken, ("{", '{"x": 1}'), strict=True):
        (tmp_path / run / "report.json").write_text(text)

    _, used = Resume.of(tmp_path, {"topics": ["t"]}).cut([part(0, 50_000)])

    assert used == {"t/0": base}
    said = [record.getMessage() for record in caplog.records]
    assert [any(f"run {run} is passed over" in each for each in said) for run in broken] == [
        True,
        True,
    ]
    assert all("is no report" in each for each in said)
