"""Messages of a batch to guarded ones, with what they have in common done once.

The way of an event is `Intake.judge_event`; here is the short cut for the common case: the plan that
decided last in the partition decides again, and no rule fires. What must be one by one still is: the
clock, the decision and the place of each event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from ..policy.decision import Decision
from ..policy.guard import Guard
from ..policy.plan import Plan
from ..schemas.event import Event
from .assigned import Assigned
from .messages import GuardedMessage, MessageHeaders
from .offsets import PartitionOffsets

__all__ = ["BatchJudge", "Judge"]

_MILLISECOND_NS = 1_000_000
#: In the place of a partition's, before there is one.
_NOWHERE = PartitionOffsets()
assert TIMESTAMP_NOT_AVAILABLE == 0  # hence the short question below


class Judge(Protocol):
    """Decides on what is not the common case, or acts on a `decision` that is not."""

    def __call__(
        self,
        message: Message,
        event: Event,
        offsets: PartitionOffsets,
        decision: Decision | None = None,
    ) -> GuardedMessage | None:
        """The message as the application may have it; None when its event is parked."""
        ...


class BatchJudge:
    """See the module's first lines. `short` says that plans alone decide, whatever the stamp says."""

    def __init__(self, guard: Guard, assigned: Assigned, judge: Judge, *, short: bool) -> None:
        self._guard, self._clock, self._assigned = guard, guard.clock, assigned
        self._judge, self._short = judge, short
        #: The first message that was not judged, also after an exception.
        self.stopped_at = 0

    def judge(self, messages: Sequence[Message], start: int, out: list[Any]) -> None:
        """Judge from `start` on, up to an error in a message's place, or the end: `stopped_at`.

        What the application may have is added to `out`.
        """
        clock = self._clock
        at, topic, partition = start, "", -1
        offsets, plan = _NOWHERE, None
        first = last = -1  # delivered in a row, and not noted yet
        try:
            for at in range(start, len(messages)):
                message = messages[at]
                if message.error() is not None:
                    break
                now = clock()
                now -= now % _MILLISECOND_NS
                if message.partition() != partition or message.topic() != topic:
                    if first >= 0:
                        offsets.delivered(first, last)
                        first = -1
                    topic, partition = str(message.topic()), message.partition() or 0
                    offsets = self._assigned.of(topic, partition)
                    plan = self._plan(topic, offsets, now)
                kind, timestamp = message.timestamp()
                offset = message.offset() or 0
                event = Event(
                    topic,
                    message.value(),
                    message.key(),
                    MessageHeaders(message),  # type: ignore[arg-type]  # a Sequence in all but name
                    timestamp if kind else None,
                    now,
                    partition,
                    offset,
                )
                decision = None
                if plan is not None and now < plan.until:
                    decision = plan.decide(event)
                    if decision.outcome is plan.all_clear:
                        if first < 0:
                            first = offset
                        last = offset
                        out.append(GuardedMessage(message, decision, offsets))
                        continue
                if first >= 0:
                    offsets.delivered(first, last)
                    first = -1
                judged = self._judge(message, event, offsets, decision)
                if judged is not None:
                    out.append(judged)
                plan = self._plan(topic, offsets, now)
            else:
                at = len(messages)
        finally:
            self.stopped_at = at
            if first >= 0:
                offsets.delivered(first, last)

    def _plan(self, topic: str, offsets: PartitionOffsets, now: int) -> Plan | None:
        """The plan that decides on what comes next; None where there is more to it than that."""
        table = self._guard.in_use
        if table is None or not self._short or offsets.waiting:
            return None
        plan = table.plan(topic, "consume", now)
        return plan if plan is offsets.plan else None
