"""A client leaves its group before it is closed, unless it is to keep its partitions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer

from streamwarden.consumers.closing import close_client, leaves_before_close
from streamwarden.embedded import EmbeddedBroker


class _Watched(Consumer):
    """The client, with what was called and told, in that order."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.said: list[str] = []
        super().__init__(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": "g",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self.subscribe(["payments"], on_revoke=self._revoked)
        deadline = time.monotonic() + 30
        while not self.assignment() and time.monotonic() < deadline:
            self.poll(0.1)
        assert self.assignment()

    def _revoked(self, *_: Any) -> None:
        self.said.append("revoked")

    def unsubscribe(self) -> None:
        self.said.append("unsubscribe")
        super().unsubscribe()

    def close(self) -> None:
        self.said.append(f"close with {len(self.assignment())}")
        super().close()


@pytest.mark.parametrize(
    ("leaves", "said"),
    [(True, ["unsubscribe", "revoked", "close with 0"]), (False, ["close with 2", "revoked"])],
)
def test_partitions_are_given_back_before_the_client_ends(
    broker: EmbeddedBroker, leaves: bool, said: list[str]
) -> None:
    client = _Watched(broker)

    close_client(client, leaves=leaves)

    assert client.said == said


@pytest.mark.parametrize(
    ("config", "leaves"),
    [
        ({}, True),
        ({"group.protocol": "classic", "group.instance.id": ""}, True),
        ({"group.protocol": "CONSUMER"}, False),
        ({"group.instance.id": "pod-1"}, False),
    ],
)
def test_who_leaves_before_closing(config: dict[str, str], leaves: bool) -> None:
    assert leaves_before_close(config) is leaves
