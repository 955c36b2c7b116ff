"""Guarded against raw `consume(500)`, on the same broker, in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks.reconcile import fill
from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import write_policies
from streamwarden import Guard, GuardedConsumer

__all__ = ["BASELINE", "run"]

BASELINE = "raw, consume(500)"
_BATCH = 500


def run(bootstrap: str, topic: str, *, rounds: int = 5, operations: int = 100_000) -> list[Row]:
    """Rows for reading the same events raw and guarded, with ten rules, in batches and one by one."""
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.from_directory(write_policies(Path(folder)))
    fill(bootstrap, topic, guard, operations)
    places = [TopicPartition(topic, partition, 0) for partition in range(2)]
    config = {
        "bootstrap.servers": bootstrap,
        "group.id": "benchmark",
        "enable.auto.commit": False,
        "log_level": 0,
    }

    def raw(count: int) -> int:
        consumer = Consumer(config)
        consumer.assign(places)
        try:
            return _read(consumer, count)
        finally:
            consumer.close()

    def guarded(count: int) -> int:
        with GuardedConsumer(config, guard=guard) as consumer:
            consumer.assign(places)
            return _read(consumer, count)

    def one_by_one(count: int) -> int:
        with GuardedConsumer(config, guard=guard) as consumer:
            consumer.assign(places)
            seen = 0
            while seen < count:
                message = consumer.poll(5)
                seen += message is not None and message.value() is not None
            return seen

    contenders: dict[str, Contender] = {
        BASELINE: raw,
        "guarded, consume(500)": guarded,
        "guarded, poll()": one_by_one,
    }
    return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)


def _read(consumer: Consumer | GuardedConsumer, count: int) -> int:
    seen = 0
    while seen < count:
        for message in consumer.consume(_BATCH, 5):
            seen += message.value() is not None
    return seen
