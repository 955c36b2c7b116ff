"""Groups whose commands are imported when they are called, so that help comes at once."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import click

__all__ = ["HelpGroup", "Lazy", "LazyGroup", "MainGroup", "keep_examples"]


class Lazy(NamedTuple):
    """Where a command is (`module:attribute`, beside this one), and its line in the list."""

    place: str
    help: str
    hidden: bool = False


def keep_examples(text: str) -> str:
    """Help text in which indented paragraphs stay as they are written, for click to format."""
    paragraphs = text.strip("\n").split("\n\n")
    return "\n\n".join(f"\b\n{p}" if p.startswith("  ") else p for p in paragraphs)


class HelpGroup(click.Group):
    """A group that shows its help when it is called with nothing, and its commands' examples."""

    def __init__(self, name: str, *, help: str, **rest: Any) -> None:  # noqa: A002
        super().__init__(name, help=keep_examples(help), no_args_is_help=False, **rest)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; called with nothing at all, it is a wrong call that shows the help."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(1)
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, with its examples as they are written."""
        command = self.find(ctx, cmd_name)
        if command is not None and command.help is not None and "\b" not in command.help:
            command.help = keep_examples(inspect.cleandoc(command.help))
        return command

    def find(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command as it was defined."""
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with what was probably meant where a name is unknown."""
        name, known = args[0], self.list_commands(ctx)
        if not ctx.resilient_parsing and name not in known and not name.startswith("-"):
            near = difflib.get_close_matches(name[:64], known, n=1)
            meant = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
            raise click.UsageError(f"no command `{name}`; {meant}", ctx)
        found, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _check_once(command, found, rest, ctx)
        return found, command, rest


def _check_once(
    command: click.Command, name: str | None, args: list[str], ctx: click.Context
) -> None:
    """Raise UsageError for an option of one value that is given twice: click takes the last."""
    if ctx.resilient_parsing:
        return
    context = click.Context(command, ctx, name, **command.context_settings)
    _, _, order = command.make_parser(context).parse_args(args=list(args))
    if any(param.is_eager for param in order):  # --help
        return
    for param in dict.fromkeys(order):
        if not isinstance(param, click.Option) or param.multiple or param.is_flag or param.count:
            continue
        if order.count(param) > 1:
            raise click.UsageError(
                f"{'/'.join(param.opts)} is given {order.count(param)} times, and takes one value",
                context,
            )


class LazyGroup(HelpGroup):
    """A group that knows names and one line of help of its commands without importing them."""

    def __init__(self, name: str, commands: Mapping[str, Lazy], *, help: str) -> None:  # noqa: A002
        super().__init__(name, help=help)
        self.lazy = dict(commands)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own
        """Every name, in the order of the table."""
        return list(self.lazy)

    def find(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import one command."""
        found = self.lazy.get(name)
        if found is None:
            return None
        module, _, attribute = found.place.partition(":")
        command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - as above
        formatter: click.HelpFormatter,
    ) -> None:
        """The list of commands, from the table alone."""
        rows = [(name, entry.help) for name, entry in self.lazy.items() if not entry.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class MainGroup(LazyGroup):
    """A command that has commands of its own: without the name of one of them, it runs itself.

    `@click.command("name", cls=MainGroup, commands={…})` above a function makes one.
    """

    def __init__(
        self,
        name: str,
        commands: Mapping[str, Lazy],
        *,
        help: str,  # noqa: A002
        callback: Callable[..., Any],
        params: list[click.Parameter],
    ) -> None:
        super().__init__(name, commands, help=inspect.cleandoc(help))
        self.callback, self.params = callback, params
        self.invoke_without_command = True
        self.subcommand_metavar = "[COMMAND]"

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """As click does, or the context of the command that is named first."""
        if args and not args[0].startswith("-") and not extra.get("resilient_parsing"):
            context = click.Context(self, parent=parent, info_name=info_name)
            name, command, rest = self.resolve_command(context, args)
            assert command is not None
            return command.make_context(name, rest, parent=context, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, also when it is called with nothing."""
        return click.Group.parse_args(self, ctx, args)
