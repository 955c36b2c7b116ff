"""A progress bar on stderr, for work that lasts longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

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

#: Told how far the work is: done so far and, where it is only known now, the total.
Advance: TypeAlias = Callable[[int, int | None], None]

#: What is done within this time needs no bar.
_PATIENCE_S = 0.7
_REFRESH_S = 0.1


@contextmanager
def bar(
    title: str, total: int | None, *, shown: bool, unit: str = "", count_bytes: bool = False
) -> Generator[Advance]:
    """A bar that appears when the work takes long; `total` None is work of unknown length."""
    if not shown:
        yield lambda _done, _total: None
        return
    amount: ProgressColumn = DownloadColumn() if count_bytes else MofNCompleteColumn()
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        amount,
        TextColumn(unit, markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, markup=False, highlight=False, emoji=False),
        transient=True,
    )
    task = progress.add_task(title, total=total)
    started = time.monotonic()
    told = 0.0

    def advance(done: int, new_total: int | None) -> None:
        nonlocal told
        now = time.monotonic()
        if now - started < _PATIENCE_S or now - told < _REFRESH_S:
            return
        told = now
        if not progress.live.is_started:
            progress.start()
        progress.update(task, completed=done, total=total if new_total is None else new_total)

    try:
        yield advance
    finally:
        progress.stop()
