"""Functions beyond what the specification's cases cover."""

from __future__ import annotations

import pytest

from streamwarden.policy.cel import CelError, compile_exact, parse
from streamwarden.policy.cel.library import FUNCTIONS
from streamwarden.policy.cel.macros import QUALIFIED


def evaluate(text: str, **activation: object) -> object:
    """The value of an expression."""
    return compile_exact(parse(text))(activation)


def test_qualified_names_are_known_to_the_parser() -> None:
    """Every function with a dot in its name can be called."""
    assert {name for name in FUNCTIONS if "." in name} == QUALIFIED


@pytest.mark.parametrize(
    ("function", "good", "bad"),
    [
        (
            "isEmail",
            ["a@b.com", "first.last+tag@sub.example.org", "x@localhost"],
            ["", "a", "a@", "@b.com", "a@b..com", "a b@c.com", "a@b.com.", "a@-b.com", "a@b@c.com"],
        ),
        (
            "isHostname",
            ["localhost", "example.com", "a-b.example", "xn--bcher-kva.example", "example.com."],
            ["", "-a.com", "a-.com", "a..b", "1.2.3.4", "a_b.com", "a" * 64 + ".com", "ä.com", "."],
        ),
        (
            "isUuid",
            ["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"],
            ["", "123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
        ),
        (
            "isIpv4",
            ["127.0.0.1", "0.0.0.0"],
            ["", "256.1.1.1", "1.2.3", "01.2.3.4", "::1", "1.2.3.4 "],
        ),
        (
            "isIpv6",
            ["::1", "2001:db8::68", "::ffff:1.2.3.4"],
            ["", "1.2.3.4", ":::", "2001:db8:::68"],
        ),
        (
            "isUri",
            ["https://a.example/b?c=d#e", "mailto:a@b.com", "urn:isbn:1", "http://[::1]:80/", "a:"],
            [
                "",
                "/path",
                "a.com",
                "http://a b",
                "http://[::1",
                "1http://a",
                "http://a:port/",
                "http://a/%zz",
            ],
        ),
        ("isUriRef", ["/path", "a/b?c", "", "#x", "https://a.example"], ["a b", "1a:b", "%zz"]),
    ],
)
def test_formats(function: str, good: list[str], bad: list[str]) -> None:
    """Each format is checked as a method and as a function."""
    for call in (f"value.{function}()", f"{function}(value)"):
        program = compile_exact(parse(call))
        assert [text for text in good if program({"value": text}) is not True] == []
        assert [text for text in bad if program({"value": text}) is not False] == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sets.contains([1, 2.0, 'a'], [2])", True),
        ("sets.equivalent([1, 2], [2u, 1.0, 1])", True),
        ("sets.intersects([1], [2])", False),
        ("[3, 1, 2].sort()", [1, 2, 3]),
        ("['b', 'a'].sortBy(x, x)", ["a", "b"]),
        ("[{'k': 2}, {'k': 1}].sortBy(x, x.k).map(x, x.k)", [1, 2]),
        ("[1, 1.0, 2, 'a', 'a'].distinct()", [1, 2, "a"]),
        ("[[1], [2, [3]]].flatten()", [1, 2, [3]]),
        ("[[1], [2, [3]]].flatten(2)", [1, 2, 3]),
        ("[1, 2, 3, 4].slice(1, 3)", [2, 3]),
        ("[1, 2].reverse()", [2, 1]),
        ("lists.range(3)", [0, 1, 2]),
        ("{'a': 1}.transformMapEntry(k, v, {string(v): k})", {"1": "a"}),
        ("[1, 2].transformMap(i, v, v > 1, v * 10)", {1: 20}),
    ],
)
def test_collections(text: str, value: object) -> None:
    """Sets and lists."""
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[1, 'a'].sort()", "no_such_overload"),
        ("[1].slice(1, 3)", "index_out_of_range"),
        ("lists.range(100000000)", "too_large"),
        ("'x'.replace('', value.s).replace('', value.s)", "too_large"),
        ("value.l.join(value.s)", "too_large"),
        ("'%s%s'.format([value.s, value.s])", "too_large"),
        ("value.l + value.l + value.l", "too_large"),
        ("sets.contains(value.l, value.l)", "too_large"),
        ("[1].transformMapEntry(i, v, {'a': 1, 'a': 2})", "duplicate_key"),
    ],
)
def test_limits_and_errors(text: str, code: str) -> None:
    """What would be too large, or has no meaning, is an error."""
    event = {"s": "x" * 2_100_000, "l": ["x"] * 1_500_000}

    result = evaluate(text, value=event)

    assert isinstance(result, CelError)
    assert result.code == code


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("timestamp('2026-03-29T01:30:00Z').getHours('Europe/Berlin')", 3),
        ("timestamp('2026-03-29T00:30:00Z').getHours('Europe/Berlin')", 1),
        ("timestamp('0001-01-01T00:00:00Z').getDayOfYear()", 0),
        ("string(timestamp('0001-01-01T00:00:00.5Z'))", "0001-01-01T00:00:00.5Z"),
        ("timestamp('2026-01-01T00:00:00.1234567899Z').getMilliseconds()", 123),
        ("string(duration('-90.5m'))", "-5430s"),
        ("decimal('1.10') == 1.1 && string(decimal('1.10')) == '1.10'", True),
        ("int(decimal('-2.9')) == -2 && double(decimal('0.1')) == 0.1", True),
        ("math.greatest(decimal('2.5'), 2) == 2.5", True),
    ],
)
def test_times_and_decimals(text: str, value: object) -> None:
    """Zones follow the time zone database; decimals keep their digits."""
    assert evaluate(text) == value
