"""Results as people read them: in colour and wrapped on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console, RenderableType
from rich.text import Text

__all__ = ["show"]

#: Wide enough for tables of names; text that is one line stays one line.
_PIPE_WIDTH = 160


def show(renderables: Sequence[RenderableType]) -> None:
    """Print on stdout. No markup and no emoji: what is shown may come out of events."""
    terminal = sys.stdout.isatty()
    width = None if terminal else _PIPE_WIDTH
    console = Console(markup=False, highlight=False, emoji=False, width=width)
    if terminal:
        console.print(*renderables, sep="\n")
        return
    with console.capture() as captured:
        for each in renderables:
            console.print(each, soft_wrap=isinstance(each, (str, Text)))
    # Cells are padded to their columns; whoever reads a pipe wants no blanks at the ends of lines.
    lines = [line.rstrip() for line in captured.get().split("\n")]
    click.echo("\n".join(lines).encode("utf-8", "backslashreplace"), nl=False)
