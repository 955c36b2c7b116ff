"""Asking a partition whose leader starts, moves or returns."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamwarden.producers.codes import settled


def test_it_is_asked_again_until_there_is_a_leader() -> None:
    answers: list[int] = [KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION]

    def ask(left_s: float) -> float:
        if answers:
            raise KafkaException(KafkaError(answers.pop(0)))
        return left_s

    left_s = settled(ask, time.monotonic() + 30)

    assert not answers
    assert 0 < left_s < 30


def test_what_asking_again_cannot_mend_is_raised_at_once() -> None:
    asked: list[float] = []

    def ask(left_s: float) -> None:
        asked.append(left_s)
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    with pytest.raises(KafkaException):
        settled(ask, time.monotonic() + 30)

    assert len(asked) == 1


def test_a_leader_that_does_not_come_is_told_at_the_deadline() -> None:
    def ask(_: float) -> None:
        raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))

    began = time.monotonic()
    with pytest.raises(KafkaException) as raised:
        settled(ask, began + 0.25)

    assert raised.value.args[0].code() == KafkaError.NOT_LEADER_FOR_PARTITION
    assert time.monotonic() - began < 5
