"""Forks of a process that has clients: they begin at a quiet moment, and the child starts anew."""

from __future__ import annotations

import os
import socket
import time
import weakref
from typing import Protocol

__all__ = ["Forkable", "watch_forks"]

# A client that connects looks up addresses, in some 0.1 ms for each broker.
_LONGEST_LOOKUP_S = 0.000_15
_PAUSE_S = 0.000_5
_QUIET_LOOKUPS = 5
#: Where a host has so many addresses that every lookup takes long, a fork does not wait for ever.
_MOST_S = 0.2


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


def _wait_for_lookups() -> None:
    """Wait until no client of this process looks up addresses: some 5 ms, at most 0.2 s.

    glibc keeps a lock while it asks the system for its addresses (`__check_pf`), and does not free
    it in a child. A child that is forked in that moment can look up no address ever again, so that
    none of its clients connects: without waiting that is 1 fork in 20 right after a client was
    made, which is when servers fork that load their program first.
    """
    quiet, started = 0, time.perf_counter()
    until = started + _MOST_S
    while started < until:
        try:
            socket.getaddrinfo("127.0.0.1", None, flags=socket.AI_ADDRCONFIG)
        except OSError:
            return  # no network, and so no client that connects
        quiet = quiet + 1 if time.perf_counter() - started < _LONGEST_LOOKUP_S else 0
        if quiet == _QUIET_LOOKUPS:
            return
        time.sleep(_PAUSE_S)
        started = time.perf_counter()


def _before_fork() -> None:
    if _watched:
        _wait_for_lookups()


def _after_fork_in_child() -> None:
    for owner in list(_watched):
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
