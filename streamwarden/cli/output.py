"""What reaches people and pipes: words on stderr, results on stdout, secrets on neither.

With `--json`, stdout carries JSON and nothing else. Content of events is shown escaped, so that
an event can neither move the cursor nor colour itself.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .progress import Advance

__all__ = [
    "SECRETS",
    "Output",
    "Secrets",
    "counted",
    "escaped",
    "say",
    "take_any_text",
    "write_json",
]

_HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|token|jaas|credential|\.pem$|oauthbearer\.config|basic\.auth",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^\s/@`\"']*@")
#: A shorter secret would be found in the middle of ordinary words.
_ANYWHERE_MIN_CHARS = 4


class Secrets:
    """Values that were given to this process and must not come out of it."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def note_property(self, name: str, value: str) -> None:
        """Remember the value of a client property, where its name says that it is a secret."""
        if value and _SECRET_NAME.search(name):
            self._values.add(value)

    def note_url(self, url: str) -> None:
        """Remember the password in a URL, and those among its options."""
        try:
            parts = urlsplit(url)
            password, options = parts.password, parse_qsl(parts.query)
        except ValueError:  # of a malformed one: whatever may be its password
            user = url.partition("://")[2].rpartition("@")[0]
            password, options = user.partition(":")[2], []
        if password:
            self._values.update((password, unquote(password)))
        for name, value in options:
            self.note_property(name, value)
            self.note_property(name, quote(value))

    def forget(self) -> None:
        """Forget all of them, where one process runs several commands."""
        self._values.clear()

    def hide(self, text: str) -> str:
        """`text` without any of them, and without users in URLs."""
        for value in sorted(self._values, key=len, reverse=True):
            if len(value) >= _ANYWHERE_MIN_CHARS:
                text = text.replace(value, _HIDDEN)
            else:
                text = re.sub(rf"(?<=[\"'`=]){re.escape(value)}(?=[\"'`]|$)", _HIDDEN, text)
        return _USERINFO.sub(_HIDDEN + "@", text)


#: Those of this process; a command line runs one command.
SECRETS = Secrets()


def escaped(text: str) -> str:
    """`text` on one line, with control and direction characters shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def counted(number: int, noun: str) -> str:
    """`1 event`, `2,000 events`, `3 policies`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("cy") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def say(text: str, *, lines: bool = False) -> None:
    """Words for people, on stderr: escaped and without secrets; `lines` keeps line ends."""
    text = SECRETS.hide(text)
    shown = "\n".join(map(escaped, text.split("\n"))) if lines else escaped(text.replace("\n", " "))
    click.echo(shown.encode(sys.stderr.encoding or "utf-8", "backslashreplace"), err=True)


def take_any_text() -> None:
    """From now on stdout and stderr write as escapes what their encoding does not have.

    A terminal that speaks ASCII or Latin-1 shows less of an event, and a command does not end in it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_json(value: object) -> None:
    """One JSON document on one line of stdout, in UTF-8 whatever the terminal speaks.

    Infinities and NaN, which JSON does not have, are null.
    """
    import msgspec  # noqa: PLC0415 - help needs no JSON

    try:
        line = msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair: it becomes its own escape
        text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))
        line = text.encode("utf-8", "backslashreplace")
    stdout = sys.stdout.buffer
    stdout.write(line + b"\n")
    stdout.flush()


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        members = cast("Mapping[str, object]", value)
        return {name: _finite(member) for name, member in members.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in cast("list[object]", value)]
    return value


@dataclass(frozen=True, slots=True)
class Output:
    """How this command was asked to speak."""

    json: bool = False
    quiet: bool = False

    def note(self, text: str) -> None:
        """Tell on stderr what is going on, unless asked to be quiet."""
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """Tell on stderr what somebody should look at."""
        say(f"warning: {text}")

    def print(self, *renderables: RenderableType) -> None:
        """Show results on stdout."""
        from .screen import show  # noqa: PLC0415 - slow, and neither help nor JSON needs it

        show(renderables)

    @contextmanager
    def progress(self, title: str, total: int | None, **kind: Any) -> Generator[Advance]:
        """A bar on stderr for work that lasts; nothing where stderr is no terminal, or quiet."""
        from .progress import bar  # noqa: PLC0415 - as above

        shown = not self.quiet and sys.stderr.isatty()
        with bar(title, total, shown=shown, **kind) as advance:
            yield advance
