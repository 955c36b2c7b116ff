"""One record of a log, as a replay sees it."""

from __future__ import annotations

from ..schemas.event import Event

__all__ = ["Seen"]


class Seen(Event, frozen=True, gc=False):
    """An event read back: `timestamp` and `now` are the record's time, `partition` and `offset` set.

    `appended`: the broker set the time (LogAppendTime), so what the producer gave is not known.
    """

    appended: bool = False
