"""Running something again whenever files change, until Ctrl-C."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from streamwarden.errors import ConfigurationError, StreamwardenError

from .failures import FAILED, describe
from .output import Output, counted, say

__all__ = ["FILES_MAX", "fingerprint", "run_on_change"]

#: As many as a directory of policies may have; looking at them takes some tens of milliseconds.
FILES_MAX = 10_000
#: Soon enough for somebody who saves a file, and next to nothing for the processor.
_INTERVAL_S = 0.3

_Fingerprint: TypeAlias = dict[str, tuple[int, int]]


def fingerprint(paths: Sequence[Path]) -> _Fingerprint:
    """Time of change (nanoseconds) and size (bytes) of each file below `paths`, hidden ones not.

    Raises ConfigurationError for more than `FILES_MAX` files.
    """
    found: _Fingerprint = {}
    for path in paths:
        for file in [path] if path.is_file() else _files(path):
            try:
                status = file.stat()
            except OSError:
                continue  # gone again
            found[str(file)] = (status.st_mtime_ns, status.st_size)
            if len(found) > FILES_MAX:
                raise ConfigurationError(
                    f"more than {FILES_MAX:,} files are too many to watch",
                    remedy="name the directory that holds the policies",
                )
    return found


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
        if len(found) > FILES_MAX:
            break
    return found


def run_on_change(
    paths: Sequence[Path],
    run: Callable[[], int],
    output: Output,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Call `run` now and after each change of a file below `paths`; the last status, on Ctrl-C.

    What `run` raises of streamwarden's own errors is told, and does not end the watching.
    """
    status = FAILED
    try:
        while True:
            before = fingerprint(paths)
            try:
                status = run()
            except StreamwardenError as error:
                status = FAILED
                say(f"error: {describe(error)}", lines=True)
            output.note(f"watching {counted(len(before), 'file')}; Ctrl-C ends")
            while fingerprint(paths) == before:
                sleep(_INTERVAL_S)
            output.note("changed; running again")
    except KeyboardInterrupt:
        return status
