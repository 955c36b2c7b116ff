"""The Kafka clients of a reconciliation: what they are configured with, and what their errors say.

Reading never takes part in a consumer group: partitions are assigned, nothing is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from ..producers.codes import error_of
from ..producers.connection import connection_of

__all__ = ["admin_config", "consumer_config", "reason_of"]


def consumer_config(
    config: Mapping[str, Any], *, isolation: str = "read_committed"
) -> dict[str, Any]:
    """What a reading consumer runs with; what correctness hangs on cannot be overridden."""
    return {
        "group.id": "streamwarden-reconcile",
        # The broker waits this long before it says that there is nothing more, and a request on
        # its way keeps the next slice waiting; all that is asked for is there.
        "fetch.wait.max.ms": 10,
        # Once the queue is full the client would not fetch for a second, and the queue is empty
        # before that. So little in it keeps memory small, and is a tenth of a second of work.
        "fetch.queue.backoff.ms": 5,
        "queued.min.messages": 20_000,
        **config,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        # Any other value would jump over lost history in silence.
        "auto.offset.reset": "error",
        "isolation.level": isolation,
        "allow.auto.create.topics": False,
    }


def admin_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """How an admin client reaches the same cluster."""
    kept = connection_of(config)
    if "error_cb" in config:
        kept["error_cb"] = config["error_cb"]
    return kept


def reason_of(error: KafkaException | KafkaError) -> str:
    """What the client says, without its Python wrapping."""
    return (error if isinstance(error, KafkaError) else error_of(error)).str()
