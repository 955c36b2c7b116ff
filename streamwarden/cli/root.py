"""`streamwarden` itself: what commands there are, and how each of them ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from streamwarden._version import __version__

from .failures import run
from .lazy import Lazy, LazyGroup
from .output import take_any_text

__all__ = ["main"]

_HELP = """Declarative policy for Kafka event streams.

  Try it without a Kafka:  streamwarden demo
  Check policies:          streamwarden policy check policies/
  Guard what is written:   streamwarden publish --topic payments --policies policies/ events.jsonl
  Look back:               streamwarden reconcile --topic payments --policies policies/

Exit status: 0 clean, 2 violations or drift found, 1 failed or wrongly called.
"""

_COMMANDS = {
    "demo": Lazy("demo:demo", "see it work on made-up payments, without a Kafka"),
    "policy": Lazy("policy:policy", "check, test, explain, show and compare policies"),
    "decide": Lazy("decide:decide", "decide on events in a file, without Kafka"),
    "publish": Lazy("publish:publish", "guard events and write them to Kafka"),
    "produce": Lazy("publish:publish", "another name for publish", hidden=True),
    "consume": Lazy("consume:consume", "read a topic, with only what policy lets through"),
    "reconcile": Lazy("reconcile:reconcile", "replay history against policy and report drift"),
    "bundle": Lazy("bundle:bundle", "build, publish and activate versions of policies"),
    "quarantine": Lazy("quarantine:quarantine", "list, show, release and discard parked events"),
    "schemas": Lazy("schemas:schemas", "keep a registry's schemas as files"),
    "doctor": Lazy("doctor:doctor", "say what will fail, and what repairs it"),
    "topics": Lazy("topics:topics", "make the topics that parked events go to"),
}

_COMPLETION = "_STREAMWARDEN_COMPLETE"
_DEBUG = "STREAMWARDEN_DEBUG"


class _Root(LazyGroup):
    """The outermost group: whatever happens inside becomes a line of words and an exit status."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,  # noqa: ARG002 - for Windows, which Kafka's client leaves out
        **extra: Any,
    ) -> Any:
        """Run and exit; with `standalone_mode=False` errors and results go to the caller."""
        name = prog_name or "streamwarden"
        if not standalone_mode or _COMPLETION in os.environ:
            if standalone_mode:
                return super().main(args, name, _COMPLETION)
            return super().main(args, name, complete_var, standalone_mode=False, **extra)
        given = list(sys.argv[1:] if args is None else args)

        def command() -> object:
            with self.make_context(name, given, **extra) as context:
                return self.invoke(context)

        take_any_text()
        debug = "--debug" in given or os.environ.get(_DEBUG, "") not in ("", "0")
        sys.exit(run(command, debug=debug))


main = _Root("streamwarden", _COMMANDS, help=_HELP)
main.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
main.params.append(
    click.Option(["--debug"], is_flag=True, hidden=True, expose_value=False, envvar=_DEBUG)
)
click.version_option(__version__, prog_name="streamwarden")(main)
