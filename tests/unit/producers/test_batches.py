"""What a batch of events may be made of."""

from __future__ import annotations

from typing import Any

import pytest

from streamwarden.producers.batches import read_batch


@pytest.mark.parametrize("given", [{"value": b"x"}, "abc", b"abc"])
def test_one_event_is_no_batch(given: Any) -> None:
    """Its letters or names would be sent as events."""
    with pytest.raises(TypeError, match="a batch is a list of events"):
        read_batch(given, reports=True)


def test_a_tombstone_is_said() -> None:
    """An event without a value deletes: that is not what leaving it out means."""
    with pytest.raises(TypeError, match="event 1 of the batch has no `value`; for a tombstone"):
        read_batch([b"x", {"key": b"k"}], reports=True)

    tombstone: dict[str, Any] = {"key": b"k", "value": None}
    assert read_batch([tombstone], reports=True) == [tombstone]
