"""Transactions of a consumer on the broker inside the process, which comes and goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamwarden.consumers import exactly_once
from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.embedded import EmbeddedBroker
from streamwarden.producers.codes import error_of
from streamwarden.producers.producer import GuardedProducer
from tests.guards import CLEAN

Make = Callable[..., GuardedConsumer]
Send = Callable[..., None]


def test_a_run_can_follow_one_that_found_no_broker(
    broker: EmbeddedBroker, make_consumer: Make, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first says so after its time; the same consumer goes on once there is one."""
    monkeypatch.setattr(exactly_once, "_TIMEOUT_S", 1.0)
    send([CLEAN])
    consumer = make_consumer(transactional_id="x")
    consumer.subscribe(["payments"])
    broker.go_down()

    def handle(message: GuardedMessage, _producer: GuardedProducer) -> None:
        assert message.value() == CLEAN

    with pytest.raises(KafkaException) as raised:
        consumer.run(handle, max_messages=1)
    broker.come_up()
    monkeypatch.undo()

    assert error_of(raised.value).code() == KafkaError._TIMED_OUT
    assert consumer.run(handle, max_messages=1) == 1
