"""Differences between history and the log of decisions, sorted on disk."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from streamwarden.reconciler.log_differences import LogDifferences
from streamwarden.reconciler.slices import Slice

EFFECTS = ("none", "allow", "warn")


def test_they_come_out_in_order_however_they_were_found(tmp_path: Path) -> None:
    """Events by slice and offset, then entries by their number; each once, over all cuts."""
    slices = [Slice(0, "a", 0, 0, 500), Slice(1, "a", 1, 0, 500), Slice(2, "b", 0, 500, 900)]
    events = [
        (index, offset)
        for index, each in enumerate(slices)
        for offset in range(each.first, each.end, 7)
    ]
    entries = list(range(1, 300, 3))
    differences = LogDifferences(tmp_path, EFFECTS)
    found: list[tuple[int | None, int]] = [*events, *((None, number) for number in entries)]
    random.Random(3).shuffle(found)
    for count, (index, number) in enumerate(found):
        if index is None:
            differences.entry(number, -number, "warn")
        else:
            differences.event(index, number, number + 10, "allow", missed=number % 2 == 0)
        if count % 40 == 0:
            differences.cut()
    target = tmp_path / "all.jsonl"

    differences.write(target, slices)

    told = [msgspec.json.decode(line) for line in target.read_bytes().splitlines()]
    assert told == [
        {
            "kind": "event_without_entry",
            "at": offset + 10,
            "effect": "allow",
            "topic": slices[index].topic,
            "partition": slices[index].partition,
            "offset": offset,
            "missed": offset % 2 == 0,
        }
        for index, offset in events
    ] + [
        {"kind": "entry_without_event", "at": -number, "effect": "warn", "entry": number}
        for number in entries
    ]
    assert not target.with_name("all.jsonl.part").exists()
