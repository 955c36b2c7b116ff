"""What patterns cost for each character of a text."""

from __future__ import annotations

import math

import pytest

from streamwarden.policy.cel import estimate, parse
from streamwarden.policy.cel.cost import COST_MAX
from streamwarden.policy.cel.cost_bounds import MESSAGE_BYTES_MAX
from streamwarden.policy.cel.pattern_cost import CHARACTER, INSTRUCTION, pattern_cost
from streamwarden.policy.cel.regex import STEPS_MAX, matches, program_size


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$",
        r"^[^@]+@[^@]+\.[a-z]+$",
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"^[A-Z]{2}[0-9]{2,30}$",
        r"^\p{L}+$",
        r"^.{1,200}$",
        r"^INVOICE-[0-9]{4}-[A-Z0-9]{10,}$",
        r"\d{3}-\d{4}",
        "a+b",
    ],
)
def test_ordinary_patterns_cost_what_any_look_at_the_text_does(pattern: str) -> None:
    """At most a hundredth of the limit or so, on a text as large as a message."""
    assert pattern_cost(pattern).of(MESSAGE_BYTES_MAX) <= CHARACTER * MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    "pattern",
    [
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"(?i)\b(select|insert|update|delete|drop|union)\b",
        r"^(https?|ftp)://[^\s/$.?#].[^\s]*$",
        r"^[\p{L}\p{M}' -]{1,100}$",
        r"^(?:ORDER|INVOICE)-[0-9]{4}-[A-Z0-9]{10,}$",
    ],
)
def test_longer_patterns_stay_far_below_the_limit(pattern: str) -> None:
    """Also where nothing bounds the text."""
    assert pattern_cost(pattern).of(MESSAGE_BYTES_MAX) < COST_MAX / 4


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|b)*a(a|b){900}c",
        "^(a|b)*a(a|b){900}c$",
        "(?:(?:a|b){30}){30}c",
        "[ab]{500,}",
        "a[ab]{999}c",
        "^a[ab]{999}|b",
        "(?m)^a[ab]{999}",
        "^*a[ab]{999}",
    ],
)
def test_repetitions_that_are_counted_count(pattern: str) -> None:
    """By the program that they become; nothing says that a search ends before the text does."""
    cost = pattern_cost(pattern)

    assert cost == (INSTRUCTION * program_size(pattern), math.inf)
    assert program_size(pattern) >= 500
    assert estimate(parse(f"value.s.matches('{pattern}')")).units > COST_MAX


@pytest.mark.parametrize(
    ("pattern", "reach"),
    [
        ("^(?:[a-f]{8}-){3}[a-f]{12}$", 40),
        (r"\A(?:ab|c){20}\z", 61),
        (r"^\Q(((([[[[\E[]a]{9}x{1,4}", 22),
        ("^(?i)(?P<year>[0-9]{4})-(ab?){9}", 24),
    ],
)
def test_a_search_ends_where_the_longest_match_does(pattern: str, reach: int) -> None:
    """Where it starts at the beginning, and nothing repeats without end."""
    assert pattern_cost(pattern).reach == reach


def test_a_pattern_that_an_event_brings_is_limited_together_with_its_text() -> None:
    """The same pattern is tried on a text that is short enough for it."""
    pattern = "(a|b)*a(a|b){900}c"
    longest = STEPS_MAX // program_size(pattern)

    found = matches("a" * longest + "b", pattern)

    assert getattr(found, "code", None) == "too_large"
    assert matches("a" * (longest // 100), pattern) is False
    assert matches("b" + "a" * 901 + "c", pattern) is True
    assert getattr(matches("\u20ac" * (longest // 3), pattern), "code", None) == "too_large"


def test_a_pattern_that_an_event_brings_is_small_when_compiled() -> None:
    """Else one event after the other would have a new one compiled."""
    assert getattr(matches("a", r"\p{L}{200}"), "code", None) == "invalid_regex"
