"""Findings in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarden.reconciler.findings import KINDS, WOULD_CHANGE
from streamwarden.reconciler.words import ADVICE, MEANING, cause_sentence, counted_above, headline


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


@pytest.mark.parametrize(
    ("drift", "counts", "said"),
    [
        ({"now-rejected": 3}, {"now-rejected": 3}, ""),
        (
            {"now-rejected": 27, "now-held": 1},
            {"now-rejected": 22, "now-held": 1},
            "5 of those that would be rejected count under a kind further up.",
        ),
        (
            {"now-masked": 1},
            {"forged": 1},
            "1 of those that would be masked counts under a kind further up.",
        ),
        (
            {"now-rejected": 1, "now-held": 1200},
            {"unchecked": 1201},
            (
                "1 of those that would be rejected and 1,200 of those that would be held count "
                "under a kind further up."
            ),
        ),
    ],
)
def test_the_headline_and_the_kinds_are_brought_together(
    drift: dict[str, int], counts: dict[str, int], said: str
) -> None:
    """The headline counts all that today's policy says, a kind only what is nothing else besides."""
    assert counted_above({"drift": drift, "counts": counts}) == said


@pytest.mark.parametrize("kind", [*KINDS, WOULD_CHANGE])
def test_every_kind_has_its_words(kind: str) -> None:
    """What it means, what to do, and a sentence that is not just its name."""
    sentence = cause_sentence(kind, 2, rule="limits/over", change="", drift="", stamped="p@1")

    assert MEANING[kind]
    assert ADVICE[kind].endswith(".")
    assert sentence.startswith("2 events")
    assert kind not in sentence
