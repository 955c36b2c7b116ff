"""A batch of messages under rules on values alone, and under rules that read more: the same comes out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.policy.decision import Decision
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Effect
from streamwarden.policy.plan import Plan
from streamwarden.policy.tallies import LEDGER
from streamwarden.schemas.event import Event
from tests.guards import BAD, CARD, CLEAN, LARGE, SHADY, guard_for

Make = Callable[..., GuardedConsumer]
Send = Callable[..., None]

MIX = [CLEAN, CLEAN, SHADY, BAD, None, CLEAN, CARD, b"{", CLEAN, LARGE]
#: Of the mix, what the application gets: what does not decode is allowed here.
PASS = [0, 1, 2, 4, 5, 6, 7, 8]
NOW = 1_700_000_000_123_456_789

#: One that reads the key, and so an event around every value; it never fires.
READS_KEY = '  - {id: keyed, when: key == "none", effect: reject}\n'


def make_guard(folder: Path, policy: str) -> Guard:
    return guard_for(
        folder, "payments", bundle="undecodable: allow\n", policy=policy, clock=lambda: NOW
    )


def read(consumer: GuardedConsumer, count: int) -> list[Any]:
    found: list[Any] = []
    until = time.monotonic() + 30
    while len(found) < count and time.monotonic() < until:
        found += consumer.consume(500, 0.5)
    return found


def told(message: GuardedMessage) -> dict[str, Any]:
    said = message.decision.to_dict()
    for name in ("id", "digest", "bundle", "evaluated"):
        del said[name]
    return said


@pytest.mark.parametrize("policy", ["", READS_KEY], ids=["values", "events"])
def test_every_message_of_a_batch_has_the_decision_on_its_event(
    make_consumer: Make, send: Send, tmp_path: Path, policy: str
) -> None:
    """Also where it is only made when it is asked for."""
    send(MIX * 20, headers={"h": b"1"}, timestamp=1_600_000_000_000)
    send(MIX * 20, 1)
    guard = make_guard(tmp_path / "p", policy)
    consumer = make_consumer(guard=guard)
    consumer.subscribe(["payments"])

    found = read(consumer, 2 * 20 * len(PASS))

    for partition in (0, 1):
        offsets = [m.offset() for m in found if m.partition() == partition]
        assert offsets == [n for n in range(200) if n % 10 in PASS]
    for message in found:
        decision = message.decision
        assert decision is message.decision
        event = decision.event
        assert (event.topic, event.partition, event.offset) == (
            message.topic(),
            message.partition(),
            message.offset(),
        )
        assert (event.value, event.key) == (MIX[message.offset() % 10], message.key())
        assert list(event.headers) == (message.headers() or [])
        assert event.timestamp == message.timestamp()[1]
        assert decision.at == NOW // 1_000_000
        again = guard.evaluate(event, "consume")
        assert decision.effect is again.effect
        assert decision.outcome == again.outcome
        assert decision.plan is again.plan


def test_what_is_counted_is_the_same(make_consumer: Make, send: Send, tmp_path: Path) -> None:
    send(MIX * 30)
    counted: list[Counter[str]] = []
    said: list[list[dict[str, Any]]] = []
    for policy in ("", READS_KEY):
        before = consumed()
        guard = make_guard(tmp_path / f"p{len(said)}", policy)
        consumer = make_consumer({"group.id": f"g{len(said)}"}, guard=guard)
        consumer.subscribe(["payments"])
        said.append([told(message) for message in read(consumer, 30 * len(PASS))])
        consumer.close()
        counted.append(consumed() - before)

    assert said[0] == said[1]
    assert len(said[0]) == 240
    assert counted[0] == {"allow": 180, "warn": 30, "mask": 30, "reject": 30, "hold": 30}
    assert counted[1] == counted[0]


def consumed() -> Counter[str]:
    """Decisions on `payments` by effect, of all guards until now."""
    sums = LEDGER.sums().decisions
    found: Counter[str] = Counter()
    for (topic, stage, effect), number in sums.items():
        if (topic, stage) == ("payments", "consume"):
            found[effect] += number
    return found


@pytest.mark.parametrize("change", ["set_key", "set_value", "set_headers"])
def test_a_decision_is_on_the_event_as_it_came(
    make_consumer: Make, send: Send, change: str
) -> None:
    """Whatever the application makes of the message before it asks for the decision."""
    send([CLEAN], headers={"h": b"1"})
    consumer = make_consumer()
    consumer.subscribe(["payments"])
    (message,) = read(consumer, 1)

    getattr(message, change)([("h", b"2")] if change == "set_headers" else b"changed")

    event = message.decision.event
    assert (event.value, event.key, list(event.headers)) == (CLEAN, b"0", [("h", b"1")])
    assert message.decision.effect is Effect.ALLOW


@pytest.mark.parametrize("empty", [None, b""], ids=["tombstone", "empty"])
def test_a_message_without_bytes_is_not_passed_over(
    make_consumer: Make,
    send: Send,
    committed: Callable[..., list[int]],
    tmp_path: Path,
    empty: bytes | None,
) -> None:
    """The client's messages are false where their values are empty; they count all the same."""
    send([CLEAN])
    by_hand = {"enable.auto.offset.store": False}
    consumer = make_consumer(by_hand, guard=make_guard(tmp_path / "p", ""))
    consumer.subscribe(["payments"])
    consumer.store_offsets(read(consumer, 1)[0])
    send([empty, empty, CLEAN, CLEAN])

    found = read(consumer, 4)
    consumer.close()

    assert [message.value() for message in found] == [empty, empty, CLEAN, CLEAN]
    assert committed()[0] == 1


def test_a_decision_in_a_batch_is_timed(make_consumer: Make, send: Send, tmp_path: Path) -> None:
    """For metrics one is, now and then, also where otherwise none is made."""
    send([CLEAN] * 10)
    guard = make_guard(tmp_path / "p", "")
    consumer = make_consumer(guard=guard)
    consumer.subscribe(["payments"])
    assert len(read(consumer, 10)) == 10
    plan = guard.plan("payments", "consume", guard.now())
    times: list[int] = []
    until = time.monotonic() + 30

    while not times and time.monotonic() < until:  # metrics of another test may be first
        plan.time_next(times.append)
        send([CLEAN] * 200)
        assert len(read(consumer, 200)) == 200

    assert len(times) == 1


def test_the_clock_is_read_again_after_an_event_that_took_long(
    make_consumer: Make, send: Send, tmp_path: Path
) -> None:
    """Such as one that could not be parked for a while."""
    now = NOW
    guard = guard_for(tmp_path / "p", "payments", clock=lambda: now)
    refused = guard.refused

    def park_for_long(decision: Any) -> None:
        nonlocal now
        refused(decision)
        now += 60_000_000_000

    guard.refused = park_for_long  # type: ignore[method-assign]
    send([CLEAN, CLEAN, BAD, CLEAN, BAD, CLEAN])
    consumer = make_consumer(guard=guard)
    consumer.subscribe(["payments"])

    found = read(consumer, 4)

    minutes = [(message.decision.at - NOW // 1_000_000) / 60_000 for message in found]
    assert minutes == [0, 0, 1, 2]


def test_threads_that_ask_at_once_get_the_same_decision(
    make_consumer: Make, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one asks while it is made for the first, and likewise for its id."""
    send([CLEAN, CLEAN])
    consumer = make_consumer()
    consumer.subscribe(["payments"])
    message = read(consumer, 2)[1]
    make, draw = Plan.clear, message._plan.next_id
    second: list[Any] = []

    def make_twice(plan: Plan, event: Event) -> Decision:
        monkeypatch.setattr(Plan, "clear", make)
        second.append(message.decision)
        return make(plan, event)

    def draw_twice() -> str:
        message._plan.next_id = draw
        second.append(message.decision.id)
        return str(draw())

    monkeypatch.setattr(Plan, "clear", make_twice)
    message._plan.next_id = draw_twice

    assert [message.decision, message.decision.id] == second
    assert message.decision is second[0]
