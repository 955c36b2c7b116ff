"""A line is the event that it says, or says what is wrong with it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamwarden.cli.events import EventReader, bytes_as_json
from streamwarden.errors import ConfigurationError


def record(**members: object) -> bytes:
    return json.dumps(members).encode()


def test_a_value_is_the_line_byte_for_byte() -> None:
    """Also where it is no text."""
    event = EventReader("t", "value", None).read(b"\xff\x00 \r")

    assert event.value == b"\xff\x00 \r"
    assert (event.topic, event.key, event.headers) == ("t", None, [])


def test_a_record_gives_everything() -> None:
    """Text is its UTF-8 bytes, base64 its bytes, null is null."""
    event = EventReader("t", "record", None).read(
        record(
            topic="other",
            key="ключ",
            value={"base64": "AAE="},
            headers=[["a", "1"], ["a", None], ["b", {"base64": "/w=="}]],
            timestamp=1_767_225_600_000,
            partition=3,
            facts={"fraud_score": 0.2},
        )
    )

    assert event == (
        "other",
        "ключ".encode(),
        b"\0\1",
        [("a", b"1"), ("a", None), ("b", b"\xff")],
        1_767_225_600_000,
        3,
        {"fraud_score": 0.2},
    )


def test_only_the_value_must_be_there() -> None:
    """A null one is a tombstone; what `consume` adds is no mistake."""
    event = EventReader("t", "record", None).read(record(value=None, offset=7, decision={}))

    assert event == ("t", None, None, [], None, None, None)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"\xff", "no JSON"),
        (rb'{"value": "\ud800"}', r"`\ud800` is half of a surrogate pair"),
        (rb'{"value": "x", "key": "\udfff!"}', r"`\udfff` is half of a surrogate pair"),
        (rb'{"value": "\\ud800', "no JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no `value`"),
        (record(value="x", vlaue="y"), "unknown member `vlaue`"),
        (record(value={"amount": 1}), "`value` is a string"),
        (record(value=1), "`value` is a string"),
        (record(value={"base64": "AA==", "x": 1}), "`value` is a string"),
        (record(value={"base64": "***"}), "`value` is not base64"),
        (record(value="x", key=1), "`key` is a string"),
        (record(value="x", headers={"a": "b"}), "a list of"),
        (record(value="x", headers=[["a"]]), "a list of"),
        (record(value="x", headers=[[1, "b"]]), "a list of"),
        (record(value="x", headers=[["a", 1]]), "header's value"),
        (record(value="x", timestamp=1.5), "`timestamp`"),
        (record(value="x", timestamp=True), "`timestamp`"),
        (record(value="x", timestamp="now"), "`timestamp`"),
        (record(value="x", timestamp=-1), "not negative; null where there is none"),
        (record(value="x", timestamp=2**63 - 1), "at most 253,402,300,799,999"),
        (record(value="x", partition=-1), "`partition`"),
        (record(value="x", partition=2**31), "`partition`"),
        (record(value="x", facts=[]), "`facts`"),
        (record(value="x", topic=1), "`topic`"),
    ],
)
def test_what_is_no_record_says_why(line: bytes, why: str) -> None:
    """One line cannot end the reading of others."""
    with pytest.raises(ValueError, match=re.escape(why)):
        EventReader("t", "record", None).read(line)


def test_a_record_without_any_topic_is_refused() -> None:
    """Neither the record nor --topic names one."""
    with pytest.raises(ValueError, match="no --topic"):
        EventReader(None, "record", None).read(record(value="x"))


@pytest.mark.parametrize(
    ("value", "path", "key"),
    [
        (b'{"id":"a-1"}', "value.id", b"a-1"),
        (b'{"id": 1.10 }', "value.id", b"1.10"),
        (b'{"id":123456789012345678901234567890}', "value.id", b"123456789012345678901234567890"),
        (b'{"id":true}', "value.id", b"true"),
        (b'{"id":"\\u00e9"}', "value.id", "é".encode()),
        (b'{"a":[{"b c":"x"}]}', 'value.a[0]["b c"]', b"x"),
        (b'{"id":{"a": 1}}', "message.id", b'{"a": 1}'),
        (b'{"id":null}', "value.id", None),
        (b'{"other":1}', "value.id", None),
        (b'{"id":[]}', "value.id[0]", None),
        (b'{"id":"x"}', "value.id.more", None),
        (b"not json", "value.id", None),
        (b"", "value.id", None),
    ],
)
def test_a_key_is_taken_from_the_value_as_written(
    value: bytes, path: str, key: bytes | None
) -> None:
    """Where there is nothing the event goes without, which is counted."""
    reader = EventReader("t", "value", path)

    event = reader.read(value)

    assert event.key == key
    assert event.value == value
    assert reader.keyless == (key is None)


def test_a_records_own_key_comes_first() -> None:
    """The path fills in where there is none."""
    reader = EventReader("t", "record", "value.id")

    assert reader.read(record(key="own", value='{"id":"x"}')).key == b"own"
    assert reader.read(record(value='{"id":"x"}')).key == b"x"
    assert reader.read(record(value=None)).key is None


@pytest.mark.parametrize("path", ["id", "value", "headers.x", "value..id", "value.a[]", ""])
def test_a_path_that_gives_no_key_is_refused(path: str) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigurationError, match="--key"):
        EventReader("t", "value", path)


@given(st.none() | st.binary())
def test_bytes_survive_as_json(data: bytes | None) -> None:
    """What `consume` writes, `publish --format record` reads back."""
    line = record(value=bytes_as_json(data))

    assert EventReader("t", "record", None).read(line).value == data
