"""The last good policy on disk, for a guard that starts while its store cannot be reached.

A JSON object of `format`, `activation`, `bundle` (its stored form), and `sha256` over the canonical
JSON of the other three. It is replaced in one step, and never by an older activation, for several
processes may share it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from streamwarden.errors import StoreError

from .bundle import Bundle
from .canonical import canonical_json
from .replacing import replace_file
from .store import ActiveBundle
from .store_records import activation_json, activation_of, check_digest, damaged, record_of

__all__ = ["LastKnownGood", "default_path"]

#: Raised when a reader of the older form would misread the newer one.
_FORMAT: Final = 1
_KEYS: Final = {"format", "activation", "bundle", "sha256"}
#: Far above any bundle.
_FILE_MAX_BYTES: Final = 512 * 1024 * 1024
#: How long another process that shares the file may hold it.
_LOCK_S: Final = 1.0
_REMEDY: Final = (
    "delete it: a guard writes it anew from its store, and without it needs the store to start"
)


def default_path(url: str, bundle: str | None) -> Path | None:
    """Where the policy of a store is kept unless told otherwise; None for a user without a home.

    `$XDG_STATE_HOME/streamwarden` (`~/.local/state/streamwarden`), a file a store. `url` is the
    store's without users and passwords, so that a changed password finds its file.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        state = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    name = hashlib.sha256(f"{url}?bundle={bundle or ''}".encode()).hexdigest()[:16]
    return state / "streamwarden" / f"{bundle or 'policy'}-{name}.json"


class LastKnownGood:
    """See the module's first lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> ActiveBundle | None:
        """What is kept; None where there is nothing.

        Raises StoreError where it must not be used: SW190 newer than this version, SW191 and SW192
        changed or torn; OSError where it cannot be read.
        """
        try:
            return self._read()
        except StoreError as error:
            if error.code not in ("SW191", "SW192"):
                raise
            place, said = str(self.path), error.message
            said = said if place in said else f"`{place}` is damaged: {said}"
            raise StoreError(said, remedy=_REMEDY, code=error.code) from None

    def _read(self) -> ActiveBundle | None:
        try:
            if self.path.stat().st_size > _FILE_MAX_BYTES:
                raise damaged(str(self.path), f"it has more than {_FILE_MAX_BYTES:,} bytes")
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        place = str(self.path)
        record = record_of(data, place)
        written: Any = record.get("format")
        if isinstance(written, int) and written > _FORMAT:
            raise StoreError(
                f"`{place}` is of format {written}, and this version knows {_FORMAT}",
                remedy="upgrade streamwarden",
                code="SW190",
            )
        if record.keys() != _KEYS or written != _FORMAT:
            raise damaged(place, "it is no last known good policy")
        try:
            if record.pop("sha256") != hashlib.sha256(canonical_json(record)).hexdigest():
                raise damaged(place, "its checksum does not match")
            bundle = Bundle.from_json(canonical_json(record["bundle"]))
        except (ValueError, RecursionError):
            raise damaged(place, "it is not I-JSON") from None
        activation = activation_of(record["activation"], place)
        check_digest(activation, bundle)
        return ActiveBundle(activation, bundle)

    def write(self, active: ActiveBundle) -> bool:
        """Keep `active`; False where what is there is of the same epoch or a later one.

        A file that cannot be used is replaced, but for one of a newer format: StoreError. Raises
        OSError where the disk does not take it, and the old file then stands.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            try:
                kept = self.read()
            except StoreError as error:
                if error.code == "SW190":
                    raise
                kept = None
            if kept is not None and kept.activation.epoch >= active.activation.epoch:
                return False
            record: dict[str, object] = {
                "format": _FORMAT,
                "activation": activation_json(active.activation),
                "bundle": record_of(active.bundle.to_json(), active.bundle.label),
            }
            record["sha256"] = hashlib.sha256(canonical_json(record)).hexdigest()
            replace_file(self.path, canonical_json(record), mode=0o600)
        return True

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Between processes; gives up, with OSError, on one that does not let go."""
        lock = os.open(
            self.path.with_name(f".{self.path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600
        )
        deadline = time.monotonic() + _LOCK_S
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
            yield
        finally:
            os.close(lock)
