"""What the caller is told about an event that was not let through."""

# ruff: noqa: D102 - the methods of a message are the client's, and do what the client's do

from __future__ import annotations

from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, KafkaException

from ..policy.decision import Decision
from ..policy.model import Effect

__all__ = ["PolicyRejected", "RefusedMessage", "is_refusal", "refusal"]

_SAID = "streamwarden: "
_VERBS = {Effect.HOLD: "held", Effect.REJECT: "rejected"}


def refusal(decision: Decision) -> KafkaError:
    """The error that stands for a refusing decision: POLICY_VIOLATION, why, never retriable."""
    verb = _VERBS[decision.effect]
    return KafkaError(KafkaError.POLICY_VIOLATION, f"{_SAID}{verb}: {decision.reasons()}")


def is_refusal(error: KafkaError | None) -> bool:
    """Whether an error is a refusal, and not a broker's own POLICY_VIOLATION."""
    return (
        error is not None
        and error.code() == KafkaError.POLICY_VIOLATION
        and error.str().startswith(_SAID)
    )


class PolicyRejected(KafkaException):
    """An event was held or rejected, and parked; `decision` says why. `args[0]` is the KafkaError.

    Raised by `produce()` of a producer made with `on_reject="raise"`.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(refusal(decision))
        self.decision = decision

    def __str__(self) -> str:
        return str(refusal(self.decision).str())


class RefusedMessage:
    """Stands in for the client's Message in the report about an event that was not sent.

    It has the caller's topic, partition, key, value and headers as they were given; there is no
    offset, since the event is not in its topic.
    """

    __slots__ = ("_error", "decision")

    def __init__(self, decision: Decision, error: KafkaError | None) -> None:
        self.decision = decision
        self._error = error

    def topic(self) -> str:
        return self.decision.event.topic

    def partition(self) -> int:
        """The partition that the caller asked for, -1 without."""
        partition = self.decision.event.partition
        return -1 if partition is None else partition

    def offset(self) -> int | None:
        return None

    def key(self) -> bytes | None:
        return self.decision.event.key

    def value(self) -> bytes | None:
        return self.decision.event.value

    def deserialized_key(self) -> bytes | None:
        return self.key()

    def deserialized_value(self) -> bytes | None:
        return self.value()

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return list(self.decision.event.headers) or None

    def timestamp(self) -> tuple[int, int]:
        """The time that the record would have had: the caller's own, else the guard's reading."""
        given = self.decision.event.timestamp
        return TIMESTAMP_CREATE_TIME, self.decision.at if given is None else given

    def error(self) -> KafkaError | None:
        return self._error

    def latency(self) -> float | None:
        return None

    def leader_epoch(self) -> int | None:
        return None

    def delivery_count(self) -> int | None:
        return None

    def __len__(self) -> int:
        value = self.value()
        return 0 if value is None else len(value)
