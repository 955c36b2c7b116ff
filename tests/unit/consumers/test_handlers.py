"""Handlers of which nothing would be run: told before an event is lost that way."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest

from streamwarden import AsyncGuardedConsumer
from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.consumers.deserializing import GuardedDeserializingConsumer
from streamwarden.consumers.handlers import check_handler
from streamwarden.errors import ConfigurationError
from tests.guards import CLEAN, guard_for

Make = Callable[..., GuardedConsumer]
Send = Callable[..., None]
Committed = Callable[..., list[int]]

NONE = -1001


async def coroutine(*_: Any) -> None: ...


def generator(*_: Any) -> Generator[None]:
    yield


async def async_generator(*_: Any) -> AsyncGenerator[None]:
    yield


class Callee:
    async def __call__(self, *_: Any) -> None: ...


def needs_two(_message: object, _producer: object) -> None: ...


UNFIT: dict[str, tuple[Any, str]] = {
    "coroutine function": (coroutine, "coroutine function"),
    "a part of one": (functools.partial(coroutine, 1), "coroutine function"),
    "object": (Callee(), "coroutine function"),
    "generator function": (generator, "generator function"),
    "asynchronous generator": (async_generator, "generator function"),
    "another signature": (needs_two, r"cannot be called with \(message\): missing"),
    "no function": ("handle", "not str"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_handler_that_would_do_nothing_is_refused(
    make_consumer: Make, send: Send, committed: Committed, name: str
) -> None:
    handler, said = UNFIT[name]
    send([CLEAN] * 3)
    consumer = make_consumer()
    consumer.subscribe(["payments"])

    with pytest.raises(ConfigurationError, match=said):
        consumer.run(handler, until_end=True)
    consumer.close()

    assert committed() == [NONE, NONE]


def needs_one(_message: object) -> None: ...


@pytest.mark.parametrize("handler", [coroutine, generator, needs_one])
def test_in_transactions_too(make_consumer: Make, handler: Any) -> None:
    consumer = make_consumer(transactional_id="x")
    consumer.subscribe(["payments"])

    with pytest.raises(ConfigurationError, match="the handler"):
        consumer.run(handler)


def test_with_deserialized_messages_too(embedded_broker: Any, tmp_path: Any) -> None:
    config = {"bootstrap.servers": embedded_broker.bootstrap, "group.id": "g", "log_level": 0}
    with GuardedDeserializingConsumer(config, guard=guard_for(tmp_path, "payments")) as consumer:
        consumer.subscribe(["payments"])

        with pytest.raises(ConfigurationError, match="coroutine function"):
            consumer.run(coroutine)


def test_asyncio_awaits_coroutines_and_refuses_generators(
    embedded_broker: Any, tmp_path: Any
) -> None:
    config = {"bootstrap.servers": embedded_broker.bootstrap, "group.id": "g", "log_level": 0}

    async def run(handler: Any) -> int:
        guard = guard_for(tmp_path, "payments")
        async with AsyncGuardedConsumer(config, guard=guard) as consumer:
            await consumer.subscribe(["payments"])
            return await consumer.run(handler, idle_timeout_s=0.1)

    assert asyncio.run(run(coroutine)) == 0
    for handler in (generator, async_generator):
        with pytest.raises(ConfigurationError, match="generator function"):
            asyncio.run(run(handler))


@pytest.mark.parametrize("to", [coroutine, generator, async_generator])
def test_what_is_only_seen_when_it_returns_counts_as_failed(
    make_consumer: Make, send: Send, committed: Committed, to: Callable[..., Any]
) -> None:
    """A function that hands on to one: nothing is done, and nothing is committed."""
    send([CLEAN] * 3)
    consumer = make_consumer(handler_retries=0)
    consumer.subscribe(["payments"])

    def handle(message: object) -> object:
        return to(message)

    with pytest.raises(TypeError, match="of which nothing was run"):
        consumer.run(handle, until_end=True)
    consumer.close()

    assert committed() == [0, NONE]


FIT: list[Any] = [print, list[object]().append, dict, functools.partial(needs_two, 1)]


@pytest.mark.parametrize("handler", FIT)
def test_what_can_be_called_with_a_message_is_a_handler(handler: Any) -> None:
    check_handler(handler, ("message",))


@pytest.mark.parametrize("prefix", ["", " ", 5])
def test_a_transactional_id_that_makes_no_id_is_refused(make_consumer: Make, prefix: Any) -> None:
    """Such as an environment variable that is not set."""
    with pytest.raises(ConfigurationError, match="`transactional_id` is"):
        make_consumer(transactional_id=prefix)


def test_the_clients_own_transactional_id_is_told_to_mean_nothing(
    make_consumer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make_consumer({"transactional.id": "x"})

    assert "`transactional.id` means nothing to a consumer" in caplog.text


@pytest.mark.parametrize("retries", ["many", -1, float("nan"), None])
def test_retries_are_a_number(make_consumer: Make, retries: Any) -> None:
    with pytest.raises(ConfigurationError, match="`handler_retries` is a number from 0 on"):
        make_consumer(handler_retries=retries)
