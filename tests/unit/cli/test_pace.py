"""How a long reconciliation is told while it lasts."""

from __future__ import annotations

import pytest

from streamwarden.cli.pace import Pace
from streamwarden.cli.progress import bar
from streamwarden.reconciler import Progress


def at(offsets: int, records: int, findings: int = 0) -> Progress:
    """How far a run over 400,000 offsets is."""
    return Progress(offsets, 400_000, records, 1, 4, findings)


def test_events_their_rate_findings_and_time_left_are_told() -> None:
    """All four, once there is something to go by."""
    now = [100.0]
    pace = Pace(lambda: now[0])

    first = pace.told(at(1, 1, 1))
    now[0] += 10
    then = pace.told(at(200_000, 150_000, 1_234))
    now[0] += 10
    end = pace.told(at(400_000, 300_000, 1_234))

    assert first == "1 event, 1 finding"
    assert then == "150,000 events, 15,000/s, 1,234 findings, 0:00:10 left"
    assert end == "300,000 events, 15,000/s, 1,234 findings, 0:00:00 left"


def test_what_was_done_before_does_not_count_as_speed() -> None:
    """A run that goes on where it was stopped has only the rest to go by."""
    now = [0.0]
    pace = Pace(lambda: now[0])
    pace.told(at(300_000, 0, 7))
    now[0] += 100

    assert pace.told(at(350_000, 50_000, 8)) == "50,000 events, 500/s, 8 findings, 0:01:40 left"


def test_the_bar_has_the_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Behind it, on stderr; nothing where it is not shown."""
    now = [0.0]
    monkeypatch.setattr("streamwarden.cli.progress.time.monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for shown in (True, False):
        with bar("replaying", None, shown=shown, in_words=True) as advance:
            now[0] += 10
            advance(50, 100, "50 events, 5/s, 3 findings, 0:00:10 left")
        said = capsys.readouterr()
        assert ("50 events, 5/s, 3 findings, 0:00:10 left" in said.err) is shown
        assert said.out == ""
