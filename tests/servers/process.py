"""A server as a child process that can be killed, stopped and started, and never outlives the run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Server", "listening"]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0

# Waits on its standard input, which closes when the run ends however it ends, also by SIGKILL; then
# kills the server and removes its folder, and the folder around it if that is empty by then.
_GUARD = 'read _; kill -9 "$0"; rm -rf "$1"; rmdir "${1%/*}"'


def listening(address: int | Path) -> bool:
    """True when a loopback port or a unix socket takes connections."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as client:
        target = ("127.0.0.1", address) if isinstance(address, int) else str(address)
        return client.connect_ex(target) == 0


class Server:
    """One child process, in a folder of its own that exists and holds its `log`.

    Signals go to its pid only. `ready` is asked until it says yes.
    """

    def __init__(self, command: Sequence[str], folder: Path, ready: Callable[[], bool]) -> None:
        self.command = list(command)
        self.folder = folder
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; the server has been started."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    def spawn(self) -> None:
        """Start without waiting: nodes that need each other are spawned all, then waited for."""
        assert self._process is None, "the server is running"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, str(self.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the server is ready; RuntimeError with the end of its log when it is not."""
        deadline = time.monotonic() + timeout_s
        while not self._ready():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command[0]} did not start:\n{self.log[-3000:]}")
            time.sleep(0.02)

    def start(self) -> None:
        """Start, or start again in the same folder, and wait until it is ready."""
        self.spawn()
        self.wait()

    def stop(self, *, sig: signal.Signals = signal.SIGTERM) -> None:
        """End it in an orderly way, by force if that takes too long. No-op when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(subprocess.TimeoutExpired, ProcessLookupError):
            process.send_signal(sig)
            process.send_signal(signal.SIGCONT)  # a paused process sees no SIGTERM
            process.wait(STOP_TIMEOUT_S)
        process.kill()
        process.wait()
        if self._guard is not None:
            self._guard.kill()  # after the server is gone: closing its input first would be SIGKILL
            self._guard.communicate()

    def kill(self) -> None:
        """End it as a crash does."""
        self.stop(sig=signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        os.kill(self.pid, signal.SIGCONT)
