"""Guarded produce with decision log and metrics on against both off, on the same broker, in one run."""

from __future__ import annotations

import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import TOPIC, events, write_policies
from streamwarden import Guard, GuardedProducer, metrics
from streamwarden.decision_times import TIMES

__all__ = ["BASELINE", "run"]

BASELINE = "guarded, 1 % refused"
#: The calls are timed, not the network: the queue takes a whole turn.
_CLIENT = {"queue.buffering.max.messages": 1_000_000, "linger.ms": 50, "log_level": 0}


def run(bootstrap: str, *, rounds: int = 7, operations: int = 50_000) -> list[Row]:
    """Rows for metrics alone, and with them a log in a topic, in a file, and with some allows.

    The time is what all threads of the process compute together, those of the client libraries
    too, since the log has threads of its own. A turn takes some tenths of a second, as a service
    that goes on for days would live it, and ends when everything is written and acknowledged.
    Metrics are read between the turns: a scrape costs the same however much is produced.
    """
    config = {"bootstrap.servers": bootstrap, **_CLIENT}
    topic = f"kafka://{bootstrap}/{TOPIC}-decisions"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        policies = folder / "policies"
        policies.mkdir()
        write_policies(policies)
        logs = {
            BASELINE: "off",
            "with metrics": "off",
            "with metrics, log in a topic": topic,
            "with metrics, log in a file": f"file:{folder / 'log.jsonl'}",
            "with metrics, log in a topic, 1 % of allows": f"{topic}?allow=0.01",
        }
        server = stack.enter_context(metrics.serve(0))
        contenders: dict[str, Contender] = {}
        for name, log in logs.items():
            guard = Guard.from_directory(policies, decision_log=log)
            producer = stack.enter_context(GuardedProducer(config, guard=guard))
            contenders[name] = _turn(producer, timed=name != BASELINE)

        def settle() -> None:
            urllib.request.urlopen(f"http://{server.host}:{server.port}/metrics").read()

        return compare(
            contenders,
            baseline=BASELINE,
            operations=operations,
            rounds=rounds,
            settle=settle,
            clock=time.process_time,
        )


def _turn(producer: GuardedProducer, *, timed: bool) -> Contender:
    values = events(2000, refused=0.01)

    def told(*_: object) -> None:
        return None

    def turn(count: int) -> int:
        if timed:
            TIMES.start()
        else:
            TIMES.stop()
        size = len(values)
        for number in range(count):
            producer.produce(TOPIC, values[number % size], on_delivery=told)
            if number & 511 == 0:
                producer.poll(0)
        producer.flush(60)
        producer.guard.flush_log(60)
        return count

    return turn
