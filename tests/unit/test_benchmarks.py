"""The measurements beside other engines still run: tiny ones, and no figure is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks import peers, targets
from benchmarks.engines import ENGINES, STREAMWARDEN, Engine, Prepared, streamwarden
from benchmarks.rule_mix import avro_values, json_values, mixed_rules

pytestmark = pytest.mark.slow


def test_engines_agree_and_are_measured_or_left_out_with_a_reason() -> None:
    """Every engine is in every table, or what to install is said."""
    said: list[str] = []

    measured = peers.run(rounds=1, sizes=(1, 20), turn_s=0.001, sample_s=0.02, say=said.append)

    assert [(each.format, each.rules) for each in measured] == [
        *(("json", 1), ("json", 20)),
        *(("avro", 1), ("avro", 20)),
    ]
    for each in measured:
        names = {row.name for row in each.rows}
        missing = [engine for engine in ENGINES if engine.name not in names]
        assert all(any(f"pip install '{e.package}'" in line for line in said) for e in missing)
        assert STREAMWARDEN in names
        assert each.wrong == {}


def test_an_engine_that_decides_otherwise_is_reported() -> None:
    """And so is one that is not installed."""

    def contrary(_conditions: Sequence[str], _format: str) -> Prepared:
        return Prepared(lambda _: [0])

    def absent(_conditions: Sequence[str], _format: str) -> Prepared:
        raise ModuleNotFoundError("no module named `absent`")

    engines = [
        Engine(STREAMWARDEN, "streamwarden", streamwarden),
        Engine("contrary", "contrary", contrary),
        Engine("absent", "absent-package", absent),
    ]
    said: list[str] = []

    peers.run(rounds=1, sizes=(1,), turn_s=0.001, sample_s=0.001, engines=engines, say=said.append)

    assert ["absent" in said[0], "pip install 'absent-package'" in said[0]] == [True, True]
    assert any(line.startswith("contrary disagrees on ") for line in said)


def test_targets_are_told_from_what_was_measured() -> None:
    """A comparison that was not made is said to be missing."""
    found = targets.run([], rounds=1, operations=20, many=20)

    assert [each.verdict for each in found[:4]] == ["not measured"] * 4
    assert {"reached", "missed"} >= {each.verdict for each in found[4:]}


def test_rules_differ_and_both_formats_carry_the_same_events() -> None:
    rules = mixed_rules(10_000)

    assert len(rules) == len(set(rules))
    assert len(json_values(30)) == len(avro_values(30))
    for format_, values in (("json", json_values(30)), ("avro", avro_values(30))):
        prepared = streamwarden(['message.tenant != ""', 'message.id == "nobody"'], format_)
        assert [list(prepared.hits(prepared.decide(value))) for value in values] == [[0]] * 30
