"""Guards on a compacted topic of a real Kafka that is frozen and killed under them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from streamwarden.errors import StoreError
from streamwarden.policy.guard import Guard
from streamwarden.policy.store import open_store

from ..servers.kafka import StartKafka
from ..servers.topics import Kafka, MakeTopic, unique_name
from ..unit.policy.store_contract import ACTIVATED_EACH, published_by_processes
from .following import assert_in_order, deciding, limit_bundle, put, told, until

COMPACTED = {"cleanup.policy": "compact"}


def test_a_running_guard_takes_what_is_activated_at_once(kafka: Kafka, tmp_path: Path) -> None:
    """Forward and back as soon as it is told, and each event is decided by an active version."""
    url = f"kafka://{kafka.bootstrap}/{unique_name('store')}?bundle=payments"
    with closing(open_store(url)) as store:
        put(store, tmp_path, 10)

        with deciding(told(url)) as seen:
            store.publish(limit_bundle(tmp_path, 99), by="ann", reason="never active")
            for number, limit in ((3, 20), (4, 30)):
                put(store, tmp_path, limit)
                label = f"payments@{number}"
                until(lambda label=label: seen.labels[-1:] == [label])  # type: ignore[misc]
            store.activate(1, by="bob", reason="back")
            until(lambda: seen.labels[-1:] == ["payments@1"])

    assert seen.labels == [f"payments@{number}" for number in (1, 3, 4, 1)]


def test_two_processes_publish_a_thousand_times_under_a_running_guard(
    kafka: Kafka, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """No number is given twice, no event stays undecided, and only active versions decide."""
    url = f"kafka://{kafka.bootstrap}/{make_topic('store', config=COMPACTED)}?bundle=payments"
    with closing(open_store(url)) as store:
        put(store, tmp_path, 10)

        with deciding(Guard.from_url(url)) as seen:
            published_by_processes(url, each=250, before=1)
            last = store.active()
            assert last is not None
            until(lambda: seen.guard.bundle.label == last.bundle.label)

        assert len(store.activations()) == 1 + 1000 // ACTIVATED_EACH
        assert_in_order(seen, store)


def test_a_frozen_and_a_killed_kafka_are_waited_for(
    start_kafka: StartKafka, tmp_path: Path
) -> None:
    """The last good version decides on, also after a start without Kafka."""
    cluster = start_kafka()
    url = f"kafka://{cluster.bootstrap}/policies?bundle=payments&timeout_s=3"
    file = tmp_path / "policy.json"
    with closing(open_store(url)) as store:
        put(store, tmp_path, 10)

        with deciding(Guard.from_url(url, last_known_good=file)) as seen:
            cluster.node.pause()
            until(lambda: seen.guard.counters.get("fallbacks/source", 0) > 0)
            with pytest.raises(StoreError) as frozen:
                store.active()
            cluster.node.resume()
            put(store, tmp_path, 20)
            until(lambda: seen.labels[-1:] == ["payments@2"])
            cluster.node.kill()
            failed = seen.guard.counters["fallbacks/source"]
            until(lambda: seen.guard.counters["fallbacks/source"] > failed)
        with deciding(Guard.from_url(url, last_known_good=file)) as restarted:
            cluster.node.start()
            put(store, tmp_path, 30)
            until(lambda: restarted.labels[-1:] == ["payments@3"])

    assert frozen.value.code == "SW196"
    assert seen.labels == ["payments@1", "payments@2"]
    assert restarted.labels == ["payments@2", "payments@3"]


def test_a_topic_that_was_deleted_takes_no_version_away(kafka: Kafka, tmp_path: Path) -> None:
    """The guard keeps its version; what is published anew is taken once its epoch is above."""
    topic = unique_name("store")
    url = f"kafka://{kafka.bootstrap}/{topic}?bundle=payments"
    with closing(open_store(url)) as store:
        for limit in (10, 20):
            put(store, tmp_path, limit)

        with deciding(Guard.from_url(url, last_known_good="off")) as seen:
            _delete(kafka.bootstrap, topic)
            until(lambda: seen.guard.counters.get("fallbacks/source", 0) > 0)
            with closing(open_store(url)) as renewed:
                put(renewed, tmp_path, 99)
                until(lambda: "bundle_refused/lower_epoch" in seen.guard.counters)
                assert seen.labels == ["payments@2"]
                put(renewed, tmp_path, 50)  # epoch 2, which is known and of another bundle
                until(lambda: "bundle_refused/digest" in seen.guard.counters)
                third = put(renewed, tmp_path, 60)
                until(lambda: seen.guard.bundle.digest == third.digest)

    assert seen.labels == ["payments@2", "payments@3"]


def _delete(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    delete: Callable[..., dict[str, Future[None]]] = admin.delete_topics  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    delete([topic])[topic].result(30)
