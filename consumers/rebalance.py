"""What happens when partitions come and go; the application's callbacks run in the middle of it."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from confluent_kafka import Consumer, KafkaException, TopicPartition

from ..producers.callbacks import Callbacks

__all__ = ["RebalanceCallback", "Rebalancing", "Watched"]

log = logging.getLogger("streamwarden")

#: `on_assign(consumer, partitions)` and the like.
RebalanceCallback: TypeAlias = Callable[[Any, list[TopicPartition]], object]


class Watched(Protocol):
    """What reads, as rebalances see it; `grouped` once a group has given it partitions."""

    grouped: bool

    def settle(self, partitions: list[TopicPartition]) -> None:
        """Write what is parked and commit what may be, of partitions about to go."""
        ...

    def assigned_now(self, partitions: list[TopicPartition]) -> None:
        """These partitions are read from now on."""
        ...

    def gone(self, partitions: list[TopicPartition]) -> None:
        """These partitions are not read any more."""
        ...


class Rebalancing:
    """The callbacks for one subscription. None of them raises into the client.

    `consumer` is what the application's callbacks get as the consumer.
    """

    def __init__(
        self,
        owner: Watched,
        consumer: object,
        callbacks: Callbacks,
        on_assign: RebalanceCallback | None,
        on_revoke: RebalanceCallback | None,
        on_lost: RebalanceCallback | None,
    ) -> None:
        self._owner, self._callbacks = owner, callbacks
        # The client keeps this object: a consumer that is dropped must go all the same.
        self._consumer = weakref.ref(consumer)
        self._on_assign, self._on_revoke = on_assign, on_revoke
        # As the client: without `on_lost`, lost partitions are told to `on_revoke`.
        self._on_lost = on_lost or on_revoke

    def assigned(self, _client: Consumer, partitions: list[TopicPartition]) -> None:
        """Partitions are given to this member."""
        self._owner.grouped = True
        self._owner.assigned_now(partitions)
        if self._on_assign is not None:
            self._callbacks.run(self._on_assign, self._consumer(), partitions)

    def revoked(self, _client: Consumer, partitions: list[TopicPartition]) -> None:
        """Partitions are taken away, and still belong to this member until this returns."""
        if self._on_revoke is not None:
            self._callbacks.run(self._on_revoke, self._consumer(), partitions)
        try:
            self._owner.settle(partitions)
        except KafkaException as error:
            log.warning("offsets of revoked partitions could not be committed: %s", error)
        self._owner.gone(partitions)

    def lost(self, _client: Consumer, partitions: list[TopicPartition]) -> None:
        """Partitions were taken away already: another member may be reading them."""
        if self._on_lost is not None:
            self._callbacks.run(self._on_lost, self._consumer(), partitions)
        self._owner.gone(partitions)
