"""What a candidate would change: how many events it decides differently, and where.

Bounded: of very many combinations of day, topic and rules the latest days are kept; the totals
count everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CELLS_MAX", "Cell", "ChangeCount", "Changes", "told"]

#: A year of days with thirty combinations each.
CELLS_MAX = 10_000

_Name = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """Events of one `day` and `topic` that come out as `after` and not as `before`, by `rules`."""

    day: str
    topic: str
    rules: str
    before: str
    after: str
    count: int

    @property
    def name(self) -> _Name:
        """What tells cells apart."""
        return (self.day, self.topic, self.rules, self.before, self.after)


@dataclass(frozen=True, slots=True)
class Changes:
    """Events by how they change, `allow → reject`, and the same by day, topic and rules.

    `uncertain` counts events of which it hangs on unknowns whether they change.
    """

    effects: Mapping[str, int] = field(default_factory=dict[str, int])
    uncertain: int = 0
    cells: tuple[Cell, ...] = ()

    def merged(self, other: Changes) -> Changes:
        """Both together; neither is changed."""
        if not other.cells and not other.uncertain:
            return self
        effects = dict(self.effects)
        for name, count in other.effects.items():
            effects[name] = effects.get(name, 0) + count
        cells = {cell.name: cell.count for cell in self.cells}
        for cell in other.cells:
            cells[cell.name] = cells.get(cell.name, 0) + cell.count
        return Changes(
            {name: effects[name] for name in sorted(effects)},
            self.uncertain + other.uncertain,
            _kept(cells),
        )


class ChangeCount:
    """Counts changes while a slice is replayed."""

    def __init__(self) -> None:
        self._effects: dict[str, int] = {}
        self._uncertain = 0
        self._cells: dict[_Name, int] = {}

    def add(self, day: str, change: Mapping[str, Any]) -> None:
        """Count one event; `change` is the `what_if` of its finding."""
        before, after = change["from"], change["to"]
        if after is None:
            self._uncertain += 1
            return
        effect = f"{before} → {after}"
        self._effects[effect] = self._effects.get(effect, 0) + 1
        name = (day, change["topic"], ", ".join(change["rules"]), before, after)
        self._cells[name] = self._cells.get(name, 0) + 1
        if len(self._cells) > 2 * CELLS_MAX:
            self._cells = {cell.name: cell.count for cell in _kept(self._cells)}

    def total(self) -> Changes:
        """What was counted."""
        effects = {name: self._effects[name] for name in sorted(self._effects)}
        return Changes(effects, self._uncertain, _kept(self._cells))


def _kept(cells: Mapping[_Name, int]) -> tuple[Cell, ...]:
    return tuple(Cell(*name, cells[name]) for name in sorted(cells)[-CELLS_MAX:])


def told(changes: Changes) -> dict[str, Any]:
    """The changes as JSON has them."""
    cells = changes.cells
    return {
        "changed": sum(changes.effects.values()),
        "uncertain": changes.uncertain,
        "effects": dict(changes.effects),
        "rules": _summed(cells, lambda cell: cell.rules),
        "topics": _summed(cells, lambda cell: cell.topic),
        "days": _summed(cells, lambda cell: cell.day),
        "cells": [
            {
                "day": cell.day,
                "topic": cell.topic,
                "rules": cell.rules,
                "from": cell.before,
                "to": cell.after,
                "count": cell.count,
            }
            for cell in cells
        ],
    }


def _summed(cells: Iterable[Cell], by: Callable[[Cell], str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for cell in cells:
        counts[by(cell)] = counts.get(by(cell), 0) + cell.count
    return {name: counts[name] for name in sorted(counts)}
