"""Guards on a real Redis that is killed, frozen, emptied and started again under them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis

from streamwarden.errors import StoreError
from streamwarden.policy.guard import Guard
from streamwarden.policy.store import BundleStore, open_store

from ..servers.redis_server import RedisServer, StartRedis
from ..unit.policy.store_contract import ACTIVATED_EACH, published_by_processes
from .following import assert_in_order, deciding, limit_bundle, put, told, until


@pytest.fixture
def server(start_redis: StartRedis) -> RedisServer:
    return start_redis("--appendonly", "yes", "--appendfsync", "always", tcp=True)


@pytest.fixture
def url(server: RedisServer) -> str:
    return f"{server.url}?bundle=payments"


@pytest.fixture
def store(url: str) -> Iterator[BundleStore]:
    with closing(open_store(url)) as opened:
        yield opened


def test_a_running_guard_takes_what_is_activated_at_once(
    url: str, store: BundleStore, tmp_path: Path
) -> None:
    """Forward and back as soon as it is told, and each event is decided by an active version."""
    put(store, tmp_path, 10)

    with deciding(told(url)) as seen:
        store.publish(limit_bundle(tmp_path, 99), by="ann", reason="never active")
        for limit in (20, 30, 40):
            bundle = put(store, tmp_path, limit)
            until(lambda label=bundle.label: seen.labels[-1:] == [label])  # type: ignore[misc]
        store.activate(1, by="bob", reason="back")
        until(lambda: seen.labels[-1:] == ["payments@1"])

    assert seen.labels == [f"payments@{number}" for number in (1, 3, 4, 5, 1)]


def test_a_killed_redis_is_waited_for(
    server: RedisServer,
    url: str,
    store: BundleStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The last good version decides on; the next activation after the restart is taken."""
    caplog.set_level(logging.INFO, "streamwarden")
    put(store, tmp_path, 10)

    with deciding(told(url)) as seen:
        server.kill()
        until(lambda: seen.guard.counters.get("fallbacks/source", 0) > 1)
        assert seen.labels[-1:] == ["payments@1"]
        server.start()
        put(store, tmp_path, 20)
        until(lambda: seen.labels[-1:] == ["payments@2"])
        put(store, tmp_path, 30)
        until(lambda: seen.labels[-1:] == ["payments@3"])  # it has subscribed again

    assert seen.labels == ["payments@1", "payments@2", "payments@3"]
    said = [record.getMessage() for record in caplog.records]
    assert any("keeping the last good policy" in line for line in said)
    assert any("answers again" in line for line in said)


def test_a_frozen_redis_stalls_nobody(
    server: RedisServer, url: str, store: BundleStore, tmp_path: Path
) -> None:
    """A server that holds connections and says nothing costs no decision, and its user seconds."""
    put(store, tmp_path, 10)

    with deciding(Guard.from_url(url)) as seen:
        server.pause()
        until(lambda: seen.guard.counters.get("fallbacks/source", 0) > 0)
        with pytest.raises(StoreError, match="does not answer") as caught:
            store.active()
        server.resume()
        put(store, tmp_path, 20)
        until(lambda: seen.labels[-1:] == ["payments@2"])

    assert caught.value.code == "SW196"
    assert seen.labels == ["payments@1", "payments@2"]


def test_a_flushed_redis_takes_no_version_and_no_number_away(
    server: RedisServer,
    url: str,
    store: BundleStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The guard keeps its version and tells the store what it knew: the next number is above."""
    for limit in (10, 20, 30):
        put(store, tmp_path, limit)

    with deciding(Guard.from_url(url)) as seen, Redis.from_url(server.url) as admin:
        admin.flushall()
        until(lambda: seen.guard.counters.get("bundle_refused/emptied", 0) == 1)
        with pytest.raises(StoreError) as caught:
            store.publish(limit_bundle(tmp_path, 40), by="ann", reason="x", expected=2)
        fresh = put(store, tmp_path, 40)
        until(lambda: seen.guard.bundle.label == fresh.label)

    assert caught.value.code == "SW193"
    assert fresh.number == 4
    assert [activation.epoch for activation in store.activations()] == [4]
    assert seen.labels == ["payments@3", "payments@4"]
    assert "SW197" in caplog.text


def test_an_older_activation_is_never_taken(
    server: RedisServer,
    url: str,
    store: BundleStore,
    tmp_path: Path,
) -> None:
    """Where a guard may not write, what was lost stays lost; it is told, counted and not obeyed."""
    with Redis.from_url(server.url) as admin:
        rights = ["+get", "+hget", "+smembers", "+subscribe", "+select", "+auth"]
        admin.acl_setuser(
            "guard",
            enabled=True,
            passwords=["+reading"],
            keys=["sw:*"],
            channels=["sw:*"],
            commands=rights,
        )
        for limit in (10, 20):
            put(store, tmp_path, limit)
        reader = url.replace("//", "//guard:reading@")

        with deciding(Guard.from_url(reader)) as seen:
            admin.flushall()
            until(lambda: seen.guard.counters.get("bundle_refused/emptied", 0) == 1)
            put(store, tmp_path, 99)
            until(lambda: seen.guard.counters.get("bundle_refused/lower_epoch", 0) == 1)
            assert seen.labels[-1:] == ["payments@2"]
            put(store, tmp_path, 50)  # epoch 2, which is known and of another bundle
            until(lambda: seen.guard.counters.get("bundle_refused/digest", 0) == 1)
            third = put(store, tmp_path, 60)
            until(lambda: seen.guard.bundle.digest == third.digest)

        assert seen.labels == ["payments@2", "payments@3"]


def test_a_guard_starts_by_its_last_good_policy(
    server: RedisServer,
    url: str,
    store: BundleStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without its Redis it decides by what it knew, loudly, and follows again once that is back."""
    file = tmp_path / "state" / "policy.json"
    put(store, tmp_path, 10)
    with Guard.from_url(url, last_known_good=file) as guard:
        assert guard.bundle.label == "payments@1"
    server.kill()

    with pytest.raises(StoreError, match="cannot be reached"):
        Guard.from_url(url, last_known_good="off").start()
    with deciding(Guard.from_url(url, last_known_good=file)) as seen:
        assert seen.guard.counters["fallbacks/last_known_good"] == 1
        server.start()
        put(store, tmp_path, 20)
        until(lambda: seen.labels[-1:] == ["payments@2"])

    assert seen.labels == ["payments@1", "payments@2"]
    assert "last known good policy, payments@1" in caplog.text
    with Redis.from_url(server.url) as admin:
        admin.flushall()
    with Guard.from_url(url, last_known_good=file) as restarted:
        assert restarted.bundle.label == "payments@2"
        assert restarted.counters["bundle_refused/emptied"] == 1


def test_two_processes_publish_a_thousand_times_under_a_running_guard(
    url: str, store: BundleStore, tmp_path: Path
) -> None:
    """No number is given twice, no event stays undecided, and only active versions decide."""
    put(store, tmp_path, 10)

    with deciding(Guard.from_url(url)) as seen:
        published_by_processes(url, each=250, before=1)
        last = store.active()
        assert last is not None
        until(lambda: seen.guard.bundle.label == last.bundle.label)

    assert len(store.activations()) == 1 + 1000 // ACTIVATED_EACH
    assert_in_order(seen, store)
