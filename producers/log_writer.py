"""What a decision log writes with: a file, or a topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Line", "LogWriter"]


class Line(NamedTuple):
    """One decision as JSON, and the topic of its event."""

    topic: str
    data: bytes


class LogWriter(Protocol):
    """Called from one thread, but for `pending`."""

    @property
    def pending(self) -> int:
        """Lines that were taken, and are not written yet."""
        ...

    def write(self, lines: Sequence[Line]) -> int:
        """Take lines, from the first on; gives how many need not be given again."""
        ...

    def serve(self) -> None:
        """Take in what became of lines."""
        ...

    def close(self) -> None:
        """Give up what is not written, and tell so; the next `write` begins anew."""
        ...

    def abandon(self) -> None:
        """In a child process: forget what is the parent's."""
        ...
