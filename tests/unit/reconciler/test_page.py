"""The HTML page: complete without network or script, safe with whatever events say."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from streamwarden.errors import ReconcileError
from streamwarden.reconciler.page import render_page, write_page
from streamwarden.reconciler.report import Report
from streamwarden.reconciler.slices import Partition
from streamwarden.reconciler.tally import SliceReport

from .histories import Past, make_bundle
from .pages import CARD, HOSTILE, RTL, eventful, report_of

pytestmark = pytest.mark.slow


class Outline(HTMLParser):
    """The tags of a page, its text, and what it would fetch or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link", "br", "rect"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "action", "data"):
                self.links.append(str(value))
            if name.startswith("on") or name == "style":
                self.handlers.append(name)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """The JSON object of a report with everything in it."""
    return eventful().to_dict()


@pytest.fixture(scope="module")
def page(said: dict[str, Any]) -> str:
    """Its page."""
    return render_page(said)


def test_the_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    """No script, no handler, no link that leads out of the page, and every tag is closed."""
    outline = Outline(page)

    assert outline.open == []
    assert not {"script", "iframe", "img", "object", "form"} & set(outline.tags)
    assert outline.handlers == []
    assert [link for link in outline.links if not link.startswith("#") and link != "data:,"] == []
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))
    assert "default-src 'none'" in page


def test_it_says_what_the_report_says(page: str) -> None:
    """The sentence, kinds, causes, owners, versions, gaps and the command are there."""
    text = re.sub(r"\s+", " ", Outline(page).text)

    for words in (
        "Of 1,791 events, 991 would be rejected, 0 held, 7 masked today",
        "3 were never checked; not everything was read.",
        "524 events that b@2 let through would be rejected today: over-limit: 50000 → 10000.",
        "rejects an event when amount is greater than 10,000",
        "payments-risk",
        "privacy-office",
        "b@1 → b@3",
        "3 offsets: removed by retention while this ran",
        "2 offsets: markers and aborted records of transactions",
        "streamwarden reconcile --topic t --policies policies/ -X sasl.password=***",
        'value.country = "DE"',
        "By the time of the events",
    ):
        assert words in text


def test_a_stamp_that_no_guard_wrote_is_shown() -> None:
    """As text, and not as if there were none."""
    policy = (
        "policy: p\nowner: o\ntopics: [t]\nrules: [{id: r, when: value.amount > 9, effect: hold}]"
    )
    bundle = make_bundle(policy)
    past = Past(bundle)
    past.bypass({"amount": 1}, stamp=f"1;{HOSTILE}")
    shown = render_page(report_of(past, bundle).to_dict())
    text = re.sub(r"\s+", " ", Outline(shown).text)

    assert HOSTILE not in shown
    assert f"`1;{HOSTILE}`, which no guard wrote" in text
    assert "a stamp that no guard wrote → " in text
    assert "Then no stamp" not in text
    assert "no version" not in text


def test_content_of_events_cannot_become_markup(page: str) -> None:
    """It is there as text, with direction marks as escapes, and not without end."""
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert RTL not in page
    assert "\\u202e" in page
    assert "\u202e" not in page
    assert "x" * 2000 not in page
    assert "base64 ////" in page
    assert "/" * 2000 not in page


def test_what_is_masked_stays_masked(page: str) -> None:
    """Neither masked nor sensitive fields are shown, firing or not."""
    assert CARD not in page
    assert "SECRET-IBAN" not in page
    assert "DE0212" not in page
    assert "from Jo to *** is over the limit" in page


def test_a_clean_report_has_a_page() -> None:
    """Nothing found; where there was nothing to find anything in, it is not called clean."""
    part = Partition("t", 0, False, 0, 0, 0, 0)
    made = Report("b@1", "d" * 64, (part,), SliceReport(events=7), 0.1)
    nothing = replace(made, account=SliceReport())

    page, empty = render_page(made.to_dict()), render_page(nothing.to_dict())

    assert "Of 7 events, 0 would be rejected" in page
    assert "✓ everything was read" in page
    assert "Clean" in page
    assert "No event was judged, so nothing is said of any: there is none." in empty
    assert "Nothing judged" in empty
    assert "Clean" not in empty


def test_of_many_partitions_those_with_something_to_say_are_told_first() -> None:
    """Nobody reads on through thousands of partitions that were read without loss."""
    part: dict[str, Any] = {
        "first": 0,
        "end": 10,
        "covered": 10,
        "pending": 0,
        "gaps": [],
        "start": 0,
    }
    parts = [{**part, "topic": f"t{n // 5}", "partition": n % 5} for n in range(3000)]
    parts[2990]["covered"] = 7
    parts[2991]["start"] = 3
    made = Report("b@1", "d" * 64, (), SliceReport(events=7), 0.1).to_dict()

    page = render_page({**made, "partitions": parts, "complete": False})

    listed = re.findall(r'<span class="mono">(t\d+\[\d\])</span>', page)
    text = re.sub(r"\s+", " ", page)
    assert listed[:3] == ["t598[0]", "t598[1]", "t0[0]"]
    assert len(listed) == 100
    assert "3,000 partitions of 600 topics; 1 of them was not read to the end" in text
    assert "And 2,900 more partitions that were read to the end, which the JSON" in text


def test_a_long_command_is_told_whole() -> None:
    """Unlike texts out of events."""
    command = "streamwarden reconcile " + " ".join(f"--topic topic-{n}" for n in range(500))
    made = Report("b@1", "d" * 64, (), SliceReport(), 0.1, command=command)

    assert command in render_page(made.to_dict())


def test_writing_is_all_or_nothing(said: dict[str, Any], tmp_path: Path) -> None:
    """The file is there when it is whole; a folder that is missing is said."""
    target = tmp_path / "report.html"

    write_page(said, target)

    assert target.read_text("utf-8") == render_page(said)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(ReconcileError, match="cannot be written"):
        write_page(said, tmp_path / "missing" / "report.html")


def test_what_only_some_runs_are_asked_is_told(said: dict[str, Any]) -> None:
    """A candidate's changes, a sample's estimates, and what was left out."""
    sample = {
        "drawn": 100,
        "events": 4000,
        "confidence": 0.95,
        "estimates": {"now-rejected": {"found": 987, "estimate": 4711, "low": 4000, "high": 5000}},
    }
    changes: dict[str, Any] = {
        "current": "b@2",
        "changed": 1234,
        "uncertain": 5,
        "effects": {"allow → reject": 1234},
        "rules": {"limits/<over>": 1234},
        "topics": {"t": 1234},
        "days": {"2026-03-01": 1234},
        "cells": [],
    }

    log = {"place": "file:log", "entries": 9, "matched": 7, "missed": 2, "entries_without_event": 1}

    page = render_page(
        {
            **said,
            "sample": sample,
            "what_if": changes,
            "left_out": {"forged": 3},
            "decision_log": log,
        }
    )
    text = re.sub(r"\s+", " ", Outline(page).text)

    for words in (
        "Against b@2, it decides 1,234 events differently.",
        "Of 5 it cannot be told",
        "limits/<over>",
        "about 4,711 (4,000 to 5,000)",
        "Only a sample was judged: 100 of 4,000 events.",
        "3 other findings are left out",
        "7 events have their entry among 9 in the log of decisions, file:log.",
        "2 events that guards decided on have no entry",
        "1 entry has no event",
    ):
        assert words in text
