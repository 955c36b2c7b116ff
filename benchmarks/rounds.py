"""Interleaved rounds of one run, shown as ratios: the only way in which figures are quoted.

A machine's speed drifts within seconds, so that contenders take turns in every round, in shuffled
order, and a ratio is formed within the round. Median, minimum and maximum are over the rounds.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

__all__ = ["Contender", "Row", "compare", "print_rows"]

#: Runs `count` operations and returns how many were really done.
Contender = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Row:
    """One contender: microseconds an operation, and its speed (or time) as a share of the baseline's."""

    name: str
    microseconds: float
    ratio: float
    ratio_min: float
    ratio_max: float


def compare(
    contenders: Mapping[str, Contender],
    *,
    baseline: str,
    operations: int,
    rounds: int = 7,
    settle: Callable[[], object] = gc.collect,
    clock: Callable[[], float] = time.perf_counter,
    slowness: bool = False,
) -> list[Row]:
    """Measure every contender once a round, after one round that does not count.

    The time is wall time, or what `clock` says; garbage collection stays on, as in a service. `settle`
    runs before each turn, outside the time: it empties the queues that the last one filled.
    With `slowness` a ratio is time against the baseline's, not speed: more is slower.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name in random.Random(turn).sample(list(contenders), len(contenders)):
            settle()
            started = clock()
            done = contenders[name](operations)
            spent = clock() - started
            if turn:
                times[name].append(spent / done * 1e6)
    base = times[baseline]
    rows: list[Row] = []
    for name, spent_us in times.items():
        ratios = [t / b if slowness else b / t for b, t in zip(base, spent_us, strict=True)]
        rows.append(
            Row(
                name,
                statistics.median(spent_us),
                statistics.median(ratios),
                min(ratios),
                max(ratios),
            )
        )
    return rows


def print_rows(title: str, baseline: str, rows: list[Row]) -> None:
    """A table: the ratio is speed against the baseline, more is faster."""
    table = Table(title=title, title_justify="left")
    table.add_column("contender")
    table.add_column("µs each", justify="right")
    table.add_column(f"speed against {baseline}", justify="right")
    table.add_column("min … max", justify="right")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.microseconds:,.2f}",
            f"{row.ratio:.2f}",
            f"{row.ratio_min:.2f} … {row.ratio_max:.2f}",
        )
    Console().print(table)
