"""What a caller hands over, brought into the one form that the guard decides on and sends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import cast

__all__ = ["as_bytes", "check_topic_name", "normal_headers"]

_Header = tuple[str, bytes | None]

_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_topic_name(topic: object) -> None:
    """Raise ValueError for a name that no Kafka topic can have.

    The client takes any name and reports failure late, or for `a b` never.
    """
    if not isinstance(topic, str):
        raise TypeError(f"a topic is named by a str, not {type(topic).__name__}")
    if topic in (".", "..") or not _TOPIC_NAME.fullmatch(topic):
        raise ValueError(
            f"`{topic[:64]}` is no topic name; use 1 to 249 of the characters a-z A-Z 0-9 . _ -"
        )


def as_bytes(data: object, what: str) -> bytes | None:
    """`data` as the client would send it: text as UTF-8, bytes and None as they are."""
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    raise TypeError(f"a {what} is bytes, str or None, not {type(data).__name__}")


def normal_headers(headers: object) -> list[_Header]:
    """Headers as a list of (name, bytes or None), in order, duplicates kept.

    Takes what the client takes: a dict, or a list of tuples. Raises ValueError for a NUL in a
    name, since the client would cut the name there and send another header than it was given.
    """
    if not headers:
        return []
    if isinstance(headers, dict):
        pairs = cast("Iterable[object]", headers.items())
    elif isinstance(headers, list):
        pairs = cast("list[object]", headers)
    else:
        raise TypeError(
            f"headers are a dict or a list of (name, value) tuples, not {type(headers).__name__}"
        )
    return [_header(pair) for pair in pairs]


def _header(pair: object) -> _Header:
    if not isinstance(pair, tuple) or len(cast("tuple[object, ...]", pair)) != 2:
        raise TypeError("each header is a tuple of a name and a value")
    name, value = cast("tuple[object, object]", pair)
    if isinstance(name, bytes):
        name = name.decode()
    if not isinstance(name, str):
        raise TypeError(f"the name of a header is a str, not {type(name).__name__}")
    if "\0" in name:
        raise ValueError(f"the header name `{name[:64]!a}` has a NUL in it")
    return name, as_bytes(value, "header value")
