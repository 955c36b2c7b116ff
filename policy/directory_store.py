"""A bundle store in a directory, shared by processes on one machine or a network file system.

    PATH/payments/bundles/00000015.json       {"publication": {…}, "bundle": {…}}
    PATH/payments/activations/00000003.json   {"epoch": 3, "number": 15, …}

A number is taken by creating its file exclusively, still empty; the content then replaces it in one
step. So a reader sees an empty file (taken, and not there yet) or all of it, and a number whose
publisher died is never given again. Needs nothing but exclusive creation and rename.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, cast

from streamwarden.errors import StoreError

from .bundle import Bundle
from .canonical import canonical_json
from .fields import BUNDLE_NAME
from .store import Activation, ActiveBundle, Clock, Publication

__all__ = ["DirectoryStore"]

_RECORD: Final = re.compile(r"([0-9]{8,})\.json")
_DIGEST_PREFIX: Final = re.compile(r"[0-9a-f]{12,64}")
#: A publisher that loses so many races in a row is not racing but looping.
_ATTEMPTS_MAX: Final = 10_000
#: Bundles kept after they were read: what a reconciliation of mixed history goes back and forth on.
_BUNDLES_MAX: Final = 16
#: Far above any bundle (lists of 8 MiB, documents of 1 MiB), far below what would hurt.
_RECORD_MAX_BYTES: Final = 512 * 1024 * 1024


class DirectoryStore:
    """See the module's first lines. `name` may be left out where the store holds one bundle."""

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

    # ---------------------------------------------------------------- writing

    def publish(
        self, bundle: Bundle, *, by: str, reason: str, expected: int | None = None
    ) -> Bundle:
        """See `BundleStore.publish`."""
        _named(by, reason)
        if self._name is not None and bundle.name != self._name:
            raise StoreError(
                f"the bundle is `{bundle.name}`, and the store is open for `{self._name}`",
                remedy=f"open it with `?bundle={bundle.name}`",
                code="SW195",
            )
        folder = self.path / bundle.name / "bundles"

        def content(number: int) -> bytes:
            publication = {
                "name": bundle.name,
                "number": number,
                "digest": bundle.digest,
                "at": str(self._clock()),
                "by": by,
                "reason": reason,
            }
            stored: object = json.loads(bundle.with_number(number).to_json())
            return canonical_json({"publication": publication, "bundle": stored})

        number = self._append(folder, content, expected, f"bundle `{bundle.name}`")
        return bundle.with_number(number)

    def activate(
        self, number: int, *, by: str, reason: str, expected: int | None = None
    ) -> Activation:
        """See `BundleStore.activate`."""
        _named(by, reason)
        bundle = self.get(number)
        folder = self.path / bundle.name / "activations"
        made: list[Activation] = []

        def content(epoch: int) -> bytes:
            activation = Activation(epoch, number, bundle.digest, self._clock(), by, reason)
            made.append(activation)
            return canonical_json(
                {
                    "epoch": epoch,
                    "number": number,
                    "digest": activation.digest,
                    "at": str(activation.at),
                    "by": by,
                    "reason": reason,
                }
            )

        self._append(folder, content, expected, f"the activation of `{bundle.name}`")
        return made[-1]

    def _append(self, folder: Path, content: Any, expected: int | None, what: str) -> int:
        """Writes `content(number)` under the next number, which nobody else gets."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            number = max(_numbers(folder), default=0)
            if expected is not None and number != expected:
                raise _conflict(what, expected, number)
            for _ in range(_ATTEMPTS_MAX):
                number += 1
                final = folder / f"{number:08}.json"
                try:
                    os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                except FileExistsError:
                    if expected is not None:
                        raise _conflict(what, expected, number) from None
                    continue
                _replace(final, content(number))
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
            if bundle.digest != activation.digest:
                raise StoreError(
                    f"bundle `{bundle.label}` is not the one that was activated",
                    remedy="restore it from a backup, or activate another number",
                    code="SW191",
                )
            return ActiveBundle(activation, bundle)
        return None

    def get(self, number: int) -> Bundle:
        """See `BundleStore.get`."""
        name = self._existing_name()
        bundle = None if name is None else self._bundle(name, number)
        if bundle is None:
            raise StoreError(
                f"there is no bundle `{name or self._name or '?'}@{number}` in `{self.path}`",
                remedy="look at its history",
                code="SW194",
            )
        return bundle

    def by_digest(self, prefix: str) -> Bundle | None:
        """See `BundleStore.by_digest`."""
        if not _DIGEST_PREFIX.fullmatch(prefix):
            raise StoreError(
                f"`{prefix[:80]}` is no beginning of a digest", remedy="give 12 hex digits or more"
            )
        name = self._existing_name()
        if name is None:
            return None
        found: dict[str, int] = {}
        unreadable: StoreError | None = None
        for number in sorted(_numbers(self.path / name / "bundles")):
            try:
                publication = self._publication(name, number)
            except StoreError as error:
                unreadable = error
                continue
            if publication is not None and publication.digest.startswith(prefix):
                found.setdefault(publication.digest, number)
        if len(found) > 1:
            raise StoreError(
                f"several bundles have a digest that begins with `{prefix}`",
                remedy="give more digits",
                code="SW195",
            )
        if not found and unreadable is not None:
            raise unreadable
        return self._bundle(name, next(iter(found.values()))) if found else None

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

    def close(self) -> None:
        """Nothing is held open."""

    def _existing_name(self) -> str | None:
        """The bundle that is meant; None where nothing was published."""
        if self._name is not None:
            return self._name
        try:
            names = sorted(
                entry.name
                for entry in os.scandir(self.path)
                if BUNDLE_NAME.fullmatch(entry.name) and (Path(entry) / "bundles").is_dir()
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.path, error) from None
        if len(names) > 1:
            raise StoreError(
                f"the store `{self.path}` holds several bundles: {', '.join(names[:8])}",
                remedy=f"say which one: `?bundle={names[0]}`",
                code="SW195",
            )
        return names[0] if names else None

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
        publication = _publication_of(record, file)
        bundle = Bundle.from_json(canonical_json(record.get("bundle")))
        if (bundle.name, bundle.number, bundle.digest) != (name, number, publication.digest):
            raise _damaged(file, "it holds another bundle")
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
        publication = _publication_of(record, file)
        if publication.number != number or publication.name != name:
            raise _damaged(file, "it holds another bundle")
        self._publications[name, number] = publication
        return publication

    def _activation(self, folder: Path, epoch: int) -> Activation | None:
        file = folder / f"{epoch:08}.json"
        record = _read(file)
        if record is None:
            return None
        try:
            activation = Activation(
                int(record["epoch"]),
                int(record["number"]),
                str(record["digest"]),
                int(record["at"]),
                str(record["by"]),
                str(record["reason"]),
            )
        except (KeyError, TypeError, ValueError):
            raise _damaged(file, "it is no activation") from None
        if activation.epoch != epoch:
            raise _damaged(file, "it holds another activation")
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


def _replace(final: Path, content: bytes) -> None:
    """Puts `content` in the place of `final` in one step, on disk when this returns."""
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(file: Path) -> dict[str, Any] | None:
    """The record in `file`; None where there is none, or not yet."""
    try:
        if file.stat().st_size > _RECORD_MAX_BYTES:
            raise _damaged(file, f"it has more than {_RECORD_MAX_BYTES:,} bytes")
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(file, error) from None
    if not data:
        return None
    try:
        record: object = json.loads(data)
    except (ValueError, RecursionError):
        raise _damaged(file, "it is not JSON, or only the beginning of it") from None
    if not isinstance(record, dict):
        raise _damaged(file, "it is no JSON object")
    return cast("dict[str, Any]", record)


def _publication_of(record: dict[str, Any], file: Path) -> Publication:
    try:
        written = record["publication"]
        return Publication(
            str(written["name"]),
            int(written["number"]),
            str(written["digest"]),
            int(written["at"]),
            str(written["by"]),
            str(written["reason"]),
        )
    except (KeyError, TypeError, ValueError):
        raise _damaged(file, "it is no published bundle") from None


def _named(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise StoreError("who does this, and why, is not said", remedy="give `by` and `reason`")


def _conflict(what: str, expected: int, found: int) -> StoreError:
    return StoreError(
        f"{what} was expected at {expected}, and is at {found}",
        remedy="somebody else was first: look at what changed, and try again",
        code="SW193",
    )


def _damaged(file: Path, why: str) -> StoreError:
    return StoreError(
        f"`{file}` is damaged: {why}", remedy="restore it from a backup", code="SW192"
    )


def _unusable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the store at `{path}` cannot be used: {(error.strerror or 'unknown error').lower()}",
        remedy="check that the directory is there and may be read and written",
    )
