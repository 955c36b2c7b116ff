"""Lines to Kafka through a guard, with an account of every one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from streamwarden.errors import ConfigurationError, DecisionLogFullError, StreamwardenError

from ..policy.bundle import Bundle
from ..policy.decision import Decision
from ..policy.guard import Guard
from ..policy.model import Effect
from ..producers.codes import UNKNOWN_TOPIC
from ..producers.producer import GuardedProducer
from .client import Client, Trouble
from .events import EventReader, GivenEvent
from .failures import describe
from .lines import Line, Lines
from .reaching import no_connection, what_to_check
from .uncovered import Unjudged

__all__ = ["Account", "Publishing"]

#: What the guard's producer says to a callback about an event that policy refused.
_REFUSED = "streamwarden: "
#: Distinct complaints that are kept; the count of failed events has no limit.
_COMPLAINTS_MAX = 20
#: Memory for what the broker has not taken yet; the client's own default is a gigabyte.
_QUEUE_KBYTES = 65_536
_SLICE_S = 0.2
_NOT_SENT = "not sent"
#: The client wants its timeout to be longer than it waits for a batch to fill.
_TIMEOUT_MIN_MS = 100
#: The client gives events up by a clock of its own, a little before or after ours.
_LATE = 0.9
#: When nothing was taken for so long, or half the timeout, topics are looked for; a broker may have
#: to make them first.
_LOOK_S = 5.0
#: Topics of which that is known; records may name any.
_TOPICS_MAX = 1000
#: How long lines that nobody can send any more are counted for, on standard input.
_COUNTING_S = 5.0
#: Settings that exclude an idempotent producer, or say that somebody thought about it.
_WRITES_OTHERWISE = (
    *("acks", "request.required.acks", "enable.idempotence", "queuing.strategy", "retries"),
    *("message.send.max.retries", "max.in.flight", "max.in.flight.requests.per.connection"),
)
_TIMEOUTS = ("message.timeout.ms", "delivery.timeout.ms")


@dataclass(slots=True)
class Account:
    """Where every line went: `read` is the sum of the six effects and `failed`.

    `complaints` are what failed lines failed of: how many, which was the first, and where.
    """

    read: int = 0
    effects: dict[str, int] = field(default_factory=lambda: {e.value: 0 for e in Effect})
    failed: int = 0
    undecodable: int = 0
    shadow: int = 0
    first_failed: tuple[int, str] | None = None
    complaints: dict[str, tuple[int, int, str]] = field(
        default_factory=dict[str, tuple[int, int, str]]
    )

    @property
    def refused(self) -> int:
        """Events that were held or rejected, and parked."""
        return self.effects["hold"] + self.effects["reject"]

    def fail(self, index: int, place: str, why: str) -> None:
        """One line came to nothing."""
        self.failed += 1
        if self.first_failed is None or index < self.first_failed[0]:
            self.first_failed = index, place
        if why not in self.complaints and len(self.complaints) >= _COMPLAINTS_MAX:
            why = "other errors"
        count, first, where = self.complaints.get(why, (0, index, place))
        self.complaints[why] = (count + 1, *min((first, where), (index, place)))

    def to_dict(self, bundle: Bundle, seconds: float) -> dict[str, object]:
        """The summary, as JSON has it."""
        order = ("allow", "warn", "mask", "hold", "reject", "none")
        return {
            "read": self.read,
            **{name: self.effects[name] for name in order},
            "failed": self.failed,
            "undecodable": self.undecodable,
            "shadow": self.shadow,
            "bundle": bundle.label,
            "digest": bundle.digest,
            "seconds": round(seconds, 3),
        }


class _Outcome:
    """What becomes of one line: settled when both the decision and the report are there."""

    __slots__ = ("_decision", "_owner", "_reported", "index", "place")

    def __init__(self, owner: Publishing, index: int, line: Line) -> None:
        self._owner, self.index, self.place = owner, index, line.place
        self._decision: Decision | None = None
        self._reported: tuple[KafkaError | None] | None = None

    def decided(self, decision: Decision) -> None:
        self._decision = decision
        if self._reported is not None:
            self._owner.settle(self, decision, *self._reported)

    def report(self, error: KafkaError | None, _message: object) -> None:
        if self._decision is None:  # the report came before `produce()` was through
            self._reported = (error,)
        else:
            self._owner.settle(self, self._decision, error)


class Publishing:
    """Sends lines until their end, or until the broker takes nothing for `client.timeout_s`.

    `account` is complete after `run`; `stopped` then says why not everything was sent, if so, and
    `remedy` what to do.
    """

    def __init__(self, guard: Guard, client: Client) -> None:
        self.account = Account()
        #: Events that no policy judged.
        self.nothing = Unjudged()
        self.stopped: str | None = None
        self.interrupted = False
        self._guard, self._timeout_s = guard, client.timeout_s
        self._bundle = guard.bundle
        self._servers = client.servers
        self._trouble = Trouble()
        self.remedy = what_to_check(self._trouble)
        self._producer = GuardedProducer(
            _config(client, self._trouble), guard=guard, queue_full_wait_s=client.timeout_s
        )
        self._open = 0  # lines without an outcome
        self._by_guard = False  # who stopped it
        self._progress = time.monotonic()
        self._look_s = min(_LOOK_S, client.timeout_s / 2)
        self._look_after_s = self._look_s
        self._topics: set[str] = set()

    def run(
        self, lines: Lines, reader: EventReader, advance: Callable[[int, int | None], None]
    ) -> None:
        """Send every line, until `interrupt`. Raises ConfigurationError for a file that breaks off.

        The account is complete either way.
        """
        lines.idle = self._idle
        remaining = iter(lines)
        try:
            if self._connect():
                self._send_all(lines, remaining, reader, advance)
        except ConfigurationError:  # a file that breaks off
            self._finish()
            raise
        self._finish()
        if self.stopped is not None:
            self._count_unsent(lines, remaining)

    @property
    def bundle(self) -> Bundle:
        """The version in use; where the guard has none any more, the one that it had."""
        with suppress(StreamwardenError):
            self._bundle = self._guard.bundle
        return self._bundle

    def interrupt(self) -> None:
        """End the reading after this line; what was read is still sent and accounted for."""
        self.interrupted = True

    def close(self) -> None:
        """Let go of the producer."""
        self._producer.close(0)

    def _connect(self) -> bool:
        """Wait for a broker, so that nothing is read from a pipe that cannot be sent."""
        deadline = time.monotonic() + self._timeout_s
        while not self.interrupted:
            left = deadline - time.monotonic()
            with suppress(KafkaException):  # no answer yet
                self._producer.cluster_id(max(0.0, min(left, _SLICE_S)))
                self._progress = time.monotonic()
                return True
            self._producer.poll(0)
            if self._trouble.refused or left <= 0:
                self.stopped = no_connection(self._servers, self._trouble, self._timeout_s)
                self.remedy = what_to_check(self._trouble)
                break
        return False

    def _send_all(
        self,
        lines: Lines,
        remaining: Iterator[Line],
        reader: EventReader,
        advance: Callable[[int, int | None], None],
    ) -> None:
        account, producer = self.account, self._producer
        for line in remaining:
            account.read += 1
            event = self._event(line, lines, reader)
            if event is not None:
                self._send(_Outcome(self, account.read, line), event)
            if account.read & 0x3F == 0:
                producer.poll(0)
                advance(lines.position_bytes, None)
            if self.interrupted or self._silent():
                return

    def _idle(self) -> bool:
        self._producer.poll(0)
        return self.interrupted or self._silent()

    def _event(self, line: Line, lines: Lines, reader: EventReader) -> GivenEvent | None:
        if line.data is None:
            why = f"the line has more than {lines.line_max_bytes:,} bytes"
        else:
            try:
                return reader.read(line.data)
            except ValueError as error:
                why = str(error)
        self.account.fail(self.account.read, line.place, why)
        return None

    def _send(self, outcome: _Outcome, event: GivenEvent) -> None:
        optional: dict[str, Any] = {}
        if event.partition is not None:
            optional["partition"] = event.partition
        if event.timestamp is not None:
            optional["timestamp"] = event.timestamp
        if not self._open:
            self._progress = time.monotonic()
        self._open += 1
        try:
            decision = self._producer.produce(
                event.topic,
                event.value,
                event.key,
                headers=event.headers or None,
                on_delivery=outcome.report,
                facts=event.facts,
                **optional,
            )
        except DecisionLogFullError as error:
            self._failed(outcome, error.message)
            self.stopped, self.remedy = error.message, error.remedy
        except BufferError:
            self._failed(outcome, "the broker took nothing while the queue was full")
            self._stop()
        except KafkaException as error:
            self._failed(outcome, describe(error))
            if error.args and getattr(error.args[0], "fatal", bool)():
                self.stopped = describe(error)
        except StreamwardenError as error:  # the guard decides no more
            self._failed(outcome, error.message)
            self.stopped, self.remedy = error.message, error.remedy
            self._by_guard = True
        except (ValueError, TypeError) as error:  # a topic or header that cannot be
            self._failed(outcome, str(error))
        else:
            self.account.undecodable += decision.undecodable is not None
            self.account.shadow += decision.shadowed
            outcome.decided(decision)
            if len(self._topics) < _TOPICS_MAX:
                self._topics.add(self._written_to(decision))

    def _written_to(self, decision: Decision) -> str:
        topic = decision.event.topic
        if decision.passes:
            return topic
        bundle = self.bundle
        held = decision.effect is Effect.HOLD
        return bundle.held_topic(topic) if held else bundle.quarantine_topic(topic)

    def settle(self, outcome: _Outcome, decision: Decision, error: KafkaError | None) -> None:
        """Enter a line into the account, once both its decision and its report are there."""
        refused = (
            error is not None
            and not decision.passes
            and error.code() == KafkaError.POLICY_VIOLATION
            and error.str().startswith(_REFUSED)
        )
        if error is None or refused:
            self._open -= 1
            self._progress = time.monotonic()
            self.account.effects[decision.effect.value] += 1
            self.nothing.note(decision)
            return
        name = error.name()
        if name.startswith("_PURGE"):
            self._failed(outcome, _NOT_SENT)
            return
        if error.code() in UNKNOWN_TOPIC:
            self._no_topic(self._written_to(decision))
            self._failed(outcome, _NOT_SENT)
            return
        # Of what could not be parked the reason names the topic, and what to do.
        self._failed(outcome, describe(KafkaException(error)) if decision.passes else error.str())
        if name == "_MSG_TIMED_OUT" and self._overdue(_LATE * self._timeout_s):
            self._stop()
        elif not name.startswith("_"):
            self._progress = time.monotonic()  # a broker that says no is there

    def _failed(self, outcome: _Outcome, why: str) -> None:
        self._open -= 1
        self.account.fail(outcome.index, outcome.place, why)

    def _silent(self) -> bool:
        """True where sending is to end: nothing was taken for the whole of the timeout."""
        if self.stopped is None and self._open and self._overdue(self._look_after_s):
            self._producer.poll(0)  # a report may be there already
            if self._overdue(self._timeout_s):
                self._stop()
            elif self._overdue(self._look_after_s):
                self._look_for_topics()
        return self.stopped is not None

    def _overdue(self, seconds: float) -> bool:
        return time.monotonic() - self._progress > seconds

    def _look_for_topics(self) -> None:
        """End where a topic is not there: the client would wait for it as for a broker.

        Topics of events come first: those that park follow them.
        """
        self._look_after_s += self._look_s
        for topic in sorted(self._topics, key=lambda name: (self.bundle.is_parking(name), name)):
            try:
                found: Any = self._producer.list_topics(topic, timeout=self._look_s)
            except KafkaException:
                return
            error = found.topics[topic].error
            if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._no_topic(topic)
                return

    def _no_topic(self, topic: str) -> None:
        if self.stopped is None:
            self.stopped = f"there is no topic `{topic}`"
            ensure = "`streamwarden topics ensure` makes it"
            self.remedy = ensure if self.bundle.is_parking(topic) else "make it first"

    def _stop(self) -> None:
        if self.stopped is None:
            said = f": {self._trouble.last}" if self._trouble.last else ""
            self.stopped = f"{self._servers} took no event for {self._timeout_s:g} s{said}"

    def _finish(self) -> None:
        """Wait until every line has its outcome, or nothing more is to be expected."""
        while self._open and not self._silent():
            self._producer.flush(_SLICE_S)
        while self._open and self._by_guard and not self._overdue(self._timeout_s):
            self._producer.flush(_SLICE_S)  # the broker is there: what was decided is sent
        if self._open:
            self._producer.purge()
            self._producer.flush(_SLICE_S)
        while self._open:  # no report at all
            self._open -= 1
            self.account.fail(self.account.read, "the last lines", "no report from the client")

    def _count_unsent(self, lines: Lines, remaining: Iterator[Line]) -> None:
        """Enter the lines that were not tried: of files all, of a pipe what it has by now."""
        deadline = time.monotonic() + _COUNTING_S
        lines.idle = lambda: True
        for line in remaining:
            self.account.read += 1
            self.account.fail(self.account.read, line.place, _NOT_SENT)
            if lines.total_bytes is None and time.monotonic() > deadline:
                lines.cut_short = True
                return


def _config(client: Client, trouble: Trouble) -> dict[str, object]:
    """The configuration of the producer: safe where nobody asked for something else."""
    given = client.properties
    if "transactional.id" in given:
        raise ConfigurationError(
            "publish does not write in transactions", remedy="leave out transactional.id"
        )
    defaults: dict[str, object] = {"queue.buffering.max.kbytes": _QUEUE_KBYTES}
    if not any(name in given for name in _WRITES_OTHERWISE):
        defaults["enable.idempotence"] = True
    if not any(name in given for name in _TIMEOUTS):
        defaults["message.timeout.ms"] = max(_TIMEOUT_MIN_MS, round(client.timeout_s * 1000))
    return client.config(trouble, defaults)
