"""How a command ends: every failure becomes words on stderr, what to do next, and exit status 1."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import click

from streamwarden.errors import PolicyError, StreamwardenError

from .output import say

__all__ = ["FAILED", "OK", "VIOLATIONS", "describe", "on_interrupt", "run"]

OK, FAILED, VIOLATIONS = 0, 1, 2

#: What to do about an error of the Kafka client, by the name of its code.
_REMEDIES = {
    "_ALL_BROKERS_DOWN": "check -b, and that the broker runs and can be reached from here",
    "_TRANSPORT": "check -b, and that the broker runs and can be reached from here",
    "_RESOLVE": "check the host names in -b",
    "_TIMED_OUT": "check that the broker can be reached, or give it longer with --timeout",
    "_MSG_TIMED_OUT": "check that the broker can be reached, or give it longer with --timeout",
    "_AUTHENTICATION": "check sasl.mechanism, sasl.username and sasl.password",
    "SASL_AUTHENTICATION_FAILED": "check sasl.mechanism, sasl.username and sasl.password",
    "_SSL": "check security.protocol and ssl.ca.location",
    "_UNKNOWN_TOPIC": "create the topic, or check its name",
    "UNKNOWN_TOPIC_OR_PART": "create the topic, or check its name",
    "_UNKNOWN_PARTITION": "check the partition number",
    "TOPIC_EXCEPTION": "check the topic's name",
    "TOPIC_AUTHORIZATION_FAILED": "ask for the right to this topic",
    "GROUP_AUTHORIZATION_FAILED": "ask for the right to this consumer group",
    "CLUSTER_AUTHORIZATION_FAILED": "ask for the right to do this on the cluster",
    "MSG_SIZE_TOO_LARGE": "raise message.max.bytes here and on the topic",
    "_INVALID_ARG": "check -X and -F; the client's properties are listed at "
    "https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md",
}


_NUMBERS = (
    (re.compile(r"is not a valid (?:integer|float)(?: range)?$"), "is no number"),
    (re.compile(r"is not in the range x>=(\d+)$"), r"is less than \1"),
    (re.compile(r"is not in the range (\d+)<=x<=(\d+)$"), r"is not between \1 and \2"),
)


def run(command: Callable[[], object], *, debug: bool = False) -> int:
    """Run a command to its exit status; a traceback is shown with `debug` only."""
    try:
        with _termination_as_interrupt(), _log_as_words(debug=debug):
            status = command()
            sys.stdout.flush()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except BrokenPipeError:
        _drop_stdout()
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        _tell(KeyboardInterrupt(), debug=debug)
        return FAILED
    except Exception as error:  # noqa: BLE001 - the outermost place: nothing may end in a traceback
        _tell(error, debug=debug)
        return FAILED
    return status if isinstance(status, int) else OK


def _tell(error: BaseException, *, debug: bool) -> None:
    with suppress(OSError):
        if debug:
            say("".join(traceback.format_exception(error)).rstrip(), lines=True)
        said = describe(error)
        say(f"error: {said}" if said else "interrupted", lines=isinstance(error, PolicyError))


def describe(error: BaseException) -> str:
    """What went wrong and what to do next, on one line (problems in policies: several)."""
    if isinstance(error, click.UsageError):
        usage = _in_words(error.format_message().rstrip("."))
        path = None if error.ctx is None else error.ctx.command_path
        return usage if path is None else f"{_lowered(usage)}; see `{path} --help`"
    if isinstance(error, click.ClickException):
        return _lowered(error.format_message().rstrip("."))
    if isinstance(error, StreamwardenError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return ""
    client = sys.modules.get("confluent_kafka")
    if client is not None and isinstance(error, client.KafkaException):
        return _kafka(error)
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        return f"`{error.filename}`: {what}" if error.filename is not None else what
    kind = type(error).__name__
    return f"internal error: {kind}: {error}; run with STREAMWARDEN_DEBUG=1 and report what it says"


def _kafka(error: BaseException) -> str:
    first: object = error.args[0] if error.args else error
    name, text = getattr(first, "name", None), getattr(first, "str", None)
    if not callable(name) or not callable(text):
        return f"the Kafka client: {error}"
    remedy = _REMEDIES.get(str(name()), "")
    return f"{text()} ({name()})" + (f"; {remedy}" if remedy else "")


def _lowered(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _in_words(text: str) -> str:
    """What the parser of the command line says about numbers, as people say it."""
    for pattern, words in _NUMBERS:
        text = pattern.sub(words, text)
    return text


def _drop_stdout() -> None:
    """Whoever read our output is gone: leave without a complaint, also at interpreter exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Words(logging.Handler):
    """What the library logs, said as everything else is: escaped, and without secrets.

    Commands say themselves which topics no policy covers, with what may be meant, and what
    could not be parked.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in ("streamwarden.uncovered", "streamwarden.unparked"):
            return
        with suppress(OSError):
            say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def _log_as_words(*, debug: bool) -> Generator[None]:
    log, words, before = logging.getLogger("streamwarden"), _Words(), logging.NOTSET
    log.addHandler(words)
    if debug:
        before = log.level
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(words)
        if debug:
            log.setLevel(before)


@contextmanager
def _termination_as_interrupt() -> Generator[None]:
    """SIGTERM ends a command as Ctrl-C does, so that what was sent is still accounted for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Generator[None]:
    """The first Ctrl-C or SIGTERM asks for an end by `stop`; the second one interrupts.

    So that nothing is cut off between what was done and what is known of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(_signal: int, _frame: FrameType | None) -> None:
        for sign in before:
            signal.signal(sign, _interrupt)
        stop()

    before = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}
    for sign in before:
        signal.signal(sign, first)
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
