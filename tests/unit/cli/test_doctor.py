"""`doctor` without any server that answers; tests/integration/test_doctor.py has those that do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from click.testing import CliRunner

from streamwarden.cli import main


class _Silent:
    """Takes connections and says nothing; `seen` tells of each that it was opened or closed."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.seen.append("opened")
            threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(4096):
                    pass
            except OSError:
                pass
            self.seen.append("closed")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def silent() -> Iterator[_Silent]:
    with closing(_Silent()) as server:
        yield server


@pytest.mark.slow
def test_all_that_may_be_silent_is_asked_at_the_same_time(silent: _Silent) -> None:
    """`--timeout` is for all of them together: nobody waits for the silence of another."""
    place = silent.place

    result = CliRunner().invoke(
        main,
        [
            *("doctor", "-b", place, "-t", "t", "--timeout", "2s", "--json"),
            *("--store", f"kafka://{place}/policies"),
            *("--decision-log", f"kafka://{place}/decisions"),
        ],
    )

    checks = json.loads(result.stdout)
    failed = {check["check"] for check in checks if check["status"] == "fail"}
    assert result.exit_code == 2
    assert failed == {"brokers", "store", "decision log"}
    before = silent.seen[: silent.seen.index("closed")] if "closed" in silent.seen else silent.seen
    assert len(before) >= 3
