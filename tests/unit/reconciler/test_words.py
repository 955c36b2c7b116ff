"""Findings in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarden.reconciler.findings import KINDS, WOULD_CHANGE
from streamwarden.reconciler.words import ADVICE, MEANING, cause_sentence, headline


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "there is none"),
        ({"asked": {"offsets": [100, 200]}}, "none lies in the range that was asked for"),
        ({"asked": {"since": 0}}, "none lies in the range that was asked for"),
        ({"asked": {"incremental": True}, "base": {"t/0": "run"}}, "none is new"),
        ({"complete": False, "sample": {"events": 9}}, "the sample drew none of 9"),
        ({"complete": False, "asked": {"since": 0}}, "not everything was read"),
    ],
)
def test_of_no_event_nothing_is_said(more: dict[str, Any], why: str) -> None:
    """Whatever the reason is that there was none to judge."""
    report: dict[str, Any] = {"events": 0, "complete": True, "counts": {}, "drift": {}, **more}

    assert headline(report) == f"No event was judged, so nothing is said of any: {why}."


@pytest.mark.parametrize("kind", [*KINDS, WOULD_CHANGE])
def test_every_kind_has_its_words(kind: str) -> None:
    """What it means, what to do, and a sentence that is not just its name."""
    sentence = cause_sentence(kind, 2, rule="limits/over", change="", drift="", stamped="p@1")

    assert MEANING[kind]
    assert ADVICE[kind].endswith(".")
    assert sentence.startswith("2 events")
    assert kind not in sentence
