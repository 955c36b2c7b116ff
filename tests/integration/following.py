"""A guard that decides all the time while its store is mistreated, and what it decided by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import load_directories
from streamwarden.policy.sources import StoreSource
from streamwarden.policy.store import BundleStore, open_store

__all__ = ["Deciding", "assert_in_order", "deciding", "limit_bundle", "put", "told", "until"]

_POLICY = """
policy: limits
owner: risk
topics: [t]
rules:
  - {{id: limit, when: value.amount > {limit}, effect: reject}}
"""


def limit_bundle(folder: Path, limit: int) -> Bundle:
    """A bundle `payments` with one limit; two limits are two digests."""
    folder /= "policies"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "limits.yaml").write_text(_POLICY.format(limit=limit))
    (folder / "bundle.yaml").write_text("bundle: payments\n")
    return load_directories([folder])


def told(url: str) -> Guard:
    """A guard that asks its store so seldom that it lives by what the store tells it."""
    return Guard(source=StoreSource(lambda: open_store(url), poll_s=3600))


def put(store: BundleStore, folder: Path, limit: int) -> Bundle:
    """Publish and activate a bundle."""
    published = store.publish(limit_bundle(folder, limit), by="ann", reason=f"limit {limit}")
    store.activate(published.number, by="ann", reason="go")
    return published


def until(holds: Callable[[], bool], *, within_s: float = 60.0) -> float:
    """Wait until `holds`; gives how long it took, in seconds.

    A client that lost its server asks for it again after up to ten seconds, and then as often as
    machines are busy.
    """
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > within_s:
            raise AssertionError(f"it did not become so within {within_s} s")
        time.sleep(0.005)
    return time.monotonic() - start


class Deciding:
    """What a thread saw that decided all the time."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.decisions = 0
        self.labels: list[str] = []
        self.failures: list[Exception] = []
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.0005):
            start = time.perf_counter()
            try:
                label = self.guard.decide(topic="t", value=b'{"amount": 15}').bundle
            except Exception as error:  # noqa: BLE001 - whatever it is, an event was not decided
                self.failures.append(error)
                continue
            self.slowest_s = max(self.slowest_s, time.perf_counter() - start)
            self.decisions += 1
            if not self.labels or self.labels[-1] != label:
                self.labels.append(label)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def assert_in_order(seen: Deciding, store: BundleStore) -> None:
    """Every version that decided was active, and none came back that was not activated again."""
    order = [f"payments@{activation.number}" for activation in store.activations()]
    places = [order.index(label) for label in seen.labels]
    assert places == sorted(places)


@contextmanager
def deciding(guard: Guard) -> Generator[Deciding]:
    """Decide in a thread meanwhile; no event may stay undecided. Closes the guard."""
    with guard:
        seen = Deciding(guard)
        seen.start()
        try:
            yield seen
        finally:
            seen.stop()
    assert seen.failures == []
    assert seen.decisions > 0
