"""How a client ends: out of its group first, then closed; or absent, in a forked process.

The client's own `close()` asks for the partitions back while its thread is already ending. When a
rebalance is under way, the question which protocol the group has may then never be answered, and
the process stands still with it (librdkafka issue 4041; seen with 2.16.0, with and without guards,
most often where a member was late for `max.poll.interval.ms`). Leaving the group before, with
polls that serve what it takes, leaves nothing to ask for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException

from ..producers.absent import Absent
from ..producers.connection import ConfigMap

__all__ = ["absent_client", "close_client", "leaves_before_close"]

#: How long partitions may take to go, and then the request to leave; callbacks come on top.
_REVOKE_S: Final = 5.0
_LEAVE_S: Final = 1.0
_SLICE_S: Final = 0.02


def close_client(client: Consumer, *, leaves: bool) -> None:
    """Close `client`; its callbacks run in here. It `leaves` its group before, or in closing."""
    if leaves:
        with contextlib.suppress(KafkaException):  # what can be told of it, `close()` tells
            _leave(client)
    client.close()


def leaves_before_close(config: ConfigMap) -> bool:
    """Whether a member with these settings leaves before it is closed.

    A static one (with `group.instance.id`) keeps its partitions across a restart, and one of the
    newer group protocol only leaves in closing.
    """
    newer = str(config.get("group.protocol", "")).lower() == "consumer"
    return not newer and not config.get("group.instance.id")


def _leave(client: Consumer) -> None:
    client.unsubscribe()
    client.poll(0)
    _wait_while(client, client.assignment, _REVOKE_S)
    # In a cooperative group the request to leave comes after that, and `close()` would not send it.
    _wait_while(client, client.memberid, _LEAVE_S)


def _wait_while(client: Consumer, asked: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while asked() and time.monotonic() < deadline:
        client.poll(_SLICE_S)


def absent_client() -> Any:
    """What stands for a client in a forked process."""
    return Absent(_not_here)


def _not_here() -> Any:
    raise RuntimeError("a consumer cannot be used in a forked process; make one in the child")
