"""A fork waits until the clients of the process look up no address."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
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


Lookups = Callable[[Callable[[int], None]], list[int]]


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Lookups:
    """Replace lookups by `take(number)`; gives the list that they are numbered in."""

    def replace(take: Callable[[int], None]) -> list[int]:
        seen: list[int] = []

        def lookup(*_: Any, **__: Any) -> list[Any]:
            seen.append(len(seen) + 1)
            take(len(seen))
            return []

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        return seen

    return replace


@pytest.fixture
def owner() -> Owner:
    made = Owner()
    forks.watch_forks(made)
    return made


def test_a_fork_waits_while_lookups_are_slow(
    monkeypatch: pytest.MonkeyPatch, lookups: Lookups, owner: Owner
) -> None:
    """One that waits for another's lock takes longer; five quick ones in a row are awaited."""
    seen = lookups(lambda number: time.sleep(0.005 if number in (1, 2, 5) else 0))
    monkeypatch.setattr(forks, "_MOST_S", 30.0)

    assert fork_seeing(owner) == 1
    assert len(seen) >= 10
    assert not owner.forked


def test_a_fork_does_not_wait_for_ever(lookups: Lookups, owner: Owner) -> None:
    """However long each lookup takes: on a host of thousands of addresses that is some ms."""
    seen = lookups(lambda _: time.sleep(0.02))

    assert fork_seeing(owner) == 1
    assert 0 < len(seen) <= 10


def test_a_process_without_a_network_forks_at_once(lookups: Lookups, owner: Owner) -> None:
    def fail(_: int) -> None:
        raise socket.gaierror

    seen = lookups(fail)

    assert fork_seeing(owner) == 1
    assert len(seen) == 1
