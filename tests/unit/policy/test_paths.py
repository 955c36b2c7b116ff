"""Paths: what they mean, how they are written, and what is said where they are malformed."""

from __future__ import annotations

import pytest

from streamwarden.policy.model import Path
from streamwarden.policy.paths import PathError, format_path, parse_path

PATHS: dict[str, Path] = {
    "value": ("value",),
    "value.amount": ("value", "amount"),
    "value.items[0].price": ("value", "items", 0, "price"),
    "value.items[].price": ("value", "items", None, "price"),
    'headers["x-id"]': ("headers", "x-id"),
    "value.in": ("value", "in"),
    'value["a\\"b\\\\c"]': ("value", 'a"b\\c'),
    'value[""]': ("value", ""),
    'value["é"].x[12][]': ("value", "é", "x", 12, None),
}


@pytest.mark.parametrize("text", PATHS)
def test_paths_are_read_and_written(text: str) -> None:
    """A path in its canonical form is read to its segments and written as it was."""
    path = parse_path(text, each=True)

    assert path == PATHS[text]
    assert format_path(path) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value['a']", ("value", "a")),
        ('value[ "a" ][ 1 ][ ]', ("value", "a", 1, None)),
        (r'value["\u00e9\n"]', ("value", "é\n")),
        ('value["it\'s"]', ("value", "it's")),
    ],
)
def test_other_ways_of_writing(text: str, expected: Path) -> None:
    """Single quotes, blanks in brackets and escapes are understood."""
    assert parse_path(text, each=True) == expected


@pytest.mark.parametrize(
    ("text", "offset", "remedy"),
    [
        ("", 0, "such as `value.amount`"),
        (".a", 0, "such as `value.amount`"),
        ("1a", 0, "such as `value.amount`"),
        ("value.", 5, 'odd names go in `["…"]`'),
        ("value..a", 5, 'odd names go in `["…"]`'),
        ("value.odd-name.x", 9, 'write `value["odd-name"]`'),
        ("value.a b", 7, 'write `value["a b"]`'),
        ("value[", 5, 'such as `["odd-name"]`'),
        ("value[-1]", 5, 'such as `["odd-name"]`'),
        ("value[a]", 5, 'such as `["odd-name"]`'),
        ('value["a]', 5, 'such as `["odd-name"]`'),
        (r'value["\q"]', 5, "write a backslash twice"),
        (r'value["\ud800"]', 5, ""),
        ("value[]", 5, ""),
        ("value[0]x", 8, "write names after dots, or odd names in brackets and quotes"),
        ("value" + ".a" * 64, 133, ""),
    ],
)
def test_malformed_paths(text: str, offset: int, remedy: str) -> None:
    """The error says from which character on, and what to write."""
    with pytest.raises(PathError) as caught:
        parse_path(text)

    assert caught.value.offset == offset
    assert caught.value.remedy == remedy
