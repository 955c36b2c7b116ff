"""The Kafka store against a real Kafka: its contract, compaction, limits, rights and races."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamwarden.policy.store import BundleStore, open_store

from ..servers.topics import Kafka, unique_name
from ..unit.policy.store_contract import OpenStore, StoreContract

COMPACTED = {"cleanup.policy": "compact"}


class TestContract(StoreContract):
    """What every store promises; the topic is made by the first publication."""

    @pytest.fixture
    def open_it(self, kafka: Kafka) -> Iterator[OpenStore]:
        topic = unique_name("store")
        opened: list[BundleStore] = []

        def open_named(name: str | None) -> BundleStore:
            query = "" if name is None else f"?bundle={name}"
            store = open_store(f"kafka://{kafka.bootstrap}/{topic}{query}")
            opened.append(store)
            return store

        yield open_named
        for store in opened:
            store.close()
