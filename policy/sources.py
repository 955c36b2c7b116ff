"""Where a running guard takes its policy from, and how it hears of a change."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Protocol

from streamwarden.errors import StreamwardenError

from .bundle import Bundle
from .store import BundleStore, open_store

__all__ = ["BundleSource", "StoreSource", "open_source"]

log = logging.getLogger("streamwarden")

#: A change arrives within a second; the jitter keeps many guards from asking at once.
_POLL_S, _JITTER = 0.5, 0.3


class BundleSource(Protocol):
    """Gives the active bundle and calls back when it changes."""

    def current(self) -> Bundle | None:
        """The active bundle, None where nothing was ever activated. Raises StoreError."""
        ...

    def follow(self, swap: Callable[[Bundle], None]) -> None:
        """Call `swap` with every newly active bundle, from a thread of the source's own."""
        ...

    def close(self) -> None:
        """Stop following."""
        ...


class StoreSource:
    """Follows a bundle store by asking it, with jitter, for its active version.

    A store that cannot be read, or a bundle that the guard refuses, leaves the guard on its last
    good version: it is counted in `failures` and logged once until it changes.
    """

    def __init__(self, store: BundleStore) -> None:
        self._store = store
        self._epoch = -1
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._complaint = ""
        self.failures = 0

    def current(self) -> Bundle | None:
        """The active bundle of the store."""
        active = self._store.active()
        if active is None:
            return None
        self._epoch = active.activation.epoch
        return active.bundle

    def follow(self, swap: Callable[[Bundle], None]) -> None:
        """Start the following thread; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(swap,), name="streamwarden-source", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)

    def _run(self, swap: Callable[[Bundle], None]) -> None:
        while not self._stop.wait(_POLL_S * (1 + random.uniform(-_JITTER, _JITTER))):  # noqa: S311 — jitter
            try:
                active = self._store.active()
                if active is not None and active.activation.epoch > self._epoch:
                    swap(active.bundle)
                    self._epoch = active.activation.epoch
                self._complaint = ""
            except (StreamwardenError, OSError) as error:
                self.failures += 1
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    log.warning("keeping the last good policy: %s", error)


def open_source(url: str) -> BundleSource:
    """The source behind a store URL, `dir:PATH` or `dir:PATH?bundle=NAME`."""
    return StoreSource(open_store(url))
