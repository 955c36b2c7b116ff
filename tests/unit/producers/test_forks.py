"""A fork waits until the clients of the process look up no address."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import pytest

from streamwarden.producers import forks

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class Owner:
    def __init__(self) -> None:
        self.forked = False

    def after_fork(self) -> None:
        self.forked = True


def fork_seeing(owner: Owner) -> int:
    child = os.fork()
    if child == 0:
        os._exit(int(owner.forked))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_while_lookups_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for another's lock takes longer; five quick ones in a row are awaited."""
    owner, lookups = Owner(), 0
    forks.watch_forks(owner)

    def lookup(*_: Any, **__: Any) -> list[Any]:
        nonlocal lookups
        lookups += 1
        if lookups in (1, 2, 5):
            time.sleep(0.005)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(forks, "_MOST_S", 30.0)

    assert fork_seeing(owner) == 1
    assert lookups >= 10
    assert not owner.forked


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long each lookup takes: on a host of thousands of addresses that is some ms."""
    owner, lookups = Owner(), 0
    forks.watch_forks(owner)

    def lookup(*_: Any, **__: Any) -> list[Any]:
        nonlocal lookups
        lookups += 1
        time.sleep(0.02)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    assert fork_seeing(owner) == 1
    assert 0 < lookups <= 10


def test_a_process_without_a_network_forks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, lookups = Owner(), 0
    forks.watch_forks(owner)

    def lookup(*_: Any, **__: Any) -> list[Any]:
        nonlocal lookups
        lookups += 1
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    assert fork_seeing(owner) == 1
    assert lookups == 1
