"""Reconciling a topic against reading the same records raw, on the same broker, in one run.

The raw reader has the client's own settings; it is shown with those of the reconciler as well, which
keep the client's queue filled.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import events, write_policies
from streamwarden import Guard
from streamwarden.policy.routing import route
from streamwarden.reconciler.clients import consumer_config
from streamwarden.reconciler.options import ReconcileOptions
from streamwarden.reconciler.run import reconcile

__all__ = ["BASELINE", "Workers", "fill", "print_workers", "run", "run_workers"]

BASELINE = "raw read, consume(500)"
PARTITIONS = 2
_DISTINCT = 2000
_PR_SET_CHILD_SUBREAPER = 36
_CLIENT = {
    "linger.ms": 50,
    "queue.buffering.max.messages": 1_000_000,
    "delivery.report.only.error": True,
    "log_level": 0,
}


def fill(bootstrap: str, topic: str, guard: Guard, count: int) -> None:
    """Write `count` events with the stamps that `guard` gives them; each value is decided once."""
    records: list[Any] = []
    for value in events(_DISTINCT):
        (record,) = route(guard.decide(topic=topic, value=value)).records
        records.append((record.value, list(record.headers)))
    producer = Producer({"bootstrap.servers": bootstrap, **_CLIENT})
    for number in range(count):
        value, headers = records[number % _DISTINCT]
        partition = number // 1000 % PARTITIONS
        while True:
            try:
                producer.produce(topic, value, headers=headers, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
    if left := producer.flush(120):
        raise RuntimeError(f"{left} events were not written")


def run(bootstrap: str, topic: str, *, rounds: int = 5, operations: int = 400_000) -> list[Row]:
    """Rows for raw reads, and for a full check of the stamps with ten rules."""
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.from_directory(write_policies(Path(folder)))
    fill(bootstrap, topic, guard, operations)
    config = {"bootstrap.servers": bootstrap, "log_level": 0}
    own = {"group.id": "raw", "enable.auto.commit": False}

    def raw(settings: dict[str, Any]) -> int:
        consumer = Consumer(settings)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        seen = 0
        while seen < operations:
            for message in consumer.consume(500, 5):
                message.value()
                message.headers()
                seen += message.error() is None
        consumer.close()
        return seen

    def checked(_count: int) -> int:
        report = reconcile(ReconcileOptions(config=config, topics=(topic,), bundle=guard.bundle))
        _check(report.to_dict(), operations)
        return operations

    contenders: dict[str, Contender] = {
        BASELINE: lambda _count: raw({**config, **own}),
        "the same with the reconciler's settings": lambda _count: raw(consumer_config(config)),
        "reconcile, 10 rules, stamps compared": checked,
    }
    return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)


@dataclass(frozen=True, slots=True)
class Workers:
    """Rounds with so many processes: seconds, processor time of those, speed against one process."""

    processes: int
    seconds: float
    cpu_us: float
    ratio: float
    ratio_min: float
    ratio_max: float


def run_workers(
    bootstrap: str, topic: str, *, rounds: int = 5, operations: int = 1_200_000
) -> list[Workers]:
    """`streamwarden reconcile` in one process and in two, on a history long beside their start."""
    # Of processes that nobody waits for, the processor time would not be known.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        policies = write_policies(Path(folder))
        fill(bootstrap, topic, Guard.from_directory(policies), operations)
        for turn in range(rounds + 1):
            for processes in (1, 2) if turn % 2 else (2, 1):
                used = _cpu_seconds()
                spent = _called(bootstrap, topic, policies, operations, processes)
                if turn:
                    seconds[processes].append(spent)
                    cpu[processes].append(_cpu_seconds() - used)
    found: list[Workers] = []
    for processes, times in seconds.items():
        ratios = [one / each for one, each in zip(seconds[1], times, strict=True)]
        found.append(
            Workers(
                processes,
                statistics.median(times),
                statistics.median(cpu[processes]) / operations * 1e6,
                statistics.median(ratios),
                min(ratios),
                max(ratios),
            )
        )
    return found


def print_workers(rows: list[Workers]) -> None:
    """A table, with what has to be known to read it."""
    cores = len(os.sched_getaffinity(0))
    table = Table(
        title="reconciling in processes",
        title_justify="left",
        caption=f"The broker runs on the same {cores} cores, and so do the client's own threads.",
        caption_justify="left",
    )
    for title in ("processes", "seconds", "CPU µs an event", "speed against one", "min … max"):
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(
            str(row.processes),
            f"{row.seconds:,.2f}",
            f"{row.cpu_us:,.2f}",
            f"{row.ratio:.2f}",
            f"{row.ratio_min:.2f} … {row.ratio_max:.2f}",
        )
    Console().print(table)


def _called(bootstrap: str, topic: str, policies: Path, operations: int, processes: int) -> float:
    """The seconds of one run."""
    command = [sys.executable, "-m", "streamwarden", "reconcile", "--policies", str(policies)]
    command += ["-b", bootstrap, "-t", topic, "--json", "--quiet"]
    command += ["--engine-option", f"workers={processes}"]
    others, began = _children(), time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    spent = time.perf_counter() - began
    for left in _children() - others:  # what the workers were forked from ends after the run
        os.waitpid(left, 0)
    _check(json.loads(done.stdout), operations)
    return spent


def _children() -> set[int]:
    listed = Path("/proc/self/task").glob("*/children")
    return {int(child) for each in listed for child in each.read_text().split()}


def _check(found: Mapping[str, Any], operations: int) -> None:
    if found["verdict"] != "clean" or found["events"] != operations:
        raise RuntimeError(f"the history that was written is not clean: {found}")


def _cpu_seconds() -> float:
    """Of the processes that this one has waited for, and of those that they have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
