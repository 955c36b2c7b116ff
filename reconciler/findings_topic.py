"""Findings as events of their own, for workflows that compensate, notify or count.

Avro, by the schema `schemas/finding.avsc`: framed with the id that a registry gives, where there is
one, else as Avro's single objects. The key is `topic/partition/offset` of the event: whoever reads
tells a finding that was written twice by it, as a compacted topic does.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any, cast

import fastavro
import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from streamwarden.errors import ReconcileError

from ..producers.connection import connection_of
from ..schemas.registry_client import connected
from ..schemas.schema_sources import Schemas
from .clients import reason_of

__all__ = ["encoder", "finding_schema", "write_findings"]

_MAGIC = b"\xc3\x01"


def finding_schema() -> dict[str, Any]:
    """The schema of the records."""
    text = resources.files("streamwarden.schemas").joinpath("finding.avsc").read_bytes()
    return msgspec.json.decode(text, type=dict[str, Any])


def encoder(prefix: bytes | None = None) -> Callable[[Mapping[str, Any], int], bytes]:
    """Encodes a finding, as its line has it, of a run that `started` (milliseconds).

    `prefix` stands before the record; None is that of a single object.
    """
    schema = finding_schema()
    if prefix is None:
        canonical = to_parsing_canonical_form(schema)
        prefix = _MAGIC + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
    parsed = parse_schema(schema)
    head = prefix

    def encode(said: Mapping[str, Any], started: int) -> bytes:
        out = io.BytesIO(head)
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, parsed, _record(said, started))
        return out.getvalue()

    return encode


def write_findings(
    config: Mapping[str, Any],
    topic: str,
    lines: Iterable[bytes],
    *,
    started: int,
    schemas: Schemas | None,
    timeout_s: float,
) -> int:
    """Write findings, one line of JSON each, to `topic`; how many. All are there at the end.

    Raises ReconcileError where they are not.
    """
    encode = encoder(_registered(schemas, topic))
    failed: list[KafkaError] = []

    def told(error: KafkaError | None, _message: Any) -> None:
        if error is not None:
            failed.append(error)

    settings = {**connection_of(config), "enable.idempotence": True, "compression.type": "zstd"}
    settings["delivery.timeout.ms"] = max(int(timeout_s * 1000), 1000)
    count = 0
    try:
        producer = Producer(settings)
        for line in lines:
            said: dict[str, Any] = msgspec.json.decode(line)
            key = f"{said['topic']}/{said['partition']}/{said['offset']}"
            _produce(producer, topic, encode(said, started), key, told, timeout_s)
            count += 1
            if failed:
                break
        left = producer.flush(timeout_s)
    except KafkaException as error:
        raise _not_written(topic, reason_of(error)) from error
    if failed or left:
        raise _not_written(topic, failed[0].str() if failed else "the brokers do not answer")
    return count


def _produce(
    producer: Producer,
    topic: str,
    value: bytes,
    key: str,
    told: Callable[[KafkaError | None, Any], None],
    timeout_s: float,
) -> None:
    """Hand one record over; where the queue is full, wait for room."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            producer.produce(topic, value, key.encode(), on_delivery=told)
        except BufferError:
            if time.monotonic() > deadline:
                raise _not_written(topic, "the brokers do not answer") from None
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _not_written(topic: str, reason: str) -> ReconcileError:
    return ReconcileError(
        f"the findings were not all written to `{topic}`: {reason}",
        remedy="check the topic and the right to write to it, and run again",
    )


def _registered(schemas: Schemas | None, topic: str) -> bytes | None:
    """What stands before a record where a registry knows the schema; None without a registry."""
    if not isinstance(schemas, str) or "://" not in schemas:
        return None
    from confluent_kafka.schema_registry import Schema  # noqa: PLC0415 - an extra

    with connected({"url": schemas}) as client:
        text = msgspec.json.encode(finding_schema()).decode()
        number = cast("Any", client).register_schema(f"{topic}-value", Schema(text, "AVRO"))
    return b"\0" + int(number).to_bytes(4, "big")


def _record(said: Mapping[str, Any], started: int) -> dict[str, Any]:
    key, current = said["key"], said["current"]
    return {
        **said,
        "key": key if key is None or isinstance(key, str) else _json(key),
        "effect": current["effect"],
        "stamped_version": said["versions"]["stamped"],
        "current_version": said["versions"]["current"],
        "current_digest": current["digest"],
        "current": _json(current),
        "run_started": started,
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
