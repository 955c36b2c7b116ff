"""Slices to records, and the proof of what was read.

A hole in the offsets is no loss by itself: control and aborted records take offsets, compaction
removes them. So the end of a slice is reached when a record at or behind it is seen, or when the
broker says that there is nothing more (partition EOF), never when records merely stop coming. What
was not got past is a gap with reason `unread`; what the log's start has moved over is `retention`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.cimpl import Message

from ..producers.codes import PARTITION_EOF, UNKNOWN_PARTITION
from .batch import Batch
from .clients import consumer_config, reason_of
from .seen import Seen
from .slices import Slice

__all__ = ["Gap", "Reader", "Reading", "RecordClient"]

log = logging.getLogger("streamwarden.reconciler")

#: Measured: 100 records a call cost 1.1 µs each with their headers, 500 cost 1.6, 10,000 more. Each
#: takes a handful of objects, and with more than 700 of them alive Python looks for garbage.
_BATCH = 100
#: Once patience is used up, what each further slice gets to show that the brokers are back.
_GRACE_S = 2.0
_POLL_MAX_S = 1.0
_APPEND_TIME = 2  # TIMESTAMP_LOG_APPEND_TIME

#: Nobody knows the topic. A broker that has just come back says so for a moment, too.
_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, UNKNOWN_PARTITION}
_GONE_S = 5.0
_ASK_AGAIN_S = 0.25
#: After these nothing more will come of this partition, however long one waits.
_FINAL = {KafkaError.TOPIC_AUTHORIZATION_FAILED, *_GONE}
#: Reading assigned partitions needs no group, whatever its coordinator says.
_IGNORED = {KafkaError.GROUP_AUTHORIZATION_FAILED}
_OUT_OF_RANGE = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - public, in spite of its name


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets `first` (inclusive) to `end` (exclusive) without records, and why."""

    first: int
    end: int
    reason: str  # hole | retention | unread; a hole becomes transaction or compacted


class RecordClient(Protocol):
    """What reading needs of a consumer."""

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions from their offsets on."""
        ...

    def poll(self, timeout: float = -1) -> Message | None:
        """One message or error; None after `timeout` seconds."""
        ...

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Several at once."""
        ...

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int] | None:
        """First and last offset."""
        ...

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """What the brokers say about a topic."""
        ...

    def close(self) -> None:
        """Leave the brokers."""
        ...


class Reader:
    """Reads slices one after the other with one consumer; slices that follow on go on at once.

    `timeout_s` is how long the brokers may stay silent, over all slices together: an outage does
    not cost it once for each.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        timeout_s: float = 30.0,
        isolation: str = "read_committed",
        connect: Callable[[dict[str, Any]], RecordClient] = Consumer,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._config = consumer_config(config, isolation=isolation)
        self._connect = connect
        self._client: RecordClient | None = None
        self._clock, self._sleep = clock, sleep
        self._gone_since: float | None = None
        self._timeout_s = timeout_s
        self._silent_s = 0.0
        self._budget_s = timeout_s
        #: Where the consumer stands, and what it has given that no slice has taken.
        self._place: tuple[str, int, int] | None = None
        self._left: Sequence[Message] = ()
        self._topic = ""

    def read(self, piece: Slice) -> Reading:
        """The records of `piece`; its gaps are known once they have been iterated over."""
        return Reading(self, piece)

    def close(self) -> None:
        """Leave the brokers."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def begin(self, piece: Slice) -> None:
        """Stand at the first offset of `piece`. Raises KafkaException."""
        self._budget_s = max(self._timeout_s - self._silent_s, _GRACE_S)
        if self._place != (piece.topic, piece.partition, piece.first):
            self.assign(piece, piece.first)
        self._place = None

    def assign(self, piece: Slice, offset: int) -> None:
        """Go on at `offset`. Raises KafkaException."""
        self._left = ()
        if self._client is None:
            self._client = self._connect(self._config)
        if self._topic != piece.topic:
            # Asked for, the leaders of a topic are known at once; else a second later.
            with suppress(KafkaException):
                self._client.list_topics(piece.topic, timeout=_POLL_MAX_S)
            self._topic = piece.topic
        self._client.assign([TopicPartition(piece.topic, piece.partition, offset)])

    def finish(self, piece: Slice, left: Sequence[Message]) -> None:
        """`piece` is read; `left` are records behind its end."""
        self._place, self._left = (piece.topic, piece.partition, piece.end), left

    def batch(self) -> Sequence[Message]:
        """The next messages, errors among them; none when patience is used up."""
        if self._left:
            left, self._left = self._left, ()
            return left
        client = self._client
        assert client is not None  # assign() made it
        while self._budget_s > 0:
            began = self._clock()
            message = client.poll(min(self._budget_s, _POLL_MAX_S))
            if message is not None:
                return [message, *client.consume(_BATCH - 1, 0)]
            silent = max(self._clock() - began, 0.001)
            self._silent_s += silent
            self._budget_s -= silent
        return ()

    def heard(self) -> None:
        """Records came: patience starts anew."""
        self._silent_s, self._budget_s = 0.0, self._timeout_s
        self._gone_since = None

    def ask_again(self, piece: Slice, offset: int) -> bool:
        """Go on at `offset` of a topic that nobody knows; False once that is so for a while.

        Raises KafkaException.
        """
        now = self._clock()
        if self._gone_since is None:
            self._gone_since = now
        if now - self._gone_since >= _GONE_S:
            return False
        self._sleep(_ASK_AGAIN_S)
        self._topic = ""
        self.assign(piece, offset)
        return True

    def log_start(self, piece: Slice) -> tuple[int, int] | None:
        """First and last stable offset of the log as it is now, None when nobody answers."""
        client = self._client
        assert client is not None
        try:
            return client.get_watermark_offsets(
                TopicPartition(piece.topic, piece.partition),
                timeout=max(self._budget_s, _GRACE_S),
                cached=False,
            )
        except KafkaException:
            return None


class Reading:
    """The records of one slice: iterate once, then read `gaps` and `problem`."""

    def __init__(self, reader: Reader, piece: Slice) -> None:
        self._reader, self._piece = reader, piece
        self._position = piece.first
        self.gaps: list[Gap] = []
        #: Why the slice was not read to its end; empty when it was.
        self.problem = ""
        self._trouble = ""

    def __iter__(self) -> Iterator[Seen]:
        """The records one by one."""
        return chain.from_iterable(self.batches())

    def batches(self) -> Iterator[Sequence[Seen]]:
        """The records as they were read together, none of them empty."""
        piece, reader = self._piece, self._reader
        topic, partition, end = piece.topic, piece.partition, piece.end
        try:
            reader.begin(piece)
            while self._position < end:
                messages = reader.batch()
                if not messages:
                    self._give_up(self._trouble or "the brokers stayed silent")
                    return
                first = self._position
                if self._follow_on(messages):
                    offsets = range(first, first + len(messages))
                    batch = Batch.of(topic, partition, offsets, messages)
                    if batch is not None:
                        yield batch
                        self._position = offsets.stop
                        if offsets.stop == end:
                            reader.finish(piece, ())
                        reader.heard()
                        # Or they are alive while the next ones are read.
                        del messages, batch
                        continue
                yield from self._sorted(messages)
        except KafkaException as error:
            self._give_up(reason_of(error))

    def _follow_on(self, messages: Sequence[Message]) -> bool:
        """True where `messages` are the next offsets, without a hole among them.

        Offsets increase: what begins and ends right has all of them, with or without errors.
        """
        position, count = self._position, len(messages)
        return (
            messages[0].offset() == position
            and messages[-1].offset() == position + count - 1
            and position + count <= self._piece.end
        )

    def _sorted(self, messages: Sequence[Message]) -> Iterator[Sequence[Seen]]:
        """The records of the slice among `messages`."""
        kept, offsets, void = self._kept(messages)
        if not void:
            self._reader.heard()
        if not kept:
            return
        piece = self._piece
        batch = Batch.of(piece.topic, piece.partition, offsets, kept)
        if batch is not None:
            yield batch
        else:
            yield [_seen(piece, *each) for each in zip(offsets, kept, strict=True)]

    def _kept(self, messages: Sequence[Message]) -> tuple[list[Message], list[int], bool]:
        """The records of the slice with their offsets; whether an error made the rest void."""
        piece, end = self._piece, self._piece.end
        kept: list[Message] = []
        offsets: list[int] = []
        for index, message in enumerate(messages):
            error = message.error()
            if error is not None:
                if self._on_error(error, message):
                    return kept, offsets, True
                continue
            offset = message.offset()
            assert offset is not None
            if offset < self._position:
                continue  # seen before an assignment
            if offset >= end:
                self._pass(end)
                self._reader.finish(piece, messages[index:])
                break
            self._pass(offset)
            self._position = offset + 1
            kept.append(message)
            offsets.append(offset)
            if offset + 1 == end:
                self._reader.finish(piece, messages[index + 1 :])
                break
        return kept, offsets, False

    def _on_error(self, error: KafkaError, message: Message) -> bool:
        """Take notice of an error; True when the rest of its batch is void."""
        code = error.code()
        if code == PARTITION_EOF:
            reached = message.offset()
            if reached is not None and reached >= self._piece.end:
                self._pass(self._piece.end)
                return True
            # The stable end was there when the run began: replicas may need a moment to agree.
            self._trouble = "the log ends before the end that was seen at the start"
            return False
        if code in _IGNORED:
            return False
        if code == _OUT_OF_RANGE:
            self._out_of_range()
            return True
        self._trouble = error.str()
        if code in _GONE and self._reader.ask_again(self._piece, self._position):
            return True
        if code in _FINAL or error.fatal():
            self._give_up(self._trouble)
            return True
        log.debug("%s[%s]: %s", self._piece.topic, self._piece.partition, self._trouble)
        return False

    def _out_of_range(self) -> None:
        """The log no longer has this offset: go on where it starts now."""
        piece = self._piece
        marks = self._reader.log_start(piece)
        if marks is None or not self._position < marks[0]:
            self._give_up("the log no longer has these offsets, and does not say where it starts")
            return
        start = min(marks[0], piece.end)
        self.gaps.append(Gap(self._position, start, "retention"))
        self._position = start
        if start < piece.end:
            self._reader.assign(piece, start)

    def _pass(self, offset: int) -> None:
        """Everything below `offset` is got past."""
        if offset > self._position:
            self.gaps.append(Gap(self._position, offset, "hole"))
            self._position = offset

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        self.gaps.append(Gap(self._position, self._piece.end, "unread"))
        self._position = self._piece.end


def _seen(piece: Slice, offset: int, message: Message) -> Seen:
    kind, timestamp = message.timestamp()
    return Seen(
        piece.topic,
        message.value(),
        message.key(),
        message.headers() or (),  # type: ignore[arg-type]  # a list of pairs when read
        timestamp if kind else None,
        timestamp * 1_000_000 if kind else 0,
        piece.partition,
        offset,
        None,
        kind == _APPEND_TIME,
    )
