"""Events with a number, and where each has to be in the end: their number says it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from tests.servers.topics import unique_name

__all__ = ["PLACES", "fate_of", "keys_of", "number_of", "value_of", "write_policies"]

#: Where an event can be: one of each ten is refused or held, at each end.
PLACES = ("handled", "quarantined", "held")
_FATES = {3: "quarantined", 5: "held", 7: "quarantined", 9: "held"}

_POLICY = """
policy: {stage}
owner: tests
topics: [{topic}]
stages: [{stage}]
rules:
  - id: refused
    when: value.n % 10 == {refused}
    effect: reject
  - id: waits
    when: value.n % 10 == {held}
    effect: hold
"""
_READ_TIMEOUT_S = 60.0
_SLICE_S = 0.1


def write_policies(folder: Path, topic: str) -> None:
    """Policies by which producer and consumer each refuse and hold a tenth of the events."""
    folder.mkdir(parents=True, exist_ok=True)
    for stage, refused, held in (("produce", 3, 5), ("consume", 7, 9)):
        text = _POLICY.format(stage=stage, topic=topic, refused=refused, held=held)
        (folder / f"{stage}.yaml").write_text(text)


def value_of(number: int) -> bytes:
    """The event."""
    return b'{"n": %d, "kind": "payment", "note": "%s"}' % (number, b"x" * 60)


def number_of(key: bytes | str | None) -> int:
    """The number of the event with that key."""
    return int(key or b"-1")


def fate_of(number: int) -> str:
    """The only place where the event may be."""
    return _FATES.get(number % 10, "handled")


def keys_of(bootstrap: str, topic: str) -> Iterator[bytes | str | None]:
    """Keys of all committed records of a topic, without keeping them."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": unique_name("tally"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    try:
        found = reader.list_topics(topic, timeout=_READ_TIMEOUT_S).topics[topic].partitions
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in found])
        unfinished = set(found)
        deadline = time.monotonic() + _READ_TIMEOUT_S
        while unfinished:
            messages = reader.consume(1000, _SLICE_S)
            if messages:
                deadline = time.monotonic() + _READ_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise TimeoutError(f"{topic} was not read to its end")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message.key()
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition() or 0)
                else:
                    raise KafkaException(error)
    finally:
        reader.close()
