"""Which client settings the guards' own clients take over from the user's.

Lists of what is taken, not of what is left out: a setting that a new client version brings cannot
reach a client that it was not meant for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "PARKING_OVERHEAD_BYTES",
    "ConfigMap",
    "connection_of",
    "consumer_parking_config",
    "merged",
    "parking_config",
    "reader_config",
]

ConfigMap = Mapping[str, Any]

#: Prefixes and names of the settings that say how to reach a cluster and as whom.
_CONNECTION_PREFIXES = (
    "api.version.",
    "broker.",
    "client.",
    "https.",
    "log.",
    "metadata.",
    "plugin.library.paths",
    "reconnect.backoff.",
    "sasl.",
    "security.",
    "socket.",
    "ssl.",
)
_CONNECTION = frozenset(
    {
        "bootstrap.servers",
        "connections.max.idle.ms",
        "debug",
        "enable.ssl.certificate.verification",
        "enable.sasl.oauthbearer.unsecure.jwt",
        "log_level",
        "logger",
        "oauth_cb",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
    }
)
#: What a parked record keeps of how its producer writes. `transactional.id`, acks, ordering and
#: callbacks are the caller's affair, and never the parked record's.
_WRITING = frozenset(
    {
        "batch.num.messages",
        "batch.size",
        "compression.codec",
        "compression.level",
        "compression.type",
        "delivery.timeout.ms",
        "message.max.bytes",
        "message.timeout.ms",
        "partitioner",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "request.timeout.ms",
    }
)
#: The client's own default of `message.max.bytes`.
_MESSAGE_MAX_BYTES = 1_000_000
#: Room for what parking adds: 4 KiB of decision, origin headers, and the framing of a batch.
PARKING_OVERHEAD_BYTES = 16_384
#: The client's own upper limit of `message.max.bytes`.
_MESSAGE_MAX_BYTES_LIMIT = 1_000_000_000
#: Parked records are few and their callers wait for the outcome.
_PARKING_LINGER_MS = 5
#: What the client of parked events writes to stderr by itself: errors. That it tries again, or what
#: it thinks of settings that the user's own client has, is no news of the first refused event.
_LOG_ERRORS = 3
#: How long a topic that the brokers do not know may be one that was made a moment ago. The client's
#: own 30 s are long to wait for what a missing parking topic is: a mistake in the set-up.
_NEW_TOPIC_MS = 3000
#: A consumer does not know what its topics take; the brokers do.
_CONSUMED_MAX_BYTES = 100_000_000
#: How long a consumer tries to park an event before it stops.
_CONSUMED_TIMEOUT_MS = 30_000


def merged(config: ConfigMap | None, settings: ConfigMap) -> dict[str, Any]:
    """A client's configuration as it takes it: a mapping, keywords, or both (keywords win)."""
    return {**(config or {}), **settings}


def connection_of(config: ConfigMap) -> dict[str, Any]:
    """The settings of `config` that say how to reach the cluster."""
    found = {
        name: value
        for name, value in config.items()
        if name in _CONNECTION or name.startswith(_CONNECTION_PREFIXES)
    }
    # An old name of the same setting; both given would be refused.
    servers = found.pop("metadata.broker.list", None)
    if servers is not None:
        found.setdefault("bootstrap.servers", servers)
    return found


def parking_config(config: ConfigMap, own: ConfigMap | None = None) -> dict[str, Any]:
    """The configuration of the producer of parked events.

    `own` is what the user asked for that producer; it wins, but for what makes the writes safe.
    """
    found = connection_of(config)
    found |= {name: value for name, value in config.items() if name in _WRITING}
    found |= {
        "linger.ms": _PARKING_LINGER_MS,
        "topic.metadata.propagation.max.ms": _NEW_TOPIC_MS,
        **(own or {}),
    }
    if not {"debug", "logger"} & found.keys():
        found.setdefault("log_level", _LOG_ERRORS)
    if own is None or "message.max.bytes" not in own:
        limit = int(found.get("message.max.bytes", _MESSAGE_MAX_BYTES))
        limit = min(limit + PARKING_OVERHEAD_BYTES, _MESSAGE_MAX_BYTES_LIMIT)
        found["message.max.bytes"] = limit
    for name in ("on_delivery", "dr_cb", "transactional.id", "request.required.acks"):
        found.pop(name, None)
    return found | {"enable.idempotence": True, "acks": "all", "delivery.report.only.error": False}


def consumer_parking_config(config: ConfigMap, own: ConfigMap | None = None) -> dict[str, Any]:
    """The configuration of the producer of events parked by a consumer with `config`."""
    defaults: dict[str, Any] = {"message.max.bytes": _CONSUMED_MAX_BYTES}
    if not {"delivery.timeout.ms", "message.timeout.ms"} & set(own or {}):
        defaults["delivery.timeout.ms"] = _CONSUMED_TIMEOUT_MS
    return parking_config(connection_of(config), {**defaults, **(own or {})})


def reader_config(config: ConfigMap, group: str) -> dict[str, Any]:
    """The configuration of a consumer that reads what is there and leaves no trace.

    It commits nothing, so the group never comes to exist.
    """
    return {
        **connection_of(config),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        # An end behind transaction markers is told by a fetch that finds nothing.
        "fetch.wait.max.ms": 20,
    }
