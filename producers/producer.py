"""The guarded producer: confluent_kafka.Producer's call shape, with policy before every send."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from confluent_kafka import KafkaError, Producer, TopicPartition

from streamwarden.errors import ConfigurationError, DecisionLogFullError

from ..policy.decision import Decision
from ..policy.guard import Guard, check_guard
from ..policy.model import Effect
from ..policy.plan import Plan
from ..policy.routing import forward
from ..schemas.event import Event
from .batches import BatchStoppedError, Given, read_batch
from .callbacks import CLIENT_CALLBACKS, Callbacks, Report
from .clients import Clients
from .codes import PURGED, reworded
from .connection import ConfigMap, merged
from .failing import failure_mode
from .notices import Notices
from .outgoing import as_bytes, check_topic_name, normal_headers
from .parking import Parking
from .record_time import Lane, RecordTimes
from .refusal import PolicyRejected, RefusedMessage, refusal
from .unparked import unparked

__all__ = ["GuardedProducer", "PolicyRejected"]

log = logging.getLogger("streamwarden")

#: The client needs a poll now and then even without callbacks, or its queue fills with what is
#: long acknowledged. A power of two, less one.
_POLL_MASK = 255
#: Topics whose lane is kept; a producer that makes up names must not grow it.
_LANES_MAX = 4096
_CLOSE_TIMEOUT_S = 30.0
_NO_PARTITION = -1
_MILLISECOND_NS = 1_000_000
#: A wait is cut into slices, so that signals are seen.
_SLICE_S = 0.1
#: How long a client that is closed waits for the decision log, which the guard goes on writing.
_LOG_FLUSH_S = 5.0

_INSTEAD = {
    "produce_batch": ": the client's batch call drops headers; call `produce_many()`",
}


class GuardedProducer:
    """Decides on every event by `guard`, then sends it stamped and masked, or parks it.

    Made and used as confluent_kafka.Producer; `produce()` returns the Decision and takes `facts=`.
    What is different: a method that is not here cannot be reached; `produce()` on a full queue
    polls for `queue_full_wait_s` before its BufferError, and now and then polls by itself, so that
    callbacks also run in it; what a callback raises comes from the next `poll()` or `flush()`,
    after all callbacks ran, and never from `produce()`. In a callback events can be produced; what
    polls, waits or asks brokers raises RuntimeError there.

    `on_reject="raise"` makes `produce()` raise PolicyRejected for held and rejected events, after
    parking them. `parking` adds settings to the producer of parked events;
    `parking_unreachable="block"` makes it try for ever instead of giving its `error` to the
    callback (without the keyword, STREAMWARDEN_PARKING_UNREACHABLE says so).
    """

    def __init__(
        self,
        config: ConfigMap | None = None,
        /,
        *,
        guard: Guard,
        on_reject: Literal["return", "raise"] = "return",
        parking: ConfigMap | None = None,
        parking_unreachable: Literal["error", "block"] | None = None,
        queue_full_wait_s: float = 1.0,
        **settings: Any,
    ) -> None:
        check_guard(guard)
        if on_reject not in ("return", "raise"):
            raise ConfigurationError(f"`on_reject` is `{on_reject}`", remedy="use return or raise")
        unreachable = failure_mode("parking_unreachable", parking_unreachable, ("error", "block"))
        self.guard = guard
        self._clock = guard.clock
        self._keys = guard.stamp_keys
        self._raises = on_reject == "raise"
        self._queue_full_wait_s = queue_full_wait_s
        self._notices = Notices(guard.count)
        self._lanes: dict[str, Lane] = {}
        self._produced = 0
        given = merged(config, settings)
        self._default_report: Report | None = given.pop("on_delivery", None)
        callbacks = Callbacks(guard.count)
        for name in CLIENT_CALLBACKS:
            if callable(given.get(name)):
                given[name] = callbacks.safe(given[name])
        self._safe: Callable[[Report], Report] = callbacks.safe
        self._times = RecordTimes(given)
        self._clients = Clients(
            given,
            callbacks=callbacks,
            count=guard.count,
            keys=self._keys,
            own=parking,
            block=unreachable == "block",
        )
        self._transactional = self._clients.transactional
        #: Nothing is added to an event but the constant stamp.
        self._plain = self._keys is None and not self._transactional

    def produce(
        self,
        topic: str,
        value: str | bytes | None = None,
        key: str | bytes | None = None,
        partition: int = _NO_PARTITION,
        callback: Report | None = None,
        on_delivery: Report | None = None,
        timestamp: int = 0,
        headers: Any = None,
        *,
        facts: Mapping[str, object] | None = None,
    ) -> Decision:
        """Decide on an event and send or park it; returns the decision.

        As the client's; `facts` are what the service knows beside the event. Takes no longer than
        `queue_full_wait_s`, whatever brokers are asked or waited for. Raises ValueError for
        a topic or header name that cannot be sent, BufferError when the queue stays full (or the
        decision log, where it must not lose an entry), FloodError once the guard has stopped since
        it refused too many (the event is nowhere then), and PolicyRejected under
        `on_reject="raise"`.
        """
        lane, deadline = self._lanes.get(topic), None
        if lane is None:
            deadline = time.monotonic() + self._queue_full_wait_s
            lane = self._open_lane(topic)
        data = value if isinstance(value, bytes) else as_bytes(value, "value")
        key_data = key if key is None or isinstance(key, bytes) else as_bytes(key, "key")
        at = self._clock() // _MILLISECOND_NS
        now = at * _MILLISECOND_NS
        event = Event(
            topic,
            data,
            key_data,
            normal_headers(headers) if headers else (),
            timestamp or None,
            now,
            None if partition == _NO_PARTITION else partition,
            None,
            facts,
        )
        table, plan = lane.current
        if table is not self.guard.in_use or not plan.since <= now < plan.until:
            plan = self._plan(lane, now)
        try:
            decision = plan.decide(event)
        except DecisionLogFullError:
            deadline = deadline or time.monotonic() + self._queue_full_wait_s
            decision = self._evaluate_later(event, deadline)
            plan = decision.plan
        report = callback or on_delivery or self._default_report
        if report is not None:
            report = self._safe(report)
        clients = self._clients
        count = self._produced = self._produced + 1
        if (
            decision.outcome is plan.all_clear
            and lane.keeps_time
            and not headers
            and not timestamp
            and self._plain
            and count & _POLL_MASK
        ):
            # The common case: everything is constant but the event itself.
            try:
                clients.send(topic, data, key_data, partition, report, None, at, plan.stamp_headers)
            except BufferError:
                self._wait_and(self._forward, decision, lane, report, deadline)
            return decision
        if decision.effect.passes:
            self._wait_and(self._forward, decision, lane, report, deadline)
        else:
            deadline = deadline or time.monotonic() + self._queue_full_wait_s
            self._wait_and(partial(self._park, deadline), decision, lane, report, deadline)
            self.guard.refused(decision)
        if not count & _POLL_MASK:
            self._serve_now_and_then(deadline)
        if self._raises and not decision.effect.passes:
            raise PolicyRejected(decision)
        return decision

    def produce_many(
        self,
        topic: str,
        events: Iterable[Given],
        partition: int = _NO_PARTITION,
        on_delivery: Report | None = None,
    ) -> list[Decision]:
        """Produce each of `events` in its order; gives their decisions.

        An event is its value, or a mapping of `value`, `key`, `headers`, `partition`, `timestamp`,
        `facts` and `on_delivery`; `partition` and `on_delivery` are for those that have none.
        Raises TypeError before anything is sent, and BatchStoppedError, which says how far it came.
        """
        given = read_batch(events, reports=True)
        default: dict[str, Any] = {"partition": partition, "on_delivery": on_delivery}
        taken: list[Decision] = []
        for event in given:
            try:
                taken.append(self.produce(topic, **{**default, **event}))
            except PolicyRejected as rejected:
                raise BatchStoppedError(
                    [*taken, rejected.decision], len(given), rejected
                ) from rejected
            except Exception as error:
                raise BatchStoppedError(taken, len(given), error) from error
        return taken

    def _serve_now_and_then(self, deadline: float | None) -> None:
        until = deadline or time.monotonic() + self._queue_full_wait_s
        self._clients.poll_aside(0, ask_until=until)
        self.guard.tick()

    def _plan(self, lane: Lane, now: int) -> Plan:
        """The plan for a lane's topic at the instant `now`, which the lane keeps."""
        table = self.guard.table
        plan = table.plan(lane.topic, "produce", now)
        lane.current = table, plan
        return plan

    def _evaluate_later(self, event: Event, deadline: float) -> Decision:
        """The decision on an event that the decision log had no room for, by the deadline."""
        while True:
            if not self._clients.polling_here():
                self._clients.poll_aside(0, ask_until=deadline)
            left = deadline - time.monotonic()
            if self.guard.sink is not None:
                self.guard.sink.wait_for_room(max(0.0, min(left, _SLICE_S)))
            try:
                return self.guard.evaluate(event, "produce")
            except DecisionLogFullError:
                if left <= 0:
                    self.guard.count("dropped/producer/log_full")
                    raise

    def _wait_and(
        self,
        send: Any,
        decision: Decision,
        lane: Lane,
        report: Report | None,
        deadline: float | None = None,
    ) -> None:
        self._clients.wait_for_room(
            self._queue_full_wait_s, send, decision, lane, report, deadline=deadline
        )

    def _forward(self, decision: Decision, lane: Lane, report: Report | None) -> None:
        record = forward(decision, stamp_keys=self._keys, at=not lane.keeps_time)
        if self._transactional:
            report = _InTransaction(self._clients, report)
        # Also on a known lane a report is looked at now and then: the setting can be changed.
        self._clients.send(
            record.topic,
            record.value,
            record.key,
            _NO_PARTITION if record.partition is None else record.partition,
            self._times.report(lane, report),
            None,
            record.timestamp or 0,
            record.headers,
        )

    def _park(
        self, deadline: float, decision: Decision, _lane: Lane, report: Report | None
    ) -> None:
        # Not a closure over self: the client would keep it, and a dropped guard never go.
        done = partial(_parked, decision, report, self.guard, self._notices)
        # In a callback the client can be asked nothing.
        left = 0.0 if self._clients.polling_here() else max(0.0, deadline - time.monotonic())
        self._clients.parking.park(decision, done, ask_s=left)

    def _open_lane(self, topic: str) -> Lane:
        check_topic_name(topic)
        wait_s = 0.0 if self._clients.polling_here() else self._queue_full_wait_s
        lane = self._times.open(topic, self._clients.inner, wait_s)
        if len(self._lanes) >= _LANES_MAX:
            self._lanes.pop(next(iter(self._lanes)))
            self.guard.count("dropped/lanes/evicted")
        self._lanes[topic] = lane
        return lane

    def poll(self, timeout: float | None = -1) -> int:
        """Serve callbacks, waiting up to `timeout` seconds for the first; gives their number."""
        return self._clients.poll(timeout)

    def flush(self, timeout: float | None = -1) -> int:
        """Wait until everything is sent or parked and told; gives how many are not after all."""
        return self._clients.flush(timeout)

    def __len__(self) -> int:
        """Events, parked ones too, whose outcome has not been told yet."""
        return len(self._clients)

    def __bool__(self) -> bool:
        return True

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        """Give up what is not sent, parked events too; callbacks tell each."""
        self._clients.purge(in_queue, in_flight, blocking)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """As the client's."""
        self._clients.check_outside("list_topics")
        if topic is None:
            return self._client.list_topics(timeout=timeout)
        return self._client.list_topics(topic, timeout=timeout)

    def cluster_id(self, timeout: float = -1) -> str:
        """As the client's."""
        self._clients.check_outside("cluster_id")
        return self._client.cluster_id(timeout)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """As the client's, for the producer of parked events too."""
        self._clients.set_sasl_credentials(username, password)

    def init_transactions(self, timeout: float = -1) -> None:
        """As the client's."""
        self._clients.check_outside("init_transactions")
        self._client.init_transactions(timeout)

    def begin_transaction(self) -> None:
        """As the client's. Events that are parked from now on share the transaction's fate."""
        self._clients.begin()

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], group_metadata: Any, timeout: float = -1
    ) -> None:
        """As the client's."""
        self._clients.check_outside("send_offsets_to_transaction")
        self._client.send_offsets_to_transaction(positions, group_metadata, timeout)

    def commit_transaction(self, timeout: float = -1) -> None:
        """As the client's: events parked in the transaction are parked for good.

        When a record of it was not written, that is raised at once, as an error that requires an
        abort.
        """
        self._clients.commit(timeout)

    def abort_transaction(self, timeout: float = -1) -> None:
        """As the client's: events parked in the transaction are gone, as those sent in it are."""
        self._clients.abort(timeout)

    def parking_for_consumer(
        self, began: Callable[[], None], aborted: Callable[[], None]
    ) -> Parking:
        """How a consumer parks events within this producer's transactions.

        `began` and `aborted` are told of each. Raises ConfigurationError without transactions.
        """
        if not self._transactional:
            raise ConfigurationError(
                "`producer=` of a consumer needs a transactional producer",
                remedy="give it a `transactional.id`, or leave `producer=` out",
            )
        self._clients.watchers.append((began, aborted))
        return self._clients.parking_for_consumer()

    @property
    def transaction_failed(self) -> bool:
        """True once a record of the open transaction was not written."""
        return self._clients.transaction_error is not None

    def abandon(self) -> None:
        """Let go at once: what is not sent is given up, and callbacks tell so.

        For a transactional producer that cannot go on: the next one with its `transactional.id`
        makes the broker abort what was open.
        """
        self._clients.abandon()
        self._times.close()

    @property
    def _client(self) -> Producer:
        return self._clients.inner

    def close(self, timeout: float = _CLOSE_TIMEOUT_S) -> bool:
        """Flush for up to `timeout` seconds and let go; True when everything was sent.

        An open transaction is aborted first. What could not be sent by then is given up, and
        callbacks tell so.
        """
        deadline = time.monotonic() + timeout
        left = self._clients.close(timeout)
        self._times.close()
        self.guard.flush_log(max(0.0, min(deadline - time.monotonic(), _LOG_FLUSH_S)))
        self._clients.callbacks.raise_first()
        return not left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception as raised:
            if error is None:
                raise
            # The first error is the one to see.
            log.exception("a callback raised while the producer was closed", exc_info=raised)

    def __del__(self) -> None:
        clients: Clients | None = getattr(self, "_clients", None)
        if clients is not None and not clients.closed and (left := clients.unsent()):
            warnings.warn(
                f"a GuardedProducer was dropped with {left} events that are not sent; "
                "call close() or flush(), or use it in `with`",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    if not TYPE_CHECKING:  # type checkers shall find that the attribute is missing

        def __getattr__(self, name: str) -> NoReturn:
            # A method of the client that is not guarded would be a way around the policy.
            why = _INSTEAD.get(name, "")
            if not why and not name.startswith("_") and hasattr(Producer, name):
                why = ": the client's is not guarded; call `produce()`"
            raise AttributeError(f"GuardedProducer has no `{name}`{why}", name=name, obj=self)


def _parked(
    decision: Decision,
    report: Report | None,
    guard: Guard,
    notices: Notices,
    error: KafkaError | None,
) -> None:
    """The parking write of a refused event is decided: tell the caller."""
    if error is None:
        kind = "held" if decision.effect is Effect.HOLD else "quarantined"
        guard.count(f"parked/{decision.event.topic}/{kind}")
    else:
        guard.count("dropped/parking/failed")
        if report is None or error.code() not in PURGED:  # whoever gives up what is sent knows so
            notices.nowhere(decision, error)
    if report is not None:
        told = refusal(decision) if error is None else unparked(decision, error)
        report(told, RefusedMessage(decision, told))
    elif error is None:
        notices.refused(decision)


class _InTransaction:
    """The delivery report of an event in a transaction: a failure is the transaction's too."""

    __slots__ = ("_clients", "_report")

    def __init__(self, clients: Clients, report: Report | None) -> None:
        self._clients, self._report = clients, report

    def __call__(self, error: KafkaError | None, message: Any) -> None:
        if error is not None and error.code() != KafkaError.POLICY_VIOLATION:
            said = f"`{message.topic()}` did not take it: {error.str()}"
            self._clients.transaction_failed(reworded(error, said))
        if self._report is not None:
            self._report(error, message)
