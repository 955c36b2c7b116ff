"""Where published bundles live: numbered once, never changed, activated by a record of its own.

A store holds one bundle's history under its name. Numbers are taken by compare-and-set and never
used again. Activation is separate from publication and has an increasing epoch, so that a rollback
is just the activation of an older number.
"""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from streamwarden.errors import StoreError

from .bundle import Bundle
from .fields import BUNDLE_NAME

__all__ = [
    "Activation",
    "ActiveBundle",
    "BundleStore",
    "Clock",
    "Opener",
    "Publication",
    "open_store",
    "register_store",
]

#: Nanoseconds since the epoch.
Clock: TypeAlias = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Publication:
    """One published bundle, without its content. `at` is in nanoseconds."""

    name: str
    number: int
    digest: str
    at: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Activation:
    """Which bundle guards take since `at` (nanoseconds); the highest `epoch` counts."""

    epoch: int
    number: int
    digest: str
    at: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ActiveBundle:
    """The bundle that guards take now, and how it came to be so."""

    activation: Activation
    bundle: Bundle


class BundleStore(Protocol):
    """See the module's first lines. Safe between threads and between processes."""

    def publish(
        self, bundle: Bundle, *, by: str, reason: str, expected: int | None = None
    ) -> Bundle:
        """Keeps `bundle` under the next free number and returns it with that number.

        With `expected` only when that is the highest number so far (0: none yet); else StoreError
        SW193. Nothing is activated.
        """
        ...

    def activate(
        self, number: int, *, by: str, reason: str, expected: int | None = None
    ) -> Activation:
        """Makes `number` the active bundle, whatever was active before.

        With `expected` only when that is the highest epoch so far (0: none yet); else StoreError
        SW193.
        """
        ...

    def active(self) -> ActiveBundle | None:
        """The active bundle; None where nothing was ever activated. Raises StoreError."""
        ...

    def get(self, number: int) -> Bundle:
        """The bundle of that number; StoreError SW194 where there is none."""
        ...

    def by_digest(self, prefix: str) -> Bundle | None:
        """The bundle whose digest begins with `prefix` (12 hex digits or more).

        Of several numbers with the same content the lowest. None means that the store never had
        it: StoreError, where a part of the store cannot be read.
        """
        ...

    def history(self) -> tuple[Publication, ...]:
        """Everything published, by number."""
        ...

    def activations(self) -> tuple[Activation, ...]:
        """Everything activated, by epoch."""
        ...

    def close(self) -> None:
        """Lets go of connections; the store cannot be used afterwards."""
        ...


Opener: TypeAlias = Callable[[str, "str | None", Clock], BundleStore]
_openers: dict[str, Opener] = {}


def register_store(scheme: str, opener: Opener) -> None:
    """Makes `scheme:` URLs open through `opener(location, bundle name, clock)`.

    For stores that need a client library, which has no place in this package.
    """
    _openers[scheme] = opener


def open_store(url: str, *, clock: Clock = time.time_ns) -> BundleStore:
    """The store at `url`: `dir:PATH`, with `?bundle=NAME` where it holds several.

    Raises StoreError for a URL that names no store. Nothing is read or written yet.
    """
    scheme, colon, rest = url.partition(":")
    location, _, query = rest.partition("?")
    if not colon or not location:
        raise StoreError(
            f"`{_without_password(url)}` is no store", remedy="write `dir:PATH?bundle=NAME`"
        )
    options: dict[str, list[str]] = {"": []}
    with contextlib.suppress(ValueError):
        options = urllib.parse.parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    names = options.pop("bundle", [])
    if options or len(names) > 1 or not all(map(BUNDLE_NAME.fullmatch, names)):
        raise StoreError(
            f"the options of store `{_without_password(url)}` are malformed",
            remedy="the only option is `?bundle=NAME`, in lower case",
        )
    name = names[0] if names else None
    if scheme == "dir":
        from .directory_store import DirectoryStore  # noqa: PLC0415 - it imports this module

        path = urllib.parse.unquote(location)
        return DirectoryStore(path.removeprefix("//"), name=name, clock=clock)
    if scheme in _openers:
        return _openers[scheme](location, name, clock)
    raise StoreError(
        f"no store is known for `{scheme}:`",
        remedy=f"known are {', '.join(['dir', *sorted(_openers)])}",
    )


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('//')[0]}//***@{tail}" if at else url
