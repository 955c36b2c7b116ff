"""What is named for release, and how often an event was released and came back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from streamwarden.errors import ReconcileError
from streamwarden.policy.parking import Parked
from streamwarden.producers.quarantine import ParkedEvent
from streamwarden.producers.reviews import Review, Signature
from streamwarden.reconciler.releasing import read_candidates, returns_of


def parked(
    offset: int, at: int, released_at: int | None = None, *, timestamp: int = 5, key: str = "k"
) -> ParkedEvent:
    """A record that was parked at `at` and released at `released_at`."""
    decision = {"at": at, "event": {"key": key, "sha256": "ab"}}
    closing = Review("released", 0, offset, released_at or 0, (Signature("ann", "ok"),), "r")
    return ParkedEvent(
        kind="quarantined",
        topic="quarantine.t",
        partition=0,
        offset=offset,
        timestamp=at,
        parked=Parked("quarantined", "t", None, None, timestamp, None, "", decision, at),
        value_size=3,
        reviews=() if released_at is None else (closing,),
    )


def test_a_chain_of_releases_is_counted() -> None:
    """Parked, released, parked, released, parked: it came back twice."""
    events = [parked(0, 10, 20), parked(1, 30, 40), parked(2, 50)]

    assert [returns_of(events)["quarantine.t", 0, offset] for offset in range(3)] == [0, 1, 2]
    assert returns_of(reversed(events)) == returns_of(events)


def test_others_that_look_alike_are_not_its_past() -> None:
    """A thousand of the same, all parked before the first of them was released."""
    twins = [parked(offset, 10 + offset, 5_000 + offset) for offset in range(1_000)]
    back = [parked(1_000 + offset, 9_000 + offset) for offset in range(1_000)]

    returns = returns_of([*twins, *back])

    assert {returns["quarantine.t", 0, offset] for offset in range(1_000)} == {0}
    assert {returns["quarantine.t", 0, 1_000 + offset] for offset in range(1_000)} == {1}


def test_events_are_told_apart_by_key_and_time() -> None:
    """What differs in either is another event."""
    events = [parked(0, 10, 20), parked(1, 30, key="other"), parked(2, 30, timestamp=6)]

    assert set(returns_of(events).values()) <= {0}


def finding(offset: int) -> bytes:
    """A line of a file of findings."""
    place = {"topic": "quarantine.t", "partition": 0, "offset": offset}
    said = {"kind": "now-allowed", **place, "versions": {"current": "b@2"}}
    return json.dumps(said).encode() + b"\n"


def test_findings_name_places(tmp_path: Path) -> None:
    """With the bundle that judged them; the last line may lack its end."""
    path = tmp_path / "found.jsonl"
    path.write_bytes((finding(1) + finding(2)).rstrip())

    found = read_candidates(path)

    assert found.places == (("quarantine.t", 0, 1), ("quarantine.t", 0, 2))
    assert found.bundle == "b@2"


@pytest.mark.parametrize(
    "rest", [finding(3)[:20], b'{"x": 1}\n', b'{"kind": "' + b"x" * (17 << 20)]
)
def test_a_file_that_is_cut_says_where(tmp_path: Path, rest: bytes) -> None:
    """What came before were findings: the file is the right one, and not whole."""
    path = tmp_path / "cut.jsonl"
    path.write_bytes(finding(1) + finding(2) + rest)

    with pytest.raises(ReconcileError, match="cut.jsonl`: line 3 is cut or unreadable"):
        read_candidates(path)


@pytest.mark.parametrize("text", [finding(1)[:20], b"\0" * (17 << 20), b'{"x": 1}\n'])
def test_a_file_that_begins_with_no_finding_is_another(tmp_path: Path, text: bytes) -> None:
    """Nothing says that it ever was one of findings."""
    path = tmp_path / "other.jsonl"
    path.write_bytes(text + finding(1))

    with pytest.raises(ReconcileError, match="is no file of findings"):
        read_candidates(path)


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    """Devices and pipes, by whatever name, are refused before they are opened."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")

    for path in (Path("/dev/urandom"), tmp_path / "pipe.jsonl", tmp_path / "zero.jsonl"):
        with pytest.raises(ReconcileError, match="is no regular file"):
            read_candidates(path)
