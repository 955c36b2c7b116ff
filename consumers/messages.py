"""A message as the handler may see it, with the decision beside it."""

# ruff: noqa: D102 - the methods of a message are the client's, and do what the client's do

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, Message

from ..policy.decision import Decision
from ..policy.plan import Plan
from ..schemas.event import Event, Headers
from .offsets import PartitionOffsets

__all__ = ["GuardedMessage", "MessageHeaders", "event_of"]

assert TIMESTAMP_NOT_AVAILABLE == 0  # hence the short question below


def event_of(message: Message, topic: str, now: int) -> Event:
    """The event that a message carries, read at `now`."""
    kind, timestamp = message.timestamp()
    return Event(
        topic,
        message.value(),
        message.key(),
        MessageHeaders(message),  # type: ignore[arg-type]  # a Sequence in all but name
        timestamp if kind else None,
        now,
        message.partition(),
        message.offset(),
    )


class MessageHeaders(msgspec.Struct, eq=False, gc=False):
    """The headers of a message as an event has them, made when somebody looks at them.

    The client makes a list of them for each message that asks, which takes longer than the rest of
    the message together; most policies read none.
    """

    _message: Message
    _found: Headers | None = None

    def kept(self) -> Headers:
        """The headers themselves, from now on whatever becomes of the message."""
        found = self._found
        if found is None:
            found = self._found = cast("Headers", self._message.headers() or ())
        return found

    def __len__(self) -> int:
        return len(self.kept())

    def __iter__(self) -> Iterator[tuple[str, bytes | None]]:
        return iter(self.kept())

    def __getitem__(self, index: int) -> tuple[str, bytes | None]:
        return self.kept()[index]

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"


class GuardedMessage(msgspec.Struct, eq=False, gc=False):
    """The client's Message: `value()` is masked where the policy says so, the rest is as it came.

    `decision` is the consume decision; `offsets` the bookkeeping of its partition, for whoever says
    that it is done. `_plan` decided at `_now`, in nanoseconds; where nothing fired, the decision is
    only made for who asks. A msgspec Struct for the same reason as Event.
    """

    _message: Message
    offsets: PartitionOffsets
    _plan: Plan
    _now: int
    _decision: Decision | None = None
    _masked: bytes | None = None

    @property
    def decision(self) -> Decision:
        decision = self._decision
        if decision is None:
            decision = self._plan.clear(event_of(self._message, self.topic(), self._now))
            if self._decision is None:  # no other thread was first
                self._decision = decision
            decision = self._decision
        return decision

    def topic(self) -> str:
        return str(self._message.topic())

    def partition(self) -> int:
        partition = self._message.partition()
        return -1 if partition is None else partition

    def offset(self) -> int:
        offset = self._message.offset()
        return -1 if offset is None else offset

    def key(self) -> Any:
        return self._message.key()

    def value(self) -> Any:
        return self._message.value() if self._masked is None else self._masked

    def deserialized_key(self) -> Any:
        return self._message.key()

    def deserialized_value(self) -> Any:
        return self.value()

    def headers(self) -> Any:
        return self._message.headers()

    def timestamp(self) -> tuple[int, int]:
        return self._message.timestamp()

    def error(self) -> KafkaError | None:
        return self._message.error()

    def latency(self) -> float | None:
        return self._message.latency()

    def leader_epoch(self) -> int | None:
        return self._message.leader_epoch()

    def delivery_count(self) -> int | None:
        return self._message.delivery_count()

    # An event is parked as it came: its decision is made before anything is changed.

    def set_key(self, key: Any) -> None:
        _ = self.decision
        self._message.set_key(key)

    def set_value(self, value: Any) -> None:
        _ = self.decision
        self._message.set_value(value)
        self._masked = None

    def set_headers(self, headers: Any) -> None:
        kept = self.decision.event.headers
        if isinstance(kept, MessageHeaders):
            kept.kept()
        self._message.set_headers(headers)

    def set_error(self, error: KafkaError | None) -> None:
        self._message.set_error(error)

    def __len__(self) -> int:
        return len(self._message) if self._masked is None else len(self._masked)

    def __repr__(self) -> str:
        return (
            f"<GuardedMessage {self.topic()}[{self.partition()}]@{self.offset()} "
            f"{self.decision.effect.value}>"
        )
