"""The guarded producer for asyncio against the client's own, on the same broker, in one run.

The client's own has no guard, and takes no headers. The time is that of a service: from the first
`produce()` until the outcome of the last event is there.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from confluent_kafka.aio import AIOProducer

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import TOPIC, events, write_policies
from streamwarden import AsyncGuardedProducer, Guard

__all__ = ["BASELINE", "run"]

BASELINE = "AIOProducer"
_CLIENT = {"queue.buffering.max.messages": 1_000_000, "log_level": 0}


def run(bootstrap: str, *, rounds: int = 7, operations: int = 20_000) -> list[Row]:
    """Rows for the client's, and guarded at 0 % and 1 % refused."""
    config = {"bootstrap.servers": bootstrap, **_CLIENT}
    clean, some = (events(2000, refused=share) for share in (0.0, 0.01))
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.from_directory(write_policies(Path(folder)))
    with asyncio.Runner() as runner:
        raw, guarded = runner.run(_made(config, guard))
        contenders: dict[str, Contender] = {
            BASELINE: _calls(runner, raw, clean),
            "guarded, 10 rules, stamped": _calls(runner, guarded, clean),
            "guarded, 1 % refused": _calls(runner, guarded, some),
        }
        try:
            return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)
        finally:
            runner.run(raw.close())
            runner.run(guarded.close())


async def _made(config: dict[str, Any], guard: Guard) -> tuple[AIOProducer, AsyncGuardedProducer]:
    return AIOProducer(dict(config)), AsyncGuardedProducer(config, guard=guard)


def _calls(runner: asyncio.Runner, producer: Any, values: list[bytes]) -> Contender:
    produce: Callable[[str, bytes], Awaitable[asyncio.Future[Any]]] = producer.produce

    async def send(count: int) -> int:
        size = len(values)
        sent = [await produce(TOPIC, values[number % size]) for number in range(count)]
        await producer.flush()
        await asyncio.gather(*sent, return_exceptions=True)
        return count

    return lambda count: runner.run(send(count))
