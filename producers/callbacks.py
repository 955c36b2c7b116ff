"""Running the caller's callbacks so that none of them can disturb the client, or be lost.

The client raises what a callback raised from `poll()` or `flush()`, and by then has forgotten the
others that failed. Here every callback is run to its end; then the first exception is raised from
the guard's `poll()` or `flush()`, as users of the client expect, and the others are logged.
`produce()` never raises one: the caller would take its event for not sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from confluent_kafka import KafkaError

__all__ = ["CLIENT_CALLBACKS", "Callbacks", "Report"]

log = logging.getLogger("streamwarden")

#: `on_delivery(error, message)`.
Report: TypeAlias = Callable[[KafkaError | None, Any], object]

#: Callbacks of a client's configuration that run inside its `poll()`.
CLIENT_CALLBACKS = ("error_cb", "stats_cb", "throttle_cb", "on_commit")


class Callbacks:
    """Runs callbacks; keeps the first exception until `raise_first`. Thread-safe."""

    __slots__ = ("_count", "_first")

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._first: list[Exception] = []

    def safe(self, callback: Callable[..., object]) -> Callable[..., None]:
        """`callback` as the client may have it: it never raises."""
        return _Safe(callback, self)

    def run(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call `callback` now; what it raises is kept."""
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever the caller's code raises
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Take note of what a callback raised."""
        self._count("dropped/callbacks/raised")
        if self._first:
            log.error("a callback raised %s", type(error).__name__, exc_info=error)
        else:
            self._first.append(error)

    @property
    def failing(self) -> bool:
        """True where `raise_first` raises."""
        return bool(self._first)

    def raise_first(self) -> None:
        """Raise what was kept, once."""
        if self._first:
            try:
                error = self._first.pop()
            except IndexError:  # another thread was faster
                return
            raise error


class _Safe:
    # A class with slots is made three times faster than a closure or functools.partial.
    __slots__ = ("_callback", "_owner")

    def __init__(self, callback: Callable[..., object], owner: Callbacks) -> None:
        self._callback = callback
        self._owner = owner

    def __call__(self, *arguments: object) -> None:
        try:
            self._callback(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever the caller's code raises
            self._owner.failed(error)
