"""A progress bar on stderr, for work that lasts longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Advance", "bar"]


class Advance(Protocol):
    """Told how far the work is: done so far and, where it is only known now, the total."""

    def __call__(self, done: int, total: int | None, said: str = "", /) -> None:
        """`said` is more about it, in words, where the bar has room for them."""
        ...


#: What is done within this time needs no bar.
_PATIENCE_S = 0.7
_REFRESH_S = 0.1


@contextmanager
def bar(
    title: str,
    total: int | None,
    *,
    shown: bool,
    count_bytes: bool = False,
    in_words: bool = False,
) -> Generator[Advance]:
    """A bar that appears when the work takes long; `total` None is work of unknown length.

    `in_words`: what is said of it stands behind the bar, in place of amounts and times.
    """
    if not shown:
        yield lambda _done, _total, _said="", /: None
        return
    amount: ProgressColumn = DownloadColumn() if count_bytes else MofNCompleteColumn()
    columns: list[ProgressColumn] = [amount, TimeElapsedColumn(), TimeRemainingColumn()]
    if in_words:
        columns = [TextColumn("{task.fields[said]}", markup=False)]
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None if in_words else 40),
        *columns,
        console=Console(stderr=True, markup=False, highlight=False, emoji=False),
        transient=True,
    )
    task = progress.add_task(title, total=total, said="")
    started = time.monotonic()
    told = 0.0

    def advance(done: int, new_total: int | None, said: str = "", /) -> None:
        nonlocal told
        now = time.monotonic()
        if now - started < _PATIENCE_S or now - told < _REFRESH_S:
            return
        told = now
        if not progress.live.is_started:
            progress.start()
        all_ = total if new_total is None else new_total
        progress.update(task, completed=done, total=all_, said=said)

    try:
        yield advance
    finally:
        progress.stop()
