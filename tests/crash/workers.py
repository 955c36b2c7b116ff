"""The processes that are killed: `python -m tests.crash.workers '{…}'`, a `Work` as JSON.

A producer goes on where the one before it was killed. With transactions what it has sent is known
from a record in each of them; without, from a file with the number up to which all are told of.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.messages import GuardedMessage
from streamwarden.policy.guard import Guard
from streamwarden.producers.producer import GuardedProducer
from tests.servers.topics import read_topic

from .events import number_of, value_of

__all__ = ["Work", "handled_files"]

_BATCH = 100
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker has to do; `worker` counts the producers and the consumers from 0 each.

    A producer sends its part of `events` numbers, one after the other, `rate` a second at most.
    """

    role: str  # produce, consume, or drain: consume to the end, then stop
    exactly_once: bool
    bootstrap: str
    folder: str
    topic: str
    handled: str
    progress: str
    group: str
    worker: int
    workers: int
    events: int
    rate: float
    partitions: int

    def to_json(self) -> str:
        """As the process takes it."""
        return json.dumps(asdict(self))

    @property
    def first(self) -> int:
        """The number of this producer's first event."""
        return self.events * self.worker // self.workers

    @property
    def count(self) -> int:
        """How many events this producer sends."""
        return self.events * (self.worker + 1) // self.workers - self.first

    def number(self, index: int) -> int:
        """The number of its event."""
        return self.first + index

    def partition(self, number: int) -> int:
        """Where that event goes: each partition has as many of every fate.

        The client's own choice, a checksum of the key, does not spread last digits evenly, so that
        a consumer of some partitions would see a flood of refused events.
        """
        return number // 10 % self.partitions


def handled_files(folder: Path) -> list[Path]:
    """Where consumers without transactions have written what they handled."""
    return sorted(folder.glob("handled-*"))


class _Pace:
    """Holds a producer back, so that it is killed while it has something to do."""

    def __init__(self, rate: float) -> None:
        self._rate, self._began, self._sent = rate, time.monotonic(), 0

    def wait(self, sent: int) -> None:
        """Return when that many more events are due."""
        self._sent += sent
        left = self._began + self._sent / self._rate - time.monotonic()
        if left > 0:
            time.sleep(left)


def _client(work: Work, **settings: Any) -> dict[str, Any]:
    return {"bootstrap.servers": work.bootstrap, "log_level": 0, **settings}


def _produce_exactly_once(work: Work, guard: Guard) -> None:
    """Events, what is parked of them, and how far it got, in one transaction each time."""
    own = {
        "transactional.id": f"{work.group}-{work.worker}",
        "transaction.timeout.ms": 10_000,
        "linger.ms": 5,
    }
    pace = _Pace(work.rate)
    with GuardedProducer(_client(work, **own), guard=guard) as producer:
        producer.init_transactions(_TIMEOUT_S)
        told = read_topic(work.bootstrap, work.progress)
        done = max((int(r.value or b"") for r in told if r.partition == work.worker), default=0)
        while done < work.count:
            upto = min(done + _BATCH, work.count)
            producer.begin_transaction()
            for index in range(done, upto):
                number = work.number(index)
                producer.produce(
                    work.topic, value_of(number), str(number), partition=work.partition(number)
                )
            producer.produce(work.progress, str(upto), partition=work.worker)
            _commit(producer)
            pace.wait(upto - done)
            done = upto


def _commit(producer: GuardedProducer) -> None:
    """A commit that timed out may only be committed again; all else ends the process."""
    while True:
        try:
            return producer.commit_transaction(_TIMEOUT_S)
        except KafkaException as raised:
            error = raised.args[0]
            if error.txn_requires_abort() or not error.retriable():
                raise


class _Acknowledged:
    """The number of events, from the first on, whose callers were told where they are."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self.upto = int(os.pread(self._file, 20, 0) or b"0")
        self._ahead: set[int] = set()

    def report(self, index: int, error: KafkaError | None, _message: object) -> None:
        """Take a delivery report; an event that is in no place ends the process."""
        if error is not None and error.code() != KafkaError.POLICY_VIOLATION:
            raise KafkaException(error)
        self._ahead.add(index)
        while self.upto in self._ahead:
            self._ahead.discard(self.upto)
            self.upto += 1

    def write(self) -> None:
        """Survive SIGKILL: what the kernel has is not lost with the process."""
        os.pwrite(self._file, b"%-20d" % self.upto, 0)


def _produce_at_least_once(work: Work, guard: Guard) -> None:
    acknowledged = _Acknowledged(Path(work.folder) / f"acknowledged-{work.worker}")
    pace = _Pace(work.rate)
    with GuardedProducer(_client(work, **{"enable.idempotence": True}), guard=guard) as producer:
        sent = acknowledged.upto
        while acknowledged.upto < work.count:
            upto = min(sent + _BATCH, work.count)
            for index in range(sent, upto):
                number = work.number(index)
                producer.produce(
                    work.topic,
                    value_of(number),
                    str(number),
                    partition=work.partition(number),
                    on_delivery=partial(acknowledged.report, index),
                )
            pace.wait(upto - sent)
            producer.poll(0 if upto > sent else 0.05)
            acknowledged.write()
            sent = upto
        acknowledged.write()


def _consume(work: Work, guard: Guard) -> None:
    """Two of three keep their place in the group over a restart; the others join as new members."""
    config = {
        "group.id": work.group,
        "auto.offset.reset": "earliest",
        "auto.commit.interval.ms": 100,
        "session.timeout.ms": 3000,
        "heartbeat.interval.ms": 500,
    }
    drains = work.role == "drain"
    if work.worker % 3 < 2 and not drains:
        config["group.instance.id"] = f"{work.group}-{work.worker}"
    if work.exactly_once:
        _consume_exactly_once(work, guard, config, drains=drains)
        return
    config["isolation.level"] = "read_uncommitted"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    file = os.open(Path(work.folder) / f"handled-{os.getpid()}", flags, 0o600)

    def note(message: GuardedMessage) -> None:
        os.write(file, b"%d\n" % number_of(message.key()))

    with GuardedConsumer(_client(work, **config), guard=guard) as consumer:
        consumer.subscribe([work.topic])
        consumer.run(note, until_end=drains)


def _consume_exactly_once(
    work: Work, guard: Guard, config: dict[str, Any], *, drains: bool
) -> None:
    """With a transactional id that a restart keeps only for those that keep their place."""

    def forward(message: GuardedMessage, producer: GuardedProducer) -> None:
        producer.produce(work.handled, b"", message.key())

    with GuardedConsumer(
        _client(work, **config),
        guard=guard,
        transactional_id=work.group,
        parking={"transaction.timeout.ms": 6000},
    ) as consumer:
        consumer.subscribe([work.topic])
        consumer.run(forward, until_end=drains)


def main() -> None:
    """Work until done, or killed."""
    work = Work(**json.loads(sys.argv[1]))
    with Guard.from_directory(Path(work.folder) / "policies") as guard:
        if work.role != "produce":
            _consume(work, guard)
        elif work.exactly_once:
            _produce_exactly_once(work, guard)
        else:
            _produce_at_least_once(work, guard)


if __name__ == "__main__":
    main()
