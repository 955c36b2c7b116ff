"""The Kafka store against a real Kafka: its contract, compaction, limits, and rights."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Producer

from streamwarden.errors import StoreError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.model import BundleSettings
from streamwarden.policy.store import BundleStore, open_store

from ..servers.kafka import StartKafka
from ..servers.topics import ConsumeAll, Kafka, MakeTopic, create_topic, unique_name
from ..unit.policy.store_contract import OpenStore, StoreContract, bundle

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


def test_compaction_never_changes_who_won(
    kafka: Kafka, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """The first claim of a number has it, before and after compaction, whatever came behind it."""
    eager = {
        **COMPACTED,
        "segment.ms": "300",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "300",
        "delete.retention.ms": "0",
    }
    topic = make_topic("store", config=eager)
    url = f"kafka://{kafka.bootstrap}/{topic}?bundle=payments"
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})

    def write(key: str, value: bytes | None) -> None:
        producer.produce(topic, key=key, value=value)
        assert producer.flush(10) == 0

    with closing(open_store(url)) as store:
        one = store.publish(bundle("a"), by="ann", reason="first")
        store.activate(1, by="ann", reason="go")
        before = store.history(), store.activations()
        late = f'{{"name":"payments","number":1,"digest":"{"0" * 64}","at":"1","by":"x"'
        for token in ("e" * 32, "f" * 32):  # losers: one that is removed, and one that stays
            write(f"payments/bundle/00000001/{token}", f'{late},"reason":"late"}}'.encode())
            write(f"payments/activation/00000001/{token}", b"{}")
        write(f"payments/bundle/00000001/{'e' * 32}", None)
        store.publish(bundle("a"), by="ann", reason="the same content")
        store.publish(bundle("b"), by="ann", reason="more")
        deadline = time.monotonic() + 20
        removed = b"payments/bundle/00000001/" + b"e" * 32
        while any(record.key == removed for record in consume_all(topic)):
            assert time.monotonic() < deadline, "compaction did not come"
            time.sleep(0.4)
            write("foreign", b"so that the segment before is closed")

        with closing(open_store(url)) as fresh:
            for reader in (store, fresh):
                assert reader.history()[:1] == before[0]
                assert reader.activations() == before[1]
                assert reader.get(1).digest == reader.get(2).digest == one.digest
                assert reader.get(3).digest == bundle("b").digest


def test_what_is_not_in_memory_is_read_again(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Old versions are found where they stand in the log, and following goes on behind."""
    url = f"kafka://{kafka.bootstrap}/{make_topic('store', config=COMPACTED)}?bundle=payments"
    with closing(open_store(url)) as store, closing(open_store(url)) as reader:
        for number in range(12):
            store.publish(bundle(str(number)), by="ann", reason="x")

        for number in (1, 12, 5, 2):
            assert reader.get(number).digest == bundle(str(number - 1)).digest
        store.publish(bundle("more"), by="ann", reason="x")

        assert reader.get(13).digest == bundle("more").digest
        assert reader.by_digest(bundle("3").digest) == reader.get(4)


def test_a_bundle_beyond_the_topics_limit(kafka: Kafka, make_topic: MakeTopic) -> None:
    """Told with its size and the setting to raise; no number is taken."""
    topic = make_topic("store", config={**COMPACTED, "max.message.bytes": "3000"})
    noise = [f"{number * 2654435761 % 2**32:08x}" for number in range(2000)]
    large = Bundle.make(BundleSettings(name="payments"), (), lists={"note": noise})
    with closing(open_store(f"kafka://{kafka.bootstrap}/{topic}")) as store:
        with pytest.raises(StoreError, match=r"has 2\d,\d{3} bytes.*max\.message\.bytes") as caught:
            store.publish(large, by="ann", reason="x")

        assert topic in str(caught.value)
        assert store.publish(bundle("a"), by="ann", reason="x").number == 1


@pytest.mark.parametrize(
    ("partitions", "config", "said"),
    [(2, COMPACTED, "2 partitions"), (1, {"cleanup.policy": "delete"}, "forgets")],
)
def test_a_topic_that_is_not_fit(
    kafka: Kafka, make_topic: MakeTopic, partitions: int, config: dict[str, str], said: str
) -> None:
    """Nothing is published where order or memory is missing."""
    kept = {"retention.ms": "100000000"} if "delete" in config["cleanup.policy"] else {}
    topic = make_topic("store", partitions=partitions, config={**config, **kept})
    with (
        closing(open_store(f"kafka://{kafka.bootstrap}/{topic}")) as store,
        pytest.raises(StoreError, match=said),
    ):
        store.publish(bundle("a"), by="ann", reason="x")


def test_foreign_and_damaged_records(kafka: Kafka, make_topic: MakeTopic) -> None:
    """What is no record of a store is passed over; a claim that cannot be read is told."""
    topic = make_topic("store", config=COMPACTED)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for key in (
        b"\xff",
        b"",
        b"a/b/c/d",
        b"../bundle/00000001/" + b"0" * 32,
        b"payments/content/x",
    ):
        producer.produce(topic, key=key, value=b"{}")
    producer.produce(topic, value=b"no key")
    assert producer.flush(10) == 0
    with closing(open_store(f"kafka://{kafka.bootstrap}/{topic}")) as store:
        assert store.history() == ()
        store.publish(bundle("a"), by="ann", reason="x")
        store.activate(1, by="ann", reason="x")
        producer.produce(topic, key="payments/activation/00000002/" + "0" * 32, value=b"{")
        assert producer.flush(10) == 0

        with pytest.raises(StoreError) as caught:
            store.active()

        assert caught.value.code == "SW192"
        assert store.activate(1, by="ann", reason="mended").epoch == 3
        active = store.active()
        assert active is not None
        assert active.activation.epoch == 3


def test_users_and_what_is_said_about_them(start_kafka: StartKafka) -> None:
    """Properties in the query or beside it; the wrong password is told, and never shown."""
    cluster = start_kafka(users={"app": "s3cr3t"})
    topic = create_topic(cluster.bootstrap, "policies", config=COMPACTED)
    sasl = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN"}
    query = "&".join(f"{name}={value}" for name, value in sasl.items())
    servers = cluster.node.sasl_bootstrap
    url = f"kafka://{servers}/{topic}?bundle=payments&timeout_s=3&{query}&sasl.username=app"

    with (
        closing(open_store(url, client={"sasl.password": "s3cr3t"})) as store,
        pytest.raises(StoreError, match=r"(?i)authoriz") as denied,
    ):
        store.active()
    with (
        closing(open_store(f"{url}&sasl.password=wr0ngOne")) as store,
        pytest.raises(StoreError, match=r"(?i)authenticat") as refused,
    ):
        store.active()
    assert (denied.value.code, refused.value.code) == ("SW196", "SW196")
    for said in (str(denied.value), str(refused.value), repr(store)):
        assert "s3cr3t" not in said
        assert "wr0ngOne" not in said


def test_what_a_url_or_a_client_does_not_take() -> None:
    """StoreError when it is opened, and nothing connects."""
    for url in (
        *("kafka://host:9092", "kafka:host/topic", "kafka://h:1/a/b", "kafka://u:s3cr3t@h:1/t"),
        *("kafka://h:1/t?group.id=x", "kafka://h:1/t?timeout_s=x", "kafka://h:1/t?sasl.password"),
    ):
        with pytest.raises(StoreError) as caught:
            open_store(url)
        assert caught.value.remedy
        assert "s3cr3t" not in str(caught.value)
