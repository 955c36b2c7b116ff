"""What test runs share: a folder of downloads, and loopback ports that no two of them take."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["MissingServerError", "cache_folder", "find_program", "free_port", "once"]

#: Below 32768, where Linux starts to take the ports of outgoing connections from.
PORTS = range(20000, 32000)

#: Descriptors of the lock files of the ports taken; they are held until this process ends.
_held: list[int] = []


class MissingServerError(Exception):
    """A server cannot be run on this machine; the text says what would change that."""


def cache_folder() -> Path:
    """`$STREAMWARDEN_TEST_CACHE`, else `streamwarden-test` where this user's caches are."""
    base = os.environ.get("STREAMWARDEN_TEST_CACHE") or (
        os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/streamwarden-test"
    )
    folder = Path(base).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_program(name: str, *, remedy: str) -> str:
    """The path of a program on PATH; MissingServerError with the remedy where there is none."""
    found = shutil.which(name)
    if found is None:
        raise MissingServerError(f"`{name}` is not on PATH; {remedy}")
    return found


def once(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, filled by `build` the first time; other runs wait for it."""
    home = cache_folder() / name
    with (cache_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            build(home)
            (home / "done").touch()
    return home


def free_port() -> int:
    """A loopback port that no other test run takes until this process ends."""
    folder = cache_folder() / "ports"
    folder.mkdir(exist_ok=True)
    for number in random.SystemRandom().sample(PORTS, 500):
        lock = os.open(folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        with suppress(OSError), socket.socket() as listener:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", number))
            _held.append(lock)
            return number
        os.close(lock)
    raise MissingServerError("no free loopback port")
