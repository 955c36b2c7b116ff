"""Why a refused event could not be parked, in words that name the parking topic and a remedy."""

from __future__ import annotations

from confluent_kafka import KafkaError

from ..policy.decision import Decision
from ..policy.model import Effect
from ..policy.parking import Kind, parked_topic
from .codes import MSG_TIMED_OUT, PURGED, UNKNOWN_TOPIC, reworded

__all__ = ["unparked", "why_unparked"]


def why_unparked(error: KafkaError, topic: str, origin: str) -> tuple[str, str]:
    """Why `topic` did not take an event of `origin`, and what to do about it."""
    code, ensure = error.code(), f"`streamwarden topics ensure --topic {origin}`"
    if code in UNKNOWN_TOPIC:
        return f"there is no topic `{topic}`", f"make it ({ensure})"
    if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return (
            f"no right to write to `{topic}` ({error.name()})",
            f"grant it: `streamwarden doctor --topic {origin}`, called as this user, prints the ACL",
        )
    if code in PURGED:
        return f"it was given up before `{topic}` took it ({error.name()})", "produce it again"
    why = f"`{topic}` did not take it: {error.str()} ({error.name()})"
    if code == MSG_TIMED_OUT:
        return (
            why,
            f"see whether the broker can be reached, and whether the topic is there ({ensure})",
        )
    return why, f"`streamwarden doctor --topic {origin}` tells what is wrong with it"


def unparked(decision: Decision, error: KafkaError, kind: Kind | None = None) -> KafkaError:
    """`error` of a parking write with a reason that says so; all else of it stays.

    `kind` follows the effect when None, as in parking.
    """
    if kind is None:
        kind = "held" if decision.effect is Effect.HOLD else "quarantined"
    origin = decision.event.topic
    topic = parked_topic(decision.plan.settings, origin, kind)
    why, remedy = why_unparked(error, topic, origin)
    return reworded(
        error, f"an event for {origin} was refused and could not be parked: {why}; {remedy}"
    )
