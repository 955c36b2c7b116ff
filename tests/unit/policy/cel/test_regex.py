"""Patterns: RE2's semantics, whichever engine runs them."""

from __future__ import annotations

import time

import pytest
import re2

from streamwarden.policy.cel import CelError
from streamwarden.policy.cel.regex import (
    QUICK_TEXT_MAX,
    literal_ends,
    matches,
    pattern_problem,
    quick_search,
    safe_matcher,
    translate,
)

PATTERNS = [
    r"^[a-z]+@[a-z]+[.]com$", "a$", "^a", r"\d{4}-\d{2}", "^(US|CA|DE)$", "colou?r", "[^a-z]", "a.c",
    r"\w+\s", "(?i)abc", "(a+)+$", "a*b*c", "^a*b*c$", "", "^$", "[A-Z][0-9]{1,3}", r"\.", "x|y|z",
    "^[a-z]+x?$", "^[a-z]+[a-z]{3}$", "^a|b$", "^(?:ab|a)c?$", "^[a-z]{2,}!", "^a+aaaaaaaaaaaaaab$",
    "é", ".", "[a-c-]", r"[\w.-]+@", "a{2}", "(ab){2}", "a+?", r"\bfoo\b", "^ref-[0-9]*x",
]  # fmt: skip
TEXTS = [
    "", "a", "abc", "a\n", "\na", "joe@example.com", "2026-01-02", "US", "USA", "colour", "color",
    "ABC", "é", "١٢٣٤-٥٦", "aaa", "aab", "foo bar", "a-c", "A1", "A1234", "x", "ref-123x", "a\x0bc",
    "a c", "a" * 300 + "!", "\x00", "ab" * 3,
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_fast_engine_agrees_with_re2(pattern: str) -> None:
    """`safe_matcher` says what RE2 says, of any text."""
    reference = re2.compile(pattern)
    match = safe_matcher(pattern)

    verdicts = [match(text) for text in TEXTS]

    assert verdicts == [reference.search(text) is not None for text in TEXTS]
    assert verdicts == [matches(text, pattern) for text in TEXTS]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_quick_search_finds_what_re2_finds(pattern: str) -> None:
    """Within the bounds that it says it has; texts of any length and alphabet where it has none."""
    quick = quick_search(pattern)
    if quick is None:
        return
    reference = re2.compile(pattern)

    for text in [*TEXTS, "é" * 1000, "a" * 1000, "abc" * 200 + "é"]:
        if (quick.bounded and len(text) > QUICK_TEXT_MAX) or (quick.ascii and not text.isascii()):
            continue
        assert (quick.search(text) is not None) == (reference.search(text) is not None), text


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_search_without_bounds_takes_linear_time(pattern: str) -> None:
    """A million characters are looked through in no time, also where nothing is found."""
    quick = quick_search(pattern)
    if quick is None or quick.bounded:
        return
    started = time.process_time()

    for character in "ab0":
        quick.search(character * 1_000_000 + "~")

    assert time.process_time() - started < 15


@pytest.mark.parametrize(
    ("pattern", "ends"),
    [
        ("^ref-[0-9]*x", ("ref-", "")),
        ("^[a-z.]+@corp3[.]example[.]com$", ("", "@corp3.example.com")),
        (r"^a\.b$", ("a.b", "a.b")),
        ("^ab*c", ("a", "")),
        ("^ab{2}c$", ("a", "c")),
        ("^(a|b)cd$", ("", "cd")),
        ("(ab)?cd$", ("", "cd")),
        ("^a?b", ("", "")),
        ("a|bc$", ("", "")),
        ("^a|b", ("", "")),
        ("[ab]c", ("", "")),
        ("[ab]$", ("", "")),
        ("[^a]$", ("", "")),
        ("(?i)AB$", ("", "")),
        ("^a{1000}", ("", "")),
        ("é$", ("", "")),
        ("^a??b$", ("", "")),
        ("", ("", "")),
        ("^$", ("", "")),
    ],
)
def test_what_every_match_starts_and_ends_with(pattern: str, ends: tuple[str, str]) -> None:
    """Only what is certain: an unknown end is empty."""
    assert pattern_problem(pattern) is None
    assert literal_ends(pattern) == ends


def test_the_usual_patterns_are_fast() -> None:
    """Simple anchored patterns, sets and alternatives run in Python's engine."""
    fast = [r"^[a-z]+@[a-z]+[.]com$", "^(US|CA|DE)$", r"\d{4}-\d{2}", "^ref-[0-9]*x", "abc"]

    assert [pattern for pattern in fast if translate(pattern) is None] == []


@pytest.mark.parametrize("pattern", ["(a+)+$", "a*b*c", "(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)$"])
def test_patterns_that_could_backtrack_are_left_to_re2(pattern: str) -> None:
    """A pattern with a costly search never reaches Python's engine."""
    assert translate(pattern) is None


@pytest.mark.parametrize("pattern", [*PATTERNS, r"^\w*[a-z]*!$", "a?a?aaaaaa$", "(a|b)(a|c)(a|d)$"])
def test_no_text_takes_long(pattern: str) -> None:
    """The worst texts of each length are decided in milliseconds."""
    match = safe_matcher(pattern)
    started = time.process_time()

    for length in (50, 199, 200, 201, 100_000):
        for character in "ab0":
            match(character * length + "~")

    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "pattern", ["(", "(?=a)", r"(a)\1", "a{2000}", "[z-a]", "\ud800", "a" * 10_001]
)
def test_patterns_that_are_refused(pattern: str) -> None:
    """What RE2 does not take is a problem, and an error when an event brings it."""
    assert pattern_problem(pattern)
    assert isinstance(matches("a", pattern), CelError)
    with pytest.raises(ValueError, match="."):
        safe_matcher(pattern)


def test_text_that_is_not_unicode() -> None:
    """A lone surrogate is an error, not an exception."""
    assert isinstance(matches("\ud800", "a"), CelError)
    assert isinstance(safe_matcher("^a$")("\ud800"), CelError)
