"""`reconcile history`, `show` and `diff` on runs in a folder; `reconcile` beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamwarden.reconciler.findings import KINDS
from streamwarden.reconciler.runs import Runs

from ..reconciler.pages import eventful
from ..reconciler.test_comparison import cause, line
from ..reconciler.test_runs import whole
from .conftest import Run

pytestmark = pytest.mark.slow

DAY = 86_400_000
STARTED = 1_772_366_400_000


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """The JSON object of a report with everything in it."""
    return eventful().to_dict()


@pytest.fixture
def runs(said: dict[str, Any], tmp_path: Path) -> Path:
    """Two runs a week apart; the second has fewer findings, one of them new."""
    folder = tmp_path / "runs"
    later = json.loads(json.dumps(said))
    later["started"] += 7 * DAY
    later["counts"]["now-rejected"] -= 100
    later["causes"][0]["count"] -= 100
    for number, (report, offsets) in enumerate([(said, (1, 2)), (later, (2, 9))]):
        found = "".join(json.dumps(line(offset)) + "\n" for offset in offsets)
        Runs(folder).write(
            {**report, "asked": {"topics": ["t"]}},
            started_ms=STARTED + number * 7 * DAY,
            findings=lambda path, found=found: path.write_text(found),  # type: ignore[misc]
        )
    return folder


def test_history_lists_runs_and_how_drift_moved(run: Run, runs: Path) -> None:
    """Against the run before that was asked the same."""
    result = run("reconcile", "history", "--runs", runs)
    listed = run("reconcile", "history", "--runs", runs, "--json")

    assert result.exit_code == listed.exit_code == 0
    assert "20260301T120000Z" in result.stdout
    assert "-100" in result.stdout
    first, second = json.loads(listed.stdout)["runs"]
    assert (first["moved"], first["against"]) == (None, None)
    assert (second["moved"], second["against"]) == ({"now-rejected": -100}, first["run"])
    assert second["topics"] == ["t"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A full run, one that goes on from it, and a full run after some were removed."""
    folder = tmp_path / "mixed"
    kept = Runs(folder)
    reasons: dict[str, Any] = {
        "change": "over: 50 → 10",
        "detail": "",
        "rules": [{"policy": "p", "rule": "r"}],
        "stamped": {"bundle": "b@1"},
    }
    read: list[tuple[int, int, tuple[int, ...], dict[str, str]]] = [
        (0, 100, (*range(20), 90), {}),
        (100, 120, (110,), {"t/0": "20260301T120000Z"}),
        (20, 130, (90, 110, 125), {}),
    ]
    for day, (first, end, offsets, base) in enumerate(read):
        part: dict[str, Any] = {
            "topic": "t",
            "partition": 0,
            "start": 0,
            "first": first,
            "end": end,
            "covered": end - first,
            "pending": 0,
            "gaps": [],
        }
        asked: dict[str, Any] = {"topics": ["t"]}
        report = whole(
            verdict="drift",
            events=end - first,
            partitions=[part],
            causes=[cause(len(offsets))],
            counts={**dict.fromkeys(KINDS, 0), "now-rejected": len(offsets)},
            asked={**asked, "incremental": True} if base else asked,
            **({"base": base} if base else {}),
        )
        found = "".join(json.dumps(line(offset, **reasons)) + "\n" for offset in offsets)
        kept.write(
            report,
            started_ms=STARTED + day * DAY,
            findings=lambda path, found=found: path.write_text(found),  # type: ignore[misc]
        )
    return folder


def test_history_compares_what_runs_have_in_common(run: Run, mixed: Path) -> None:
    """What a run did not read has not moved, neither for one of new events nor after retention."""
    listed = json.loads(run("reconcile", "history", "--runs", mixed, "--json").stdout)["runs"]
    words = run("reconcile", "history", "--runs", mixed)
    latest = json.loads(run("reconcile", "history", "--runs", mixed, "--max", 1, "--json").stdout)

    assert [(row["against"], row["moved"]) for row in listed] == [
        (None, None),
        (None, None),
        ("20260301T120000Z", {"now-rejected": 2}),
    ]
    assert listed[1]["goes_on_from"] == ["20260301T120000Z"]
    assert [row["not_compared"] for row in listed] == [None, None, None]
    assert latest["runs"] == listed[2:]
    assert "-" not in words.stdout
    assert "runs over new events are not compared with others" in words.stderr


def test_history_says_what_it_cannot_compare(run: Run, mixed: Path) -> None:
    """Where findings that tell what was read by both are gone."""
    (mixed / "20260301T120000Z" / "findings.jsonl").unlink()

    result = run("reconcile", "history", "--runs", mixed)

    assert result.exit_code == 0
    assert "is not compared with 20260301T120000Z: one of them did not keep" in result.stderr


def test_diff_tells_what_was_not_read_again(run: Run, mixed: Path) -> None:
    """Findings of a full run are unseen by one that goes on from it: they did not vanish."""
    words = run("reconcile", "diff", "20260301", "20260302", "--runs", mixed)
    told = json.loads(
        run("reconcile", "diff", "20260301", "20260302", "--runs", mixed, "--json").stdout
    )
    later = json.loads(run("reconcile", "diff", "20260301", "--runs", mixed, "--json").stdout)
    backward = run("reconcile", "diff", "20260302", "20260301", "--runs", mixed)

    assert words.exit_code == 2
    assert "they have no event in common, so how drift moved cannot be told" in words.stdout
    assert "100 that only the earlier run read" in words.stdout
    assert told["offsets"] == {"both": 0, "unseen": 100, "later": 20, "older": 0}
    assert told["moved"] is None
    assert [(c["change"], c["before"], c["unseen"], c["after"]) for c in told["causes"]] == [
        ("grew", 21, 21, 1)
    ]
    assert later["moved"] == {"now-rejected": 2}
    assert [(c["change"], c["unseen"]) for c in later["causes"]] == [("grew", 20)]
    assert later["findings"]["gone"]["count"] == 0
    assert later["findings"]["unseen"]["count"] == 20
    assert backward.exit_code == 0
    assert "vanished" not in words.stdout + backward.stdout


def test_diff_says_that_runs_were_asked_differently(run: Run, runs: Path) -> None:
    """A sample finds less, which is no drift that is gone."""
    report = json.loads((runs / "20260301T120000Z" / "report.json").read_text())
    report["asked"]["sample"] = "5%"
    (runs / "20260301T120000Z" / "report.json").write_text(json.dumps(report))

    result = run("reconcile", "diff", "20260301", "--runs", runs)

    assert "the runs were asked differently (sample)" in result.stderr


def test_history_chooses(run: Run, runs: Path, tmp_path: Path) -> None:
    """By topic, the latest; an empty folder is said, and one that is not there is an error."""
    (tmp_path / "empty").mkdir()
    latest = json.loads(run("reconcile", "history", "--runs", runs, "--max", 1, "--json").stdout)
    none = json.loads(run("reconcile", "history", "--runs", runs, "-t", "x", "--json").stdout)
    empty = run("reconcile", "history", "--runs", tmp_path / "empty")
    absent = run("reconcile", "history", "--runs", tmp_path / "nothing", "--quiet")

    assert [row["run"] for row in latest["runs"]] == ["20260308T120000Z"]
    assert none == {"runs": []}
    assert empty.exit_code == 0
    assert "no run is kept" in empty.stderr
    assert absent.exit_code == 1
    assert f"there is no folder `{tmp_path / 'nothing'}`" in absent.stderr


def test_history_survives_a_broken_run(run: Run, runs: Path) -> None:
    """It is left out, and said."""
    (runs / "20260301T120000Z" / "report.json").write_text("{")

    result = run("reconcile", "history", "--runs", runs, "--json")

    assert len(json.loads(result.stdout)["runs"]) == 1
    assert "run 20260301T120000Z is left out" in result.stderr


def test_a_report_that_is_something_else_is_said(run: Run, runs: Path) -> None:
    """In the same words by all of them."""
    (runs / "20260301T120000Z" / "report.json").write_text('{"x": 1}')

    listed = run("reconcile", "history", "--runs", runs, "--json")
    shown = run("reconcile", "show", "20260301", "--runs", runs)
    compared = run("reconcile", "diff", "20260301", "--runs", runs)

    assert (listed.exit_code, shown.exit_code, compared.exit_code) == (0, 1, 1)
    assert len(json.loads(listed.stdout)["runs"]) == 1
    for result in (listed, shown, compared):
        assert "report.json` is no report: " in result.stderr
        assert "name a file that `reconcile --json` wrote" in result.stderr
    assert "run 20260301T120000Z is left out" in listed.stderr


def test_show_tells_a_run_again(run: Run, runs: Path, said: dict[str, Any], tmp_path: Path) -> None:
    """As words, as JSON, and as a page; with the run's own exit status."""
    page = tmp_path / "again.html"

    words = run("reconcile", "show", "20260301", "--runs", runs, "--report", page)
    shown = run("reconcile", "show", "20260301T120000Z", "--runs", runs, "--json")

    assert words.exit_code == shown.exit_code == 2
    assert "Of 1,791 events, 991 would be rejected" in words.stdout
    assert "over-limit: 50000 → 10000" in words.stdout
    assert "Of 1,791 events, 991 would be rejected" in page.read_text()
    assert json.loads(shown.stdout)["counts"] == said["counts"]


def test_diff_tells_causes_and_findings(run: Run, runs: Path, tmp_path: Path) -> None:
    """What shrank, what is new and what is gone; the findings themselves go to a file."""
    target = tmp_path / "changed.jsonl"

    words = run("reconcile", "diff", "20260301", "--runs", runs, "--findings", target)
    told = json.loads(run("reconcile", "diff", "20260301", "--runs", runs, "--json").stdout)

    assert words.exit_code == 2
    assert "100 fewer findings of drift" in words.stdout
    assert "shrank" in words.stdout
    changed = [json.loads(each) for each in target.read_bytes().splitlines()]
    assert [(each["diff"], each["offset"]) for each in changed] == [("gone", 1), ("new", 9)]
    assert told["findings"]["new"]["kinds"] == {"now-rejected": 1}
    assert told["moved"] == {"now-rejected": -100}
    assert {c["change"] for c in told["causes"]} == {"same", "shrank"}
    ruled = [c["rule"] for c in told["causes"] if c["rule"] and c["change"] != "same"]
    assert ruled
    assert all(rule in "".join(words.stdout.split()) for rule in ruled)


def test_a_run_compared_with_itself_is_clean(run: Run, runs: Path) -> None:
    """Nothing appeared or grew."""
    assert run("reconcile", "diff", "latest", "latest", "--runs", runs).exit_code == 0


def test_unknown_runs_and_commands_are_said(run: Run, runs: Path) -> None:
    """With what there is, or was meant."""
    unknown = run("reconcile", "show", "2025", "--runs", runs)
    ambiguous = run("reconcile", "show", "2026", "--runs", runs)
    command = run("reconcile", "hist", "--runs", runs)

    assert unknown.exit_code == ambiguous.exit_code == command.exit_code == 1
    assert "there is no run `2025`" in unknown.stderr
    assert "is the beginning of 2 runs" in ambiguous.stderr
    assert "did you mean `history`?" in command.stderr


def test_reconcile_is_a_command_itself(run: Run) -> None:
    """Its options, and its help with both options and commands."""
    bare = run("reconcile")
    help_ = run("reconcile", "--help")

    assert bare.exit_code == 1
    assert "missing option" in bare.stderr
    for words in ("--topic", "--report", "history", "diff"):
        assert words in help_.stdout


def test_a_page_without_a_folder_is_refused_before_the_work(run: Run, policies: Path) -> None:
    """A run may last for hours: nobody wants to hear it then."""
    result = run(
        *("reconcile", "-b", "localhost:1", "-t", "payments", "--policies", policies),
        *("--report", policies / "missing" / "report.html"),
    )

    assert result.exit_code == 1
    assert "there is no folder" in result.stderr
