"""Run the benchmarks: `python -m benchmarks [async|avro|calls|consume|decide|evaluation|observed|peers|produce|reconcile …] [--rounds N]`.

Those that need a broker start a real Kafka, or take `--bootstrap-servers`.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import sys
from collections.abc import Generator

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks import (
    asynchronous,
    avro,
    calls,
    consume,
    decide,
    evaluation,
    observed,
    peers,
    produce,
    reconcile,
    targets,
)
from benchmarks.rounds import print_rows
from benchmarks.workload import TOPIC
from tests.servers.cache import MissingServerError
from tests.servers.kafka import kafka_cluster

_ALL = (
    "async",
    "avro",
    "calls",
    "consume",
    "decide",
    "evaluation",
    "observed",
    "peers",
    "produce",
    "reconcile",
)


def main() -> None:
    """Print one table for each benchmark that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("which", nargs="*", help=f"of {', '.join(_ALL)}; all by default")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds (7)")
    parser.add_argument("--rules", type=int, nargs="+", help="numbers of rules, for peers")
    parser.add_argument("--bootstrap-servers", "-b", help="a running Kafka, instead of a new one")
    asked = parser.parse_args()
    which = asked.which or list(_ALL)
    if unknown := sorted(set(which) - set(_ALL)):
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    print(f"{platform.python_implementation()} {platform.python_version()}, {asked.rounds} rounds")
    if "avro" in which:
        print_rows("Avro bytes to fields", avro.BASELINE, avro.run(rounds=asked.rounds))
    if "calls" in which:
        calls.print_calls()
    if "decide" in which:
        print_rows("bytes to decision", decide.BASELINE, decide.run(rounds=asked.rounds))
    if "evaluation" in which:
        rows = evaluation.run(rounds=asked.rounds)
        print_rows("bytes to hits", evaluation.BASELINE, rows)
    if "peers" in which:
        sizes = asked.rules or peers.SIZES
        measured = peers.run(rounds=asked.rounds, sizes=sizes)
        peers.print_peers(measured)
        targets.print_targets(targets.run(measured, rounds=asked.rounds))
    if {"async", "consume", "observed", "produce", "reconcile"} & set(which):
        with _broker(asked.bootstrap_servers) as bootstrap:
            if "async" in which:
                rows = asynchronous.run(bootstrap, rounds=asked.rounds)
                print_rows(
                    "produce() with asyncio, to the last outcome", asynchronous.BASELINE, rows
                )
            if "produce" in which:
                rows = produce.run(bootstrap, rounds=asked.rounds)
                print_rows("the call of produce()", produce.BASELINE, rows)
                rows = produce.run_delivered(bootstrap, rounds=asked.rounds)
                print_rows("produce() until all is delivered", produce.BASELINE, rows)
            if "consume" in which:
                rows = consume.run(bootstrap, TOPIC, rounds=asked.rounds)
                print_rows("consume() of what is there", consume.BASELINE, rows)
            if "observed" in which:
                rows = observed.run(bootstrap, rounds=asked.rounds)
                print_rows("produce() with decision log and metrics", observed.BASELINE, rows)
            if "reconcile" in which:
                rows = reconcile.run(bootstrap, f"{TOPIC}-history", rounds=asked.rounds)
                print_rows("reading history", reconcile.BASELINE, rows)
                reconcile.print_workers(
                    reconcile.run_workers(bootstrap, f"{TOPIC}-long-history", rounds=asked.rounds)
                )


@contextlib.contextmanager
def _broker(given: str | None) -> Generator[str]:
    """A real Kafka: the one given, else one of our own, as the tests start it."""
    if given is not None:
        _make_topics(given)
        yield given
        return
    try:
        with kafka_cluster(1) as cluster:
            _make_topics(cluster.bootstrap)
            yield cluster.bootstrap
    except MissingServerError as error:
        sys.exit(f"no Kafka to measure against: {error}; or give --bootstrap-servers")


def _make_topics(bootstrap: str) -> None:
    names = [
        name
        for topic in (TOPIC, f"{TOPIC}-history", f"{TOPIC}-long-history")
        for name in (topic, f"quarantine.{topic}", f"held.{topic}", f"{topic}-decisions")
    ]
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for done in admin.create_topics([NewTopic(name, 2, 1) for name in names]).values():
        try:
            done.result(30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


if __name__ == "__main__":
    main()
