"""Schemas from a registry, through confluent-kafka's own client.

Every lookup has one deadline, however many requests it takes and however slowly they are answered:
it runs on a thread of its own, and who waits for it stops waiting then. What has been found is kept,
that an id is unknown for a while; a registry that did not answer is left alone for a moment, so
that a burst of events waits once. Only the registry's own word makes an id unknown: anything else
that goes wrong means that it is unavailable.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from streamwarden.errors import ConfigurationError

from .framing import SchemaId
from .registry import NotFound, Schema, SchemaAnswer, SubjectVersion, Unavailable, make_schema
from .registry_client import (
    RegistryClient,
    SchemaText,
    bare_configuration,
    close_client,
    connect,
    content_of,
    failure_of,
    references_of,
    shown_registry,
    tags_of,
)

__all__ = ["RegistrySource"]

#: Found schemas that are kept. A topic has few; a hostile producer may name many.
_FOUND_MAX: Final = 1000
_UNKNOWN_MAX: Final = 10_000
#: A schema can be registered a moment after its first event was seen elsewhere.
_UNKNOWN_FOR_S: Final = 10.0
#: Between failures; a consumer that waits asks again this often.
_UNAVAILABLE_FOR_S: Final = 0.5
#: The client fails for ids beyond; no registry gives them.
_ID_MAX: Final = 2**31 - 1

_NO_SUCH: Final = frozenset((40401, 40402, 40403))
_HTTP_NOT_FOUND: Final = 404


class RegistrySource:
    """The schemas of a registry; `configuration` is that of Confluent's client, or a URL alone.

    Credentials in the URL are used and never shown. Nothing is asked before the first lookup, and a
    URL that is none is ConfigurationError at once. `client` is for tests.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any] | str,
        *,
        timeout_s: float = 5.0,
        client: RegistryClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        given = {"url": configuration} if isinstance(configuration, str) else dict(configuration)
        self.url = shown_registry(str(given.get("url", "")))
        self._timeout_s, self._clock = timeout_s, clock
        self._configuration = {
            "timeout": timeout_s,
            "max.retries": 1,
            "retries.wait.ms": 50,
            **(bare_configuration(given) if client is None else given),
        }
        self._given_client = client
        self._client: RegistryClient | None = client
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._found: _Bounded[Schema] = _Bounded(_FOUND_MAX)
        self._unknown: _Bounded[float] = _Bounded(_UNKNOWN_MAX)
        self._running: dict[SchemaId | str, _Lookup] = {}
        self._down: tuple[float, str] | None = None

    def schema(self, id: SchemaId) -> SchemaAnswer:  # noqa: A002
        """The schema of an id: from memory, or within the deadline from the registry."""
        found = self._found.get(id)
        if found is not None:
            return found
        if isinstance(id, int) and id > _ID_MAX:
            return NotFound(id)
        return self._answer(id, lambda: self._by_id(id))

    def latest(self, subject: str) -> SchemaAnswer:
        """The newest schema of a subject, always from the registry."""
        return self._answer(subject, lambda: self._by_subject(subject))

    def close(self) -> None:
        """Close connections that are open."""
        if self._client is not None:
            close_client(self._client)

    def _answer(self, key: SchemaId | str, look_up: Callable[[], Schema]) -> SchemaAnswer:
        now = self._clock()
        with self._lock:
            self._after_fork()
            until = self._unknown.get(key)
            if until is not None and now < until:
                return NotFound(key)
            if self._down is not None and now < self._down[0]:
                return Unavailable(key, self._down[1])
            running = self._running.get(key)
            if running is None or running.abandoned(now):
                running = _Lookup(now + 4 * self._timeout_s)
                self._running[key] = running
                self._start(key, running, look_up)
        answer = running.wait(self._timeout_s)
        if answer is None:
            answer = self._failed(key, f"did not answer within {self._timeout_s:g} s")
        return answer

    def _start(self, key: SchemaId | str, running: _Lookup, look_up: Callable[[], Schema]) -> None:
        def run() -> None:
            answer = self._outcome(key, look_up)
            with self._lock:
                if self._running.get(key) is running:
                    del self._running[key]
            running.finish(answer)

        threading.Thread(target=run, name="streamwarden-schema", daemon=True).start()

    def _outcome(self, key: SchemaId | str, look_up: Callable[[], Schema]) -> SchemaAnswer:
        try:
            found = look_up()
        except ConfigurationError as error:
            return self._failed(key, str(error))
        except Exception as error:  # noqa: BLE001 — of the client, of HTTP, of TLS
            if _denied(error, key):
                with self._lock:
                    self._unknown.put(key, self._clock() + _UNKNOWN_FOR_S)
                return NotFound(key)
            return self._failed(key, failure_of(error))
        with self._lock:
            self._down = None
            if not isinstance(key, str):
                self._found.put(key, found)
        return found

    def _failed(self, key: SchemaId | str, what: str) -> Unavailable:
        reason = f"the schema registry `{self.url}` {what}"
        with self._lock:
            self._down = (self._clock() + _UNAVAILABLE_FOR_S, reason)
        return Unavailable(key, reason)

    def _after_fork(self) -> None:
        """A child has neither the connections of its parent nor the threads."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._client = self._given_client
            self._running.clear()

    def _connected(self) -> RegistryClient:
        client = self._client
        if client is None:
            client = self._client = connect(self._configuration)
        return client

    def _by_id(self, id: SchemaId) -> Schema:  # noqa: A002
        client = self._connected()
        if isinstance(id, UUID):
            return self._made(id, client.get_schema_by_guid(str(id)), [])
        text = client.get_schema(id)
        return self._made(id, text, _versions(client, id))

    def _by_subject(self, subject: str) -> Schema:
        registered = self._connected().get_version(subject)
        versions = [SubjectVersion(subject, registered.version or 0)]
        return self._made(registered.schema_id or 0, registered.schema, versions)

    def _made(self, id: SchemaId, text: SchemaText, versions: list[SubjectVersion]) -> Schema:  # noqa: A002
        return make_schema(
            id,
            text.schema_type or "AVRO",
            content_of(text),
            references=references_of(self._connected(), text),
            versions=versions,
            tags=tags_of(text),
        )


_T = TypeVar("_T")


class _Bounded(Generic[_T]):
    """A dict that forgets what was put longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[object, _T] = OrderedDict()

    def get(self, key: object) -> _T | None:
        return self._items.get(key)

    def put(self, key: object, value: _T) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._most:
            self._items.popitem(last=False)


class _Lookup:
    """A lookup that is under way; many may wait for it."""

    def __init__(self, given_up_at: float) -> None:
        self._done = threading.Event()
        self._given_up_at = given_up_at
        self._answer: SchemaAnswer | None = None

    def abandoned(self, now: float) -> bool:
        """Whether it has taken so long that another one is worth while."""
        return now > self._given_up_at

    def finish(self, answer: SchemaAnswer) -> None:
        self._answer = answer
        self._done.set()

    def wait(self, timeout_s: float) -> SchemaAnswer | None:
        """The answer, None where it does not come in time."""
        self._done.wait(timeout_s)
        return self._answer


def _versions(client: RegistryClient, number: int) -> list[SubjectVersion]:
    """Where a schema is registered; nothing where the registry does not say."""
    try:
        found = client.get_schema_versions(number)
    except Exception as error:
        if getattr(error, "http_status_code", None) is None:
            raise
        return []
    return [SubjectVersion(each.subject, each.version) for each in found]


def _denied(error: Exception, key: SchemaId | str) -> bool:
    """Whether the registry has said that there is no such schema.

    A plain 404 can also come from a wrong URL; but registries without GUIDs answer so to one.
    """
    if getattr(error, "error_code", None) in _NO_SUCH:
        return True
    return isinstance(key, UUID) and getattr(error, "http_status_code", None) == _HTTP_NOT_FOUND
