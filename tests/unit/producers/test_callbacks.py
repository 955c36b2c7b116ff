"""Callbacks that raise disturb nobody, and are not passed over."""

from __future__ import annotations

import logging

import pytest

from streamwarden.producers.callbacks import Callbacks


def fails(text: str) -> None:
    raise ValueError(text)


def test_the_first_exception_is_kept_and_raised_once(caplog: pytest.LogCaptureFixture) -> None:
    """Where the client would forget the later ones, they are logged."""
    counted: list[str] = []
    callbacks = Callbacks(counted.append)

    with caplog.at_level(logging.ERROR, "streamwarden"):
        callbacks.run(fails, "first")
        callbacks.safe(fails)("second")

    with pytest.raises(ValueError, match="first"):
        callbacks.raise_first()
    callbacks.raise_first()
    assert counted == ["dropped/callbacks/raised"] * 2
    assert "a callback raised ValueError" in caplog.text


def test_a_callback_gets_what_the_client_gives() -> None:
    """Nothing is lost on the way."""
    got: list[object] = []

    Callbacks(lambda _: None).safe(lambda *given: got.append(given))(None, "message")

    assert got == [(None, "message")]
