"""How a client ends: closed within a bounded time, or absent in a forked process.

Seldom, in the middle of a rebalance, the client's own `close()` never comes back (seen with
librdkafka 2.16.0, without guards too): a service that shuts down must not hang with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..producers.absent import Absent
from ..producers.parking import inherited

__all__ = ["CLOSE_TIMEOUT_S", "absent_client", "close_client"]

log = logging.getLogger("streamwarden")

#: What an orderly end may take, with a broker that answers slowly.
CLOSE_TIMEOUT_S: Final = 30.0


class _Client(Protocol):
    def close(self) -> None: ...


def close_client(
    client: _Client, count: Callable[[str], object], timeout_s: float = CLOSE_TIMEOUT_S
) -> bool:
    """Close `client`; False where that took too long, and it was left alone, which is counted.

    Its callbacks run on another thread while the caller waits. What its `close()` raises is raised.
    """
    raised: list[BaseException] = []

    def close() -> None:
        try:
            client.close()
        except BaseException as error:  # noqa: BLE001 — raised where it is waited for
            raised.append(error)

    closing = threading.Thread(target=close, name="streamwarden-close", daemon=True)
    closing.start()
    closing.join(timeout_s)
    if closing.is_alive():
        inherited.append(client)  # to destroy it would hang as well
        count("fallbacks/consumer_close")
        log.error(
            "the client did not close within %g s and is left alone: "
            "the group takes it for a member until its session ends",
            timeout_s,
        )
        return False
    if raised:
        raise raised[0]
    return True


def absent_client() -> Any:
    """What stands for a client in a forked process."""
    return Absent(_not_here)


def _not_here() -> Any:
    raise RuntimeError("a consumer cannot be used in a forked process; make one in the child")
