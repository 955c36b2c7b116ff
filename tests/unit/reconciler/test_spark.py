"""The engine for Spark, as far as it goes without one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from streamwarden.errors import ConfigurationError
from streamwarden.reconciler.checkpoint import Spool
from streamwarden.reconciler.engines import make_engine
from streamwarden.reconciler.engines.spark import cause_of, take_parts
from streamwarden.reconciler.history import History
from streamwarden.reconciler.judge import Terms
from streamwarden.reconciler.slices import Slice
from streamwarden.reconciler.tally import SliceReport
from streamwarden.reconciler.work import Work

from .histories import make_bundle

ONE, TWO = Slice(0, "t", 0, 0, 10), Slice(1, "t", 0, 10, 20)
POLICY = (
    "policy: p\nowner: o\ntopics: [t]\nrules:\n  - {id: r, when: value.a > 1, effect: reject}\n"
)


class Heard:
    """A watch that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[int | Slice] = []
        self.findings = 0

    def seen(self, records: int, findings: int) -> None:
        self.told.append(records)
        self.findings += findings

    def done(self, piece: Slice) -> None:
        self.told.append(piece)


def work() -> Work:
    """Work that keeps findings."""
    history = History(make_bundle(POLICY))
    return Work({}, history, Terms(0), frozenset({"t"}), (None, None), 1.0, with_findings=True)


def account(piece: Slice, events: int) -> tuple[int, str, bytes]:
    """What an executor says last about a slice."""
    return piece.index, "account", msgspec.json.encode((events, SliceReport(events=events)))


def findings(piece: Slice, text: bytes) -> tuple[int, str, bytes]:
    """Findings of a slice, as an executor packs them."""
    return piece.index, "findings", zstandard.compress(text, 1)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    return Spool(tmp_path)


def test_what_executors_say_is_put_where_slices_are_kept(spool: Spool) -> None:
    """Findings in their order, and an account for each slice."""
    heard = Heard()
    parts = [findings(ONE, b"a\n"), findings(ONE, b"b\n"), account(ONE, 7), account(TWO, 3)]

    take_parts(parts, [ONE, TWO], spool, heard)

    assert list(spool.lines([ONE, TWO])) == [b"a\n", b"b\n"]
    assert [spool.load(piece) for piece in (ONE, TWO)] == [
        SliceReport(events=7),
        SliceReport(events=3),
    ]
    assert heard.told == [7, ONE, 3, TWO]


def test_a_slice_of_which_the_account_is_missing_is_not_done(spool: Spool) -> None:
    """What comes first proves nothing."""

    def broken() -> Iterator[tuple[int, str, bytes]]:
        yield account(ONE, 7)
        yield findings(TWO, b"a\n")
        raise EOFError

    with pytest.raises(EOFError):
        take_parts(broken(), [ONE, TWO], spool, Heard())

    assert spool.load(ONE) is not None
    assert spool.load(TWO) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": "2"}, "engine `spark` has no option `workers`"),
        ({"tasks": "0"}, "`tasks` cannot be `0`"),
        ({"tasks": "many"}, "`tasks` cannot be `many`"),
    ],
)
def test_options_it_does_not_have_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_engine("spark", options)


def test_what_is_missing_is_named_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before anything is read."""
    found: list[Any] = [None]

    def find(_name: str) -> Any:
        return found[0]

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    with pytest.raises(ConfigurationError, match="needs PySpark") as refused:
        make_engine("spark", {})
    assert "streamwarden[spark]" in str(refused.value)

    found[0] = object()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no `java` in JAVA_HOME") as refused:
        make_engine("spark", {})
    assert "Java 17" in str(refused.value)


def test_an_error_is_told_without_its_stack() -> None:
    """Of a task that failed, what Python said."""
    failed = Exception(
        "An error occurred while calling o1.x.\n: org.apache.spark.SparkException: aborted\n"
        "Traceback (most recent call last):\n  File x, line 1\n    y\nTypeError: no\n\n\tat a.b(c)\n"
    )
    lost = Exception(
        "An error occurred while calling o1.x.\n: a.B: gone\n\tat a\nCaused by: c.D: e"
    )

    assert cause_of(failed) == "TypeError: no"
    assert cause_of(lost) == "c.D: e"
    assert cause_of(EOFError()) == "EOFError"
