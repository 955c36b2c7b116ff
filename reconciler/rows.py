"""Findings by their rules and by stamped version, summed out of causes; the rows that matter are kept.

A version is named by whoever writes a stamp: whoever makes up stamps makes up versions. So that
memory stays bounded, what is too much for it goes to a database on disk: no row is left out before
all of its findings are counted.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Final

from .breakdown import Counts, add_count
from .causes import Cause
from .findings import NOT_DRIFT

__all__ = ["ROWS_MAX", "RowSum", "Rows"]

#: Sets of rules and versions that are told apart.
ROWS_MAX: Final = 1000
#: Rows in memory before they go to disk.
_HELD_MAX: Final = 10 * ROWS_MAX


class RowSum:
    """Sums counts by name and kind, in any order; a context that ends with the result taken."""

    def __init__(self, stack: ExitStack, most: int = ROWS_MAX, held: int = _HELD_MAX) -> None:
        self._stack, self._most, self._held_max = stack, most, held
        self._held: dict[str, dict[str, int]] = {}
        self._disk: sqlite3.Connection | None = None

    def add(self, name: str, kind: str, number: int) -> None:
        """Count `number` findings."""
        add_count(self._held, name, kind, number)
        if len(self._held) > self._held_max:
            self._put_away()

    def total(self) -> dict[str, Mapping[str, int]]:
        """The rows with the most drift, then with the most findings, then by name; in their order."""
        if self._disk is None:
            kept = heapq.nsmallest(self._most, self._held.items(), key=_weight)
        else:
            self._put_away()
            kept = self._from_disk(self._disk)
        return {name: dict(sorted(row.items())) for name, row in sorted(kept)}

    def _put_away(self) -> None:
        if self._disk is None:
            # An empty name is a file of its own, removed when it is closed.
            self._disk = self._stack.enter_context(closing(sqlite3.connect("")))
            self._disk.execute("CREATE TABLE rows (name, kind, n, PRIMARY KEY (name, kind))")
        self._disk.executemany(
            "INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            ((name, kind, n) for name, row in self._held.items() for kind, n in row.items()),
        )
        self._held.clear()

    def _from_disk(self, disk: sqlite3.Connection) -> list[tuple[str, dict[str, int]]]:
        calm = ", ".join(f"'{kind}'" for kind in sorted(NOT_DRIFT))
        names = disk.execute(
            f"SELECT name FROM rows GROUP BY name ORDER BY SUM(n * (kind NOT IN ({calm}))) DESC,"  # noqa: S608 - constants
            " SUM(n) DESC, name LIMIT ?",
            (self._most,),
        ).fetchall()
        counts = "SELECT kind, n FROM rows WHERE name = ?"
        return [(name, dict(disk.execute(counts, (name,)))) for (name,) in names]


def _weight(row: tuple[str, Mapping[str, int]]) -> tuple[int, int, str]:
    name, counts = row
    drift = sum(number for kind, number in counts.items() if kind not in NOT_DRIFT)
    return -drift, -sum(counts.values()), name


class Rows:
    """The tables of rules and of versions; see the module's first lines."""

    def __init__(self, rules: RowSum, versions: RowSum) -> None:
        self._rules, self._versions = rules, versions

    @classmethod
    @contextmanager
    def opened(cls) -> Generator[Rows]:
        """Both, whose files are removed at the end."""
        with ExitStack() as stack:
            yield cls(RowSum(stack), RowSum(stack))

    def add(self, cause: Cause) -> None:
        """Count the findings of `cause`, by its rules as they are joined, and by its version."""
        self._rules.add(cause.rule, cause.kind, cause.count)
        # What a forged stamp names is whatever its writer liked.
        version = "" if cause.kind == "forged" else cause.stamped
        self._versions.add(version, cause.kind, cause.count)

    def total(self) -> tuple[Counts, Counts]:
        """Findings by rules and by version."""
        return self._rules.total(), self._versions.total()
