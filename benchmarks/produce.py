"""Guarded against raw `produce()`, on the same broker, in one run: the calls alone, and all the way.

How far Python can go is shown by the same ten checks as one function written by hand.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from confluent_kafka import Producer

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import KEY_POLICY, TOPIC, events, write_policies
from streamwarden import Guard, GuardedProducer

__all__ = ["BASELINE", "run", "run_delivered"]

_Call: TypeAlias = Callable[[str, bytes], object]

BASELINE = "raw"
#: The calls are timed, not the network: the queue takes a whole turn.
_CLIENT = {"queue.buffering.max.messages": 1_000_000, "linger.ms": 50, "log_level": 0}
_HEADER: Final = [("streamwarden", b"1;orders@15;9f3a1c2b7d4e;allow;produce")]


def run(bootstrap: str, *, rounds: int = 7, operations: int = 20_000) -> list[Row]:
    """Rows for raw, raw with one constant header, and guarded at 0 %, 1 % and 100 % refused.

    Apart from these, for events with a key of which nothing else is read: raw and guarded.
    """
    config = {"bootstrap.servers": bootstrap, **_CLIENT}
    raw = Producer(config)
    clean, some, bad = (events(2000, refused=share) for share in (0.0, 0.01, 1.0))
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
            return raw.produce(topic, value, headers=_HEADER)

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


def run_delivered(bootstrap: str, *, rounds: int = 7, operations: int = 100_000) -> list[Row]:
    """Rows for what passes, from the first call until the broker has acknowledged the last event."""
    config = {
        "bootstrap.servers": bootstrap,
        "queue.buffering.max.messages": 1_000_000,
        "log_level": 0,
    }
    raw, values = Producer(config), events(2000)
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.from_directory(write_policies(Path(folder)))
        keys = Guard.from_directory(write_policies(Path(folder), KEY_POLICY))
    with (
        GuardedProducer(config, guard=guard) as guarded,
        GuardedProducer(config, guard=keys) as by_key,
    ):

        def delivered(producer: Producer | GuardedProducer, call: _Call) -> Contender:
            calls = _calls(call, producer.poll, values)

            def turn(count: int) -> int:
                done = calls(count)
                if left := producer.flush(120):
                    raise RuntimeError(f"{left} events were not delivered")
                return done

            return turn

        def one_header(topic: str, value: bytes) -> object:
            return raw.produce(topic, value, headers=_HEADER)

        def keyed(topic: str, value: bytes) -> object:
            return by_key.produce(topic, value, b"order-1")

        contenders = {
            BASELINE: delivered(raw, raw.produce),
            "raw, one constant header": delivered(raw, one_header),
            "ten checks by hand, one constant header": delivered(raw, _by_hand(raw)),
            "guarded, 10 rules, stamped": delivered(guarded, guarded.produce),
            "guarded, 4 rules on key and headers": delivered(by_key, keyed),
        }
        return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)


class _Checked(msgspec.Struct):
    tenant_id: str
    amount: float
    currency: str
    country: str
    email: str
    quantity: int
    status: str
    event_version: int
    is_test: bool


_CURRENCIES: Final = frozenset({"USD", "EUR", "GBP", "JPY", "CAD"})
_COUNTRIES: Final = frozenset({"US", "DE", "FR", "GB", "JP", "CA"})
_STATES: Final = frozenset({"new", "paid", "sent"})


def _by_hand(producer: Producer) -> _Call:
    """The ten rules and a constant header, as fast as they can be written down: no clock, no decision."""
    decode, send = msgspec.json.Decoder(_Checked).decode, producer.produce
    email = re.compile(r"[a-z0-9.]+@[a-z0-9.]+\Z").match

    def produce(topic: str, value: bytes) -> object:
        event = decode(value)
        if (
            not event.tenant_id
            or not 0 < event.amount < 1_000_000
            or event.currency not in _CURRENCIES
            or event.country not in _COUNTRIES
            or email(event.email) is None
            or event.quantity < 1
            or event.status not in _STATES
            or event.event_version < 2
            or event.is_test
        ):
            raise ValueError("refused")
        return send(topic, value, headers=_HEADER)

    return produce


def _calls(produce: _Call, poll: Callable[[float], object], values: list[bytes]) -> Contender:
    def turn(count: int) -> int:
        size = len(values)
        for number in range(count):
            produce(TOPIC, values[number % size])
            if number & 511 == 0:
                poll(0)
        return count

    return turn
