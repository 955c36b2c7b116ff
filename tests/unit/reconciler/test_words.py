"""Findings in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarden.reconciler.findings import KINDS, WOULD_CHANGE
from streamwarden.reconciler.words import (
    ADVICE,
    cause_sentence,
    counted_above,
    headline,
    judged_by,
    judges_nothing,
    log_sentences,
    meaning,
    unsigned,
)


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

    assert meaning(kind)
    assert ADVICE[kind].endswith(".")
    assert sentence.startswith("2 events")
    assert kind not in sentence


def _told(**more: Any) -> dict[str, Any]:
    return {
        "events": 5,
        "complete": True,
        "bundle": "b@3",
        "counts": {"undecidable": 0},
        "drift": {"now-held": 2},
        "partitions": [{"topic": "t"}, {"topic": "quarantine.t", "parked": True}],
        **more,
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "0 masked today; 0 were never checked; everything was read."),
        ({"asked": {"as_of": "#3"}}, "0 masked by b@3; 0 were never checked; everything was read."),
        (
            {"asked": {"against": "c@0 1f"}, "counts": {"undecidable": 2, "unchecked": 1}},
            "0 masked by the candidate; 1 was never checked; 2 cannot be decided; everything was read.",
        ),
        (
            {
                "asked": {"owners": ["ann", "bob"], "severities": ["high"]},
                "left_out": {"forged": 1},
            },
            "Only what hangs on rules of owner ann or bob, severity high is counted: 1 other finding is left out.",
        ),
        (
            {"uncovered": ["t"]},
            "everything was read. No policy covers `t`: nothing judged the events there.",
        ),
        (
            {"mode": "shadow"},
            "The bundle is in shadow mode: its rules refuse, hold and mask nothing, whatever they find.",
        ),
    ],
)
def test_the_headline_says_what_it_is_about(more: dict[str, Any], said: str) -> None:
    """Who judged, what could not be decided, what was not counted, and what nothing judged."""
    found = headline(_told(**more))

    assert found.startswith("Of 5 events, 0 would be rejected, 2 held, 0 masked ")
    assert found.endswith(said)


def test_what_nothing_judges_is_told_apart() -> None:
    """Also where events are parked that were judged once."""
    assert not judges_nothing(_told())
    assert judges_nothing(_told(uncovered=["t"]))
    assert not judges_nothing(_told(uncovered=["t"], partitions=[{"topic": "t"}, {"topic": "u"}]))
    assert judges_nothing(_told(events=0))


def test_kinds_and_causes_name_who_judges() -> None:
    """A candidate is not today's policy, nor is a version of its time."""
    by = judged_by({"bundle": "b@3", "asked": {"as_of": "#3"}})
    asked: dict[str, Any] = {"rule": "p/r", "change": "", "drift": "", "stamped": ""}
    besides = cause_sentence("unchecked", 2, **{**asked, "drift": "now-held"}, by=by)

    assert meaning("now-held", by) == "let through then, held by b@3"
    assert meaning("now-allowed", "by the candidate") == (
        "parked then, fine by the candidate: may be released"
    )
    assert cause_sentence("now-rejected", 1, **asked, by=by) == (
        "1 event that was let through would be rejected by b@3: p/r fires."
    )
    assert besides.endswith("b@3 would hold them.")


def test_events_without_an_entry_are_told_whether_they_count_or_not() -> None:
    """`matched` alone would always look as it should."""
    log: dict[str, Any] = {"place": "file:x", "entries": 7, "matched": 7}
    told = log_sentences({**log, "events_without_entry": {"allow": 3, "warn": 1}, "missed": 0})

    assert told[1:] == [
        "4 events have none (3 allow, 1 warn).",
        "Nobody said since when the log is without loss, so none of them counts.",
    ]
    assert len(log_sentences({**log, "events_without_entry": {}})) == 1


@pytest.mark.parametrize("what", ["stamp", "decision"])
def test_what_is_not_signed_may_be_older_than_the_keys(what: str) -> None:
    """Until somebody says since when there are keys, nobody is accused, and the option is named."""

    def said(change: str) -> str:
        return cause_sentence("forged", 2, rule="", change=change, drift="", stamped="b@1")

    assert "that anybody may have written" in said(unsigned(what, None))
    assert "`--mac-since`" in said(unsigned(what, None))
    assert "`--mac-since`" not in said(unsigned(what, 1))
    assert "that no guard wrote: the mac does not fit" in said("the mac does not fit")
