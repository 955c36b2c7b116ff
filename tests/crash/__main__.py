"""The long run: `python -m tests.crash --help`.

With kills it ends in a tally, as the test does; with `--kills 0` workers live through all of it, and
it fails where their memory goes on growing. With `--nodes 3` one broker of three at a time is killed,
and the next one when all replicas are in sync again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.servers.kafka import kafka_cluster

from .campaign import BROKER_SETTINGS, Campaign, Plan

#: What a worker may grow by from the second quarter of the run to the last one.
_GROWTH_MAX = 1.05
_GROWTH_MAX_MIB = 8.0


def main() -> int:
    """Run both kinds, or one; 1 where an event is missing, misplaced or doubled, or memory grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--mode", choices=("exactly-once", "at-least-once", "both"), default="both")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="brokers of the cluster")
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--rate", type=float, default=5000, metavar="N", help="events a second")
    parser.add_argument("--kills", type=int, default=10**9, metavar="N", help="at most so many")
    parser.add_argument("--kill-every", type=float, default=2.0, metavar="SECONDS")
    parser.add_argument("--restarts", type=int, default=None, metavar="N", help="of a broker")
    parser.add_argument("--restart-every", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--report-every", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    plan = Plan(
        exactly_once=True,
        seed=given.seed,
        events=given.events,
        seconds=given.events / given.rate,
        kills=given.kills,
        kill_every_s=given.kill_every,
        restarts=given.kills if given.restarts is None else given.restarts,
        restart_every_s=given.restart_every,
    )
    modes = ("exactly-once", "at-least-once") if given.mode == "both" else (given.mode,)
    print(f"seed {given.seed}", flush=True)
    plans = [replace(plan, exactly_once=mode == "exactly-once") for mode in modes]
    return max([_run(each, given.nodes, given.report_every) for each in plans])


def _run(plan: Plan, nodes: int, report_s: float) -> int:
    with (
        kafka_cluster(nodes, config=BROKER_SETTINGS) as cluster,
        tempfile.TemporaryDirectory(prefix="streamwarden-crash-") as folder,
    ):
        campaign = Campaign(cluster, Path(folder), plan, tell=_tell, report_s=report_s)
        tally = campaign.run()
    grown = [name for name, sizes in campaign.memory.items() if _grew(sizes)]
    for name in grown:
        _tell(f"{name} goes on growing")
    wrong = tally.missing or tally.misplaced or (plan.exactly_once and tally.copies)
    return 1 if wrong or grown else 0


def _grew(sizes: Sequence[float]) -> bool:
    """Whether memory in MiB, over time, is more at the end than in the second quarter."""
    quarter = len(sizes) // 4
    if quarter < 10:
        return False  # too few to tell
    before = statistics.median(sizes[quarter : 2 * quarter])
    return statistics.median(sizes[-quarter:]) > before * _GROWTH_MAX + _GROWTH_MAX_MIB


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
