"""Where a running guard takes its policy from, and how it hears of a change."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from streamwarden.errors import StoreError, StreamwardenError
from streamwarden.settings import SourceSettings

from .bundle import Bundle
from .last_known_good import LastKnownGood, default_path
from .store import ActiveBundle, BundleStore, open_store, store_address

__all__ = ["CLOSE_S", "BundleSource", "Follower", "StoreSource", "open_source"]

log = logging.getLogger("streamwarden")

#: How often a store is asked: one that tells of changes, and one that does not or cannot now. The
#: jitter keeps many guards from asking at once.
_POLL_TOLD_S, _POLL_S, _JITTER = 2.0, 0.5, 0.3
#: A generator of its own: the service's shared one, and its seed, are left alone.
_chance = random.Random()  # noqa: S311 — jitter
#: A wait is cut into slices, so that close() does not wait long.
_SLICE_S: Final = 0.2
#: How long what is under way may take at the end.
CLOSE_S: Final = 5.0
#: Why a stored bundle is refused, by the code of the error.
_REASONS: Final = {"SW190": "newer_format", "SW191": "digest", "SW192": "damaged"}


class Follower(Protocol):
    """Who is given the policy: a guard."""

    def swap(self, bundle: Bundle) -> None:
        """Decide by `bundle` from now on. Raises ConfigurationError and stays as it was."""
        ...

    def halt(self, error: StreamwardenError) -> None:
        """Raise `error` instead of deciding, until `resume`."""
        ...

    def resume(self) -> None:
        """Decide again by the version there was."""
        ...

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter."""
        ...


class BundleSource(Protocol):
    """Gives a guard the active bundle, and every other that becomes so."""

    @property
    def last_success(self) -> float | None:
        """When the source was last heard, in seconds since the epoch."""
        ...

    def start(self, follower: Follower, settings: SourceSettings) -> None:
        """Give the active bundle now, and from a thread of the source's own from now on.

        A second call does nothing. Raises what stands in the way of a first policy, unless
        `no_policy` is `fail_open`; then nothing was started.
        """
        ...

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop following; what is asked of the store just now is waited for so long."""
        ...


@runtime_checkable
class _Remembers(Protocol):
    """A store that can be told what it has lost."""

    def keep_above(self, number: int, epoch: int) -> None: ...


class StoreSource:
    """Follows a bundle store: by its notifications, and by asking it in between.

    Whatever cannot be taken (a store out of reach, a bundle that is damaged or that the guard
    refuses, an activation older than one seen before) leaves the guard on its last good version,
    and is counted and logged once until it changes. `opener` is called here and in forked children:
    connections are not inherited. `default_file` is where the last good policy goes by default.
    """

    def __init__(
        self,
        opener: Callable[[], BundleStore],
        *,
        default_file: Path | None = None,
        poll_s: float = _POLL_S,
    ) -> None:
        self._opener, self._default_file, self._poll_s = opener, default_file, poll_s
        self._store = opener()
        self._follower: Follower | None = None
        self._settings = SourceSettings()
        self._file: LastKnownGood | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        #: The highest seen, so that an older activation is never taken.
        self._epoch = self._number = self._refused_epoch = 0
        self._digest = ""
        self._told = ""
        self._refused = ""
        self._unwritten: ActiveBundle | None = None  # in use, and not on disk for want of room
        self._heard_at = time.monotonic()
        self._stale = False
        self.last_success: float | None = None
        #: Held during a swap, so that no fork happens in the middle of one.
        self.swapping = threading.Lock()
        _sources.add(self)

    # ---------------------------------------------------------------- starting

    def start(self, follower: Follower, settings: SourceSettings) -> None:
        """See `BundleSource.start`."""
        if self._thread is not None:
            return
        self._follower, self._settings = follower, settings
        self._file = self._known_good_file()
        self._heard_at = time.monotonic()
        kept = self._kept(follower)
        if kept is not None:
            # Known from before: nothing older is taken, whatever the store says now.
            self._epoch, self._number = kept.activation.epoch, kept.bundle.number
            self._digest = kept.activation.digest
        try:
            active = self._store.active()
        except StoreError as error:
            if kept is None and settings.no_policy != "fail_open":
                raise
            self._trouble(follower, error)
            active = None
        else:
            self._heard(follower)
            if kept is not None and (active is None or active.activation.epoch < self._epoch):
                self._refuse_older(follower, active)
                active = None
        if active is not None:
            follower.swap(active.bundle)
            self._took(follower, active)
        elif kept is not None:
            follower.swap(kept.bundle)
            follower.count("fallbacks/last_known_good")
            log.warning(
                "deciding by the last known good policy, %s (activation %d), from %s",
                kept.bundle.label,
                kept.activation.epoch,
                self._file.path if self._file else "?",
            )
        self._follow()

    def _known_good_file(self) -> LastKnownGood | None:
        wanted = self._settings.last_known_good
        if wanted == "off":
            return None
        path = self._default_file if wanted == "default" else Path(wanted).expanduser()
        return None if path is None else LastKnownGood(path)

    def _kept(self, follower: Follower) -> ActiveBundle | None:
        if self._file is None:
            return None
        try:
            return self._file.read()
        except StoreError as error:
            reason = _REASONS.get(error.code, "damaged")
            self._refuse(follower, f"last_known_good_{reason}", str(error))
        except OSError as error:
            self._drop(follower, "unreadable", error)
        return None

    # --------------------------------------------------------------- following

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Stop the thread, wait for it, and let go of the store."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, timeout_s))
        if thread is None or not thread.is_alive():
            self._store.close()

    def after_fork(self) -> None:
        """In a child: the parent's thread is not there, and its connections are the parent's."""
        followed = self._thread is not None and not self._stop.is_set()
        self.swapping, self._stop, self._thread = threading.Lock(), threading.Event(), None
        _inherited.append(self._store)
        self._store = self._opener()
        if followed:
            self._follow()

    def _follow(self) -> None:
        self._thread = threading.Thread(target=self._run, name="streamwarden-source", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        follower, stop = self._follower, self._stop
        assert follower is not None
        due = time.monotonic()
        while not stop.is_set():
            due = time.monotonic() + _jittered(self._poll_s)
            try:
                while not stop.is_set() and time.monotonic() < due:
                    if self._store.wait_for_change(_SLICE_S):
                        break
            except StoreError as error:
                # It is asked all the same: a right to subscribe may be missing.
                log.debug("no notifications of the policy: %s", error)
                stop.wait(_jittered(_POLL_S))
            except Exception:
                log.exception("no notifications of the policy")
                stop.wait(_jittered(_POLL_S))
            if not stop.is_set():
                self._look(follower)
                if self._unwritten is not None:
                    self._keep(follower, self._unwritten)

    def _look(self, follower: Follower) -> None:
        try:
            active = self._store.active()
        except StoreError as error:
            self._trouble(follower, error)
            return
        except Exception as error:
            log.exception("the policy cannot be looked at")
            self._trouble(follower, StoreError(f"internal error: {error}"))
            return
        if active is None or active.activation.epoch < self._epoch:
            if self._epoch:
                self._refuse_older(follower, active)
        elif active.activation.epoch > self._epoch:
            # What the guard refused once it would refuse again: its own settings do not change.
            if active.activation.epoch != self._refused_epoch:
                self._take(follower, active)
        elif active.activation.digest != self._digest:
            self._refuse(
                follower,
                "digest",
                f"activation {self._epoch} is of another bundle than when it was taken",
            )
        self._heard(follower)

    def _take(self, follower: Follower, active: ActiveBundle) -> None:
        label = f"{active.bundle.label} (activation {active.activation.epoch})"
        try:
            with self.swapping:
                follower.swap(active.bundle)
        except StreamwardenError as error:
            self._refused_epoch = active.activation.epoch
            self._refuse(follower, "configuration", f"{label}: {error}")
        except Exception:
            self._refused_epoch = active.activation.epoch
            log.exception("%s cannot be compiled", label)
            self._refuse(follower, "internal", f"{label} cannot be compiled")
        else:
            self._took(follower, active)

    def _took(self, follower: Follower, active: ActiveBundle) -> None:
        done = active.activation
        self._epoch, self._digest = done.epoch, done.digest
        self._number = max(self._number, done.number)
        self._refused = ""
        log.info("activation %d by %s: %s", done.epoch, done.by, done.reason)
        self._keep(follower, active)

    def _keep(self, follower: Follower, active: ActiveBundle) -> None:
        """Keep it on disk; what the disk does not take is tried again after the next look."""
        if self._file is None:
            return
        unwritten, self._unwritten = self._unwritten, None
        try:
            self._file.write(active)
        except StoreError as error:
            self._refuse(follower, "last_known_good_newer_format", str(error))
        except OSError as error:
            self._unwritten = active
            if active is not unwritten:  # told once
                self._drop(follower, "write_failed", error)

    # ---------------------------------------------------------------- trouble

    def _trouble(self, follower: Follower, error: StoreError) -> None:
        """The store does not give a bundle: because of the bundle, or of the store."""
        reason = _REASONS.get(error.code)
        if reason is not None:
            self._refuse(follower, reason, str(error))
            self._heard(follower)
            return
        follower.count("fallbacks/source")
        if str(error) != self._told:
            self._told = str(error)
            log.warning("keeping the last good policy: %s", error)
        silent_s = time.monotonic() - self._heard_at
        if silent_s > self._settings.stale_after_s and not self._stale:
            self._stale = True
            log.error("the source of the policy has been silent for %.0f s", silent_s)
            if self._settings.source_unreachable == "stop":
                follower.count("fallbacks/stopped")
                follower.halt(
                    StoreError(
                        f"the policy was last confirmed {silent_s:.0f} s ago, and this guard stops "
                        f"after {self._settings.stale_after_s:g} s",
                        remedy=f"bring its source back: {error}",
                        code="SW198",
                    )
                )

    def _heard(self, follower: Follower) -> None:
        self._heard_at, self.last_success = time.monotonic(), time.time()
        if self._told:
            self._told = ""
            log.info("the source of the policy answers again")
        if self._stale:
            self._stale = False
            follower.resume()

    def _refuse_older(self, follower: Follower, active: ActiveBundle | None) -> None:
        found = "nothing is active" if active is None else f"epoch {active.activation.epoch}"
        hint = f"; remove `{self._file.path}` to take it at the next start" if self._file else ""
        new = self._refuse(
            follower,
            "emptied" if active is None else "lower_epoch",
            f"SW197: {found} in the store, and epoch {self._epoch} is known: it lost data, or is "
            f"another store; restore it, or publish and activate again until the epoch is above"
            f"{hint}",
        )
        if new and isinstance(self._store, _Remembers):
            try:
                self._store.keep_above(self._number, self._epoch)
            except StoreError as error:
                log.debug("the store cannot be told what is known: %s", error)

    def _refuse(self, follower: Follower, reason: str, message: str) -> bool:
        """Count and log; False where nothing has changed since the last time."""
        if message == self._refused:
            return False
        self._refused = message
        follower.count(f"bundle_refused/{reason}")
        log.error("keeping the last good policy: refused (%s): %s", reason, message)
        return True

    def _drop(self, follower: Follower, reason: str, error: OSError) -> None:
        follower.count(f"dropped/last_known_good/{reason}")
        path = self._file.path if self._file else "?"
        log.warning("`%s` cannot be used: %s", path, (error.strerror or str(error)).lower())


def open_source(url: str, *, client: Mapping[str, object] | None = None) -> StoreSource:
    """The source behind a store URL; see `open_store`. Nothing is read before it is started.

    Stores on other machines have a last known good file by default; a directory is one already.
    """
    address = store_address(url, client=client)
    local = address.scheme == "dir"
    # What tells stores apart, and neither users nor passwords.
    place = f"{address.shown.replace('***@', '')}?db={address.options.get('db', '')}"
    return StoreSource(
        lambda: open_store(url, client=client),
        default_file=None if local else default_path(place, address.bundle),
        poll_s=_POLL_S if local else _POLL_TOLD_S,
    )


def _jittered(seconds: float) -> float:
    return seconds * (1 + _chance.uniform(-_JITTER, _JITTER))


_sources: weakref.WeakSet[StoreSource] = weakref.WeakSet()
#: Stores of the parent process: neither used nor destroyed, for either would reach its connections.
_inherited: list[BundleStore] = []
_held: list[StoreSource] = []


def _before_fork() -> None:
    _held[:] = list(_sources)
    for source in _held:
        source.swapping.acquire()


def _after_fork_in_parent() -> None:
    for source in _held:
        source.swapping.release()
    _held.clear()


def _after_fork_in_child() -> None:
    sources = _held[:]
    _held.clear()
    for source in sources:
        source.after_fork()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
