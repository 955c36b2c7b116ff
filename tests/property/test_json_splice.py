"""Splicing masks into JSON: exact on what is masked, invisible everywhere else."""

from __future__ import annotations

import json
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from streamwarden.schemas.json_splice import Path, splice

NAMES = st.sampled_from(["a", "b", "card", "é", 'q"q', "back\\slash", "", "\n", "😀"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(["[", "]", "{", "}", '"', "\\", ",", ":", '\\"', "SECRET"])
)


class Members(list[tuple[str, Any]]):
    """An object as a list of members, so that names may come twice."""


DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(st.tuples(NAMES, inner), max_size=4).map(Members)
    ),
    max_leaves=12,
)
PATHS: st.SearchStrategy[Path] = st.lists(
    NAMES | st.integers(0, 3) | st.none(), min_size=1, max_size=4
).map(tuple)


def write(draw: st.DataObject, value: object) -> bytes:
    """`value` as JSON with random spaces and spellings."""

    def space() -> bytes:
        return draw.draw(st.sampled_from([b"", b"", b"", b" ", b"\n\t ", b"\r"]))

    def text(value: str) -> bytes:
        plain = json.dumps(value, ensure_ascii=draw.draw(st.booleans())).encode()
        if draw.draw(st.integers(0, 3)):
            return plain
        units = value.encode("utf-16-be")
        return b'"%s"' % b"".join(
            b"\\u%02x%02x" % (units[i], units[i + 1]) for i in range(0, len(units), 2)
        )

    def node(value: object) -> bytes:
        if isinstance(value, Members):
            items = [
                space() + text(name) + space() + b":" + space() + node(item) + space()
                for name, item in value
            ]
            return b"{" + (b",".join(items) or space()) + b"}"
        if isinstance(value, list):
            value = cast("list[object]", value)
            items = [space() + node(item) + space() for item in value]
            return b"[" + (b",".join(items) or space()) + b"]"
        if isinstance(value, str):
            return text(value)
        return json.dumps(value).encode()

    return space() + node(value) + space()


def read(data: bytes) -> object:
    return json.loads(data, object_pairs_hook=Members)


_GONE = object()


def edited(value: object, paths: list[tuple[Path, object]]) -> object:
    """What the edits mean, done on the decoded value. An edit that gives `_GONE` drops."""
    for path, new in paths:
        if not path:
            return new
    if isinstance(value, Members):
        members = [
            (name, edited(item, [(p[1:], new) for p, new in paths if p[0] == name]))
            for name, item in value
        ]
        return Members((name, item) for name, item in members if item is not _GONE)
    if isinstance(value, list):
        value = cast("list[object]", value)
        items = [
            edited(item, [(p[1:], new) for p, new in paths if p[0] is None or _at(p[0], index)])
            for index, item in enumerate(value)
        ]
        return [item for item in items if item is not _GONE]
    return value


def _at(segment: object, index: int) -> bool:
    return type(segment) is int and segment == index


@settings(max_examples=400)
@given(
    draw=st.data(), document=DOCUMENTS, paths=st.lists(st.tuples(PATHS, st.booleans()), max_size=4)
)
def test_splicing_is_editing_the_decoded_value(
    draw: st.DataObject, document: object, paths: list[tuple[Path, bool]]
) -> None:
    """Every occurrence of a name is edited, whatever its spelling, and nothing else changes."""
    data = write(draw, document)

    result = splice(
        data, [(path, (lambda _: None) if drop else (lambda _: b'"X"')) for path, drop in paths]
    )

    wanted = edited(read(data), [(path, _GONE if drop else "X") for path, drop in paths])
    assert read(result) == wanted


@settings(max_examples=200)
@given(draw=st.data(), document=DOCUMENTS, paths=st.lists(PATHS, max_size=3))
def test_what_is_not_masked_stays_byte_for_byte(
    draw: st.DataObject, document: object, paths: list[Path]
) -> None:
    """Undoing the replacements gives back the bytes that came in; without any, the same object."""
    data = write(draw, document)
    taken: list[bytes] = []

    def replace(old: bytes) -> bytes:
        taken.append(old)
        return b'"\\u0000MASKED"'

    result = splice(data, [(path, replace) for path in paths])

    for old in taken:
        result = result.replace(b'"\\u0000MASKED"', old, 1)
    assert result == data
    assert taken or splice(data, [(path, replace) for path in paths]) is data


@settings(max_examples=200)
@given(draw=st.data(), document=DOCUMENTS, drop=st.booleans())
def test_a_masked_value_never_remains(draw: st.DataObject, document: object, drop: bool) -> None:
    """A member called `card` is nowhere in the output, at any of its occurrences in the object."""
    members = document if isinstance(document, Members) else Members([("a", document)])
    secret = Members([*members, ("card", "4111SECRET"), *members, ("card", ["4111SECRET"])])
    data = write(draw, secret).replace(b"4111\\u", b"4111\\u")

    result = splice(data, [(("card",), (lambda _: None) if drop else (lambda _: b'"***"'))])

    assert b"4111SECRET" not in result
    assert [item for name, item in read(result) if name == "card" and item != "***"] == []  # type: ignore[attr-defined]
