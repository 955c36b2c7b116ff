"""What a handler may be: a function that is through with its event when it returns."""

from __future__ import annotations

import inspect
from typing import Any

from streamwarden.errors import ConfigurationError

__all__ = ["begun", "check_handler"]


def check_handler(handler: Any, given: tuple[str, ...], *, awaited: bool = False) -> None:
    """Raise ConfigurationError for one that would return before it has done anything.

    Or that cannot be called with what it is `given`. `awaited` says that coroutines are.
    """
    if not callable(handler):
        raise ConfigurationError(
            f"a handler is a function, not {type(handler).__name__}",
            remedy=f"give one that takes ({', '.join(given)})",
        )
    call: Any = getattr(handler, "__call__", None)  # noqa: B004 - of an object that has one
    for each in (handler, call):
        if inspect.iscoroutinefunction(each) and not awaited:
            raise ConfigurationError(
                "the handler is a coroutine function, of which nothing would be run",
                remedy="use AsyncGuardedConsumer, which awaits it",
            )
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            raise ConfigurationError(
                "the handler is a generator function, of which nothing would be run",
                remedy="do what is to be done with the event, and return instead of `yield`",
            )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # of something built in, which does not tell
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        raise ConfigurationError(
            f"the handler cannot be called with ({', '.join(given)}): {error}",
            remedy="it gets the message, and with `transactional_id` a producer, too",
        ) from None


def begun(returned: object, *, awaited: bool = False) -> object:
    """What a handler returned. Raises TypeError where that shows that it has not even begun."""
    if returned is None or (awaited and inspect.iscoroutine(returned)):
        return returned
    if inspect.iscoroutine(returned) or inspect.isgenerator(returned):
        returned.close()
    elif not inspect.isasyncgen(returned):
        return returned
    raise TypeError(
        f"the handler returned a {type(returned).__name__}, of which nothing was run; "
        "await it in AsyncGuardedConsumer, or do the work before returning"
    )
