"""Where a decision log goes: what its URL and the options beside it say."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from streamwarden.errors import ConfigurationError
from streamwarden.urls import shown_url

from .connection import connection_of

__all__ = ["LogTarget", "log_target"]

_KAFKA: Final = re.compile(r"//([^/@?]+)/([a-zA-Z0-9._-]{1,249})/?")
_HOW: Final = "write `kafka://HOST:PORT/TOPIC` or `file:PATH`"
#: Client settings besides those of the connection that the log's producer takes.
_WRITING: Final = frozenset(
    {"compression.type", "linger.ms", "message.max.bytes", "message.timeout.ms"}
)
#: Shares of decisions, and how many entries may wait.
_ALLOW, _SHADOW, _ROOM = 0.0, 0.1, 10_000
_OWN: Final = frozenset({"allow", "shadow", "room", "client"})


@dataclass(frozen=True, slots=True)
class LogTarget:
    """A file (`path`), or a topic with the configuration of a producer. `shown` has no secrets.

    `allow` and `shadow` are the shares of plain allows and of shadow matches that are logged, from
    0 to 1; `room` is how many enforced decisions may wait to be written, and as many others.
    """

    shown: str
    path: Path | None = None
    topic: str = ""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    allow: float = _ALLOW
    shadow: float = _SHADOW
    room: int = _ROOM


def log_target(url: str, options: Mapping[str, object] | None = None) -> LogTarget:
    """The target of a URL; `options` (`allow`, `shadow`, `room`, `client`) win over its query.

    `client` holds settings of the Kafka client that should not stand in a URL. Raises
    ConfigurationError; neither network nor file is touched, but a folder that is not there is said.
    """
    scheme, colon, rest = url.partition(":")
    location, mark, query = rest.partition("?")
    # An option may have an `@` in its value; one in a name is the rest of a password with a `?`.
    shown = shown_url(url if "@" in query.partition("=")[0] else f"{scheme}:{location}")
    if not colon or scheme not in ("kafka", "file") or not location:
        raise ConfigurationError(f"`{shown[:200]}` is no decision log", remedy=_HOW)
    pairs: list[tuple[str, str]] = [("", "")]
    with suppress(ValueError):
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(mark))
    given: dict[str, object] = dict(pairs)
    if "" in given or len(pairs) != len(given):
        raise ConfigurationError(
            f"the options of decision log `{shown}` are malformed",
            remedy="write `?allow=0.01&shadow=1`, each once",
        )
    client = dict(given)
    own = {name: client.pop(name) for name in list(client) if name in _OWN}
    for name, value in (options or {}).items():
        if name not in _OWN:
            raise _unknown(shown, name)
        own[name] = value
    beside = own.pop("client", None)
    if isinstance(beside, Mapping):
        client |= cast("Mapping[str, object]", beside)
    known: dict[str, Any] = {
        "allow": _share("allow", own.get("allow", _ALLOW)),
        "shadow": _share("shadow", own.get("shadow", _SHADOW)),
        "room": _room(own.get("room", _ROOM)),
    }
    if scheme == "file":
        if client:
            raise _unknown(shown, next(iter(client)))
        return LogTarget(shown, path=_path(location), **known)
    match = _KAFKA.fullmatch(location)
    if match is None:
        raise ConfigurationError(f"`{shown}` is no decision log", remedy=_HOW)
    config = connection_of(client)
    for name in client:
        if name not in config and name not in _WRITING:
            raise _unknown(shown, name)
    config |= {name: value for name, value in client.items() if name in _WRITING}
    config["bootstrap.servers"] = match[1]
    return LogTarget(shown, topic=match[2], config=config, **known)


def _unknown(shown: str, name: str) -> ConfigurationError:
    return ConfigurationError(
        f"decision log `{shown}` takes no `{name[:60]}`",
        remedy="there are `allow`, `shadow`, `room`, and settings of how to reach Kafka",
    )


def _share(name: str, value: object) -> float:
    try:
        share = float(str(value))
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ConfigurationError(
            f"`{name}` of the decision log is `{value}`", remedy="write a share from 0 to 1"
        )
    return share


def _room(value: object) -> int:
    try:
        room = int(str(value))
    except ValueError:
        room = 0
    if not 1 <= room <= 10_000_000:
        raise ConfigurationError(
            f"`room` of the decision log is `{value}`",
            remedy="write how many decisions may wait, 1 to 10,000,000",
        )
    return room


def _path(location: str) -> Path:
    """`file:relative`, `file:/absolute`, `file:///absolute`."""
    path = Path(location[2:] if location.startswith("///") else location)
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigurationError(
            f"there can be no decision log at `{path}`",
            remedy="name a file in a folder that is there",
        )
    return path
