"""A bundle store in a directory, shared by processes on one machine or a network file system.

    PATH/payments/bundles/00000015.json       {"publication": {…}, "bundle": {…}}
    PATH/payments/activations/00000003.json   {"epoch": 3, "number": 15, …}

A number is taken by creating its file exclusively, still empty; the content then replaces it in one
step. So a reader sees an empty file (taken, and not there yet) or all of it, and a number whose
publisher died is never given again. Needs nothing but exclusive creation and rename.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import urllib.parse
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

from streamwarden.errors import StoreError

from .bundle import Bundle
from .canonical import canonical_json
from .fields import BUNDLE_NAME
from .replacing import replace_file
from .store import Activation, ActiveBundle, Clock, Publication, StoreAddress, register_store
from .store_records import (
    UNREACHABLE,
    activation_json,
    activation_of,
    bundle_of,
    check_digest,
    check_said,
    conflict,
    damaged,
    missing,
    number_of_digest,
    only_name,
    publication_json,
    publication_of,
    record_of,
    wrong_name,
)

__all__ = ["DirectoryStore"]

_RECORD: Final = re.compile(r"([0-9]{8,})\.json")
#: A publisher that loses so many races in a row is not racing but looping.
_ATTEMPTS_MAX: Final = 10_000
#: Bundles kept after they were read: what a reconciliation of mixed history goes back and forth on.
_BUNDLES_MAX: Final = 16
#: Far above any bundle (lists of 8 MiB, documents of 1 MiB), far below what would hurt.
_RECORD_MAX_BYTES: Final = 512 * 1024 * 1024


class DirectoryStore:
    """See the module's first lines. `name` may be left out where the store holds one bundle.

    Publishing makes the directory; reading where there is none raises StoreError, since a mistyped
    path would otherwise pass for a store in which nothing is active.
    """

    def __init__(
        self, path: str | Path, *, name: str | None = None, clock: Clock = time.time_ns
    ) -> None:
        if name is not None and not BUNDLE_NAME.fullmatch(name):
            raise StoreError(f"`{name}` is no name of a bundle", remedy="use lower-case letters")
        self.path = Path(path)
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._bundles: OrderedDict[tuple[str, int], Bundle] = OrderedDict()
        self._publications: dict[tuple[str, int], Publication] = {}

    def exists(self) -> bool:
        """Whether there is anything at the path yet."""
        return self.path.exists()

    # ---------------------------------------------------------------- writing

    def publish(
        self, bundle: Bundle, *, by: str, reason: str, expected: int | None = None
    ) -> Bundle:
        """See `BundleStore.publish`."""
        check_said(by, reason)
        if self._name is not None and bundle.name != self._name:
            raise wrong_name(bundle, self._name)
        folder = self.path / bundle.name / "bundles"

        def content(number: int) -> bytes:
            publication = Publication(bundle.name, number, bundle.digest, self._clock(), by, reason)
            stored: object = json.loads(bundle.with_number(number).to_json())
            return canonical_json({"publication": publication_json(publication), "bundle": stored})

        number = self._append(folder, content, expected, f"bundle `{bundle.name}`")
        return bundle.with_number(number)

    def activate(
        self, number: int, *, by: str, reason: str, expected: int | None = None
    ) -> Activation:
        """See `BundleStore.activate`."""
        check_said(by, reason)
        bundle = self.get(number)
        folder = self.path / bundle.name / "activations"
        made: list[Activation] = []

        def content(epoch: int) -> bytes:
            activation = Activation(epoch, number, bundle.digest, self._clock(), by, reason)
            made.append(activation)
            return canonical_json(activation_json(activation))

        self._append(folder, content, expected, f"the activation of `{bundle.name}`")
        return made[-1]

    def _append(self, folder: Path, content: Any, expected: int | None, what: str) -> int:
        """Writes `content(number)` under the next number, which nobody else gets."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = max(_numbers(folder), default=0)
            if expected is not None and number != expected:
                raise conflict(what, expected, number)
            for _ in range(_ATTEMPTS_MAX):
                number += 1
                final = folder / f"{number:08}.json"
                try:
                    os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                except FileExistsError:
                    if expected is not None:
                        raise conflict(what, expected, number) from None
                    continue
                replace_file(final, content(number))
                return number
        except OSError as error:
            raise _unusable(folder, error) from None
        raise StoreError(f"no free number in `{folder}`", remedy="try again")

    # ---------------------------------------------------------------- reading

    def active(self) -> ActiveBundle | None:
        """See `BundleStore.active`."""
        name = self._existing_name()
        if name is None:
            return None
        folder = self.path / name / "activations"
        for epoch in sorted(_numbers(folder), reverse=True):
            activation = self._activation(folder, epoch)
            if activation is None:
                continue
            bundle = self.get(activation.number)
            check_digest(activation, bundle)
            return ActiveBundle(activation, bundle)
        return None

    def get(self, number: int) -> Bundle:
        """See `BundleStore.get`."""
        name = self._existing_name()
        bundle = None if name is None else self._bundle(name, number)
        if bundle is None:
            known = [] if name is None else _numbers(self.path / name / "bundles")
            raise missing(name or self._name, number, f"`{self.path}`", known)
        return bundle

    def by_digest(self, prefix: str) -> Bundle | None:
        """See `BundleStore.by_digest`."""
        name = self._existing_name()
        known = name or self._name or ""
        numbers = [] if name is None else _numbers(self.path / name / "bundles")
        found = number_of_digest(prefix, numbers, lambda number: self._publication(known, number))
        return None if found is None else self._bundle(known, found)

    def history(self) -> tuple[Publication, ...]:
        """See `BundleStore.history`."""
        name = self._existing_name()
        if name is None:
            return ()
        numbers = sorted(_numbers(self.path / name / "bundles"))
        read = [self._publication(name, number) for number in numbers]
        return tuple(publication for publication in read if publication is not None)

    def activations(self) -> tuple[Activation, ...]:
        """See `BundleStore.activations`."""
        name = self._existing_name()
        if name is None:
            return ()
        folder = self.path / name / "activations"
        read = [self._activation(folder, epoch) for epoch in sorted(_numbers(folder))]
        return tuple(activation for activation in read if activation is not None)

    def wait_for_change(self, timeout_s: float) -> bool:
        """Directories tell nobody: waits."""
        time.sleep(timeout_s)
        return False

    def close(self) -> None:
        """Nothing is held open."""

    def _existing_name(self) -> str | None:
        """The bundle that is meant; None where nothing was published."""
        try:
            if self._name is not None:
                self.path.stat()
                return self._name
            names = sorted(
                entry.name
                for entry in os.scandir(self.path)
                if BUNDLE_NAME.fullmatch(entry.name) and (Path(entry) / "bundles").is_dir()
            )
        except FileNotFoundError:
            raise StoreError(
                f"there is no store at `{self.path}`: no such directory",
                remedy="check the path; `streamwarden bundle publish` makes a store",
                code=UNREACHABLE,
            ) from None
        except OSError as error:
            raise _unusable(self.path, error) from None
        return only_name(names, f"`{self.path}`")

    def _bundle(self, name: str, number: int) -> Bundle | None:
        with self._lock:
            known = self._bundles.get((name, number))
            if known is not None:
                self._bundles.move_to_end((name, number))
                return known
        file = self.path / name / "bundles" / f"{number:08}.json"
        record = _read(file)
        if record is None:
            return None
        publication = _publication(record, file, name, number)
        bundle = bundle_of(record.get("bundle"), publication, str(file))
        with self._lock:
            self._bundles[name, number] = bundle
            self._publications[name, number] = publication
            while len(self._bundles) > _BUNDLES_MAX:
                self._bundles.popitem(last=False)
        return bundle

    def _publication(self, name: str, number: int) -> Publication | None:
        known = self._publications.get((name, number))
        if known is not None:
            return known
        file = self.path / name / "bundles" / f"{number:08}.json"
        record = _read(file)
        if record is None:
            return None
        publication = _publication(record, file, name, number)
        self._publications[name, number] = publication
        return publication

    def _activation(self, folder: Path, epoch: int) -> Activation | None:
        file = folder / f"{epoch:08}.json"
        record = _read(file)
        if record is None:
            return None
        activation = activation_of(record, str(file))
        if activation.epoch != epoch:
            raise damaged(str(file), "it holds another activation")
        return activation


def _numbers(folder: Path) -> list[int]:
    """The numbers taken in `folder`, those without content included."""
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(folder, error) from None
    return [int(match[1]) for name in names if (match := _RECORD.fullmatch(name))]


def _read(file: Path) -> dict[str, Any] | None:
    """The record in `file`; None where there is none, or not yet."""
    try:
        if file.stat().st_size > _RECORD_MAX_BYTES:
            raise damaged(str(file), f"it has more than {_RECORD_MAX_BYTES:,} bytes")
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(file, error) from None
    if not data:
        return None
    return record_of(data, str(file))


def _publication(record: dict[str, Any], file: Path, name: str, number: int) -> Publication:
    publication = publication_of(record.get("publication"), str(file))
    if publication.number != number or publication.name != name:
        raise damaged(str(file), "it holds another bundle")
    return publication


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the store at `{path}` cannot be used: {(error.strerror or 'unknown error').lower()}",
        remedy="check that the directory is there and may be read and written",
        code=UNREACHABLE,
    )


def _open(address: StoreAddress) -> DirectoryStore:
    address.allow()
    path = urllib.parse.unquote(address.location)
    return DirectoryStore(path.removeprefix("//"), name=address.bundle, clock=address.clock)


register_store("dir", _open)
