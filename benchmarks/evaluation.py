"""Bytes to hits: compiled rules against the same checks by hand, few rules against many."""

from __future__ import annotations

import json
import random
import re
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.rounds import Contender, Row, compare
from benchmarks.workload import TOPIC, events
from streamwarden.policy.cel import parse
from streamwarden.policy.compiler import Compiled, RuleInput, Undecodable, compile_rules
from streamwarden.schemas.event import Event

__all__ = ["BASELINE", "compiled", "many", "run", "run_malformed", "run_projected"]

BASELINE = "checks by hand on the projected value"
#: What a malformed event may take: so many good events, and so much for each rule that fails on it.
GOOD_EVENTS = 5
FAILURE_US = 0.2

#: The ten rules of the shared workload, as conditions that are true where a rule fires.
TEN = (
    'value.tenant_id == ""',
    "value.amount <= 0.0",
    "value.amount >= 1000000.0",
    '!(value.currency in ["USD", "EUR", "GBP", "JPY", "CAD"])',
    '!(value.country in ["US", "DE", "FR", "GB", "JP", "CA"])',
    '!value.email.matches("^[a-z0-9.]+@[a-z0-9.]+$")',
    "value.quantity < 1",
    '!(value.status in ["new", "paid", "sent"])',
    "value.event_version < 2",
    "value.is_test == true",
)
#: Kinds of conditions that none of the shared events meets, with a number to tell them apart.
_KINDS = (
    'value.tenant_id == "banned-{0}"',
    "value.amount > {1}",
    'value.country in ["X{0}", "Y{0}"]',
    'value.email.startsWith("nobody{0}")',
    'value.email.matches("^[a-z.]+@corp{0}[.]com$")',
    "value.quantity < -{0}",
    'value.status == "state-{0}" && value.amount > {0}',
    'value.event_id.endsWith("q{0}")',
    '"tag-{0}" in value.tags',
    'value.address.city == "city-{0}" || value.address.zip == "zip-{0}"',
    'timestamp(value.created_at) > timestamp("2027-01-{2:02d}T00:00:00Z") && value.quantity > {0}',
    "value.amount * 2.0 > {1}.5 && value.is_test",
)
_CURRENCIES = frozenset(("USD", "EUR", "GBP", "JPY", "CAD"))
_COUNTRIES = frozenset(("US", "DE", "FR", "GB", "JP", "CA"))
_STATES = frozenset(("new", "paid", "sent"))
_EMAIL = re.compile(r"\A[a-z0-9.]+@[a-z0-9.]+\Z").search


def many(count: int) -> list[str]:
    """`count` conditions of all kinds, no two alike."""
    return [
        _KINDS[number % len(_KINDS)].format(number, 100_000 + number, 1 + number % 28)
        for number in range(count)
    ]


def compiled(conditions: Sequence[str], *, value_format: str = "auto") -> Compiled:
    """The conditions as the rules of a plan, on JSON unless told otherwise."""
    rules = [RuleInput(parse(text)) for text in conditions]
    return compile_rules(rules, topic=TOPIC, stage="produce", value_format=value_format)


def run(*, rounds: int = 7, operations: int = 20_000) -> list[Row]:
    """Rows for ten rules, for many, and for events that break them."""
    values = events(500)
    ten = compiled(TEN)
    contenders: dict[str, Contender] = {
        BASELINE: _turns(_by_hand(ten), values),
        "projection alone": _turns(_projection(ten), values),
        "10 rules": _turns(ten.run, values),
    }
    broken = _broken(values)
    for name in broken:
        contenders[f"10 rules, {name}"] = _turns(ten.run, broken[name])
    for count in (10, 100, 1_000, 10_000):
        rules = compiled(many(count))
        contenders[f"{count:,} mixed rules"] = _turns(rules.run, values)
        if count == 1_000:
            for name in broken:
                contenders[f"1,000 mixed rules, {name}"] = _turns(rules.run, broken[name], 50)
    return compare(contenders, baseline=BASELINE, operations=operations, rounds=rounds)


def run_projected(*, rounds: int = 7, operations: int = 20_000) -> list[Row]:
    """Rows for ten rules and the same by hand, on events that are projected already.

    A ratio is time against the checks by hand.
    """
    # Of text nothing is left to be asked before it is decoded.
    ten = compiled(TEN, value_format="text")
    decode: Callable[[bytes], Any] = ten.definition.reader.projection.raw_decode
    values = [decode(value) for value in events(500)]
    code: Any = ten.run
    run = types.FunctionType(code.__code__, {**code.__globals__, "decode": lambda value: value})
    hand = _by_hand(ten, decode=lambda value: value)
    contenders = {"by hand": _turns(hand, values), "10 rules": _turns(run, values)}
    return compare(
        contenders,
        baseline="by hand",
        operations=operations,
        rounds=rounds,
        clock=time.process_time,
        slowness=True,
    )


def run_malformed(*, count: int = 1_000, rounds: int = 7, operations: int = 5_000) -> list[Row]:
    """Rows for events that break rules: time as a share of what such an event may take.

    That is GOOD_EVENTS times as long as one that breaks none, and FAILURE_US for each rule that
    fails on it.
    """
    values = events(200)
    rules = compiled(many(count))
    broken = _broken(values)
    contenders = {"good": _turns(rules.run, values)}
    for name, each in broken.items():
        contenders[name] = _turns(rules.run, each, max(1, count // 20))
    rows = compare(
        contenders,
        baseline="good",
        operations=operations,
        rounds=rounds,
        clock=time.process_time,
        slowness=True,
    )
    good_us = rows[0].microseconds
    found: list[Row] = []
    for row in rows[1:]:
        allowed = GOOD_EVENTS + FAILURE_US * _failing(rules, broken[row.name]) / good_us
        ratios = (row.ratio / allowed, row.ratio_min / allowed, row.ratio_max / allowed)
        found.append(Row(row.name, row.microseconds, *ratios))
    return found


def _failing(rules: Compiled, values: Sequence[bytes]) -> float:
    """How many rules fail on an event, on average."""
    failures = 0
    for event in _made(values):
        hits = rules.run(event)
        if not isinstance(hits, Undecodable):
            failures += sum(hit < 0 for hit in hits)
    return failures / len(values)


def _made(values: Sequence[Any]) -> list[Event]:
    return [Event(TOPIC, value, None, (), None, 1_767_225_600_000_000_000) for value in values]


def _turns(call: Callable[[Event], object], values: list[Any], fewer: int = 1) -> Contender:
    made = _made(values)

    def turn(count: int) -> int:
        done = 0
        while done < max(1, count // fewer):
            for event in made:
                call(event)
            done += len(made)
        return done

    return turn


def _projection(rules: Compiled) -> Callable[[Event], object]:
    decode = rules.definition.reader.projection.raw_decode
    return lambda event: decode(event.value or b"")


def _by_hand(
    rules: Compiled, decode: Callable[[bytes], Any] | None = None
) -> Callable[[Event], object]:
    """The ten checks as one would write them for the very objects that the rules read."""
    projection = rules.definition.reader.projection
    names = {name: attribute for name, (attribute, _) in projection.root.members.items()}
    decode = projection.raw_decode if decode is None else decode
    source = """def check(event):
    value = decode(event.value)
    amount = value.{amount}
    if (
        value.{tenant_id} == "" or amount <= 0.0 or amount >= 1000000.0
        or value.{currency} not in currencies or value.{country} not in countries
        or email(value.{email}) is None or value.{quantity} < 1
        or value.{status} not in states or value.{event_version} < 2 or value.{is_test} is True
    ):
        return (1,)
    return ()
""".format(**names)
    known: dict[str, Any] = {
        "decode": decode,
        "currencies": _CURRENCIES,
        "countries": _COUNTRIES,
        "states": _STATES,
        "email": _EMAIL,
    }
    exec(source, known)
    check: Callable[[Event], object] = known["check"]
    return check


def _broken(values: list[bytes]) -> dict[str, list[bytes]]:
    """Events that break rules: what a producer of malformed events would send."""
    rng = random.Random(5)
    whole = [json.loads(value) for value in values[:50]]
    half = [{name: item for name, item in event.items() if rng.random() < 0.5} for event in whole]
    wrong = [{name: _wrong(item) for name, item in event.items()} for event in whole]
    return {
        "nested 120 deep": [b'{"note": ' + b"[" * 119 + b"]" * 119 + b"}"] * 50,
        "nested 900 deep": [b'{"note": ' + b"[" * 899 + b"]" * 899 + b"}"] * 50,
        "the same with blanks": [b'{"note": ' + b"[ " * 899 + b"] " * 899 + b"}"] * 50,
        "nested too deeply": [b"[" * 5_000] * 50,
        "objects nested too deeply": [b'{"note": ' * 2_000 + b"1" + b"}" * 2_000] * 50,
        "a field nested too deeply": [
            value[:-1] + b', "note": ' + b'{"a":' * 900 + b"1" + b"} " * 900 + b"}"
            for value in values[:50]
        ],
        "cut short": [value[: len(value) // 2] for value in values[:50]],
        "empty objects": [b"{}"] * 50,
        "half of the fields": [json.dumps(event).encode() for event in half],
        "every type wrong": [json.dumps(event).encode() for event in wrong],
    }


def _wrong(item: object) -> object:
    if isinstance(item, str):
        return 1.5
    return None if isinstance(item, list | dict | bool) else "x"
