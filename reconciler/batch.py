"""Records that were read together, as columns: most of them never become events one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import methodcaller
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

from .seen import Seen

if TYPE_CHECKING:
    from ..schemas.event import Headers

__all__ = ["Batch", "Readable", "Swept"]

_APPEND_TIME = 2  # TIMESTAMP_LOG_APPEND_TIME
_MILLISECOND_NS = 1_000_000

# One call each for a whole column, where a loop would look up four names for every record.
_key_of = methodcaller("key")
_value_of = methodcaller("value")
_headers_of = methodcaller("headers")
_time_of = methodcaller("timestamp")


class Swept(NamedTuple):
    """The positions in a batch that have to be looked at one by one, in order.

    Nothing is wrong with the others; `unverifiable` of those have a stamp that could neither be
    confirmed nor refuted.
    """

    suspects: Sequence[int]
    unverifiable: int


class Readable(Protocol):
    """What columns need of a message."""

    def key(self) -> bytes | None:
        """The key."""
        ...


class Batch(Sequence[Seen]):
    """Records of one partition in the order of their `offsets`, with times of one kind.

    `values`, `headers` and `times` (milliseconds) are columns. A record becomes an event when it is
    asked for. `appended` as for `Seen`.
    """

    __slots__ = (
        "_messages",
        "appended",
        "earliest",
        "headers",
        "latest",
        "offsets",
        "partition",
        "times",
        "topic",
        "values",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        offsets: Sequence[int],
        messages: Sequence[Readable],
        values: Sequence[bytes | None],
        headers: Sequence[Headers],
        times: Sequence[int],
        *,
        appended: bool,
    ) -> None:
        self.topic, self.partition, self.appended = topic, partition, appended
        self.offsets, self._messages = offsets, messages
        self.values, self.headers, self.times = values, headers, times
        self.earliest, self.latest = min(times), max(times)

    @classmethod
    def of(
        cls, topic: str, partition: int, offsets: Sequence[int], messages: Sequence[Readable]
    ) -> Batch | None:
        """The columns of `messages`, of which there is one; None where their times are not alike.

        That is so where one of them has no time, as errors have none.
        """
        kinds, times = zip(*map(_time_of, messages), strict=True)
        kind = kinds[0]
        if not kind or kinds.count(kind) != len(kinds):
            return None
        headers = list(map(_headers_of, messages))
        return cls(
            topic,
            partition,
            offsets,
            messages,
            list(map(_value_of, messages)),
            headers if all(headers) else [found or () for found in headers],
            times,
            appended=kind == _APPEND_TIME,
        )

    def part(self, positions: Sequence[int]) -> Batch:
        """The records at some positions, at least one."""
        return Batch(
            self.topic,
            self.partition,
            [self.offsets[at] for at in positions],
            [self._messages[at] for at in positions],
            [self.values[at] for at in positions],
            [self.headers[at] for at in positions],
            [self.times[at] for at in positions],
            appended=self.appended,
        )

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Seen]:
        return map(
            Seen,
            repeat(self.topic),
            self.values,
            map(_key_of, self._messages),
            self.headers,
            self.times,
            [time * _MILLISECOND_NS for time in self.times],
            repeat(self.partition),
            self.offsets,
            repeat(None),
            repeat(self.appended),
        )

    @overload
    def __getitem__(self, at: int) -> Seen: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Seen]: ...
    def __getitem__(self, at: int | slice) -> Seen | Sequence[Seen]:
        if isinstance(at, slice):
            return list(self)[at]
        time = self.times[at]
        return Seen(
            self.topic,
            self.values[at],
            self._messages[at].key(),
            self.headers[at],
            time,
            time * _MILLISECOND_NS,
            self.partition,
            self.offsets[at],
            None,
            self.appended,
        )
