"""What stands in for a client that is not there any more: closed, or left in the parent process."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

__all__ = ["Absent", "Forkable", "watch_forks"]


class Absent:
    """Calls `revive` for the client that takes its place, at the first use; or raises from it."""

    __slots__ = ("_revive",)

    def __init__(self, revive: Callable[[], Any]) -> None:
        self._revive = revive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._revive(), name)

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    @classmethod
    def closed(cls, what: str) -> Absent:
        """In the place of a closed client; the client itself raises RuntimeError too."""

        def revive() -> NoReturn:
            raise RuntimeError(f"{what} has been closed")

        return cls(revive)


class Forkable(Protocol):
    """Something with a client inside."""

    def after_fork(self) -> None:
        """Called in the child: let go of the parent's client without destroying it."""
        ...


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()


def watch_forks(owner: Forkable) -> None:
    """Call `owner.after_fork()` in every child process forked from now on.

    The threads of a client do not survive a fork: in the child it would take events and never
    send them.
    """
    _watched.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_watched):
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
