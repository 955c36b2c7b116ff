"""How a command was called, to be told to whoever wants to call it again."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator
from typing import cast

import click
from click.core import ParameterSource

from .output import SECRETS
from .times import Instant

__all__ = ["called"]

_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def called(context: click.Context) -> str:
    """The command line of `context`, for a shell: without secrets, and with times in full.

    `--since 7d` is told as the time that it meant; what came from the environment is told as if it
    had been said.
    """
    words = context.command_path.split()
    for option in context.command.params:
        if context.get_parameter_source(option.name or "") in _GIVEN:
            words += _words(option, context.params[option.name or ""])
    return " ".join(shlex.quote(SECRETS.hide(word)) for word in words)


def _words(option: click.Parameter, value: object) -> Iterator[str]:
    name = max(option.opts, key=len)
    if isinstance(option, click.Option) and option.is_flag:
        if value:
            yield name
        return
    many = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    for each in many:
        yield name
        yield _text(option, each)


def _text(option: click.Parameter, value: object) -> str:
    if isinstance(option.type, Instant) and isinstance(value, int):
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=value)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)
