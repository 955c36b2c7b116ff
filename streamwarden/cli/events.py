"""Events as lines of text: what `publish` and `decide` read, and what `consume` writes.

In the format `value` a line is an event's value. In the format `record` it is
`{"topic", "key", "value", "headers", "timestamp", "partition", "facts"}`, with key, value and
header values a string (its UTF-8 bytes), `{"base64": "…"}`, or null.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias, cast

import msgspec

from streamwarden.errors import ConfigurationError

from ..policy.paths import PathError, parse_path

__all__ = ["FORMATS", "EventReader", "GivenEvent", "bytes_as_json"]

FORMATS = ("value", "record")

_MEMBERS = ("topic", "key", "value", "headers", "timestamp", "partition", "facts")
#: What `consume --json` adds; read so that its lines can be published again.
_IGNORED = ("offset", "decision")
_HALF = re.compile("[\ud800-\udfff]")
#: Records may name any topic.
_TOPICS_MAX = 1000
_PARTITION_MAX = 2**31 - 1
#: The end of the year 9999. A broker refuses later times, and with them the other events of a batch.
_TIMESTAMP_MAX = 253_402_300_799_999

_Json: TypeAlias = Mapping[str, object]


class GivenEvent(NamedTuple):
    """One event as somebody wants it published; None where nothing was said."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int | None
    partition: int | None
    facts: _Json | None


class EventReader:
    """Makes events of lines. `key_path` (`value.id`) takes the key from the value.

    `keyless` counts the events in which there was nothing at that path; `keyed` has the topics of
    the others, the first thousand.
    """

    def __init__(self, topic: str | None, line_format: str, key_path: str | None) -> None:
        self._topic = topic
        self._record = line_format == "record"
        self._path = None if key_path is None else _key_path(key_path)
        self.keyless = 0
        self.keyed: set[str] = set()

    @property
    def key_path(self) -> tuple[str | int, ...]:
        """Where keys come from, beginning with `value`; empty where they do not."""
        return () if self._path is None else ("value", *self._path)

    def read(self, line: bytes) -> GivenEvent:
        """The event of one line. Raises ValueError saying what is wrong with the line."""
        event = self._read_record(line) if self._record else self._read_value(line)
        if self._path is None or event.key is not None:
            return event
        key = None if event.value is None else _at(event.value, self._path)
        if key is None:
            self.keyless += 1
        elif len(self.keyed) < _TOPICS_MAX:
            self.keyed.add(event.topic)
        return event._replace(key=key)

    def _read_value(self, line: bytes) -> GivenEvent:
        assert self._topic is not None  # the command asks for it
        return GivenEvent(self._topic, None, line, [], None, None, None)

    def _read_record(self, line: bytes) -> GivenEvent:
        found = _object(line)
        for name in found:
            if name not in _MEMBERS and name not in _IGNORED:
                raise ValueError(f"unknown member `{name[:64]}`; there are {', '.join(_MEMBERS)}")
        if "value" not in found:
            raise ValueError("the record has no `value`; write null for a tombstone")
        topic = found.get("topic", self._topic)
        if not isinstance(topic, str) or not topic:
            raise ValueError("the record names no `topic`, and there is no --topic")
        facts = found.get("facts")
        if facts is not None and not isinstance(facts, dict):
            raise ValueError("`facts` is not an object")
        return GivenEvent(
            topic,
            _bytes(found.get("key"), "key"),
            _bytes(found["value"], "value"),
            _headers(found.get("headers")),
            _number(found.get("timestamp"), "timestamp", _TIMESTAMP_MAX),
            _number(found.get("partition"), "partition", _PARTITION_MAX),
            cast("_Json | None", facts),
        )


def _object(line: bytes) -> dict[str, object]:
    try:
        found: object = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(_no_json(line, error)) from None
    if not isinstance(found, dict):
        raise ValueError("the line is no JSON object; with --format value each line is a value")
    return cast("dict[str, object]", found)


def _no_json(line: bytes, error: Exception) -> str:
    """What is wrong with a line; half a character is taken for a text that was cut off."""
    try:
        half = _HALF.search(json.dumps(json.loads(line), ensure_ascii=False))
    except (ValueError, RecursionError):
        half = None
    if half is None:
        return f"the line is no JSON: {error}"
    return (
        f"`\\u{ord(half.group()):04x}` is half of a surrogate pair, which is no character; "
        'write both halves, or the bytes as {"base64": "…"}'
    )


def _bytes(given: object, what: str) -> bytes | None:
    if given is None:
        return None
    if isinstance(given, str):
        return given.encode()
    text = cast("_Json", given).get("base64") if isinstance(given, dict) else None
    if not isinstance(text, str) or len(cast("_Json", given)) != 1:
        raise ValueError(f'`{what}` is a string, {{"base64": "…"}} or null')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"`{what}` is not base64") from None


def _headers(given: object) -> list[tuple[str, bytes | None]]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise ValueError("`headers` is a list of [name, value]")
    headers: list[tuple[str, bytes | None]] = []
    for item in cast("list[object]", given):
        pair = cast("list[object]", item) if isinstance(item, list) else []
        if len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError("`headers` is a list of [name, value]")
        headers.append((pair[0], _bytes(pair[1], "a header's value")))
    return headers


def _number(given: object, what: str, most: int) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= most:
        unit = " of milliseconds since the epoch" if what == "timestamp" else ""
        if isinstance(given, int) and given > most:
            raise ValueError(f"`{what}` is a whole number{unit}, at most {most:,}")
        raise ValueError(
            f"`{what}` is a whole number{unit}, not negative; null where there is none"
        )
    return given


def _key_path(text: str) -> tuple[str | int, ...]:
    try:
        path = parse_path(text)
    except PathError as error:
        raise ConfigurationError(f"--key `{text}`: {error.message}", remedy=error.remedy) from None
    if path[0] not in ("value", "message") or len(path) == 1:
        raise ConfigurationError(
            f"--key `{text}` names no part of the value", remedy="write such as `value.id`"
        )
    return tuple(segment for segment in path[1:] if segment is not None)


_MEMBERS_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS_RAW = msgspec.json.Decoder(list[msgspec.Raw])


def _at(value: bytes, path: tuple[str | int, ...]) -> bytes | None:
    """What a JSON value has at `path`: a text's own bytes, anything else as written.

    None where there is nothing, or null, or where the value is no JSON (policy will say so).
    """
    raw: bytes | msgspec.Raw = value
    try:
        for segment in path:
            if isinstance(segment, str):
                raw = _MEMBERS_RAW.decode(raw)[segment]
            else:
                raw = _ITEMS_RAW.decode(raw)[segment]
        found: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, IndexError):
        return None
    if found is None:
        return None
    return found.encode() if isinstance(found, str) else bytes(raw)


def bytes_as_json(data: bytes | None) -> str | dict[str, str] | None:
    """A key, value or header value for JSON, so that `record` reads the same bytes back."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
