"""Whether stamps need the guard's clock reading: asked once, briefly, and learned from reports."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaException,
)

from streamwarden.producers.record_time import Lane


class Entry:
    def __init__(self, value: str) -> None:
        self.value = value


class Report:
    def __init__(self, kind: int) -> None:
        self.kind = kind

    def timestamp(self) -> tuple[int, int]:
        return self.kind, 1


def answered(value: object) -> Future[Any]:
    future = Future[Any]()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"message.timestamp.type": Entry("CreateTime")}, True),
        ({"message.timestamp.type": Entry("LogAppendTime")}, False),
        ({}, None),
        (KafkaException("no right to ask"), None),
    ],
)
def test_the_brokers_answer_counts(answer: object, expected: bool | None) -> None:
    """Whoever may not ask does not know, and is no worse for it."""
    lane = Lane("payments")

    lane.ask(answered(answer))

    assert lane.wait(1)
    assert lane.keeps_time is expected


def test_an_answer_that_comes_late_counts_when_it_comes() -> None:
    """Nobody waits for it longer than once."""
    lane = Lane("payments")
    future = Future[Any]()
    lane.ask(future)

    assert lane.wait(0.01) is False
    assert lane.keeps_time is None
    future.set_result({"message.timestamp.type": Entry("CreateTime")})

    assert lane.keeps_time is True


def test_reports_say_it_too() -> None:
    """Also when the setting changes later; a report without a time says nothing."""
    lane = Lane("payments")

    said: list[bool | None] = []
    for kind in (TIMESTAMP_NOT_AVAILABLE, TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME):
        lane.learn(Report(kind))
        said.append(lane.keeps_time)

    assert said == [None, True, False]


def test_what_the_broker_sets_is_believed_until_a_restart() -> None:
    """Stamps with `at=` are right either way; those without are not."""
    lane = Lane("payments")
    lane.learn(Report(TIMESTAMP_LOG_APPEND_TIME))

    lane.learn(Report(TIMESTAMP_CREATE_TIME))

    assert lane.keeps_time is False
