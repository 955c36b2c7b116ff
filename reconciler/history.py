"""The versions that stamps name: from the store, by number and digest.

A store is authoritative for the bundle that it holds: it shows that a version never existed when it
has another digest under the number, or when the number is above every number taken. What it cannot
show, and everything where there is no store, is unverifiable: told, and accused of nothing.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from streamwarden.errors import StoreError

from ..policy.bundle import Bundle
from ..policy.compiler.framed import FramedValues
from ..policy.keys import KeyRing
from ..policy.model import Mode
from ..policy.plan_table import PlanTable
from ..policy.stamp import Stamp
from ..policy.store import BundleStore
from .secrecy import Secrets

__all__ = ["Found", "History", "Version"]

#: Versions whose plans are kept; history goes back and forth between few at a time.
_VERSIONS_MAX = 64


class Version:
    """One version with its plans, by the mode of the guard that decided."""

    def __init__(
        self,
        bundle: Bundle,
        mask_keys: KeyRing | None = None,
        framed: FramedValues | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self.bundle = bundle
        self._mask_keys, self._framed = mask_keys, framed
        self._hidden = None if secrets is None else secrets.of
        self._tables: dict[str, PlanTable] = {}

    def table(self, mode: str | None) -> PlanTable:
        """The plans under the `mode=` of a stamp (None is enforce)."""
        name = mode or Mode.ENFORCE.value
        table = self._tables.get(name)
        if table is None:
            table = self._tables[name] = PlanTable(
                self.bundle,
                mode=Mode(name),
                mask_keys=self._mask_keys,
                replay=True,
                framed=self._framed,
                hidden=self._hidden,
            )
        return table


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a stamp's version: `version`, or that it `never` existed, or neither."""

    version: Version | None = None
    never: str = ""


class History:
    """Finds versions. Pickled, it takes every version along, so that workers need no store."""

    def __init__(
        self,
        today: Bundle,
        *,
        published: Iterable[tuple[str, int, str]] = (),
        fetch: Callable[[int], Bundle] | None = None,
        mask_keys: KeyRing | None = None,
    ) -> None:
        self.today = today
        self._digests: dict[int, str] = {}
        self._names: set[str] = set()
        for name, number, digest in published:
            self._digests[number] = digest
            self._names.add(name)
        self._fetch = fetch
        self._mask_keys = mask_keys
        #: Reads what a schema registry has framed; set where slices are done, since it stays there.
        self.framed: FramedValues | None = None
        #: What no version may show; set likewise.
        self.secrets: Secrets | None = None
        self._versions: OrderedDict[str, Version | None] = OrderedDict()
        self._stored: dict[int, bytes] = {}
        #: Versions that the store should have and did not give, with its reason.
        self.lost: dict[int, str] = {}

    @classmethod
    def of_store(cls, today: Bundle, store: BundleStore | None) -> History:
        """The history that `store` keeps now. Raises StoreError when it cannot be read."""
        if store is None:
            return cls(today)
        published = [(entry.name, entry.number, entry.digest) for entry in store.history()]
        return cls(today, published=published, fetch=store.get)

    def find(self, stamp: Stamp) -> Found:
        """The version of `stamp`."""
        number, prefix = stamp.number, stamp.digest12
        kept = self._digests.get(number) if stamp.bundle in self._names else None
        if kept is not None and not kept.startswith(prefix):
            return Found(never=f"{stamp.label} has another digest")
        known = self.today.name == stamp.bundle and self.today.digest.startswith(prefix)
        if (
            stamp.bundle in self._names
            and number > max(self._digests)
            and not (known and number == self.today.number)
        ):
            return Found(never=f"{stamp.label} was never published")
        if known:
            return Found(self._version(self.today.digest, lambda: self.today))
        if kept is not None:
            return Found(self._version(kept, lambda: self._published(number)))
        if number == 0 and stamp.bundle in self._names:
            for label, digest in sorted(self._digests.items()):
                if digest.startswith(prefix):
                    return Found(self._version(digest, lambda: self._published(label)))  # noqa: B023 - called at once
        return Found()

    def bundles(self, newest: int) -> Iterator[Bundle]:
        """Today's bundle, then the `newest` published ones that can be read, newest first."""
        yield self.today
        for number in sorted(self._digests, reverse=True)[:newest]:
            bundle = self._published(number)
            if bundle is not None:
                yield bundle

    def _version(self, digest: str, fetch: Callable[[], Bundle | None]) -> Version | None:
        if digest in self._versions:
            self._versions.move_to_end(digest)
            return self._versions[digest]
        bundle = fetch()
        version = (
            None if bundle is None else Version(bundle, self._mask_keys, self.framed, self.secrets)
        )
        self._versions[digest] = version
        if len(self._versions) > _VERSIONS_MAX:
            self._versions.popitem(last=False)
        return version

    def _published(self, number: int) -> Bundle | None:
        if number in self._stored:
            return Bundle.from_json(zlib.decompress(self._stored[number]))
        if self._fetch is None or number in self.lost:
            return None
        try:
            bundle = self._fetch(number)
        except StoreError as error:
            self.lost[number] = str(error)
            return None
        return bundle if bundle.digest == self._digests[number] else None

    def __getstate__(self) -> dict[str, Any]:
        packed = dict(self._stored)
        for number in self._digests:
            bundle = None if number in packed else self._published(number)
            if bundle is not None:
                packed[number] = zlib.compress(bundle.to_json())
        return {
            "today": self.today.to_json(),
            "published": [(name, n, d) for name in self._names for n, d in self._digests.items()],
            "stored": packed,
            "mask_keys": self._mask_keys,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            Bundle.from_json(state["today"]),
            published=state["published"],
            mask_keys=state["mask_keys"],
        )
        self._stored = state["stored"]
