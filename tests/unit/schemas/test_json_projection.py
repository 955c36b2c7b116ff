"""JSON decoded as far as somebody reads it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from streamwarden.schemas import json_projection
from streamwarden.schemas.json_nesting import LONG
from streamwarden.schemas.json_projection import (
    DecodeError,
    JsonProjection,
    Path,
    Shape,
    decode_again,
    decode_json,
)


def read(data: bytes, *paths: Path, present: tuple[Path, ...] = ()) -> object:
    projection = JsonProjection(Shape.of(paths, present))
    return projection.shown(projection.decode(data))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"a": 5}', 5),
        (b'{"a": "x"}', "x"),
        (b'{"a": null}', None),
        (b'{"a": [1, {"b": [2]}]}', [1, {"b": [2]}]),
        (b'{"a": {"b": {"c": 1}}}', {"b": {"c": 1}}),
        # What nobody looks into keeps nothing from being decoded, and is left out.
        (b'{"a": ["\xff"]}', []),
        (b'{"a": {"b": 1e999}}', {}),
    ],
)
def test_what_is_in_lists_and_objects_of_a_flat_place_is_not_decoded(
    data: bytes, shown: object
) -> None:
    projection = JsonProjection(Shape.of([], flat=[("a",)]))
    found = projection.decode(data)
    assert projection.shown(found) == {"a": shown}
    plain: Any = projection.plain(found)
    if isinstance(shown, list | dict):
        assert isinstance(plain["a"], list) is isinstance(shown, list)
    else:
        assert plain["a"] == shown


def test_a_place_is_flat_only_where_nobody_reads_on() -> None:
    assert Shape.of([], flat=[("a",)]).members["a"] == Shape(whole=True, flat=True)
    assert Shape.of([("a",)], flat=[("a",)]).members["a"] == Shape(whole=True)
    assert Shape.of([("a", "b")], flat=[("a",)]).members["a"] == Shape(whole=True)
    assert Shape.of([], [("a", "b")], flat=[("a",)]).members["a"] == Shape(whole=True)


def test_hostile_nesting_in_a_flat_place_is_passed_over() -> None:
    data = b'{"a": ' + b"[" * 340 + b"]" * 340 + b"}"
    projection = JsonProjection(Shape.of([], flat=[("a",)]))
    plain: Any = projection.plain(projection.decode(data))
    (inner,) = plain["a"]
    assert len(bytes(inner)) == 678


@pytest.mark.parametrize(
    ("data", "paths", "present", "expected"),
    [
        (b'{"a": 1, "b": 2}', [("a",)], [], {"a": 1}),
        (b'{"a": {"b": 1, "c": 2}, "d": 3}', [("a", "b")], [], {"a": {"b": 1}}),
        (b'{"a": {"b": 1}}', [("a",), ("a", "b")], [], {"a": {"b": 1}}),
        (b'{"a": {"b": {"c": 1}}}', [], [("a",)], {"a": {}}),
        (b'{"b": 1}', [], [("a",)], {}),
        (b'{"a": 5}', [("a", "b")], [], {"a": 5}),
        (b'{"a": null}', [("a", "b")], [], {"a": None}),
        (b'{"a": [{"b": 1, "c": 2}, 5, [1]]}', [("a", None, "b")], [], {"a": [{"b": 1}, 5, [1]]}),
        (b'{"a": {"b": 1}}', [("a", None, "b")], [], {"a": {"b": 1}}),
        (b'{"a": {"b": 1}}', [("a", None, "b"), ("a", "b")], [], {"a": {"b": 1}}),
        (b"[1]", [("a",)], [], [1]),
        (b"[1]", [()], [], [1]),
        (b'"x"', [("a",)], [], "x"),
        (b'{"q\\"q": {"x": 1, "y": 2}}', [('q"q', "x")], [], {'q"q': {"x": 1, "y": 2}}),
        (b'{"\\u0061": {"\\u0062": 3}}', [("a", "b")], [], {"a": {"b": 3}}),
        ('{"é": 1, "日本": 2}'.encode(), [("é",), ("日本",)], [], {"é": 1, "日本": 2}),
        (b'{"": 1}', [("",)], [], {"": 1}),
        (b'{"a": 1, "a": {"b": 2}, "a": {}}', [("a", "b")], [], {"a": {}}),
        (b'{"a": 123456789012345678901234567890}', [("a",)], [], {"a": 123456789012345678901234567890}),
        (b'{"a": "2025-01-01", "b": 1}', [("a",)], [], {"a": "2025-01-01"}),
        (b'{"z": 1e999, "y": "\xff", "a": 1}', [("a",)], [], {"a": 1}),
    ],
)  # fmt: skip
def test_projections(data: bytes, paths: list[Path], present: list[Path], expected: object) -> None:
    assert read(data, *paths, present=tuple(present)) == expected


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the value is empty"),
        (b" \n", "the value is empty"),
        (b'{"a": 1e999}', "the JSON holds a number that is out of range"),
        (b'{"a": "\xff"}', "the JSON holds text that is not valid UTF-8"),
        (b'{"a": "\\ud800"}', "the bytes are not JSON"),
        (b'{"a": 1} x', "the bytes are not JSON (byte 10)"),
        (b'{"a": "secret', "the bytes are not JSON"),
        (b"[" * 5000, "the JSON is nested too deeply"),
        (b'{"a": ' * 5000, "the JSON is nested too deeply"),
        (
            b"\xef\xbb\xbf{}",
            "the bytes are not JSON: they begin with the byte order mark of UTF-8",
        ),
        (
            '{"a": 1}'.encode("utf-16-le"),
            "the bytes are not JSON: they look like UTF-16, and JSON is UTF-8",
        ),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    """The reason names a position at most."""
    with pytest.raises(DecodeError, match="^" + reason.replace("(", r"\(").replace(")", r"\)")):
        read(data, ("a",))
    with pytest.raises(DecodeError):
        decode_json(data)


def test_depth_does_not_hang_on_the_caller() -> None:
    """What a fresh stack takes is taken, however deep the caller's is."""
    data = b'{"a": ' + b"[" * 340 + b"]" * 340 + b"}"

    def at_depth(depth: int) -> object:
        return read(data, ("a",)) if depth == 0 else at_depth(depth - 1)

    assert at_depth(sys.getrecursionlimit() - 200) == at_depth(0)


def test_what_ends_too_early_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh stack takes much longer than a good event; what is not closed needs none."""

    def fresh(*_: object) -> object:
        raise AssertionError("tried again")

    monkeypatch.setattr(json_projection, "on_fresh_stack", fresh)

    projection = JsonProjection(Shape.of([("a",)]))
    data = b"[" * (LONG - 1)
    for outcome in (
        decode_again(projection.raw_decode, data, RecursionError()),
        projection.again(data, RecursionError()),
    ):
        assert isinstance(outcome, DecodeError)
        assert str(outcome) == "the JSON is nested too deeply"


@pytest.mark.parametrize("level", [b"[", b'{"a":', b'{"\\"[":', b'{"[[": 1, "a": '])
@pytest.mark.parametrize("before", [b"", b'"x' + b"[" * 9000 + b'", ', b"[1], " * 3000])
def test_what_is_too_deep_is_told_wherever_it_is(before: bytes, level: bytes) -> None:
    """Also behind a long text or list, and where the part that is looked at first ends in a text."""
    limit = sys.getrecursionlimit()
    with pytest.raises(DecodeError, match="nested too deeply"):
        read(b"[" + before + level * (limit + 10), ())
