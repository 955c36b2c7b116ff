"""Reconcile a long history: `python -m benchmarks.soak_reconcile --events 10000000 [--workers 2]`.

Writes so many stamped events of 600 bytes to a real Kafka, has `streamwarden reconcile` replay them
in processes of its own, and prints the speed and the most memory that those had together.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.workload import POLICY, events
from streamwarden import Guard
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.routing import route
from tests.servers.kafka import kafka_cluster

TOPIC = "orders-history"
PARTITIONS = 4
#: The share of events that today's policy would reject: findings have to go somewhere, too.
DRIFT = 0.01
#: Distinct events; they repeat.
_DISTINCT = 5000
_PACKAGE = Path(__file__).parent.parent


@dataclass(slots=True)
class Memory:
    """Most memory of a process and of those below it, in MiB, as Linux counts it.

    `resident` counts pages that they share once for each; `own` (PSS) divides them.
    """

    resident: float = 0.0
    own: float = 0.0

    def look(self, process: int) -> None:
        """Take the figures of this moment."""
        resident = own = 0
        for found in _family(process):
            with contextlib.suppress(OSError):  # it ended meanwhile
                for line in Path(f"/proc/{found}/smaps_rollup").read_text().splitlines():
                    name, _, rest = line.partition(":")
                    resident += int(rest.split()[0]) if name == "Rss" else 0
                    own += int(rest.split()[0]) if name == "Pss" else 0
        self.resident = max(self.resident, resident / 1024)
        self.own = max(self.own, own / 1024)


def _family(process: int) -> list[int]:
    """A process and all below it."""
    found = [process]
    for parent in found:
        for listed in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in listed.read_text().split()]
    return found


def fill(bootstrap: str, guard: Guard, count: int) -> None:
    """Write `count` events with the stamps that `guard` gives them; each is decided once."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for done in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)]).values():
        done.result(30)
    records = []
    for value in events(_DISTINCT):
        (record,) = route(guard.decide(topic=TOPIC, value=value)).records
        records.append((record.value, list(record.headers)))
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 200_000,
            "delivery.report.only.error": True,
            "log_level": 0,
        }
    )
    for number in range(count):
        value, headers = records[number % _DISTINCT]
        while True:
            try:
                producer.produce(
                    TOPIC, value, headers=headers, partition=number // 1000 % PARTITIONS
                )
                break
            except BufferError:
                producer.poll(0.1)
    if left := producer.flush(300):
        raise RuntimeError(f"{left} events were not written")


def reconcile(arguments: Sequence[str]) -> tuple[dict[str, object], float, Memory]:
    """The report of a run, its seconds, and the memory of its processes."""
    command = [sys.executable, "-m", "streamwarden", "reconcile", *arguments]
    memory, began = Memory(), time.monotonic()
    with tempfile.TemporaryFile() as out:
        with subprocess.Popen(command, stdout=out, cwd=_PACKAGE) as run:
            while run.poll() is None:
                memory.look(run.pid)
                time.sleep(0.1)
        spent = time.monotonic() - began
        out.seek(0)
        return json.loads(out.read()), spent, memory


def main() -> None:
    """Fill a Kafka, reconcile, say how it went; exit status 1 where memory or result is off."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak_reconcile", description=__doc__
    )
    parser.add_argument("--events", type=int, default=1_000_000, help="events to write (1000000)")
    parser.add_argument(
        "--workers", nargs="+", default=["1"], help="processes; several: in turn (1)"
    )
    parser.add_argument("--limit", type=int, default=1024, help="MiB that are allowed (1024)")
    asked = parser.parse_args()
    ok = True
    with tempfile.TemporaryDirectory() as folder, kafka_cluster(1) as cluster:
        store = DirectoryStore(Path(folder, "store"), name="orders")
        then, today = (
            store.publish(
                Guard.from_directory(_written(Path(folder, name, "orders"), text)).bundle,
                by="ann",
                reason="soak",
            )
            for name, text in (("then", POLICY), ("today", _stricter(POLICY)))
        )
        store.activate(today.number, by="ann", reason="soak")
        began = time.monotonic()
        fill(cluster.bootstrap, Guard(then), asked.events)
        spent = time.monotonic() - began
        print(
            f"wrote {asked.events:,} events in {spent:,.0f} s, {asked.events / spent:,.0f} a second"
        )
        for workers in asked.workers:
            report, spent, memory = reconcile(
                [
                    *(
                        "-b",
                        cluster.bootstrap,
                        "-t",
                        TOPIC,
                        "--store",
                        f"dir:{folder}/store",
                        "--json",
                    ),
                    *("--findings", f"{folder}/findings.jsonl"),
                    *("--engine-option", f"workers={workers}", "--quiet"),
                ]
            )
            whole = report["complete"] is True and report["events"] == asked.events
            ok = ok and whole and memory.resident < asked.limit
            print(
                f"workers={workers}: {report['events']:,} events in {spent:,.0f} s, "
                f"{asked.events / spent:,.0f} a second; at most {memory.resident:,.0f} MiB resident "
                f"({memory.own:,.0f} without counting shared pages twice); "
                f"complete: {report['complete']}; findings: {report['counts']}"
            )
    sys.exit(0 if ok else 1)


def _written(folder: Path, policy: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "orders.yaml").write_text(policy)
    return folder


def _stricter(policy: str) -> str:
    """Today's policy: a rule on what a hundredth of the events have."""
    return policy + (
        f"  - {{id: large, when: 'value.amount > {9000 * (1 - DRIFT)}', effect: reject}}\n"
    )


if __name__ == "__main__":
    main()
