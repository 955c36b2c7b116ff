"""Where published bundles live: numbered once, never changed, activated by a record of its own.

A store holds one bundle's history under its name. Numbers are taken by compare-and-set and never
used again. Activation is separate from publication and has an increasing epoch, so that a rollback
is just the activation of an older number.
"""

from __future__ import annotations

import contextlib
import importlib
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from streamwarden.errors import StoreError
from streamwarden.urls import shown_url

from .bundle import Bundle
from .fields import BUNDLE_NAME

__all__ = [
    "Activation",
    "ActiveBundle",
    "BundleStore",
    "Clock",
    "Opener",
    "Publication",
    "StoreAddress",
    "open_store",
    "register_store",
    "store_address",
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

    def wait_for_change(self, timeout_s: float) -> bool:
        """Waits until something may have been activated, at most so long; False where nothing was.

        Raises StoreError where the store does not answer. A store without notifications just waits.
        """
        ...

    def close(self) -> None:
        """Lets go of connections; the store cannot be used afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """What a store URL says, and what was given beside it.

    `location` is what stands between scheme and query, `options` the rest of the query. They and
    `client`, the settings of a client library, may hold secrets: none of them is shown.
    """

    scheme: str
    location: str = field(repr=False)
    bundle: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    client: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    clock: Clock = time.time_ns

    @property
    def shown(self) -> str:
        """The URL without users, passwords and options."""
        return shown_url(f"{self.scheme}:{self.location}")

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that the store itself is in."""
        return (self.location.rstrip("/").rpartition("/")[2],) if self.scheme == "kafka" else ()

    def allow(self, *names: str) -> None:
        """Raises StoreError for options and client settings other than `names`."""
        for given in (*self.options, *self.client):
            if given not in names:
                known = ", ".join(f"`{name}`" for name in ("bundle", *names))
                raise StoreError(
                    f"the options of store `{self.shown}` are malformed: there is no `{given}`",
                    remedy=f"it takes {known}",
                )


Opener: TypeAlias = Callable[[StoreAddress], BundleStore]
_openers: dict[str, Opener] = {}

#: The modules that register a scheme when they are imported. Client libraries are slow to load, and
#: the one for Kafka has no place in this package.
_HOMES = {
    "dir": "policy.directory_store",
    "redis": "policy.redis_store",
    "rediss": "policy.redis_store",
    "redis+unix": "policy.redis_store",
    "kafka": "producers.kafka_store",
}


def register_store(scheme: str, opener: Opener) -> None:
    """Makes `scheme:` URLs open through `opener`."""
    _openers[scheme] = opener


def open_store(
    url: str, *, clock: Clock = time.time_ns, client: Mapping[str, object] | None = None
) -> BundleStore:
    """The store at `url`, with `?bundle=NAME` where it holds several.

    `dir:PATH`, `redis://HOST:PORT/DB` (`rediss:` with TLS, `redis+unix:PATH`) or
    `kafka://HOST:PORT/TOPIC`. `client` holds settings of the client library that should not stand
    in a URL, such as passwords. Raises StoreError for a URL that names no store. Nothing is read,
    written or connected to yet.
    """
    address = store_address(url, clock=clock, client=client)
    scheme = address.scheme
    if scheme not in _openers and scheme in _HOMES:
        importlib.import_module(f"streamwarden.{_HOMES[scheme]}")
    if scheme not in _openers:
        raise StoreError(
            f"no store is known for `{scheme[:40]}:`",
            remedy=f"known are {', '.join(sorted({*_HOMES, *_openers}))}",
        )
    return _openers[scheme](address)


def store_address(
    url: str, *, clock: Clock = time.time_ns, client: Mapping[str, object] | None = None
) -> StoreAddress:
    """The parts of a store's URL. Raises StoreError for what is none."""
    scheme, colon, rest = url.partition(":")
    location, mark, query = rest.partition("?")
    if not colon or not location:
        raise StoreError(f"`{shown_url(url)}` is no store", remedy="write `dir:PATH?bundle=NAME`")
    pairs: list[tuple[str, str]] = [("", "")]
    with contextlib.suppress(ValueError):
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(mark))
    options = dict(pairs)
    bundle = options.pop("bundle", None)
    # A name with an `@` is the rest of a password that has a `?` in it.
    unnamed = any(not name or "@" in name for name in options)
    if (
        unnamed
        or len(pairs) != len({name for name, _ in pairs})
        or not (bundle is None or BUNDLE_NAME.fullmatch(bundle))
    ):
        raise StoreError(
            f"the options of store `{shown_url(url)}` are malformed",
            remedy="write `?bundle=NAME` in lower case, each option once, and `%3F` for a `?` in a"
            " password",
        )
    return StoreAddress(scheme, location, bundle, options, dict(client or {}), clock)
