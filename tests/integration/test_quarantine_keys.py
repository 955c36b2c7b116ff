"""With stamp keys, only what a guard has parked is released: records that others wrote are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streamwarden.producers.producer import GuardedProducer
from streamwarden.producers.quarantine import ParkedEvent, Quarantine, Selection, list_parked
from streamwarden.producers.release import ReleaseReport, release
from streamwarden.producers.reviews import Signature
from tests.guards import CLEAN, LARGE, event, guard_for
from tests.servers.topics import ConsumeAll, MakeTopic, Record

from .conftest import Guarded
from .test_waiting import Group, send

Make = Callable[..., Guarded]

ALICE = Signature("alice", "checked with the customer")
KEYS = {"k1": b"s" * 32}
HELD = Selection(kind="held")


@pytest.fixture
def signed(make_guarded: Make) -> Guarded:
    """A guard with stamp keys."""
    return make_guarded(stamp_keys=KEYS)


def quarantine_of(guarded: Guarded) -> Quarantine:
    return Quarantine(guarded.config, guarded.guard, guarded.topic)


def park(guarded: Guarded, *values: bytes) -> None:
    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        for value in values:
            producer.produce(guarded.topic, value, "k")


def write(guarded: Guarded, topic: str, record: Record, headers: list[Any], **changed: Any) -> None:
    """A record as anybody with the right to write may put it there."""
    record = record._replace(**changed)
    producer = Producer(guarded.config)
    producer.produce(topic, record.value, record.key, partition=0, headers=headers)
    assert producer.flush(30) == 0


def only(report: ReleaseReport) -> tuple[str, str]:
    (outcome,) = report.outcomes
    return outcome.outcome, outcome.why


def listed(guarded: Guarded) -> list[ParkedEvent]:
    return list(list_parked(quarantine_of(guarded)).events)


def test_an_event_that_nobody_parked_is_refused_whatever_stands_in_its_headers(
    signed: Guarded, consume_all: ConsumeAll
) -> None:
    """Another value under a true decision, and a decision without signature; only the true one goes."""
    park(signed, LARGE)
    (true,) = consume_all(signed.held)
    bare = [header for header in true.headers if header[0] != "streamwarden-decision-mac"]
    write(signed, signed.held, true, true.headers, value=event(amount=70_000))
    write(signed, signed.quarantine, true, bare)

    report = release(quarantine_of(signed), Selection(), signatures=[ALICE])

    assert sorted((each.outcome, each.why) for each in report.outcomes) == [
        ("refused", "its decision cannot be verified: it is not signed (`--force`)"),
        (
            "refused",
            "its decision cannot be verified: it was signed for another record (`--force`)",
        ),
        ("released", ""),
    ]
    assert list_parked(quarantine_of(signed)).doubtful == 2
    assert [record.value for record in consume_all(signed.topic)] == [LARGE]


def test_somebody_signs_for_what_is_released_unverified(
    make_guarded: Make, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """What was parked before there were keys goes by force, and only with a name."""
    before = make_guarded()
    park(before, CLEAN, event(currency="XXX"))
    guard = guard_for(tmp_path / "now", before.topic, bundle="mode: shadow\n", stamp_keys=KEYS)
    now = replace(before, guard=guard)

    refused = release(quarantine_of(now), Selection())
    forced = release(quarantine_of(now), Selection(), force=True)
    named = release(quarantine_of(now), Selection(), force=True, signatures=[ALICE])

    assert only(refused)[1].startswith("its decision cannot be verified: it is not signed")
    assert only(forced)[1].startswith("0 of 1 names")
    assert only(named) == ("released", "")
    (review,) = list_parked(quarantine_of(now), all_states=True).events[0].reviews
    assert (review.forced, [each.by for each in review.signatures]) == (True, ["alice"])
    assert len(consume_all(now.topic)) == 2


def test_facts_are_not_taken_from_a_doubtful_decision(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """Today's rules are asked without them."""
    rule = "  - {id: fraud, when: facts.score > 0.5, effect: reject}\n"
    signed = make_guarded(stamp_keys=KEYS, policy=rule)
    with GuardedProducer(signed.config, guard=signed.guard) as producer:
        producer.produce(signed.topic, LARGE, "k", facts={"score": 0.1})
    (true,) = consume_all(signed.held)
    write(signed, signed.held, true, true.headers, value=event(amount=70_000))

    report = release(quarantine_of(signed), HELD, signatures=[ALICE], force=True)

    assert [each.outcome for each in report.outcomes] == ["released", "refused"]
    assert "limits/fraud" in report.outcomes[1].why


@pytest.mark.parametrize("keys", [None, KEYS])
def test_to_call_itself_waiting_spares_no_name_where_there_are_keys(
    make_guarded: Make, consume_all: ConsumeAll, keys: dict[str, bytes] | None
) -> None:
    """Without keys the header is all there is."""
    guarded = make_guarded(stamp_keys=keys)
    park(guarded, LARGE)
    (held,) = consume_all(guarded.held)
    headers = [
        (name, (data or b"").replace(b'"kind":"held"', b'"kind":"waiting"'))
        for name, data in held.headers
    ]
    write(guarded, guarded.held, held, headers, value=CLEAN)
    forged = Selection(at=frozenset({(0, 1)}))

    events = listed(guarded)
    report = release(quarantine_of(guarded), forged, force=True)

    assert [each.parked.kind for each in events] == ["held", "waiting"]
    assert [each.kind for each in events] == ["held", "waiting" if keys is None else "held"]
    assert only(report)[0] == ("released" if keys is None else "refused")
    assert len(consume_all(guarded.topic)) == (1 if keys is None else 0)


def test_what_waits_behind_another_event_verifies(
    make_guarded: Make, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """A consumer signs it; a pointer verifies by the event that it points to, and by no other."""
    small, to = make_topic("small", config={"max.message.bytes": "7000"}), make_topic("to")
    guarded = make_guarded(policy="park: key\n", stamp_keys=KEYS, bundle=f"held: {small}\n")
    large = event(amount=60_000, note="x" * 9000)
    send(guarded, ("a", large), ("a", CLEAN), ("b", event(n=1)))
    assert Group(guarded).run() == [(b"b", event(n=1))]
    pointer = next(each for each in consume_all(small) if each.value is None)
    astray = [
        (name, b"2" if name == "__dlq.errors.offset" else data) for name, data in pointer.headers
    ]
    write(guarded, small, pointer, astray)

    assert [(each.kind, each.pointer, each.doubt) for each in listed(guarded)] == [
        ("held", True, ""),
        ("held", True, ""),
        ("waiting", False, ""),
    ]
    report = release(quarantine_of(guarded), HELD, signatures=[ALICE], to=to)
    assert sorted((each.outcome, each.why[:61]) for each in report.outcomes) == [
        ("refused", "its decision cannot be verified: it was signed for another re"),
        ("released", ""),
        ("released", ""),
    ]
    assert [record.value for record in consume_all(to)] == [large, CLEAN]
