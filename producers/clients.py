"""The client and the producer of parked events, served, waited for and closed as one."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from threading import get_ident
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from streamwarden.errors import ConfigurationError

from ..policy.keys import KeyRing
from .absent import Absent
from .callbacks import Callbacks
from .codes import PURGED
from .connection import ConfigMap, parking_config
from .forks import watch_forks
from .parking import Parking, inherited

__all__ = ["Clients", "deadline_of"]

log = logging.getLogger("streamwarden")

#: A wait is cut into slices, so that both producers are served and signals are seen.
_SLICE_S = 0.1
#: Shorter while parked events are under way: their callers wait for a report.
_PARKING_SLICE_S = 0.01
#: How long the cause of a failed transaction is waited for.
_CAUSE_WAIT_S = 0.5
#: How long connections of a transactional client may be silent. With librdkafka (issue 5456, seen
#: with 2.16) `send_offsets_to_transaction()` waits for the group's coordinator for ever, whatever its
#: timeout, until some connection changes its state: where that ends by itself, it looks again.
_IDLE = {"connections.max.idle.ms": 5_000}
#: Metadata of a cluster in the same process.
_EMBEDDED_TIMEOUT_S = 10.0


def _client_timeout(deadline: float) -> float:
    return -1 if deadline == math.inf else max(0.0, deadline - time.monotonic())


def deadline_of(timeout: float | None) -> float:
    """The end of a wait on the monotonic clock; None and negative wait for ever, as the client."""
    return math.inf if timeout is None or timeout < 0 else time.monotonic() + timeout


class Clients:
    """See the module's first line. Thread-safe as the client is.

    `config` is what the client takes; `own` and `block` are Parking's. In a child process both are
    made anew at the first use, except with a `transactional.id`, which only one process may have.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        callbacks: Callbacks,
        count: Callable[[str], None],
        keys: KeyRing | None,
        own: ConfigMap | None,
        block: bool,
    ) -> None:
        if config.get("transactional.id"):
            config = {**_IDLE, **config}
        self._config, self._own, self._block = config, own, block
        self.callbacks, self._count, self._keys = callbacks, count, keys
        self._polling: set[int] = set()  # the threads inside a poll
        self._in_transaction = False
        #: What went wrong with a record of the open transaction: it can only be aborted then.
        self.transaction_error: KafkaError | None = None
        #: Told when a transaction begins and when one was aborted.
        self.watchers: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self.closed = False
        self.connect()
        watch_forks(self)

    @property
    def transactional(self) -> bool:
        """True where the client has a `transactional.id`."""
        return bool(self._config.get("transactional.id"))

    def connect(self) -> None:
        """Make the clients; the one of parked events connects when it is needed."""
        config = self._config
        self._connect()
        if "test.mock.num.brokers" in config:  # a cluster that lives in this very client
            brokers = self.inner.list_topics(timeout=_EMBEDDED_TIMEOUT_S).brokers.values()
            servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
            config = {**config, "bootstrap.servers": servers}
        self.parking = Parking(
            parking_config(config, self._own),
            callbacks=self.callbacks,
            count=self._count,
            through=self.inner if self.transactional else None,
            failed=self.transaction_failed,
            keys=self._keys,
            block=self._block,
        )

    def _connect(self) -> None:
        self.inner = Producer(self._config)
        self.send: Callable[..., None] = self.inner.produce

    def parking_for_consumer(self) -> Parking:
        """A second line of parked events through this producer, for what a consumer reads."""
        return Parking(
            {},
            callbacks=self.callbacks,
            count=self._count,
            through=self.inner,
            failed=self.transaction_failed,
            keys=self._keys,
            pointers=True,
        )

    def after_fork(self) -> None:
        """In a child: the parent's clients are neither used nor destroyed."""
        if self.closed:
            return
        inherited.append(self.inner)
        self._polling, self._in_transaction = set(), False
        self._replace(Absent(self._revive))
        self.parking.abandon(self.inner)

    def _revive(self) -> Producer:
        if self.transactional:
            raise ConfigurationError(
                "a transactional producer cannot be used in a forked process",
                remedy="make a GuardedProducer in the child, with its own `transactional.id`",
            )
        if "test.mock.num.brokers" in self._config:  # a cluster of its own, for parked events too
            self.connect()
        else:
            self._connect()  # events may be on their way through the other one already
        return self.inner

    def __len__(self) -> int:
        return len(self.inner) + len(self.parking)

    def unsent(self) -> int:
        """Events that nobody will ever hear of if the clients are dropped now."""
        if len(self):
            self.poll_aside(
                0
            )  # the length also counts errors and reports that only wait to be told
        return len(self)

    def polling_here(self) -> bool:
        """True inside a callback: the poll that called it is still under way on this thread."""
        return get_ident() in self._polling

    def check_outside(self, name: str) -> None:
        """Raise RuntimeError inside a callback.

        There the client stands still for ever, or ends the whole process when the callback returns.
        """
        if self.polling_here():
            raise RuntimeError(
                f"`{name}()` was called in a callback of this producer; call it where it is polled"
            )

    @contextmanager
    def _serving(self) -> Generator[None]:
        thread = get_ident()
        outermost = thread not in self._polling
        self._polling.add(thread)
        try:
            yield
        finally:
            if outermost:
                self._polling.discard(thread)

    def poll_aside(self, timeout_s: float, *, ask_until: float = math.inf) -> None:
        """Poll inside `produce()`: what callbacks raise waits for the caller's own poll.

        Brokers are asked nothing that could take longer than `ask_until` (monotonic).
        """
        if not self.polling_here():
            with self._serving():
                served = self.parking.poll(0, ask_until=ask_until)
                self.inner.poll(0 if served else timeout_s)

    def poll(self, timeout: float | None) -> int:
        """Serve callbacks, waiting for the first; raises the first exception of one."""
        self.check_outside("poll")
        deadline = deadline_of(timeout)
        with self._serving():
            while True:
                served = self.parking.poll(0)
                left = max(0.0, deadline - time.monotonic())
                slice_s = _PARKING_SLICE_S if len(self.parking) else _SLICE_S
                served += self.inner.poll(0 if served else min(left, slice_s))
                if served or left == 0:
                    break
        self.callbacks.raise_first()
        return served

    def flush(self, timeout: float | None) -> int:
        """Wait until every outcome is told; gives how many are not by the deadline."""
        self.check_outside("flush")
        left = self._flush(deadline_of(timeout))
        self.callbacks.raise_first()
        return left

    def _flush(self, deadline: float) -> int:
        with self._serving():
            while True:
                now = time.monotonic()
                self.inner.flush(max(0.0, min(deadline - now, _SLICE_S)))
                self.parking.flush(min(deadline, time.monotonic() + _SLICE_S))
                left = len(self)
                if not left or now >= deadline:
                    return left

    def wait_for_room(
        self,
        wait_s: float,
        send: Callable[..., None],
        *arguments: object,
        deadline: float | None = None,
    ) -> None:
        """Do `send`; on a full queue poll until there is room, for `wait_s` or up to `deadline`."""
        while True:
            try:
                return send(*arguments)
            except BufferError:
                # Inside a callback the queue cannot drain: its poll is the one that is under way.
                if self.polling_here():
                    raise
                if deadline is None:
                    deadline = time.monotonic() + wait_s
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    self._count("dropped/producer/queue_full")
                    raise
                self.poll_aside(min(remaining, _SLICE_S), ask_until=deadline)

    def purge(self, in_queue: bool, in_flight: bool, blocking: bool) -> None:
        """Give up what is not sent."""
        self.inner.purge(in_queue, in_flight, blocking)
        self.parking.purge(in_queue=in_queue, in_flight=in_flight, blocking=blocking)

    def set_sasl_credentials(self, username: str, password: str) -> None:
        """Use other credentials from the next authentication on, in clients made later too."""
        self.inner.set_sasl_credentials(username, password)
        self.parking.set_sasl_credentials(username, password)
        self._config |= {"sasl.username": username, "sasl.password": password}

    def transaction_failed(self, error: KafkaError) -> None:
        """A record was not written, or given up because of another one."""
        present = self.transaction_error
        if self._in_transaction and (present is None or present.code() in PURGED):
            self.transaction_error = error

    def begin(self) -> None:
        """Begin a transaction."""
        self.inner.begin_transaction()
        self._in_transaction, self.transaction_error = True, None
        for began, _ in self.watchers:
            began()

    def commit(self, timeout: float | None) -> None:
        """Commit the transaction, unless one of its records failed already.

        The client's own commit would wait in vain for records that are queued behind that one.
        """
        self.check_outside("commit_transaction")
        deadline = deadline_of(timeout)
        while len(self.inner) and self.transaction_error is None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self.poll_aside(min(left, _SLICE_S))
        if self.transaction_error is not None:
            self._wait_for_cause()
            said = f"a record of the transaction was not written: {self.transaction_error.str()}"
            code = self.transaction_error.code()
            raise KafkaException(KafkaError(code, said, txn_requires_abort=True))
        self.inner.commit_transaction(_client_timeout(deadline))
        self._in_transaction = False

    def _wait_for_cause(self) -> None:
        """The record that failed first may be told after those that were given up for it."""
        deadline = time.monotonic() + _CAUSE_WAIT_S
        while (
            self.transaction_error is not None
            and self.transaction_error.code() in PURGED
            and len(self.inner)
            and (left := deadline - time.monotonic()) > 0
        ):
            self.poll_aside(min(left, _PARKING_SLICE_S))

    def abort(self, timeout: float | None) -> None:
        """Abort the transaction."""
        self.check_outside("abort_transaction")
        self._in_transaction = False  # what is given up now is no failure
        self.inner.abort_transaction(_client_timeout(deadline_of(timeout)))
        for _, aborted in self.watchers:
            aborted()

    def abandon(self) -> None:
        """Let go at once; what is not sent is given up, and callbacks tell so."""
        if not self.closed:
            with suppress(KafkaException):  # a fatal error, and fatal it is anyway
                self.purge(in_queue=True, in_flight=True, blocking=True)
                self.poll_aside(0)
            self._let_go()

    def close(self, timeout: float) -> int:
        """Flush, give up what is left then, and let go; gives how many events were given up."""
        if self.closed:
            return 0
        self.check_outside("close")
        if isinstance(self.inner, Absent) and not self.parking.pending:
            return self._let_go()  # in a child that has sent nothing
        deadline = time.monotonic() + timeout
        if self._in_transaction:
            try:
                self.abort(timeout)
            except KafkaException as error:
                log.warning("the open transaction could not be aborted: %s", error)
        self._stop_taking()
        left = self._flush(deadline)
        if left:
            # So that callbacks tell each one, and nothing disappears without a word.
            self.purge(in_queue=True, in_flight=True, blocking=True)
            self._flush(time.monotonic() + _SLICE_S)
            log.error("%d events were not sent when the producer was closed", left)
        close: Callable[[], object] | None = getattr(self.inner, "close", None)
        self.closed = True  # first: nobody polls what is being closed
        if close is not None:
            close()
        return self._let_go(left)

    def _stop_taking(self) -> None:
        """From here on only callbacks may send and park: what is flushed now is all there is.

        Else other threads could be told that an event was taken of which nobody hears any more.
        """
        send, absent = self.send, Absent.closed("the producer")

        def refuse() -> None:
            if not self.polling_here():
                absent.produce()

        def produce(*arguments: object) -> None:
            refuse()
            send(*arguments)

        self.send = produce
        self.parking.refuses = refuse

    def _let_go(self, left: int = 0) -> int:
        self.closed = True
        self.parking.close()
        self._replace(Absent.closed("the producer"))
        return left

    def _replace(self, absent: Any) -> None:
        def produce(*arguments: object) -> None:
            absent.produce(*arguments)

        self.inner, self.send = absent, produce
