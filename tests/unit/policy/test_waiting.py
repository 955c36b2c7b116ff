"""Keys that wait: who asks for it, what a decision says, and what is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.guard import Guard
from streamwarden.policy.parking import park, parse_parked
from streamwarden.policy.plan import Plan
from streamwarden.policy.waiting import (
    KeyPlace,
    Parked,
    closed_record,
    key_digest,
    parked_record,
    parks_keys,
    read_record,
    released_header,
    released_of,
    wait_behind,
)
from streamwarden.schemas.event import Event
from tests.guards import guard_for

PLACE = KeyPlace("billing", 3, key_digest(b"k"))


def plan_of(guard: Guard, stage: str = "consume") -> Plan:
    return guard.plan("t", stage, guard.now())


def event_at(offset: int, *headers: tuple[str, bytes | None]) -> Event:
    return Event("t", b"{}", b"k", list(headers), 0, 0, 3, offset)


@pytest.mark.parametrize(
    ("policy", "settings", "expected"),
    [
        ("", {}, False),
        ("park: event\n", {}, False),
        ("park: key\n", {}, True),
        ("park: key\n", {"mode": "shadow"}, False),
        ("park: key\nmode: shadow\n", {}, False),
    ],
)
def test_keys_wait_where_an_enforced_policy_says_so(
    tmp_path: Path, policy: str, settings: dict[str, Any], expected: bool
) -> None:
    """Shadow holds nothing up."""
    guard = guard_for(tmp_path, "t", policy=policy, **settings)

    assert parks_keys(plan_of(guard)) is expected


def test_the_decision_says_behind_which_event_it_waits(tmp_path: Path) -> None:
    """It is a hold, parked as `waiting` in the held topic, and no rule is asked."""
    decision = wait_behind(plan_of(guard_for(tmp_path, "t", policy="park: key\n")), event_at(9), 5)
    record = park(decision, kind="waiting", group="billing")

    assert decision.effect == "hold"
    assert [match.rule for match in decision.matches] == ["waiting"]
    assert record.topic == "held.t"
    parked = parse_parked(record.headers)
    assert parked is not None
    assert parked.kind == "waiting"
    assert "waits behind t[3]@5, an event of the same key" in parked.message


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (parked_record(PLACE, Parked(5, 9, 3)), (PLACE, "parked", Parked(5, 9, 3))),
        (parked_record(PLACE, None), (PLACE, "parked", None)),
        (closed_record(PLACE, 9), (PLACE, "closed", 9)),
        (closed_record(PLACE, None), (PLACE, "closed", None)),
        ((b"", b""), None),
        ((b'["g",1,"d","opened"]', b"{}"), None),
    ],
)
def test_what_is_written_down_is_read_back(
    record: tuple[bytes, bytes | None], expected: object
) -> None:
    """Neither the key of an event nor anything else of it is in there."""
    assert read_record(*record) == expected


def test_a_released_event_says_where_it_waited() -> None:
    """To the group that it waited for, in the partition where it did."""
    header = released_header("a group", 3, 5)

    assert released_of(event_at(20, header), "a group") == 5
    assert released_of(event_at(20, header), "another") is None
    assert (
        released_of(event_at(20, ("streamwarden-released", b"3 \xb2 a group")), "a group") is None
    )
    assert released_of(event_at(20, released_header("a group", 4, 5)), "a group") is None
