"""Whether a topic keeps the sender's timestamps, or puts the broker's in their place.

On a topic with `message.timestamp.type=LogAppendTime` a record's timestamp is not the guard's
clock reading, so that the stamp has to carry it. The broker is asked once for each topic, and only
briefly; delivery reports say it too. While it is not known, stamps carry the reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Literal

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    Producer,
)
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from ..policy.plan import Plan
from ..policy.plan_table import PlanTable
from .callbacks import Report
from .connection import ConfigMap, connection_of
from .forks import watch_forks
from .parking import inherited

__all__ = ["EMBEDDED_CLUSTER", "Lane", "RecordTimes"]

#: How long the first `produce()` to a topic may wait for the answer; never longer, and not at all
#: while the cluster has just shown that it does not answer.
_ASK_TIMEOUT_S = 0.5
_SILENCE_S = 30.0
_REQUEST_TIMEOUT_S = 10.0
#: What the cluster inside librdkafka calls itself: it keeps the sender's timestamps, reports
#: made-up ones, and answers no question about settings.
EMBEDDED_CLUSTER = "mockCluster"


class Lane:
    """What the producer knows about one topic.

    `keeps_time` is True where records keep the guard's clock reading, None while unknown.
    `current` is the plan that decided last, with the table it came from: it decides on the next
    event too, unless the guard has another table by then or the plan's time is over.
    """

    __slots__ = ("_asked", "current", "keeps_time", "topic")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        # In one assignment, since threads may share a lane.
        self.current: tuple[PlanTable, Plan] | tuple[Literal[False], Any] = False, None
        self.keeps_time: bool | None = None
        self._asked: Future[Any] | None = None

    def ask(self, answer: Future[Any]) -> None:
        """`answer` will give the settings of the topic."""
        self._asked = answer
        answer.add_done_callback(self._answered)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the answer; True where there is one."""
        if self._asked is not None:
            try:
                self._asked.result(timeout_s)
            except FutureTimeoutError:
                return False
            except (CancelledError, KafkaException):
                pass  # nobody may say: delivery reports will
        return True

    def _answered(self, answer: Future[Any]) -> None:
        # On the admin client's thread.
        if self.keeps_time is None and not answer.cancelled() and answer.exception() is None:
            entry = answer.result().get("message.timestamp.type")
            if entry is not None:
                self.keeps_time = entry.value != "LogAppendTime"
        self._asked = None

    def learn(self, message: Any) -> None:
        """Take what a delivery report says."""
        kind, _ = message.timestamp()
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            self.keeps_time = False
        elif kind == TIMESTAMP_CREATE_TIME and self.keeps_time is None:
            self.keeps_time = True


class _LearningReport:
    """A delivery report that a lane learns from before the caller gets it."""

    __slots__ = ("_lane", "_report")

    def __init__(self, lane: Lane, report: Report | None) -> None:
        self._lane, self._report = lane, report

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._lane.learn(message)
        if self._report is not None:
            self._report(error, message)


class RecordTimes:
    """Opens lanes: asks once for each topic how it treats timestamps."""

    def __init__(self, config: ConfigMap, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = connection_of(config)
        self._clock = clock
        self._silent_until = 0.0
        self._embedded: bool | None = None
        self._admin: AdminClient | None = None
        watch_forks(self)

    def open(self, topic: str, client: Producer, wait_s: float = _ASK_TIMEOUT_S) -> Lane:
        """The lane of `topic`; waits for the broker's answer, at most `wait_s` and half a second."""
        lane = Lane(topic)
        if self._embedded:
            lane.keeps_time = True
        elif wait_s > 0 and self._clock() >= self._silent_until:
            self._ask(lane, client, self._clock() + min(wait_s, _ASK_TIMEOUT_S))
        return lane

    def report(self, lane: Lane, report: Report | None) -> Report | None:
        """The delivery report to send an event with, so that `lane` learns from it."""
        return report if self._embedded else _LearningReport(lane, report)

    def close(self) -> None:
        """Let go of the admin client."""
        self._admin = None

    def after_fork(self) -> None:
        """In a child: the parent's admin client is neither used nor destroyed."""
        if self._admin is not None:
            inherited.append(self._admin)
            self._admin = None

    def _ask(self, lane: Lane, client: Producer, deadline: float) -> None:
        if self._embedded is None:
            try:
                found = client.list_topics(lane.topic, timeout=deadline - self._clock())
            except KafkaException:
                self._silent_until = self._clock() + _SILENCE_S
                return
            self._embedded = (found.cluster_id or "").startswith(EMBEDDED_CLUSTER)
            if self._embedded:
                lane.keeps_time = True
                return
        if self._admin is None:
            self._admin = AdminClient(self._config)
        resource = ConfigResource(ResourceType.TOPIC, lane.topic)
        describe: Callable[..., dict[Any, Future[Any]]] = self._admin.describe_configs  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        lane.ask(*describe([resource], request_timeout=_REQUEST_TIMEOUT_S).values())
        if not lane.wait(max(0.0, deadline - self._clock())):
            self._silent_until = self._clock() + _SILENCE_S
