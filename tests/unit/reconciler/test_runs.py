"""Past runs: kept whole, found again, in the order in which they began."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import ReconcileError
from streamwarden.reconciler.findings import DRIFT, KINDS
from streamwarden.reconciler.runs import Runs, read_report

from .pages import eventful

pytestmark = pytest.mark.slow

__all__ = ["whole"]

#: 2026-03-01T12:00:00Z
NOON_MS = 1_772_366_400_000


def whole(**parts: Any) -> dict[str, Any]:
    """A report with all that every report has, on nothing."""
    return {
        "verdict": "clean",
        "complete": True,
        "events": 0,
        "counts": dict.fromkeys(KINDS, 0),
        "drift": dict.fromkeys(DRIFT, 0),
        "unverifiable": 0,
        "partitions": [],
        "causes": [],
        "bundle": "b@1",
        "digest": "ab",
        "started": NOON_MS,
        "seconds": 0.1,
        **parts,
    }


def test_runs_are_found_again_in_their_order(tmp_path: Path) -> None:
    """Runs of the same second keep apart; what was not finished is no run."""
    runs = Runs(tmp_path / "runs")
    for number in range(12):
        runs.write(whole(events=number), started_ms=NOON_MS)
    runs.write(whole(events=99), started_ms=NOON_MS - 5000)
    (tmp_path / "runs" / "20260301T120100Z").mkdir()

    assert [run.report["events"] for run in runs.list()] == [99, *range(12)]
    assert runs.list()[1].id == "20260301T120000Z"
    assert runs.load("latest").report == whole(events=11, run="20260301T120000Z-12")
    assert runs.load("20260301T115").report["events"] == 99


def test_findings_are_kept_beside_the_report(tmp_path: Path) -> None:
    """Where they were asked for."""
    runs = Runs(tmp_path)

    kept = runs.write({}, started_ms=NOON_MS, findings=_fill)
    bare = runs.write({}, started_ms=NOON_MS)

    assert kept.findings is not None
    assert kept.findings.read_bytes() == b"{}\n"
    assert bare.findings is None
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def _fill(path: Path) -> None:
    path.write_bytes(b"{}\n")


@pytest.mark.parametrize("name", ["2026", "20270101T000000Z", "", "latest!"])
def test_a_name_that_is_no_run_is_an_error(tmp_path: Path, name: str) -> None:
    """Neither none nor several."""
    runs = Runs(tmp_path)
    runs.write({}, started_ms=NOON_MS)
    runs.write({}, started_ms=NOON_MS + 1000)

    with pytest.raises(ReconcileError, match="runs|no run"):
        runs.load(name)


def test_a_report_that_is_none_is_an_error(tmp_path: Path) -> None:
    """Not there, not JSON, not an object."""
    for text in (None, "{", "[]"):
        path = tmp_path / "report.json"
        if text is not None:
            path.write_text(text)
        with pytest.raises(ReconcileError, match="report"):
            read_report(tmp_path)


_PART: dict[str, Any] = {
    "topic": "t",
    "partition": 0,
    "start": 0,
    "first": 0,
    "end": 1,
    "pending": 0,
    "gaps": [],
}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"x": 1}, "`verdict`"),
        (whole(events="many"), "events"),
        (whole(counts={}), "does not count `forged`"),
        (whole(drift={}), "does not count `now-rejected`"),
        (whole(partitions=[_PART]), "`covered`"),
        (whole(causes=[{"kind": "forged"}]), "`count`"),
        (whole(asked={"topics": 1}), "topics"),
    ],
)
def test_a_run_whose_report_is_something_else_is_an_error(
    tmp_path: Path, told: dict[str, Any], why: str
) -> None:
    """It says what is amiss, as for what is no JSON."""
    run = Runs(tmp_path).write({}, started_ms=NOON_MS)
    (run.folder / "report.json").write_text(json.dumps(told))

    with pytest.raises(ReconcileError, match=f"report.json` is no report: .*{why}") as error:
        _ = run.report

    assert error.value.remedy.startswith("name a file that")


def test_a_report_with_everything_is_one(tmp_path: Path) -> None:
    """Whatever a run may tell."""
    said = eventful().to_dict()

    kept = Runs(tmp_path).write(said, started_ms=NOON_MS)

    assert kept.report["causes"]
    assert kept.report["counts"] == said["counts"]


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    """Devices and pipes are refused before they are opened."""
    os.mkfifo(tmp_path / "pipe")

    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        with pytest.raises(ReconcileError, match="is no regular file"):
            read_report(path)
