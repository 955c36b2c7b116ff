"""How often an event was released and came back, as far as the parking topics tell."""

from __future__ import annotations

from streamwarden.policy.parking import Parked
from streamwarden.producers.quarantine import ParkedEvent
from streamwarden.producers.reviews import Review, Signature
from streamwarden.reconciler.releasing import returns_of


def parked(
    offset: int, at: int, released_at: int | None = None, *, timestamp: int = 5, key: str = "k"
) -> ParkedEvent:
    """A record that was parked at `at` and released at `released_at`."""
    decision = {"at": at, "event": {"key": key, "sha256": "ab"}}
    closing = Review("released", 0, offset, released_at or 0, (Signature("ann", "ok"),), "r")
    return ParkedEvent(
        kind="quarantined",
        topic="quarantine.t",
        partition=0,
        offset=offset,
        timestamp=at,
        parked=Parked("quarantined", "t", None, None, timestamp, None, "", decision, at),
        value_size=3,
        reviews=() if released_at is None else (closing,),
    )


def test_a_chain_of_releases_is_counted() -> None:
    """Parked, released, parked, released, parked: it came back twice."""
    events = [parked(0, 10, 20), parked(1, 30, 40), parked(2, 50)]

    assert [returns_of(events)["quarantine.t", 0, offset] for offset in range(3)] == [0, 1, 2]
    assert returns_of(reversed(events)) == returns_of(events)


def test_others_that_look_alike_are_not_its_past() -> None:
    """A thousand of the same, all parked before the first of them was released."""
    twins = [parked(offset, 10 + offset, 5_000 + offset) for offset in range(1_000)]
    back = [parked(1_000 + offset, 9_000 + offset) for offset in range(1_000)]

    returns = returns_of([*twins, *back])

    assert {returns["quarantine.t", 0, offset] for offset in range(1_000)} == {0}
    assert {returns["quarantine.t", 0, 1_000 + offset] for offset in range(1_000)} == {1}


def test_events_are_told_apart_by_key_and_time() -> None:
    """What differs in either is another event."""
    events = [parked(0, 10, 20), parked(1, 30, key="other"), parked(2, 30, timestamp=6)]

    assert set(returns_of(events).values()) <= {0}
