"""The Redis store against a real Redis: its contract, rights, TLS, clusters, faults and races."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamwarden.policy.store import BundleStore, open_store

from ..servers.redis_server import RedisServer, StartRedis
from ..unit.policy.store_contract import OpenStore, StoreContract


@pytest.fixture
def server(start_redis: StartRedis) -> RedisServer:
    return start_redis(tcp=True)


class TestContract(StoreContract):
    """What every store promises."""

    @pytest.fixture
    def open_it(self, server: RedisServer) -> Iterator[OpenStore]:
        opened: list[BundleStore] = []

        def open_named(name: str | None) -> BundleStore:
            store = open_store(server.url + ("" if name is None else f"?bundle={name}"))
            opened.append(store)
            return store

        yield open_named
        for store in opened:
            store.close()
