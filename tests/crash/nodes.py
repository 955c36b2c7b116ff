"""Nodes of a cluster that are killed and started again, one at a time."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.servers.kafka import Cluster, Node

__all__ = ["Restarts"]

#: Of several nodes one stays away for as long as this: about half of them come back before the
#: controller misses them (`broker.session.timeout.ms`, 2 s), half after others lead in their place.
_AWAY_MAX_S = 4.0
_LOOK_S = 0.3
_LIMIT_S = 90.0


@dataclass(slots=True)
class Restarts:
    """Kills a node of `cluster`, and the next one only when all replicas are in sync again."""

    cluster: Cluster
    chance: random.Random
    _away: Node | None = None
    _start_at: float = 0.0
    _look_at: float = 0.0
    _whole_before: float = 0.0

    def kill(self) -> None:
        """Kill one; the only one of a cluster is back on return, another after some `look`."""
        node = self.chance.choice(self.cluster.nodes)
        node.kill()
        if len(self.cluster.nodes) == 1:
            node.start()
            return
        now = time.monotonic()
        self._away, self._start_at = node, now + self.chance.uniform(0, _AWAY_MAX_S)
        self._whole_before = self._start_at + _LIMIT_S

    def look(self) -> bool:
        """Go on with a restart; True when none is under way. To be called often.

        Raises TimeoutError where replicas do not get in sync again.
        """
        now = time.monotonic()
        if self._whole_before == 0.0:
            return True
        if self._away is not None:
            if now < self._start_at:
                return False
            self._away.spawn()
            self._away = None
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        if _whole(self.cluster):
            self._whole_before = 0.0
            return True
        if now > self._whole_before:
            raise TimeoutError("the replicas do not get in sync again")
        return False

    def finish(self) -> None:
        """Return when all nodes are there and in sync."""
        while not self.look():
            time.sleep(_LOOK_S)


def _whole(cluster: Cluster) -> bool:
    """Whether each node says that all are there, and every replica of every topic in sync."""
    size = len(cluster.nodes)
    with suppress(KafkaException):
        for node in cluster.nodes:
            admin = AdminClient({"bootstrap.servers": node.bootstrap, "log_level": 0})
            seen = admin.list_topics(timeout=2)
            partitions = [p for topic in seen.topics.values() for p in topic.partitions.values()]
            if len(seen.brokers) < size or any(
                p.leader < 0 or len(p.isrs) < size for p in partitions
            ):
                return False
        return True
    return False
