"""From bytes to decision with ten rules, against the same checks written by hand."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import TOPIC, events, write_policies
from streamwarden import Guard
from streamwarden.schemas.event import Event

__all__ = ["BASELINE", "run"]

BASELINE = "json.loads, checks by hand"

_CURRENCIES = frozenset(("USD", "EUR", "GBP", "JPY", "CAD"))
_COUNTRIES = frozenset(("US", "DE", "FR", "GB", "JP", "CA"))
_EMAIL = re.compile(r"\A[a-z0-9.]+@[a-z0-9.]+\Z").search


def run(*, rounds: int = 7, operations: int = 20_000) -> list[Row]:
    """Rows for hand-written checks, `evaluate` (the producers' way in), `decide` and `route`."""
    values, refused = events(2000), events(2000, refused=1.0)
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard.from_directory(write_policies(Path(folder)), flood="warn")

    def evaluate(value: bytes) -> object:
        return guard.evaluate(Event(TOPIC, value, None, (), None, guard.now()), "produce")

    def decide(value: bytes) -> object:
        return guard.decide(topic=TOPIC, value=value)

    def route(value: bytes) -> object:
        return guard.route(topic=TOPIC, value=value)

    contenders: dict[str, Contender] = {
        BASELINE: _calls(_by_hand, values),
        "guard.evaluate": _calls(evaluate, values),
        "guard.evaluate, refused": _calls(evaluate, refused),
        "guard.decide": _calls(decide, values),
        "guard.route": _calls(route, values),
        "guard.route, refused": _calls(route, refused),
    }
    return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)


def _calls(call: Callable[[bytes], object], values: list[bytes]) -> Contender:
    def turn(count: int) -> int:
        size = len(values)
        for number in range(count):
            call(values[number % size])
        return count

    return turn


def _by_hand(value: bytes) -> bool:
    """What a careful service would write today, without stamp, trail or types."""
    event = json.loads(value)
    return not (
        event["tenant_id"] == ""
        or event["amount"] <= 0.0
        or event["amount"] >= 1_000_000.0
        or event["currency"] not in _CURRENCIES
        or event["country"] not in _COUNTRIES
        or _EMAIL(event["email"]) is None
        or event["quantity"] < 1
        or event["status"] not in ("new", "paid", "sent")
        or event["event_version"] < 2
        or event["is_test"] is True
    )
