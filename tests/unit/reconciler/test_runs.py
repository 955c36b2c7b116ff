"""Past runs: kept whole, found again, in the order in which they began."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.errors import ReconcileError
from streamwarden.reconciler.runs import Runs, read_report

#: 2026-03-01T12:00:00Z
NOON_MS = 1_772_366_400_000


def test_runs_are_found_again_in_their_order(tmp_path: Path) -> None:
    """Runs of the same second keep apart; what was not finished is no run."""
    runs = Runs(tmp_path / "runs")
    for number in range(12):
        runs.write({"events": number}, started_ms=NOON_MS)
    runs.write({"events": 99}, started_ms=NOON_MS - 5000)
    (tmp_path / "runs" / "20260301T120100Z").mkdir()

    assert [run.report["events"] for run in runs.list()] == [99, *range(12)]
    assert runs.list()[1].id == "20260301T120000Z"
    assert runs.load("latest").report == {"events": 11, "run": "20260301T120000Z-12"}
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


def test_the_latest_complete_run(tmp_path: Path) -> None:
    """Incomplete runs, those that do not fit and those that cannot be read are passed over."""
    runs = Runs(tmp_path)
    first = runs.write({"complete": True, "n": 1}, started_ms=NOON_MS)
    second = runs.write({"complete": True, "n": 2}, started_ms=NOON_MS + 1000)
    runs.write({"complete": False, "n": 3}, started_ms=NOON_MS + 2000)
    broken = runs.write({"complete": True}, started_ms=NOON_MS + 3000)
    (broken.folder / "report.json").write_text("{")

    assert runs.latest_complete() == second
    assert runs.latest_complete(lambda report: report["n"] == 1) == first
    assert Runs(tmp_path / "nowhere").latest_complete() is None


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
