"""URLs that people give: shown without what is secret in them, and taken apart without surprises.

A password that is not escaped makes a URL end where nobody meant it to. So nothing is shown of which
it cannot be said that no part of a password is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from streamwarden.errors import ConfigurationError

__all__ = ["HttpUrl", "http_url", "shown_url"]

_HIDDEN: Final = "***"
#: What stands behind these is a path: nothing of it is secret, and it may have an `@`.
_PATHS: Final = frozenset({"dir", "file"})
#: Hosts and their ports, several as for a cluster. Anything else behind a colon may be a password.
_HOSTS: Final = re.compile(r"(?:(?:\[[0-9a-fA-F:.%]*\]|[^\[\]:,]*)(?::[0-9]*)?(?:,|$))+")


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """An address of HTTP. `bare` is all of it but user and password, `place` its host and port."""

    bare: str
    place: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


def shown_url(url: str) -> str:
    """`url` for people: without user, password, query and fragment.

    `http://***@host:1/path` where there was a user; `http:***` where nobody can say where a
    password ends.
    """
    location, _, query = url.strip().partition("?")
    scheme, colon, rest = location.partition(":")
    authority = rest[2:].partition("/")[0] if rest.startswith("//") else ""
    if scheme in _PATHS and "@" not in authority:
        return location
    if not rest.startswith("//"):
        return _HIDDEN if "@" in url else location
    if "@" in query:
        return f"{scheme}{colon}{_HIDDEN}"
    if "@" in rest:
        return f"{scheme}://{_HIDDEN}@{rest.rpartition('@')[2].partition('#')[0]}"
    if _HOSTS.fullmatch(authority.partition("#")[0]) is None:
        return f"{scheme}{colon}{_HIDDEN}"
    return location.partition("#")[0]


def http_url(url: str, setting: str) -> HttpUrl:
    """The parts of an `http:` or `https:` URL; user and password are unescaped.

    Raises ConfigurationError, which names the `setting`, where it is none.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port  # a port is looked at when it is asked for
        user, password = parts.username, parts.password
    except ValueError:  # its words may hold any part of the URL
        raise _malformed(url, setting, "its host or port is malformed") from None
    if parts.scheme not in ("http", "https"):
        raise _malformed(url, setting, "it is no `http:` or `https:` URL")
    place = parts.netloc.rpartition("@")[2]
    if not host or port == 0 or not place.isprintable() or " " in place:
        raise _malformed(url, setting, "its host or port is malformed")
    return HttpUrl(
        urlunsplit(parts._replace(netloc=place)),
        place,
        None if user is None else unquote(user),
        None if password is None else unquote(password),
    )


def _malformed(url: str, setting: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"`{setting}` is `{shown_url(url)[:200]}`: {why}",
        remedy="write `http://HOST:PORT`, and in a password `%40` for `@`, `%2F` for `/`, `%3F` for `?`",
    )
