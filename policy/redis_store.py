"""A bundle store in Redis, for guards on several hosts.

    sw:{payments}:number         the highest number taken
    sw:{payments}:publications   hash: number to publication, JSON
    sw:{payments}:bundle:15      the stored form of a bundle
    sw:{payments}:epoch          the highest epoch taken
    sw:{payments}:activations    hash: epoch to activation, JSON
    sw:{payments}:active         the activation of the highest epoch
    sw:{payments}:changes        channel: every activation's epoch
    sw:bundles                   set: the names of the bundles

The braces make one slot of a bundle's keys, so that its scripts work in a cluster. A number is
taken by a script that compares and sets, with everything that belongs to it: it is there as a whole
or not at all.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from redis.exceptions import RedisError

from streamwarden.errors import StoreError

from .bundle import Bundle
from .canonical import canonical_json
from .fields import BUNDLE_NAME
from .redis_connection import Operation, RedisConnection
from .store import Activation, ActiveBundle, Clock, Publication, StoreAddress, register_store
from .store_records import (
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

__all__ = ["RedisStore"]

_NAMES: Final = "sw:bundles"
#: Bundles kept after they were read: what a reconciliation of mixed history goes back and forth on.
_BUNDLES_MAX: Final = 16
#: A publisher that loses so many races in a row is not racing but looping.
_ATTEMPTS_MAX: Final = 10_000

# KEYS: counter, hash, one more key. ARGV: the counter as it was seen, the number to take, the
# record, what belongs into the third key. Says -1, or the counter as it is, or -2: the number stands
# in the hash, so it is taken whatever the counter says, which was lost.
_TAKE: Final = """
local highest = tonumber(redis.call('GET', KEYS[1]) or '0')
if highest ~= tonumber(ARGV[1]) then return highest end
if redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1 then return -2 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('SET', KEYS[3], ARGV[4])
return -1
"""

# Raises the counters to at least ARGV, and says nothing.
_RAISE: Final = """
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') < tonumber(ARGV[i]) then
    redis.call('SET', key, ARGV[i])
  end
end
"""

_Take: TypeAlias = Callable[[Operation, int, int], int]


class RedisStore:
    """See the module's first lines. The name may be left out where the store holds one bundle."""

    def __init__(self, address: StoreAddress) -> None:
        self._name = address.bundle
        self._clock: Clock = address.clock
        self._connection = RedisConnection(address)
        self.shown = self._connection.shown
        self._lock = threading.Lock()
        self._bundles: OrderedDict[tuple[str, int, str], Bundle] = OrderedDict()
        self._subscription: Any = None

    # ---------------------------------------------------------------- writing

    def publish(
        self, bundle: Bundle, *, by: str, reason: str, expected: int | None = None
    ) -> Bundle:
        """See `BundleStore.publish`."""
        check_said(by, reason)
        if self._name is not None and bundle.name != self._name:
            raise wrong_name(bundle, self._name)
        name = bundle.name

        def take(operation: Operation, seen: int, number: int) -> int:
            numbered = bundle.with_number(number)
            publication = Publication(name, number, bundle.digest, self._clock(), by, reason)
            content = numbered.to_json()
            return _taken(
                operation,
                (_key(name, "number"), _key(name, "publications"), _key(name, f"bundle:{number}")),
                (seen, number, canonical_json(publication_json(publication)), content),
            )

        # In a slot of its own, so first: a name without bundles is passed over.
        self._connection.write(_NAMES, lambda operation: operation.do("SADD", _NAMES, name))
        number = self._take(name, "number", "publications", take, expected, f"bundle `{name}`")
        return bundle.with_number(number)

    def activate(
        self, number: int, *, by: str, reason: str, expected: int | None = None
    ) -> Activation:
        """See `BundleStore.activate`."""
        check_said(by, reason)
        bundle = self.get(number)
        name = bundle.name
        made: list[Activation] = []

        def take(operation: Operation, seen: int, epoch: int) -> int:
            activation = Activation(epoch, number, bundle.digest, self._clock(), by, reason)
            made.append(activation)
            record = canonical_json(activation_json(activation))
            return _taken(
                operation,
                (_key(name, "epoch"), _key(name, "activations"), _key(name, "active")),
                (seen, epoch, record, record),
            )

        what = f"the activation of `{name}`"
        epoch = self._take(name, "epoch", "activations", take, expected, what)
        # Without the right to say so, guards find out when they next ask.
        with contextlib.suppress(StoreError):
            channel = _key(name, "changes")
            self._connection.write(name, lambda operation: operation.do("PUBLISH", channel, epoch))
        return made[-1]

    def keep_above(self, number: int, epoch: int) -> None:
        """Never give numbers and epochs up to these again, though the store does not know them.

        For what was known before a store lost its data. Raises StoreError without the right to.
        """
        name = self._existing_name()
        if name is not None:
            keys = (_key(name, "number"), _key(name, "epoch"))
            self._connection.write(
                name, lambda operation: operation.do("EVAL", _RAISE, 2, *keys, number, epoch)
            )

    def _take(
        self, name: str, counter: str, records: str, take: _Take, expected: int | None, what: str
    ) -> int:
        """The next number, which nobody else gets, by `take(operation, seen, number)`."""

        def operate(operation: Operation) -> int:
            seen = _count(operation.do("GET", _key(name, counter)), _key(name, counter))
            number = seen + 1
            for _ in range(_ATTEMPTS_MAX):
                if expected is not None and number != expected + 1:
                    raise conflict(what, expected, number - 1)
                found: int = take(operation, seen, number)
                if found == -1:
                    return number
                if found == -2:
                    found = max(map(int, operation.do("HKEYS", _key(name, records))))
                    operation.do("EVAL", _RAISE, 1, _key(name, counter), found)
                seen, number = found, found + 1
            raise StoreError(f"no free number in {self.shown}", remedy="try again")

        return self._connection.write(name, operate)

    # ---------------------------------------------------------------- reading

    def active(self) -> ActiveBundle | None:
        """See `BundleStore.active`."""
        name = self._existing_name()
        if name is None:
            return None
        place = _key(name, "active")

        def operate(operation: Operation) -> ActiveBundle | None:
            data = operation.do("GET", place)
            if data is None:
                return None
            activation = activation_of(record_of(data, place), place)
            bundle = self._bundle(operation, name, activation.number)
            if bundle is None:
                raise damaged(_key(name, f"bundle:{activation.number}"), "it is not there any more")
            check_digest(activation, bundle)
            return ActiveBundle(activation, bundle)

        return self._connection.read(name, operate)

    def get(self, number: int) -> Bundle:
        """See `BundleStore.get`."""
        name = self._existing_name()
        bundle = None if name is None else self._read_bundle(name, number)
        if bundle is None:
            known: dict[int, bytes] = {} if name is None else self._records(name, "publications")
            raise missing(name or self._name, number, self.shown, known)
        return bundle

    def by_digest(self, prefix: str) -> Bundle | None:
        """See `BundleStore.by_digest`."""
        name = self._existing_name()
        records = {} if name is None else self._records(name, "publications")
        place = _key(name or "", "publications")
        number = number_of_digest(
            prefix, records, lambda number: _publication(records[number], place, number)
        )
        return None if number is None or name is None else self._read_bundle(name, number)

    def history(self) -> tuple[Publication, ...]:
        """See `BundleStore.history`."""
        name = self._existing_name()
        if name is None:
            return ()
        records = self._records(name, "publications")
        place = _key(name, "publications")
        return tuple(_publication(records[number], place, number) for number in sorted(records))

    def activations(self) -> tuple[Activation, ...]:
        """See `BundleStore.activations`."""
        name = self._existing_name()
        if name is None:
            return ()
        records = self._records(name, "activations")
        place = _key(name, "activations")
        return tuple(
            activation_of(record_of(records[epoch], place), place) for epoch in sorted(records)
        )

    def wait_for_change(self, timeout_s: float) -> bool:
        """See `BundleStore.wait_for_change`. What was said before a subscription is lost: True."""
        try:
            if self._subscription is None:
                name = self._existing_name()
                if name is None:
                    time.sleep(timeout_s)
                    return False
                self._subscription = self._connection.subscribe(_key(name, "changes"))
            with self._connection.telling():
                return self._subscription.get_message(timeout=timeout_s) is not None
        except StoreError:
            self._unsubscribe()
            raise

    def close(self) -> None:
        """See `BundleStore.close`."""
        self._unsubscribe()
        self._connection.close()

    def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(RedisError, OSError):
                subscription.close()

    def _existing_name(self) -> str | None:
        """The bundle that is meant; None where nothing was published."""
        if self._name is not None:
            return self._name
        given = self._connection.read(_NAMES, lambda operation: operation.do("SMEMBERS", _NAMES))
        names = [name for name in map(bytes.decode, given) if BUNDLE_NAME.fullmatch(name)]
        return only_name(names, self.shown)

    def _records(self, name: str, kind: str) -> dict[int, bytes]:
        place = _key(name, kind)
        found = self._connection.read(name, lambda operation: operation.do("HGETALL", place))
        try:
            return {int(number): data for number, data in found.items()}
        except ValueError:
            raise damaged(place, "it has other keys than numbers") from None

    def _read_bundle(self, name: str, number: int) -> Bundle | None:
        return self._connection.read(name, lambda operation: self._bundle(operation, name, number))

    def _bundle(self, operation: Operation, name: str, number: int) -> Bundle | None:
        place = _key(name, "publications")
        data = operation.do("HGET", place, number)
        if data is None:
            return None
        publication = _publication(data, place, number)
        known = (name, number, publication.digest)
        with self._lock:
            if known in self._bundles:
                self._bundles.move_to_end(known)
                return self._bundles[known]
        place = _key(name, f"bundle:{number}")
        content = operation.do("GET", place)
        if content is None:
            return None
        bundle = bundle_of(record_of(content, place), publication, place)
        with self._lock:
            self._bundles[known] = bundle
            while len(self._bundles) > _BUNDLES_MAX:
                self._bundles.popitem(last=False)
        return bundle


def _key(name: str, kind: str) -> str:
    return f"sw:{{{name}}}:{kind}"


def _taken(
    operation: Operation, keys: tuple[str, str, str], values: tuple[int, int, bytes, bytes]
) -> int:
    return int(operation.do("EVAL", _TAKE, len(keys), *keys, *values))


def _count(data: bytes | None, place: str) -> int:
    try:
        return int(data or 0)
    except ValueError:
        raise damaged(place, "it is no number") from None


def _publication(data: bytes, place: str, number: int) -> Publication:
    publication = publication_of(record_of(data, place), place)
    if publication.number != number:
        raise damaged(place, f"what stands under {number} is another bundle")
    return publication


for _scheme in ("redis", "rediss", "redis+unix"):
    register_store(_scheme, RedisStore)
