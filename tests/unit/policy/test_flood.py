"""The flood breaker: when it opens, what it says, and how it closes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import FloodError, StoreError
from streamwarden.metrics import GuardCollector
from streamwarden.policy.flood import FloodBreaker
from streamwarden.policy.guard import Guard
from streamwarden.settings import source_settings
from tests.guards import BAD, CLEAN, LARGE, guard_for


class Times:
    """A clock that only the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stream:
    """Events through a guard's plans, and their refusals through a breaker with its own clock."""

    def __init__(self, guard: Guard, **settings: Any) -> None:
        self.guard, self.times = guard, Times()
        self.gauges: dict[str, float] = {}
        self.breaker = FloodBreaker(
            source_settings(settings, {}), gauges=self.gauges, clock=self.times
        )
        self.breaker.swapped(guard.table)

    def send(self, value: bytes, count: int, stage: str = "produce") -> FloodError | None:
        """Decide on so many events; what the breaker says to them."""
        said: FloodError | None = None
        for number in range(count):
            decision = self.guard.decide(topic="payments", value=value, stage=stage)
            if not decision.passes:
                said = self.breaker.refused(stage) or said
            elif number % 256 == 0:
                self.breaker.tick()
        return said


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    return Stream(guard_for(tmp_path, "payments"))


def test_it_opens_with_the_first_event_that_is_one_too_many(stream: Stream) -> None:
    """More than half of at least 500, held and rejected ones alike; and it says so once."""
    assert stream.send(BAD, 300) is None
    assert stream.send(LARGE, 199) is None

    assert stream.send(BAD, 1) is not None

    assert stream.breaker.open == "produce"
    assert stream.gauges == {"flood_open": 1}
    assert stream.send(BAD, 1000) is None


def test_half_of_the_events_is_not_too_many(stream: Stream) -> None:
    """Whatever their number, and in whichever order they come."""
    for _ in range(20):
        assert stream.send(CLEAN, 50) is None
        assert stream.send(BAD, 50) is None

    assert stream.send(CLEAN, 600) is None
    assert stream.send(BAD, 600) is None
    assert stream.send(BAD, 1) is not None


def test_events_count_for_the_length_of_the_window(stream: Stream) -> None:
    """Clean ones of long ago do not hide a flood, and refused ones of long ago do not make one."""
    stream.send(CLEAN, 5000)
    assert stream.send(BAD, 490) is None
    stream.times.now += 61
    assert stream.send(BAD, 490) is None
    stream.times.now += 30

    assert stream.send(BAD, 9) is None
    assert stream.send(BAD, 1) is not None


def test_a_slow_stream_is_no_flood(stream: Stream) -> None:
    """495 refused events a minute, for ever."""
    for _ in range(4950):
        stream.times.now += 60 / 495
        assert stream.send(BAD, 1) is None


def test_each_stage_has_a_count_of_its_own(stream: Stream) -> None:
    """A handler that reads what is fine does not hide that all it writes is refused."""
    for _ in range(499):
        assert stream.send(CLEAN, 2, "consume") is None
        assert stream.send(BAD, 1) is None

    assert stream.send(BAD, 1) is not None


def test_only_a_few_counts_are_kept(stream: Stream) -> None:
    """However long it runs."""
    for _ in range(500):
        stream.times.now += 1
        stream.send(CLEAN, 1)
        stream.send(BAD, 1)

    window = stream.breaker._windows["produce"]  # pyright: ignore[reportPrivateUsage]
    assert len(window.marks) < 40


@pytest.mark.parametrize("stage", ["produce", "consume"])
def test_a_guard_that_meets_a_flood_stops(tmp_path: Path, stage: str) -> None:
    """Until it is told to go on: nothing is decided, and so nothing written."""
    guard = guard_for(tmp_path, "payments", flood_events=10)
    for _ in range(10):
        assert guard.route(topic="payments", value=BAD, stage=stage).records

    with pytest.raises(FloodError) as caught:
        guard.route(topic="payments", value=CLEAN, stage=stage)

    assert str(caught.value) == (
        f"10 of the last 10 events at {stage} were refused by limits@0, most often by "
        "`limits/currency-known`; mend the policy or what sends these events, then call "
        "`guard.reset_flood()`"
    )
    assert guard.halted is caught.value
    assert guard.gauges["flood_open"] == 1
    assert guard.counters["fallbacks/flood_stopped"] == 1
    guard.reset_flood()
    assert guard.gauges["flood_open"] == 0
    for _ in range(9):
        guard.route(topic="payments", value=BAD, stage=stage)
    assert guard.route(topic="payments", value=CLEAN, stage=stage).decision.passes


def test_it_names_the_bundle_that_was_activated_just_before(tmp_path: Path) -> None:
    """With the way back; and taking that one is enough to go on."""
    good = guard_for(tmp_path / "good", "payments").bundle.with_number(14)
    bad = guard_for(tmp_path / "bad", "payments", bundle="uncovered: allow\n").bundle.with_number(
        15
    )
    guard = Guard(good, flood_events=10)
    guard.swap(bad)
    for _ in range(10):
        guard.route(topic="payments", value=BAD)

    with pytest.raises(FloodError) as caught:
        guard.route(topic="payments", value=BAD)

    assert "refused by limits@15" in str(caught.value)
    assert "which was activated 0 s ago in place of limits@14" in str(caught.value)
    assert "streamwarden bundle activate 14" in caught.value.remedy
    guard.swap(good)
    assert guard.route(topic="payments", value=CLEAN).decision.bundle == "limits@14"


def test_with_warn_it_only_says_so_and_ends_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for one flood, and one when it is over."""
    guard = guard_for(tmp_path, "payments", flood="warn", flood_events=10, flood_window_s=0.05)
    with caplog.at_level(logging.WARNING, "streamwarden"):
        for _ in range(100):
            guard.route(topic="payments", value=BAD)
        assert guard.gauges["flood_open"] == 1
        while guard.gauges["flood_open"]:
            guard.route(topic="payments", value=CLEAN)
            guard.tick()

    assert [record.message[:30] for record in caplog.records] == [
        "a flood of refused events: 10 ",
        "the flood of refused events at",
    ]
    assert guard.counters["fallbacks/flood_warned"] == 1


def test_what_is_only_decided_counts_for_nothing(tmp_path: Path) -> None:
    """Nothing is parked by it: a what-if or a test may refuse whatever it likes."""
    guard = guard_for(tmp_path, "payments", flood_events=10)

    for _ in range(100):
        assert not guard.decide(topic="payments", value=BAD).passes

    assert guard.halted is None


def test_in_shadow_mode_nothing_is_refused(tmp_path: Path) -> None:
    """And nothing stops."""
    guard = guard_for(tmp_path, "payments", flood_events=10, mode="shadow")

    for _ in range(100):
        assert guard.route(topic="payments", value=BAD).decision.passes

    assert guard.halted is None


def test_a_flood_and_a_silent_source_stop_it_each_for_itself(tmp_path: Path) -> None:
    """It decides again once both are over, by the latest version."""
    guard = guard_for(tmp_path, "payments", flood_events=10)
    for _ in range(10):
        guard.route(topic="payments", value=BAD)
    guard.halt(StoreError("silent"))
    guard.halt(StoreError("still silent"))

    guard.reset_flood()
    with pytest.raises(StoreError, match="still silent"):
        guard.decide(topic="payments", value=CLEAN)
    guard.resume()

    assert guard.decide(topic="payments", value=CLEAN).passes


def test_a_stopped_guard_shows_in_the_metrics(tmp_path: Path) -> None:
    """`flood_open` counts the guards that have stopped."""

    def shown() -> float:
        return next(
            sample.value
            for metric in GuardCollector().collect()
            for sample in metric.samples
            if sample.name == "streamwarden_flood_open"
        )

    before = shown()
    guard = guard_for(tmp_path, "payments", flood_events=1)

    guard.route(topic="payments", value=BAD)

    assert shown() == before + 1
    guard.close()
