"""What the benchmarks beside other engines are to reach, and whether they did in this run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks import avro, evaluation
from benchmarks.engines import CONFLUENT, ENGINES, STREAMWARDEN, streamwarden
from benchmarks.peers import Measured, turns
from benchmarks.rounds import Row, compare
from benchmarks.rule_mix import json_values, mixed_rules

__all__ = ["Target", "print_targets", "run"]

_AVRO_FIELDS = "9 fields"
_MALFORMED = "1,000 rules on a malformed event, against 5 good ones and 0.2 µs a failing rule"


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that is to be at least, or with `at_most` at most, `goal`; None was not measured."""

    what: str
    goal: float
    ratio: Row | None
    at_most: bool = False

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.ratio is None:
            return "not measured"
        reached = self.ratio.ratio <= self.goal if self.at_most else self.ratio.ratio >= self.goal
        return "reached" if reached else "missed"


def run(
    measured: Sequence[Measured], *, rounds: int = 7, operations: int = 5_000, many: int = 10_000
) -> list[Target]:
    """The targets over what was `measured`, and over comparisons within streamwarden."""
    confluent = f"10 rules, against {CONFLUENT}"
    targets = [
        Target(f"json, {confluent}", 1_000, _row(measured, "json", 10, CONFLUENT)),
        Target(f"avro, {confluent}", 400, _row(measured, "avro", 10, CONFLUENT)),
    ]
    for format_ in ("json", "avro"):
        native = [
            row
            for engine in ENGINES
            if engine.native and (row := _row(measured, format_, 1_000, engine.name)) is not None
        ]
        best = min(native, key=lambda row: row.ratio, default=None)
        targets.append(Target(f"{format_}, 1,000 rules, against the best native engine", 150, best))
    projected = evaluation.run_projected(rounds=rounds, operations=operations)[-1]
    fields = {row.name: row for row in avro.run(rounds=rounds, operations=operations)}
    malformed = evaluation.run_malformed(rounds=rounds, operations=operations)
    return [
        *targets,
        Target(
            f"time of {many:,} rules against 10",
            4,
            _growth(many, rounds, operations),
            at_most=True,
        ),
        Target(
            "time of 10 rules on a projected event against checks by hand",
            1.5,
            projected,
            at_most=True,
        ),
        Target(f"Avro, {_AVRO_FIELDS} of 14 against a full decode", 4, fields[_AVRO_FIELDS]),
        *(Target(f"{_MALFORMED}: {row.name}", 1, row, at_most=True) for row in malformed),
    ]


def _row(measured: Sequence[Measured], format_: str, rules: int, name: str) -> Row | None:
    for each in measured:
        if (each.format, each.rules) == (format_, rules):
            return each.row(name)
    return None


def _growth(many: int, rounds: int, operations: int) -> Row:
    values = json_values(1_000)
    assert many > 10
    made: dict[str, Callable[[int], int]] = {
        f"{size}": turns(streamwarden(mixed_rules(size), "json"), values, operations)
        for size in (10, many)
    }
    rows = compare(
        made,
        baseline="10",
        operations=operations,
        rounds=rounds,
        clock=time.process_time,
        slowness=True,
    )
    return rows[-1]


def print_targets(targets: Sequence[Target]) -> None:
    """A table of the ratios, and what they were to be."""
    table = Table(title=f"{STREAMWARDEN}: what is to be reached", title_justify="left")
    table.add_column("what")
    for title in ("goal", "median", "min … max"):
        table.add_column(title, justify="right")
    table.add_column("")
    for target in targets:
        row = target.ratio
        sign = "≤" if target.at_most else "≥"
        figures = ("", "") if row is None else (f"{row.ratio:,.1f}", _spread(row))
        table.add_row(target.what, f"{sign} {target.goal:,g}", *figures, target.verdict)
    Console().print(table)


def _spread(row: Row) -> str:
    return f"{row.ratio_min:,.1f} … {row.ratio_max:,.1f}"
