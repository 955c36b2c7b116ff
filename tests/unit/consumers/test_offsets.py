"""Particular turns of the offset bookkeeping; tests/property has the general promise."""

from __future__ import annotations

from streamwarden.consumers.offsets import PartitionOffsets


def test_nothing_read_is_nothing_to_commit() -> None:
    """A partition that was assigned and not read from keeps its committed offset."""
    assert PartitionOffsets().frontier() is None


def test_a_commit_goes_on_past_acknowledged_events_and_stops_before_others() -> None:
    """The cap is the first parked event that is not safely written."""
    offsets = PartitionOffsets()
    offsets.delivered(5)
    for offset in (6, 7, 8):
        offsets.parked(offset)

    offsets.acknowledged(7)
    assert offsets.done(6) == 6
    offsets.acknowledged(6)
    assert offsets.frontier() == 8
    offsets.acknowledged(8)
    assert offsets.frontier() == 9


def test_an_event_that_is_delivered_and_not_done_is_not_passed_over() -> None:
    """Acknowledgements behind it change nothing."""
    offsets = PartitionOffsets()
    offsets.delivered(5)
    offsets.parked(6)
    offsets.acknowledged(6)

    assert offsets.frontier() == 5
    assert offsets.done(6) == 7


def test_going_back_on_purpose_is_kept() -> None:
    """An application may commit an earlier offset to have events again after a restart."""
    offsets = PartitionOffsets()
    for offset in range(10):
        offsets.delivered(offset)
    offsets.done(10)

    assert offsets.done(3) == 3
    assert offsets.frontier() == 3
    assert offsets.done(4) == 4
    assert offsets.done(11) == 11


def test_committing_beyond_what_was_read_is_the_applications_right() -> None:
    """It stays capped at what is parked and not written."""
    offsets = PartitionOffsets()
    offsets.delivered(0)

    assert offsets.done(100) == 100
    offsets.parked(1)
    assert offsets.done(101) == 1
    offsets.acknowledged(1)
    assert offsets.frontier() == 101


def test_a_seek_back_reads_events_again() -> None:
    """What lies behind the new position is open again, what lies before it is not."""
    offsets = PartitionOffsets()
    for offset in range(10):
        offsets.delivered(offset)
    offsets.done(10)

    offsets.sought(4)
    offsets.delivered(4)

    assert offsets.frontier() == 4
    assert offsets.done(5) == 5


def test_a_seek_keeps_the_cap_of_writes_under_way() -> None:
    """Reading on elsewhere does not make a parked event written."""
    offsets = PartitionOffsets()
    offsets.parked(3)

    offsets.sought(50)
    offsets.delivered(50)

    assert offsets.done(51) == 3
    offsets.acknowledged(3)
    assert offsets.frontier() == 51


def test_an_application_that_seeks_passes_over_a_failed_event() -> None:
    """Only its own seek does: it would be stuck for ever otherwise."""
    offsets = PartitionOffsets()
    offsets.parked(3)
    offsets.failed(3)

    offsets.sought(3, by_application=False)
    assert offsets.done(10) == 3
    offsets.sought(8)

    assert offsets.pending == 0
    assert offsets.done(9) == 9


def test_a_logical_position_is_not_known_yet() -> None:
    """Seeking to the beginning or the end: offsets come with the first message."""
    offsets = PartitionOffsets()
    offsets.delivered(7)
    offsets.sought(-2)

    assert offsets.frontier() is None
    offsets.delivered(0)
    assert offsets.done(1) == 1


def test_an_event_that_passes_when_it_is_read_again_needs_no_parking() -> None:
    """The policy was changed between a failed write and the second reading."""
    offsets = PartitionOffsets()
    offsets.parked(3)
    offsets.failed(3)
    offsets.sought(3, by_application=False)

    offsets.delivered(3)

    assert offsets.pending == 0
    assert offsets.done(4) == 4


def test_an_application_that_never_commits_does_not_fill_the_memory() -> None:
    """Runs of open events are joined beyond a limit, which only commits less."""
    offsets = PartitionOffsets()
    for offset in range(0, 20_000, 2):
        offsets.delivered(offset)
        offsets.parked(offset + 1)
        offsets.acknowledged(offset + 1)

    assert len(offsets._runs) <= 1024  # pyright: ignore[reportPrivateUsage]
    assert offsets.frontier() == 0
    assert offsets.done(20_000) == 20_000
