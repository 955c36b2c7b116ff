"""History is cut into slices that cover it once, in order."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import given

from streamwarden.producers.codes import TIMED_OUT
from streamwarden.reconciler import slices
from streamwarden.reconciler.slices import Partition, cut, freeze

RANGES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 200), st.booleans()), max_size=6)


@given(RANGES, st.integers(1, 60))
def test_slices_cover_every_offset_once(ranges: list[tuple[int, int, bool]], size: int) -> None:
    """Whatever the size: no offset twice, none left out, none added; indexes count up."""
    partitions = [
        Partition("t", number, parked, first, first, first + length, 0)
        for number, (first, length, parked) in enumerate(ranges)
    ]

    pieces = cut(partitions, size)

    assert [piece.index for piece in pieces] == list(range(len(pieces)))
    assert all(0 < piece.end - piece.first <= size for piece in pieces)
    assert [
        (piece.topic, piece.partition, piece.parked, offset)
        for piece in pieces
        for offset in range(piece.first, piece.end)
    ] == [
        (part.topic, part.number, part.parked, offset)
        for part in partitions
        for offset in range(part.first, part.end)
    ]


class FakeAdmin:
    """Tells offsets of `t`, of each partition first what `trouble` says of it."""

    def __init__(self, trouble: dict[int, list[int]]) -> None:
        self.trouble = trouble
        self.asked: list[list[int]] = []

    def list_topics(self, timeout: float = -1) -> SimpleNamespace:
        assert timeout > 0
        return SimpleNamespace(cluster_id="abc")

    def describe_topics(self, *_topics: Any, **_how: Any) -> dict[str, Future[Any]]:
        raise KafkaException(KafkaError(KafkaError.UNSUPPORTED_VERSION))

    def list_offsets(self, places: Iterable[TopicPartition], **how: Any) -> dict[Any, Future[Any]]:
        assert how["request_timeout"] > 0
        futures: dict[Any, Future[Any]] = {}
        for place in places:
            future = futures[place] = Future()
            trouble = self.trouble.get(place.partition)
            if trouble:
                future.set_exception(KafkaException(KafkaError(trouble.pop(0))))
            else:
                future.set_result(SimpleNamespace(offset=7))
        self.asked.append([place.partition for place in futures])
        return futures


def frozen(monkeypatch: pytest.MonkeyPatch, admin: FakeAdmin, timeout_s: float) -> list[Partition]:
    """What planning finds of three partitions."""

    def connected(_config: object) -> FakeAdmin:
        return admin

    monkeypatch.setattr(slices, "AdminClient", connected)
    return freeze({}, {"t": [0, 1, 2]}, timeout_s=timeout_s)


def test_what_comes_right_while_planning_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that restarts first knows no leader, then another one than the client."""
    passing = [KafkaError.UNKNOWN_LEADER_EPOCH, TIMED_OUT, KafkaError.NOT_LEADER_FOR_PARTITION]
    admin = FakeAdmin({1: list(passing), 2: [KafkaError.LEADER_NOT_AVAILABLE]})

    found = frozen(monkeypatch, admin, 60.0)

    assert [(part.number, part.end, part.problem) for part in found] == [
        (0, 7, ""),
        (1, 7, ""),
        (2, 7, ""),
    ]
    assert admin.asked[:4] == [[0, 1, 2], [1, 2], [1], [1]]


def test_what_does_not_come_right_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No right is no outage, and the others are planned."""
    admin = FakeAdmin({1: [KafkaError.TOPIC_AUTHORIZATION_FAILED] * 9})

    found = frozen(monkeypatch, admin, 60.0)

    assert [part.end for part in found] == [7, 0, 7]
    assert "uthorization" in found[1].problem
    assert len(admin.asked) == 3


def test_planning_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that stays away is told as it was last seen."""
    admin = FakeAdmin({2: [KafkaError.UNKNOWN_LEADER_EPOCH] * 1000})

    found = frozen(monkeypatch, admin, 1.0)

    assert [part.problem == "" for part in found] == [True, True, False]
    assert 3 < len(admin.asked) < 30
