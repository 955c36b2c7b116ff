"""Slices replayed on this machine: in this process, or in a pool of processes when asked.

A process takes whole partitions where there are enough of them, since slices that follow on each
other are read without a break.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import groupby
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Self

from streamwarden.errors import ConfigurationError

from ..checkpoint import Spool
from ..slices import Slice
from ..work import CALLBACKS, Watch, Work, run_slices

__all__ = ["LocalEngine"]

#: Groups of slices for each process, so that a slow one does not keep all others waiting.
_GROUPS_PER_PROCESS = 4
_PROCESSES_MAX = 256


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """See the module's first lines. With one worker it is this process."""

    workers: int = 1

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Self:
        """From `--engine-option workers=N` (`all`: one for each processor)."""
        unknown = sorted(set(options) - {"workers"})
        if unknown:
            raise ConfigurationError(
                f"engine `local` has no option `{unknown[0]}`", remedy="its option is `workers`"
            )
        asked = options.get("workers", "1")
        number = (os.cpu_count() or 1) if asked == "all" else int(asked) if asked.isdigit() else 0
        if not 1 <= number <= _PROCESSES_MAX:
            raise ConfigurationError(
                f"`workers` cannot be `{asked}`", remedy="use a number from 1 on, or `all`"
            )
        return cls(number)

    def prepare(self) -> None:
        """See `Engine.prepare`."""
        if self.workers > 1:
            _forks()
            forkserver.ensure_running()

    def run(self, work: Work, slices: Sequence[Slice], spool: Spool, watch: Watch) -> None:
        """See `Engine.run`."""
        groups = _groups(slices, self.workers * _GROUPS_PER_PROCESS)
        processes = min(self.workers, len(groups))
        if processes <= 1:
            run_slices(work, slices, spool, watch)
        else:
            _run_pool(work, groups, spool, watch, processes)


def _groups(slices: Sequence[Slice], wanted: int) -> list[list[Slice]]:
    """Slices by partition; with fewer partitions than `wanted`, in parts of them."""
    groups = [list(found) for _, found in groupby(slices, lambda s: (s.topic, s.partition))]
    size = max(1, -(-len(slices) // wanted)) if len(groups) < wanted else len(slices)
    return [group[at : at + size] for group in groups for at in range(0, len(group), size)]


def _run_pool(
    work: Work, groups: Sequence[Sequence[Slice]], spool: Spool, watch: Watch, processes: int
) -> None:
    context = _forks()
    signs: Any = context.Queue()
    kept = {name: value for name, value in work.config.items() if name not in CALLBACKS}
    sent = replace(work, config=kept)
    try:
        pickle.dumps(sent)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise ConfigurationError(
            f"what was asked for cannot be sent to other processes: {error}",
            remedy="use `workers=1`, or functions of a module",
        ) from None
    with ProcessPoolExecutor(
        processes, context, initializer=_begin, initargs=(sent, spool.folder, signs)
    ) as pool:
        listener = threading.Thread(target=_listen, args=(signs, watch), daemon=True)
        listener.start()
        try:
            futures = [pool.submit(_replay, list(group)) for group in groups]
            for future in as_completed(futures):
                try:
                    future.result()
                except BrokenProcessPool:
                    break  # a process was killed; what it had not saved stays missing
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            signs.put(None)
            listener.join(5)


def _forks() -> Any:
    """What processes are made by.

    A child forked from this process would share its clients and threads. The server that forks has
    neither: it has imported this module, once for all workers, and nothing else.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _listen(signs: Any, watch: Watch) -> None:
    sign: tuple[int, int] | Slice | None
    while (sign := signs.get()) is not None:
        if isinstance(sign, Slice):
            watch.done(sign)
        else:
            watch.seen(*sign)


class _Remote:
    """A watch that tells the process that waits."""

    def __init__(self, signs: Any) -> None:
        self._signs = signs

    def seen(self, records: int, findings: int) -> None:
        self._signs.put((records, findings))

    def done(self, piece: Slice) -> None:
        self._signs.put(piece)


_sent: list[tuple[Work, Path, Any]] = []


def _begin(work: Work, folder: Path, signs: Any) -> None:
    """Runs first in every process of the pool: what is sent once serves all its groups."""
    _sent[:] = [(work, folder, signs)]
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """Leave when the process that waits is gone: another run may be at the same checkpoint."""
    parent.join()
    os._exit(1)


def _replay(slices: Sequence[Slice]) -> None:
    ((work, folder, signs),) = _sent
    run_slices(work, slices, Spool(folder), _Remote(signs))
