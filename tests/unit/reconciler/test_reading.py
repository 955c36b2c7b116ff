"""Slices are read to their ends, and what was not read or not there is told."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from streamwarden.producers.codes import UNKNOWN_PARTITION
from streamwarden.reconciler.reading import Gap, Reader, Reading
from streamwarden.reconciler.slices import Slice

from .logs import FakeLog, FakeMessage


def reader(log: FakeLog, timeout_s: float = 30.0) -> Reader:
    """A reader of a log in memory."""
    return Reader({}, connect=log.connect, clock=log.clock, sleep=log.wait, timeout_s=timeout_s)


def piece(first: int, end: int) -> Slice:
    """A slice of the one partition."""
    return Slice(0, "t", 0, first, end)


def offsets(reading: Reading) -> list[int | None]:
    """What was read."""
    return [seen.offset for seen in reading]


def test_a_slice_ends_at_its_last_record_without_waiting() -> None:
    """The end is frozen: when its last record is there, nobody asks for more."""
    log = FakeLog(range(10), end=10)
    reading = reader(log).read(piece(2, 7))

    assert offsets(reading) == [2, 3, 4, 5, 6]
    assert (reading.gaps, reading.problem, log.now) == ([], "", 0.0)


def test_a_record_is_seen_as_it_is() -> None:
    """Coordinates, time, and whose time it is."""
    log = FakeLog([0, 1], end=2, script=lambda _log, n: None if n else FakeMessage(0, kind=2))
    seen = list(reader(log).read(piece(0, 2)))

    assert [(s.topic, s.partition, s.offset, s.timestamp, s.now) for s in seen] == [
        ("t", 0, 0, 1000, 1_000_000_000),
        ("t", 0, 1, 1001, 1_001_000_000),
    ]
    assert [(s.appended, s.value, s.headers) for s in seen] == [(True, b"0", ()), (False, b"1", ())]


def test_holes_are_got_past_and_told() -> None:
    """Control and aborted records, or compaction: between records, at both ends."""
    log = FakeLog([1, 2, 5, 6], end=9)
    reading = reader(log).read(piece(0, 9))

    assert offsets(reading) == [1, 2, 5, 6]
    assert reading.gaps == [Gap(0, 1, "hole"), Gap(3, 5, "hole"), Gap(7, 9, "hole")]


def test_slices_that_follow_on_each_other_are_read_without_a_break() -> None:
    """One assignment for a whole partition, whatever falls on the cuts."""
    log = FakeLog([0, 1, 2, 3, 7, 8, 9, 11], end=12)
    one = reader(log)
    readings = [one.read(piece(first, end)) for first, end in [(0, 3), (3, 6), (6, 10), (10, 12)]]

    assert [offsets(reading) for reading in readings] == [[0, 1, 2], [3], [7, 8, 9], [11]]
    assert [reading.gaps for reading in readings] == [
        [],
        [Gap(4, 6, "hole")],
        [Gap(6, 7, "hole")],
        [Gap(10, 11, "hole")],
    ]
    assert log.assigned == [0]


def test_a_slice_behind_the_end_of_the_log_is_found_again() -> None:
    """After an end of the partition the next slice starts with an assignment of its own."""
    log = FakeLog([0, 1], end=8)
    one = reader(log)

    assert offsets(one.read(piece(0, 4))) == [0, 1]
    assert offsets(one.read(piece(4, 8))) == []
    assert log.assigned == [0, 4]


def test_what_retention_took_is_a_gap() -> None:
    """The log starts later than when the run began: told, and read from there."""
    log = FakeLog(range(4, 10), end=10, start=4)
    reading = reader(log).read(piece(1, 10))

    assert offsets(reading) == [4, 5, 6, 7, 8, 9]
    assert reading.gaps == [Gap(1, 4, "retention")]


def test_retention_may_take_all_of_a_slice() -> None:
    """Nothing is read, nothing is waited for."""
    log = FakeLog(range(20, 30), end=30, start=20)
    reading = reader(log).read(piece(1, 10))

    assert offsets(reading) == []
    assert reading.gaps == [Gap(1, 10, "retention")]


def test_retention_while_reading() -> None:
    """The start moves over the position in the middle of a slice."""

    def expire(log: FakeLog, polls: int) -> None:
        if polls == 1:
            log.start = 6

    log = FakeLog(range(10), end=10, batch=2, script=expire)
    reading = reader(log).read(piece(0, 10))

    assert offsets(reading) == [0, 1, 6, 7, 8, 9]
    assert reading.gaps == [Gap(2, 6, "retention")]


def test_silence_ends_a_slice_and_is_told() -> None:
    """After `timeout_s` without a record the rest counts as unread."""

    def fall_silent(log: FakeLog, polls: int) -> None:
        log.silent = polls >= 1
        log.now += 1 if log.silent else 0

    log = FakeLog(range(10), end=10, script=fall_silent)
    reading = reader(log, timeout_s=5).read(piece(0, 10))

    assert offsets(reading) == [0, 1, 2]
    assert reading.gaps == [Gap(3, 10, "unread")]
    assert reading.problem == "the brokers stayed silent"
    assert log.now == pytest.approx(5, abs=1)


def test_an_outage_does_not_cost_the_timeout_once_a_slice() -> None:
    """The timeout counts over all slices; records make patience whole again."""

    def wait(log: FakeLog, _polls: int) -> None:
        log.now += 1 if log.silent else 0

    log = FakeLog(range(40), end=40, silent=True, script=wait)
    one = reader(log, timeout_s=30)
    for first in range(0, 20, 5):
        assert offsets(one.read(piece(first, first + 5))) == []
    waited = log.now
    log.silent = False

    assert waited == pytest.approx(30 + 3 * 2, abs=2)
    assert offsets(one.read(piece(20, 40))) == list(range(20, 40))


def test_a_short_outage_is_waited_for() -> None:
    """Brokers that come back in time leave no trace."""

    def outage(log: FakeLog, polls: int) -> None:
        log.silent = 1 <= polls < 4
        log.now += 1 if log.silent else 0

    log = FakeLog(range(10), end=10, script=outage)
    reading = reader(log, timeout_s=5).read(piece(0, 10))

    assert offsets(reading) == list(range(10))
    assert (reading.gaps, reading.problem) == ([], "")


def test_a_topic_that_is_forbidden_is_not_waited_for() -> None:
    """The reason is told, at once."""
    failure = FakeMessage(0, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "not for you"))
    log = FakeLog(range(5), end=5, script=lambda _log, n: failure if n == 0 else None)
    reading = reader(log).read(piece(0, 5))

    assert offsets(reading) == []
    assert reading.gaps == [Gap(0, 5, "unread")]
    assert (reading.problem, log.now) == ("not for you", 0.0)


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_TOPIC_OR_PART, UNKNOWN_PARTITION])
def test_a_topic_that_nobody_knows_is_asked_for_again(code: int) -> None:
    """Brokers that have just come back may not know it yet; one that is gone is not waited for long."""
    failure = FakeMessage(3, KafkaError(code, "who?"))
    back = FakeLog(range(9), end=9, script=lambda _log, n: failure if 1 <= n < 5 else None)
    gone = FakeLog(range(9), end=9, script=lambda _log, n: failure if n else None)
    first, second = reader(back).read(piece(0, 9)), reader(gone).read(piece(0, 9))

    assert (offsets(first), first.gaps, first.problem) == (list(range(9)), [], "")
    assert (offsets(second), second.problem) == ([0, 1, 2], "who?")
    assert second.gaps == [Gap(3, 9, "unread")]
    assert (back.now, gone.now) == (1.0, 5.0)


def test_the_group_does_not_matter() -> None:
    """No right to the group is no obstacle: nothing is committed."""
    failure = FakeMessage(0, KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "no"))
    log = FakeLog(range(5), end=5, script=lambda _log, n: failure if n == 0 else None)

    assert offsets(reader(log).read(piece(0, 5))) == [0, 1, 2, 3, 4]


def test_a_log_that_was_cut_short_is_told() -> None:
    """An end before the frozen one is not believed for the length of the timeout."""
    log = FakeLog(range(4), end=4)
    reading = reader(log, timeout_s=3).read(piece(0, 8))

    assert offsets(reading) == [0, 1, 2, 3]
    assert reading.gaps == [Gap(4, 8, "unread")]
    assert reading.problem == "the log ends before the end that was seen at the start"


def test_a_log_that_does_not_say_where_it_starts_is_unread() -> None:
    """Out of range, and no answer: nothing is claimed about why."""
    log = FakeLog(range(10), end=10, start=5, answers=False)
    reading = reader(log).read(piece(0, 10))

    assert offsets(reading) == []
    assert reading.gaps == [Gap(0, 10, "unread")]


def test_a_reading_that_was_left_early_does_not_confuse_the_next() -> None:
    """What was fetched for it is forgotten."""
    log = FakeLog(range(10), end=10)
    one = reader(log)
    assert next(iter(one.read(piece(0, 10)))).offset == 0

    assert offsets(one.read(piece(1, 4))) == [1, 2, 3]


def test_closing_leaves_the_brokers() -> None:
    """Twice is once; without a slice there was nobody to leave."""
    log = FakeLog(range(3), end=3)
    one = reader(log)
    one.close()
    assert log.assigned == []

    list(one.read(piece(0, 3)))
    one.close()
    one.close()

    assert log.assigned == [0, -1]
