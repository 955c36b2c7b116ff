"""Guarded against raw `produce()`, on the same broker, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Producer

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import KEY_POLICY, TOPIC, events, write_policies
from streamwarden import Guard, GuardedProducer

__all__ = ["BASELINE", "run"]

BASELINE = "raw"
#: The calls are timed, not the network: the queue takes a whole turn.
_CLIENT = {"queue.buffering.max.messages": 1_000_000, "linger.ms": 50, "log_level": 0}


def run(bootstrap: str, *, rounds: int = 7, operations: int = 20_000) -> list[Row]:
    """Rows for raw, raw with one constant header, and guarded at 0 %, 1 % and 100 % refused.

    Apart from these, for events with a key of which nothing else is read: raw and guarded.
    """
    config = {"bootstrap.servers": bootstrap, **_CLIENT}
    raw = Producer(config)
    clean, some, bad = (events(2000, refused=share) for share in (0.0, 0.01, 1.0))
    header = [("streamwarden", b"1;orders@15;9f3a1c2b7d4e;allow;produce")]
    with tempfile.TemporaryDirectory() as folder:
        # A flood of refused events is what is measured here.
        guard = Guard.from_directory(write_policies(Path(folder)), flood="warn")
        keys = Guard.from_directory(write_policies(Path(folder), KEY_POLICY))
    with (
        GuardedProducer(config, guard=guard) as guarded,
        GuardedProducer(config, guard=keys) as by_key,
    ):

        def settle() -> None:
            raw.flush(60)
            guarded.flush(60)
            by_key.flush(60)

        def one_header(topic: str, value: bytes) -> object:
            return raw.produce(topic, value, headers=header)

        def ignore(*_: object) -> None:
            return None

        def told(topic: str, value: bytes) -> object:
            return guarded.produce(topic, value, on_delivery=ignore)

        def raw_keyed(topic: str, value: bytes) -> object:
            return raw.produce(topic, value, b"order-1")

        def keyed(topic: str, value: bytes) -> object:
            return by_key.produce(topic, value, b"order-1")

        contenders: dict[str, Contender] = {
            BASELINE: _calls(raw.produce, raw.poll, clean),
            "raw, one constant header": _calls(one_header, raw.poll, clean),
            "guarded, 10 rules, stamped": _calls(guarded.produce, guarded.poll, clean),
            "guarded, 1 % refused": _calls(told, guarded.poll, some),
            "guarded, all refused": _calls(told, guarded.poll, bad),
            "raw, with a key": _calls(raw_keyed, raw.poll, clean),
            "guarded, 4 rules on key and headers": _calls(keyed, by_key.poll, clean),
        }
        return compare(
            contenders, baseline=BASELINE, operations=operations, rounds=rounds, settle=settle
        )


def _calls(
    produce: Callable[[str, bytes], object], poll: Callable[[float], object], values: list[bytes]
) -> Contender:
    def turn(count: int) -> int:
        size = len(values)
        for number in range(count):
            produce(TOPIC, values[number % size])
            if number & 511 == 0:
                poll(0)
        return count

    return turn
