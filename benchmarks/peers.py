"""From bytes to decision beside other rule engines: the same rules, the same events, one run.

Times are those of the process's processor, contenders take turns, and ratios are formed within a
round. Before anything is timed, all contenders decide a sample and have to agree.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.engines import ENGINES, STREAMWARDEN, Engine, Prepared
from benchmarks.rounds import Contender, Row, compare
from benchmarks.rule_mix import avro_values, json_values, mixed_rules

__all__ = ["SIZES", "Measured", "disagreements", "print_peers", "run", "turns"]

SIZES = (1, 10, 100, 1_000, 10_000)
_VALUES: Mapping[str, Callable[[int], list[bytes]]] = {"json": json_values, "avro": avro_values}
#: Events of a run; and how long a turn of one contender should take, which slow ones exceed.
_EVENTS = 1_000
_TURN_S = 0.15
#: Decided by all before the time counts: as many as take so long, within these limits.
_SAMPLE_S = 1.0
_SAMPLE_MAX = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """One format and number of rules: a row and the events a turn for each contender.

    The ratio of a row is how many times as long as streamwarden the contender takes. `wrong` counts
    the events of the sample that a contender decides differently.
    """

    format: str
    rules: int
    rows: tuple[Row, ...]
    events: Mapping[str, int]
    sampled: Mapping[str, int]
    wrong: Mapping[str, int]

    def row(self, name: str) -> Row | None:
        """The row of one contender; None where it was left out."""
        return next((row for row in self.rows if row.name == name), None)


def run(
    *,
    rounds: int = 7,
    sizes: Sequence[int] = SIZES,
    turn_s: float = _TURN_S,
    sample_s: float = _SAMPLE_S,
    engines: Iterable[Engine] = ENGINES,
    say: Callable[[str], object] = print,
) -> list[Measured]:
    """Measure all engines that are installed; `say` is told of those that are not, and of disagreement."""
    present = list(engines)
    found: list[Measured] = []
    for format_, values_of in _VALUES.items():
        values = values_of(_EVENTS)
        for size in sizes:
            made: dict[str, Prepared] = {}
            for engine in list(present):
                try:
                    made[engine.name] = engine.make(mixed_rules(size), format_)
                except ImportError as error:
                    present.remove(engine)
                    say(
                        f"left out: {engine.name}, which is not installed ({error}); "
                        f"pip install '{engine.package}'"
                    )
            found.append(_measure(format_, size, made, values, rounds, turn_s, sample_s, say))
    return found


def _measure(
    format_: str,
    size: int,
    made: Mapping[str, Prepared],
    values: Sequence[bytes],
    rounds: int,
    turn_s: float,
    sample_s: float,
    say: Callable[[str], object],
) -> Measured:
    sampled: dict[str, int] = {}
    events: dict[str, int] = {}
    for name, prepared in made.items():
        prepared.decide(values[0])
        each_s = _seconds(prepared, values[1:3])
        sampled[name] = max(1, min(_SAMPLE_MAX, int(sample_s / each_s)))
        events[name] = max(1, min(20 * len(values), int(turn_s / each_s)))
    wrong = disagreements(made, {name: values[:count] for name, count in sampled.items()})
    for name, count in wrong.items():
        say(f"{name} disagrees on {count} of {sampled[name]} events: {format_}, {size:,} rules")
    contenders = {name: turns(made[name], values, events[name]) for name in made}
    rows = compare(
        contenders,
        baseline=STREAMWARDEN,
        operations=0,  # each has its own number
        rounds=rounds,
        settle=gc.collect,
        clock=time.process_time,
        slowness=True,
    )
    return Measured(format_, size, tuple(rows), events, sampled, wrong)


def _seconds(prepared: Prepared, values: Sequence[bytes]) -> float:
    started = time.process_time()
    for value in values:
        prepared.decide(value)
    return max((time.process_time() - started) / len(values), 1e-6)


def turns(prepared: Prepared, values: Sequence[bytes], count: int) -> Contender:
    """`count` events a turn, whatever number is asked for: slow engines get fewer, of the same."""
    taken = [values[number % len(values)] for number in range(count)]

    def turn(_operations: int) -> int:
        for value in taken:
            prepared.decide(value)
        return count

    return turn


def disagreements(
    made: Mapping[str, Prepared], values: Mapping[str, Sequence[bytes]]
) -> dict[str, int]:
    """How many of its `values` each contender decides otherwise than streamwarden; none is left out."""
    ours = made[STREAMWARDEN]
    wrong: dict[str, int] = {}
    for name, prepared in made.items():
        count = sum(
            sorted(prepared.hits(prepared.decide(value))) != sorted(ours.hits(ours.decide(value)))
            for value in values[name]
        )
        if count:
            wrong[name] = count
    return wrong


def print_peers(measured: Sequence[Measured]) -> None:
    """A table for each format: how many times as long as streamwarden each contender takes."""
    print(
        "ratio: time against streamwarden; events: of a turn, slow engines are given fewer of the "
        "same events; compared: decisions that were compared before"
    )
    for format_ in dict.fromkeys(each.format for each in measured):
        table = Table(title=f"{format_} bytes to decision", title_justify="left")
        table.add_column("rules", justify="right")
        table.add_column("contender")
        for title in ("µs each", "ratio", "min … max", "events", "compared"):
            table.add_column(title, justify="right")
        for each in measured:
            if each.format == format_:
                _add(table, each)
        Console().print(table)


def _add(table: Table, each: Measured) -> None:
    for row in each.rows:
        compared = f"{each.sampled[row.name]:,}"
        if row.name in each.wrong:
            compared += f", {each.wrong[row.name]:,} differ"
        table.add_row(
            f"{each.rules:,}",
            row.name,
            f"{row.microseconds:,.1f}",
            f"{row.ratio:,.1f}",
            f"{row.ratio_min:,.1f} … {row.ratio_max:,.1f}",
            f"{each.events[row.name]:,}",
            compared,
        )
    table.add_section()
