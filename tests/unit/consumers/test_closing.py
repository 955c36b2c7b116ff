"""Closing a client that does not come back. A real one does so too seldom to wait for it."""

from __future__ import annotations

import logging
import threading

import pytest

from streamwarden.consumers.closing import close_client
from streamwarden.producers.parking import inherited


class _Client:
    def __init__(self, error: Exception | None = None) -> None:
        self.released, self.error = threading.Event(), error
        self.thread: threading.Thread | None = None

    def close(self) -> None:
        self.thread = threading.current_thread()
        self.released.wait(30)
        if self.error is not None:
            raise self.error


def test_a_client_that_hangs_is_left_alone_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[str] = []
    client = _Client()
    with caplog.at_level(logging.ERROR, "streamwarden"):
        assert close_client(client, counted.append, 0.05) is False
    assert client in inherited
    assert counted == ["fallbacks/consumer_close"]
    assert "did not close within 0.05 s" in caplog.text
    inherited.remove(client)
    client.released.set()
    assert client.thread is not None
    client.thread.join(30)
    assert not client.thread.is_alive()


def test_a_client_that_closes_is_let_go() -> None:
    counted: list[str] = []
    client = _Client()
    client.released.set()
    assert close_client(client, counted.append, 30) is True
    assert client not in inherited
    assert counted == []


def test_what_close_raises_is_raised() -> None:
    counted: list[str] = []
    client = _Client(RuntimeError("already closed"))
    client.released.set()
    with pytest.raises(RuntimeError, match="already closed"):
        close_client(client, counted.append, 30)
