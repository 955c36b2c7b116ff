"""Writing decisions to a topic, through a producer of the log's own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from .codes import PURGED, TIMED_OUT, TRANSPORT, error_of
from .log_writer import Line
from .parking import inherited

__all__ = ["TopicWriter"]

_DEFAULTS: Final = {
    "compression.type": "lz4",
    "linger.ms": 5,  # whole batches are handed over, and only have to come together
    "log_level": 0,
    "message.timeout.ms": 30_000,
}
#: What holds whatever was asked for: written once and safely, within bounded memory.
_ALWAYS: Final = {
    "acks": "all",
    "delivery.report.only.error": True,
    "enable.idempotence": True,
    "queue.buffering.max.kbytes": 32_768,
}
#: How long reports of what was given up are waited for.
_PURGE_S: Final = 1.0
_UNREACHABLE: Final = frozenset({TIMED_OUT, TRANSPORT, KafkaError._MSG_TIMED_OUT})  # noqa: SLF001 - see codes.py


class TopicWriter:
    """Sends each line with the event's topic as key, so that its decisions stay in their order.

    At most `room` lines are on their way. A line that was not written is told to `failed` with its reason, unless `block`: then it is sent
    again until it is.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        *,
        room: int,
        block: bool,
        failed: Callable[[str, str, int], None],
    ) -> None:
        self._config = {**_DEFAULTS, **config, **_ALWAYS, "queue.buffering.max.messages": room}
        if block:
            self._config["message.timeout.ms"] = 0
        self._config |= {"on_delivery": self._reported, "error_cb": self._heard}
        self._topic, self._block, self._failed = topic, block, failed
        self._producer: Producer | None = None
        self._retired: list[
            Producer
        ] = []  # after a fatal error: they only tell what became of lines
        self._again: deque[Line] = deque()
        self._complaint = ""

    @property
    def pending(self) -> int:
        """Lines that are not acknowledged."""
        return len(self._again) + sum(len(producer) for producer in self._producers())

    def _producers(self) -> list[Producer]:
        present = self._producer
        return [*self._retired, *(() if present is None else (present,))]

    def write(self, lines: Sequence[Line]) -> int:
        """Hand lines to the client, as many as it takes."""
        if self._again:
            self._send_again()
            if self._again:
                return 0
        for done, line in enumerate(lines):
            if not self._send(line):
                return done
        return len(lines)

    def _send(self, line: Line) -> bool:
        producer = self._producer
        if producer is None:
            producer = self._producer = Producer(self._config)
        try:
            producer.produce(self._topic, line.data, line.topic.encode())
        except BufferError:
            return False
        except KafkaException as raised:
            self._lost(error_of(raised), line)
        return True

    def _send_again(self) -> None:
        for _ in range(len(self._again)):
            line = self._again.popleft()
            if not self._send(line):
                self._again.appendleft(line)
                return

    def serve(self) -> None:
        """Hear what was not written, and send it again where that is asked for."""
        for producer in self._producers():
            producer.poll(0)
        self._retired = [producer for producer in self._retired if len(producer)]
        self._send_again()

    def _reported(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            line = Line((message.key() or b"").decode("utf-8", "replace"), message.value() or b"")
            self._lost(error, line)

    def _lost(self, error: KafkaError, line: Line) -> None:
        if error.fatal() and self._producer is not None:
            self._retired.append(self._producer)
            self._producer = None
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            reason, again = "too_large", False
        elif error.code() in PURGED:
            reason, again = "closed", False
        else:
            reason = "unreachable" if error.code() in _UNREACHABLE else "refused"
            again = self._block
        said = f"{error.str()}{self._complaint}"
        self._failed(reason, f"topic `{self._topic}`: {said}", 0 if again else 1)
        if again:
            self._again.append(line)

    def _heard(self, error: KafkaError) -> None:
        self._complaint = f" ({error.str()})"

    def close(self) -> None:
        """Give up what is not written, and tell so."""
        # The client's length counts its complaints too: only reports tell what was not written.
        until = time.monotonic() + _PURGE_S
        for producer in self._producers():
            producer.purge()
            while len(producer) and time.monotonic() < until:
                producer.poll(0.01)
        if self._again:
            self._failed("closed", f"topic `{self._topic}`: not written", len(self._again))
        self._producer = None
        self._retired.clear()
        self._again.clear()

    def abandon(self) -> None:
        """In a child process: the client and all that it was given are the parent's."""
        inherited.extend(self._producers())
        self._producer = None
        self._retired = []
        self._again.clear()
