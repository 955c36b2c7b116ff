"""Whether the cluster answers: every command tells a broker that is not there in the same words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streamwarden.errors import DeliveryError

from ..producers.connection import connection_of
from .client import Client, Trouble

__all__ = ["no_connection", "reach", "reach_by", "what_to_check"]

_SLICE_S = 0.2


def no_connection(servers: str, trouble: Trouble, timeout_s: float) -> str:
    """That nobody answered at `servers`, and what the client says about it."""
    within = "" if trouble.refused else f" within {timeout_s:g} s"
    said = f": {trouble.last}" if trouble.last else ""
    return f"no connection to {servers}{within}{said}"


def what_to_check(trouble: Trouble, where: str = "-b") -> str:
    """What to do about it; `where` is what names the servers."""
    if trouble.refused:
        return "check sasl.mechanism, sasl.username and sasl.password"
    return f"check {where}, and that the broker runs and can be reached from here"


def reach(client: Client) -> None:
    """Wait until a broker answers, up to the client's timeout. Raises DeliveryError where none does.

    For commands that read or change a cluster: what fails from then on is no matter of where it is.
    """
    reach_by(client.config(), client.timeout_s)


def reach_by(config: Mapping[str, Any], timeout_s: float, *, where: str = "-b") -> None:
    """As `reach`, for the cluster of a client's configuration."""
    deadline = time.monotonic() + timeout_s
    trouble = Trouble()
    settings: dict[str, Any] = {**connection_of(config), "error_cb": trouble.heard}
    admin = AdminClient(settings)
    while True:
        left = deadline - time.monotonic()
        try:
            admin.list_topics(timeout=max(0.0, min(left, _SLICE_S)))
        except KafkaException:
            admin.poll(0)  # lets the client say what is wrong
        else:
            return
        if trouble.refused or left <= 0:
            raise DeliveryError(
                no_connection(str(config["bootstrap.servers"]), trouble, timeout_s),
                remedy=what_to_check(trouble, where),
            )
