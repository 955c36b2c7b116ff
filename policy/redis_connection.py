"""A connection to Redis that answers in time or says that it did not.

redis-py retries by itself for seconds, and would stall a guard: here every operation has one
deadline, checked between its commands, and every silence of the server ends with the socket's own
timeout. Where the server is a node of a cluster, the one that has the keys is asked.
"""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from streamwarden.errors import StoreError

from .store import StoreAddress
from .store_records import UNREACHABLE

__all__ = ["Operation", "RedisConnection"]

_T = TypeVar("_T")

#: How long reading may take in all. A guard's following thread waits so long at most.
_READ_S: Final = 2.0
#: Publishers send bundles of megabytes, and a person waits.
_WRITE_S: Final = 10.0
#: A server that is silent so long, in the middle of a command, is not there. Half the deadline, so
#: that one silence leaves time to say so.
_SILENCE: Final = 0.5
#: Nodes of a cluster move keys seldom; who is sent on more often is sent in circles.
_MOVES_MAX: Final = 3
_SILENT: Final = "does not answer"
_OPTIONS: Final = ("db", "ca", "cert", "key", "username", "password", "timeout_s")


class Operation:
    """Commands under one deadline, on one node."""

    def __init__(self, client: Any, deadline: float, shown: str) -> None:
        self._client, self._deadline, self._shown = client, deadline, shown

    def do(self, *command: str | int | bytes) -> Any:
        """What the server says to one command. Raises StoreError once the time is over."""
        if time.monotonic() > self._deadline:
            raise StoreError(
                f"the store {self._shown} takes too long",
                remedy="look at the server's load and the network",
                code=UNREACHABLE,
            )
        return self._client.execute_command(*command)


class RedisConnection:
    """See the module's first lines. Connects when it is first used; safe between threads."""

    def __init__(self, address: StoreAddress) -> None:
        address.allow(*_OPTIONS)
        self.shown = f"`{address.shown}`"
        options: dict[str, object] = {**address.options, **address.client}
        self._read_s = _seconds(options.pop("timeout_s", _READ_S), self.shown)
        self._settings = _settings(address, options, self.shown)
        # By the node that has the keys of a cluster (None: the one that was named) and the timeout.
        self._clients: dict[tuple[tuple[str, int] | None, float], Any] = {}
        self._homes: dict[str, tuple[str, int]] = {}

    def read(self, home: str, operate: Callable[[Operation], _T]) -> _T:
        """The outcome of `operate`; `home` names the keys that lie together. Raises StoreError."""
        return self._run(home, operate, self._read_s)

    def write(self, home: str, operate: Callable[[Operation], _T]) -> _T:
        """Likewise, with a publisher's patience.

        A server that falls silent may have done it: then the error says so.
        """
        try:
            return self._run(home, operate, max(self._read_s, _WRITE_S))
        except StoreError as error:
            if _SILENT in error.message:
                error.remedy = "it may have been written all the same: look at its history"
            raise

    def subscribe(self, channel: str) -> Any:
        """A subscription of its own connection, to be closed by the caller."""
        with self.telling():
            subscription = self._client(None, self._read_s).pubsub()
            subscription.subscribe(channel)
            return subscription

    def close(self) -> None:
        """Let go of every connection."""
        for client in self._clients.values():
            with contextlib.suppress(RedisError, OSError):
                client.close()
        self._clients.clear()

    @contextmanager
    def telling(self) -> Generator[None]:
        """What the client raises inside becomes StoreError, without passwords."""
        try:
            yield
        except (RedisError, OSError) as error:
            raise _told(error, self.shown) from None

    def _run(self, home: str, operate: Callable[[Operation], _T], allowed_s: float) -> _T:
        deadline = time.monotonic() + allowed_s
        with self.telling():
            for _ in range(_MOVES_MAX):
                client = self._client(self._homes.get(home), allowed_s)
                try:
                    return operate(Operation(client, deadline, self.shown))
                except ResponseError as error:
                    node = _moved_to(error)
                    if node is None:
                        raise
                    self._homes[home] = node
                except (RedisError, OSError):
                    # After a failover of the cluster the node that was named knows better.
                    self._homes.pop(home, None)
                    raise
        raise StoreError(
            f"the nodes of the store {self.shown} send each other's clients in circles",
            remedy="look at the state of the cluster",
            code=UNREACHABLE,
        )

    def _client(self, node: tuple[str, int] | None, allowed_s: float) -> Any:
        client = self._clients.get((node, allowed_s))
        if client is None:
            silence_s = allowed_s * _SILENCE
            settings: dict[str, Any] = {
                **self._settings,
                "socket_timeout": silence_s,
                "socket_connect_timeout": silence_s,
            }
            if node is not None:
                settings |= {"host": node[0], "port": node[1]}
            client = self._clients[node, allowed_s] = redis.Redis(**settings)
        return client


def _settings(address: StoreAddress, options: Mapping[str, object], shown: str) -> dict[str, Any]:
    """What the client takes. RESP2 needs no right to say HELLO."""
    settings: dict[str, Any] = {
        "retry": None,
        "retry_on_error": [],
        "protocol": 2,
    }
    try:
        parts = urllib.parse.urlsplit(f"x:{address.location}")
        path = urllib.parse.unquote(parts.path)
        user, password, host, port = parts.username, parts.password, parts.hostname, parts.port
    except ValueError:
        raise _malformed(shown, "host or port is malformed") from None
    if address.scheme == "redis+unix":
        database = options.get("db", 0)
        settings["unix_socket_path"] = path
        if not path.startswith("/"):
            raise _malformed(shown, "the path of the socket is not absolute")
    else:
        database = options.get("db", path.strip("/") or 0)
        settings |= {"host": host or "localhost", "port": port or 6379}
    if address.scheme == "rediss":
        settings |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        for option, name in (("ca", "ca_certs"), ("cert", "certfile"), ("key", "keyfile")):
            if option in options:
                settings[f"ssl_{name}"] = str(options[option])
    elif {"ca", "cert", "key"} & options.keys():
        raise _malformed(shown, "certificates are for `rediss:`")
    if not str(database).isdecimal():
        raise _malformed(shown, "the database is no number")
    settings["db"] = int(str(database))
    settings["username"] = options.get("username", urllib.parse.unquote(user or "")) or None
    settings["password"] = options.get("password", urllib.parse.unquote(password or "")) or None
    return settings


def _moved_to(error: ResponseError) -> tuple[str, int] | None:
    """The node that a cluster sends us to; how the client says so depends on its version."""
    words = str(error).removeprefix("MOVED ").split()
    if len(words) != 2 or not words[0].isdecimal():
        return None
    host, _, port = words[1].rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else None


def _seconds(given: object, shown: str) -> float:
    with contextlib.suppress(TypeError, ValueError):
        seconds = float(str(given))
        if 0 < seconds <= 60:
            return seconds
    raise _malformed(shown, "`timeout_s` is no time between 0 and 60 seconds")


def _malformed(shown: str, why: str) -> StoreError:
    return StoreError(
        f"the store {shown} is malformed: {why}",
        remedy="write `redis://HOST:PORT/DB?bundle=NAME` or `redis+unix:///PATH?db=0&bundle=NAME`",
    )


def _told(error: RedisError | OSError, shown: str) -> StoreError:
    if isinstance(error, NoPermissionError):
        why, remedy = f"does not allow it: {_line(error)}", "ask for the rights that the docs list"
    elif isinstance(error, AuthenticationError | AuthorizationError):
        why, remedy = "does not let us in: wrong user or password", "check user and password"
    elif isinstance(error, ReadOnlyError):
        why, remedy = "is a replica, which takes no changes", "name the primary"
    elif isinstance(error, RedisTimeoutError | TimeoutError):
        why, remedy = _SILENT, "check that the server runs and is not overloaded"
    elif isinstance(error, RedisConnectionError | OSError):
        why, remedy = f"cannot be reached: {_line(error)}", "check address, network and server"
    else:
        return StoreError(f"the store {shown} refuses: {_line(error)}", remedy="look at the server")
    return StoreError(f"the store {shown} {why}", remedy=remedy, code=UNREACHABLE)


def _line(error: BaseException) -> str:
    """The server's or the system's own words, on one line of a sensible length."""
    text = " ".join(str(error).split())[:200].rstrip(".")
    # "DB index is out of range" begins with a name.
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
