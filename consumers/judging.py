"""Messages of a batch to guarded ones, with what they have in common done once.

The way of an event is `Intake.judge_event`; here is the short cut for the common case: the plan that
decided last in the partition decides again, and no rule fires. Where rules read values alone, such a
message takes no event and no decision either, unless somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from confluent_kafka import Message

from ..policy.compiler import Run, Undecodable
from ..policy.decision import Decision
from ..policy.guard import Guard
from ..policy.plan import Plan
from ..policy.showing import Showing
from ..schemas.event import Event
from .assigned import Assigned
from .messages import GuardedMessage, event_of
from .offsets import PartitionOffsets

__all__ = ["BatchJudge", "Judge"]

_MILLISECOND_NS = 1_000_000
#: Messages of a batch of which no rule reads the clock, and that share one reading. A power of two,
#: less one.
_CLOCK_MASK = 63
#: In the place of a partition's, before there is one.
_NOWHERE = PartitionOffsets()


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
        clock, now = self._clock, 0
        at, topic, partition = start, "", -1
        offsets, plan, run = _NOWHERE, None, None
        showing = Showing()
        shown = cast("Event", showing)
        first: Message | None = None  # delivered in a row, and not noted yet
        last: Message | None = None
        uncounted = 0
        try:
            for at in range(start, len(messages)):
                message = messages[at]
                if message.error() is not None:
                    break
                if run is None or not at & _CLOCK_MASK:
                    now = clock()
                    now -= now % _MILLISECOND_NS
                    if not at & _CLOCK_MASK:
                        run = _run_on_values(plan)  # but where its next decision is timed
                if message.partition() != partition or message.topic() != topic:
                    _note(offsets, plan, first, last, uncounted)
                    first, uncounted = None, 0
                    topic, partition = str(message.topic()), message.partition() or 0
                    offsets = self._assigned.of(topic, partition)
                    plan, run = self._next(topic, offsets, now)
                event: Event | None = None
                decision: Decision | None = None
                passed: GuardedMessage | None = None
                if plan is not None and now < plan.until:
                    hits: tuple[int, ...] | Undecodable = ()
                    if run is not None:
                        showing.value = value = message.value()
                        hits = run(shown)
                        if not hits and value is not None:
                            uncounted += 1
                            passed = GuardedMessage(message, offsets, plan, now)
                    if passed is None:
                        event = event_of(message, topic, now)
                        decision = plan.conclude(event, hits) if hits else plan.decide(event)
                        if decision.outcome is plan.all_clear:
                            passed = GuardedMessage(message, offsets, plan, now, decision)
                if passed is not None:
                    if first is None:  # not `or`: a message without bytes is false
                        first = message
                    last = message
                    out.append(passed)
                    continue
                _note(offsets, plan, first, last, uncounted)
                first, uncounted = None, 0
                event = event or event_of(message, topic, now)
                judged = self._judge(message, event, offsets, decision)
                if judged is not None:
                    out.append(judged)
                now = self._guard.now()  # to park an event may have taken long
                plan, run = self._next(topic, offsets, now)
            else:
                at = len(messages)
        finally:
            self.stopped_at = at
            _note(offsets, plan, first, last, uncounted)

    def _next(
        self, topic: str, offsets: PartitionOffsets, now: int
    ) -> tuple[Plan | None, Run | None]:
        """The plan that decides on what comes next, None where there is more to it than that.

        And its rules, where values are enough for them.
        """
        table = self._guard.in_use
        if table is None or not self._short or offsets.waiting:
            return None, None
        plan = table.plan(topic, "consume", now)
        return (plan, _run_on_values(plan)) if plan is offsets.plan else (None, None)


def _run_on_values(plan: Plan | None) -> Run | None:
    """The rules of a plan, where a message on which they say nothing takes no decision."""
    return plan.compiled.run if plan is not None and plan.by_value and plan.quiet else None


def _note(
    offsets: PartitionOffsets,
    plan: Plan | None,
    first: Message | None,
    last: Message | None,
    uncounted: int,
) -> None:
    """Messages from `first` to `last` are delivered; `uncounted` of them took no decision."""
    if first is None or last is None:
        return
    offsets.delivered(first.offset() or 0, last.offset() or 0)
    if plan is not None:
        plan.tally.clear += uncounted
