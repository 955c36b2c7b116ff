"""Reconciling a topic against reading the same records raw, on the same broker, in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks.rounds import Row, compare
from benchmarks.workload import events, write_policies
from streamwarden import Guard, GuardedProducer
from streamwarden.reconciler.options import ReconcileOptions
from streamwarden.reconciler.run import reconcile

__all__ = ["BASELINE", "fill", "run"]

BASELINE = "raw read, consume(500)"
_CLIENT = {"queue.buffering.max.messages": 1_000_000, "linger.ms": 50, "log_level": 0}


def fill(bootstrap: str, topic: str, guard: Guard, count: int) -> None:
    """Write `count` guarded events, as a service would have."""
    values = events(2000)
    with GuardedProducer({"bootstrap.servers": bootstrap, **_CLIENT}, guard=guard) as producer:
        for number in range(count):
            producer.produce(topic, values[number % len(values)])


def run(bootstrap: str, topic: str, *, rounds: int = 5, operations: int = 50_000) -> list[Row]:
    """Rows for the raw read, and for a full check of the stamps with ten rules."""
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.from_directory(write_policies(Path(folder)))
    fill(bootstrap, topic, guard, operations)
    config = {"bootstrap.servers": bootstrap, "log_level": 0}

    def raw(_count: int) -> int:
        consumer = Consumer({**config, "group.id": "raw", "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(2)])
        seen = 0
        while seen < operations:
            for message in consumer.consume(500, 5):
                message.value()
                message.headers()
                seen += 1
        consumer.close()
        return seen

    def checked(_count: int) -> int:
        report = reconcile(ReconcileOptions(config=config, topics=(topic,), bundle=guard.bundle))
        found = report.to_dict()
        if found["verdict"] != "clean" or found["events"] != operations:
            raise RuntimeError(f"the history that was written is not clean: {found}")
        return operations

    contenders = {BASELINE: raw, "reconcile, 10 rules, stamps compared": checked}
    return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)
