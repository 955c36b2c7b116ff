"""The decision on a parked record is a claim, unless one of the keys has signed it for this record."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.policy.guard import Guard
from streamwarden.policy.keys import KeyRing
from streamwarden.policy.parking import (
    DECISION_HEADER,
    DECISION_MAC_HEADER,
    decision_doubt,
    park,
)
from streamwarden.schemas.event import Record
from tests.guards import LARGE, guard_for

Headers = list[tuple[str, bytes | None]]

KEYS = {"k1": b"s" * 32}


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return guard_for(tmp_path / "signed", "payments", stamp_keys=KEYS)


def parked(guard: Guard, **event: object) -> Record:
    """The record of an event that is held; at offset 7 of partition 2 unless it says otherwise."""
    where = {"stage": "consume", "partition": 2, "offset": 7, "timestamp": 5000, **event}
    (record,) = guard.route(topic="payments", key=b"k", value=LARGE, **where).records  # type: ignore[arg-type]
    return record


def doubt(guard: Guard, record: Record, headers: Headers | None = None, **changed: bytes) -> str:
    assert guard.stamp_keys is not None
    record = record._replace(**changed)  # type: ignore[arg-type]
    found = list(record.headers) if headers is None else headers
    return decision_doubt(found, guard.stamp_keys, "payments", record.key, record.value)


def without(record: Record, name: str) -> Headers:
    return [header for header in record.headers if header[0] != name]


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"timestamp": None},
        {"stage": "produce", "partition": None, "offset": None},
        {"stage": "produce", "partition": 1, "offset": None},
    ],
)
def test_what_a_guard_parked_verifies(guard: Guard, where: dict[str, object]) -> None:
    """At both stages, with the event's own time or the guard's."""
    assert doubt(guard, parked(guard, **where)) == ""


def test_other_bytes_are_another_record(guard: Guard) -> None:
    """A decision is bound to key and value."""
    record = parked(guard)

    said = "it was signed for another record"
    assert doubt(guard, record, value=LARGE + b" ") == said
    assert doubt(guard, record, key=b"other") == said


def test_a_changed_decision_is_told(guard: Guard) -> None:
    """Its kind above all: what waits needs no name."""
    record = parked(guard)
    headers: Headers = [
        (name, None if data is None else data.replace(b'"kind":"held"', b'"kind":"waiting"'))
        for name, data in record.headers
    ]

    assert doubt(guard, record, headers) == "it was signed for another record"


@pytest.mark.parametrize("part", ["offset", "partition", "timestamp"])
@pytest.mark.parametrize("said", [None, b"3", b"x"])
def test_headers_of_the_origin_are_what_the_decision_says(
    guard: Guard, part: str, said: bytes | None
) -> None:
    """Without its offset a record would pass for one that no group has read yet."""
    record = parked(guard)
    name = f"__dlq.errors.{part}"
    headers = without(record, name) + ([] if said is None else [(name, said)])

    assert doubt(guard, record, headers) == "it was signed for another record"


def test_what_is_missing_or_there_twice_is_named(guard: Guard) -> None:
    """The reader is told what to look at."""
    record = parked(guard)
    twice = [*record.headers, (DECISION_HEADER, b"{}")]

    assert doubt(guard, record, without(record, DECISION_MAC_HEADER)) == "it is not signed"
    assert doubt(guard, record, without(record, DECISION_HEADER)) == "there is none"
    assert doubt(guard, record, twice) == "it is there twice"


def test_a_key_that_is_not_known_is_named_as_that(guard: Guard, tmp_path: Path) -> None:
    """A key that was removed, or another environment's."""
    other = guard_for(tmp_path / "other", "payments", stamp_keys={"k2": b"t" * 32})

    assert doubt(guard, parked(other)) == "it is signed with a key that is not known here"


@pytest.mark.parametrize("mac", [None, b"", b"k1", b"k1.", b"k1.\xff", b"k1." + b"A" * 22])
def test_a_mac_that_is_none_does_not_verify(guard: Guard, mac: bytes | None) -> None:
    """Whatever stands in the header."""
    record = parked(guard)
    headers = [*without(record, DECISION_MAC_HEADER), (DECISION_MAC_HEADER, mac)]

    assert doubt(guard, record, headers) != ""


def test_a_decision_of_which_only_the_head_fits_verifies(guard: Guard) -> None:
    """It says nothing of the origin then."""
    assert isinstance(guard.stamp_keys, KeyRing)
    record = parked(guard)
    cut = guard.decide(
        topic="payments",
        key=b"k",
        value=LARGE,
        stage="consume",
        partition=2,
        offset=7,
        timestamp=5000,
    )
    small = park(cut, keys=guard.stamp_keys, decision_max_bytes=300)
    decision = dict(small.headers)[DECISION_HEADER]

    assert decision is not None
    assert b'"event"' not in decision
    assert doubt(guard, record._replace(headers=small.headers)) == ""
