"""How long single calls take: the median and the 99th percentile, not the mean of many."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.workload import TOPIC, events, write_policies
from streamwarden import Guard
from streamwarden.policy.routing import forward
from streamwarden.schemas.event import Event

__all__ = ["print_calls"]


def print_calls(operations: int = 50_000) -> None:
    """What the guard itself adds to a call of `produce()`, in microseconds.

    Each call is timed alone, by what its thread computes, and reading the clock is taken off.
    """
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.from_directory(write_policies(Path(folder)), flood="warn")

    def judged(value: bytes) -> object:
        return forward(guard.evaluate(Event(TOPIC, value, None, (), None, guard.now()), "produce"))

    def routed(value: bytes) -> object:
        return guard.route(topic=TOPIC, value=value)

    clean, bad = events(2000), events(2000, refused=1.0)
    clock = statistics.median(_times(lambda _: None, clean, operations))
    for name, call, values in (
        ("decided and stamped", judged, clean),
        ("guard.route, let through", routed, clean),
        ("guard.route, refused", routed, bad),
    ):
        cuts = statistics.quantiles(_times(call, values, operations), n=100)
        p50, p99 = (cuts[place] - clock for place in (49, 98))
        print(f"{name}: p50 {p50:.1f} µs, p99 {p99:.1f} µs")


def _times(call: Callable[[bytes], object], values: list[bytes], operations: int) -> list[float]:
    read = time.thread_time_ns
    size = len(values)
    spent: list[float] = []
    for number in range(operations + size):
        value = values[number % size]
        started = read()
        call(value)
        ended = read()
        if number >= size:
            spent.append((ended - started) / 1000)
    return spent
