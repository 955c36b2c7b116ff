"""Histories with more causes than are told: what is frequent is told, however history is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.embedded import EmbeddedBroker
from streamwarden.reconciler.causes import CAUSES_MAX
from streamwarden.reconciler.rows import ROWS_MAX

from .test_scope import NOON_MS, World

pytestmark = pytest.mark.slow


def test_made_up_stamps_do_not_hide_what_is_frequent(
    embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """More made-up versions than causes are kept, each with a lower name than the real drift."""
    world = World(embedded_broker, tmp_path)
    made_up, digest = 2 * CAUSES_MAX + 7, world.versions[0].digest[:12]
    for number in range(3 * made_up):
        version = 1 if number % 3 else number + 1000
        stamp = f"1;b@{version};{digest};allow;produce"
        world.producer.produce(
            "t1",
            b'{"amount": 20}',
            partition=0,
            headers=[("streamwarden", stamp.encode())],
            timestamp=NOON_MS + number,
        )
    world.producer.flush(30)

    reports = [
        world.run("t1", now=NOON_MS, slice_offsets=size, **more).to_dict()
        for size, more in (
            (100_000, {}),
            (611, {"engine_options": {"workers": "2"}}),
            (2000, {"findings": tmp_path / "found.jsonl"}),
        )
    ]

    causes = [(report["causes"], report["causes_omitted"]) for report in reports]
    assert causes[0] == causes[1] == causes[2]
    told, omitted = causes[0]
    assert (told[0]["kind"], told[0]["count"]) == ("now-rejected", 2 * made_up)
    assert [example["offset"] for example in told[0]["examples"]] == [1, 2, 4]
    assert {(cause["kind"], cause["count"]) for cause in told[1:]} == {("forged", 1)}
    assert len(told) + omitted == made_up + 1


def test_made_up_versions_do_not_hide_real_ones(
    embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Of more versions than are told, those with the most drift are, not those with low names."""
    world = World(embedded_broker, tmp_path)
    real = f"1;b@1;{world.versions[0].digest[:12]};allow;produce"
    for number in range(ROWS_MAX + 20):
        for stamp in (f"1;a{number}@1;0123456789ab;allow;produce", *[real] * (number % 50 == 0)):
            world.producer.produce(
                "t1",
                b'{"amount": 20}',
                partition=0,
                headers=[("streamwarden", stamp.encode())],
                timestamp=NOON_MS + number,
            )
    world.producer.flush(30)

    whole, cut = (
        world.run("t1", now=NOON_MS, slice_offsets=size).to_dict() for size in (100_000, 311)
    )

    assert whole["versions"] == cut["versions"]
    assert whole["versions"]["b@1"] == {"now-rejected": 21}
    assert len(whole["versions"]) == ROWS_MAX
    assert sum(sum(rule["counts"].values()) for rule in whole["rules"]) == ROWS_MAX + 41
