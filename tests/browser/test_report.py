"""The HTML report in a real browser: quiet, alone, and usable by everybody."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from streamwarden.reconciler.page import write_page

from ..unit.reconciler.pages import RTL, eventful
from .conftest import Open, Opened

_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

#: The contrast of each visible text with what is behind it; what is too little comes back.
_PALE = """() => {
  const channel = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const numbers = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = numbers(c);
    return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b); };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor, n = numbers(c);
    if (n.length < 4 || n[3] > 0) return c; } return 'rgb(255, 255, 255)'; };
  const pale = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || e.closest('svg') || !e.checkVisibility()) continue;
    const a = light(getComputedStyle(e).color), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) pale.add(`${e.tagName}.${e.className} ${ratio.toFixed(2)}`);
  }
  return [...pale];
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report with everything in it, hostile events included."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    said = eventful().to_dict()
    changes: dict[str, Any] = {"current": "b@2", "changed": 9, "uncertain": 1, "cells": []}
    tables = {name: {f"{name} one": 9} for name in ("effects", "rules", "topics", "days")}
    write_page({**said, "what_if": {**changes, **tables}}, path)
    return path


def unfold(opened: Opened) -> None:
    """Open everything that is folded."""
    opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


def test_it_is_quiet_and_alone(open_page: Open, report: Path) -> None:
    """No complaint on the console, nothing asked of the network, nothing run out of events."""
    opened = open_page(report)
    unfold(opened)

    assert opened.complaints == []
    assert opened.requests == []
    assert opened.page.title().startswith("Drift found: Reconciliation of")
    assert opened.page.locator("script, iframe, img").count() == 0


def test_scripts_could_not_run(open_page: Open, report: Path, tmp_path: Path) -> None:
    """If ever markup slipped through, the page itself would forbid it to run or to fetch."""
    broken = tmp_path / "broken.html"
    planted = "<script>document.title='owned'</script><img src='https://example.org/x.png'>"
    broken.write_text(report.read_text("utf-8").replace("</main>", f"{planted}</main>"), "utf-8")

    opened = open_page(broken)

    assert opened.page.title() != "owned"
    assert len(opened.complaints) == 2
    assert all("Content Security Policy" in said for said in opened.complaints)


def test_it_is_usable_by_keyboard(open_page: Open, report: Path) -> None:
    """Tab reaches the first example, Enter opens it to the trail, and focus can be seen."""
    page = open_page(report).page
    first = page.locator("details.example").first
    reached = "document.activeElement === document.querySelector('details.example > summary')"

    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(reached):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")

    assert page.evaluate(reached)
    assert outline == "solid"
    assert first.get_attribute("open") is not None
    assert first.locator(".why").first.is_visible()
    assert "value.amount" in first.inner_text()


def test_the_content_can_be_skipped_to(open_page: Open, report: Path) -> None:
    """The first stop of Tab leads past the navigation."""
    page = open_page(report).page

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("width", [320, 390, 768, 1200])
def test_nothing_is_wider_than_the_screen(open_page: Open, report: Path, width: int) -> None:
    """Whatever events contain, opened or not, a phone scrolls in one direction only."""
    opened = open_page(report, width, 800)

    folded = opened.page.evaluate(_OVERFLOW)
    unfold(opened)

    assert (folded, opened.page.evaluate(_OVERFLOW)) == (0, 0)


@pytest.mark.parametrize("width", [375, 1200])
def test_numbers_are_not_broken(open_page: Open, tmp_path: Path, width: int) -> None:
    """The figures of a large history stand on one line each, on a phone as well."""
    path = tmp_path / "large.html"
    said = eventful().to_dict()
    drift = {"now-rejected": 123_456, "now-held": 1_234_567, "now-masked": 12_345_678}
    write_page({**said, "events": 1_234_567_890, "drift": drift}, path)

    opened = open_page(path, width, 900)

    broken = "d => d.offsetHeight > 1.5 * parseFloat(getComputedStyle(d).lineHeight)"
    tiles = f"[...document.querySelectorAll('.tiles dd')].filter({broken}).map(d => d.innerText)"
    assert opened.page.evaluate(tiles) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(open_page: Open, report: Path, scheme: str) -> None:
    """Every text stands out from its ground by 4.5 to 1 (WCAG AA), by day and by night."""
    opened = open_page(report, color_scheme=scheme)
    unfold(opened)

    assert opened.page.evaluate(_PALE) == []


def test_it_can_be_heard(open_page: Open, report: Path) -> None:
    """Landmarks, one first heading, no level left out, and tables whose cells have headers."""
    page = open_page(report).page
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))"
    )
    sections = page.evaluate(
        "[...document.querySelectorAll('section')].filter(s =>"
        " !document.getElementById(s.getAttribute('aria-labelledby'))).length"
    )

    assert [page.locator(name).count() for name in ("header", "main", "nav", "footer")] == [1] * 4
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert sections == 0
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("table").count() == page.locator("table:has(thead th)").count()
    assert page.locator("html[lang=en]").count() == 1
    assert page.locator("svg:not([aria-hidden]):not([role=img])").count() == 0


def test_events_do_not_turn_the_text_around(open_page: Open, report: Path) -> None:
    """Marks of direction are shown as escapes, not obeyed."""
    opened = open_page(report)
    unfold(opened)

    text = opened.page.locator("main").inner_text()

    assert "\\u202e" in text
    assert not set(RTL) & set("\u202e\u2066") & set(text)


def test_it_prints(open_page: Open, report: Path) -> None:
    """To paper, with what is folded on a screen unfolded."""
    opened = open_page(report)
    opened.page.emulate_media(media="print")
    why = opened.page.locator("details.example .why").first
    unfolded = why.is_visible()

    paper = opened.page.pdf(format="A4")

    assert unfolded
    assert paper.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 3
