"""Real Redis, on a unix socket, and on a loopback port when asked."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from .cache import find_program, free_port
from .process import Server

__all__ = ["RedisServer", "StartRedis", "redis_server"]

_ANSWER_S = 1.0


class RedisServer(Server):
    """A Redis that keeps nothing on disk unless its options say so.

    `socket_path` is what `redis.Redis(unix_socket_path=)` takes; `url` serves `redis.from_url`.
    """

    def __init__(self, folder: Path, port: int, options: tuple[str, ...]) -> None:
        self.socket_path = str(folder / "redis.sock")
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{self.socket_path}"
        program = find_program("redis-server", remedy="install Redis (Debian: redis-server)")
        where = ["--port", str(port), "--bind", "127.0.0.1", "--unixsocket", self.socket_path]
        super().__init__(
            [program, *where, "--save", "", "--dir", str(folder), *options],
            folder,
            lambda: _answers(self.socket_path),
        )


def _answers(path: str) -> bool:
    """True when commands are served: before that it listens, and says that it is loading."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_ANSWER_S)
        try:
            client.connect(path)
            client.sendall(b"PING\r\n")
            return client.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class StartRedis(Protocol):
    """The `start_redis` fixture: `redis_server`, ended with the test."""

    def __call__(self, *options: str, tcp: bool = False) -> RedisServer: ...


@contextmanager
def redis_server(*options: str, tcp: bool = False) -> Generator[RedisServer]:
    """A Redis, killed at the end; `options` go to its command line.

    `start()` after `kill()` finds the data again only with `--appendonly yes`.
    """
    with tempfile.TemporaryDirectory(prefix="streamwarden-redis-") as folder:
        server = RedisServer(Path(folder), free_port() if tcp else 0, options)
        try:
            server.start()
            yield server
        finally:
            server.kill()
