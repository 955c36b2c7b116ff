"""Rows of findings: counted exactly whatever their number, and those with the most drift are kept."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from streamwarden.reconciler.rows import RowSum


@pytest.mark.parametrize("held", [3, 40, 10_000])
def test_in_memory_and_on_disk_it_is_the_same(held: int) -> None:
    """The rows with the most drift, in the order of their names, in whatever order they come."""
    chance = random.Random(7)
    drawn = [
        (f"b@{chance.randrange(60)}", chance.choice(["now-rejected", "now-allowed", "forged"]))
        for _ in range(2000)
    ]
    exact: dict[str, dict[str, int]] = {}
    for name, kind in drawn:
        row = exact.setdefault(name, {})
        row[kind] = row.get(kind, 0) + 1

    def weight(name: str) -> tuple[int, int, str]:
        drift = exact[name].get("now-rejected", 0) + exact[name].get("forged", 0)
        return -drift, -sum(exact[name].values()), name

    with ExitStack() as stack:
        rows = RowSum(stack, most=10, held=held)
        for name, kind in drawn:
            rows.add(name, kind, 1)
        kept = rows.total()

    best = sorted(sorted(exact, key=weight)[:10])
    assert list(kept) == best
    assert kept == {name: exact[name] for name in best}


def test_what_is_no_drift_comes_behind() -> None:
    """However many candidates for release there are, one event that drifted is told."""
    with ExitStack() as stack:
        rows = RowSum(stack, most=2)
        for name in ("a", "b", "c"):
            rows.add(name, "now-allowed", 1000)
        rows.add("z", "now-rejected", 1)
        kept = rows.total()

    assert kept == {"a": {"now-allowed": 1000}, "z": {"now-rejected": 1}}
