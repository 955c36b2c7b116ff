"""Past runs, kept in a folder: what each came to, and its findings.

    DIR/20261121T141200Z/report.json       the report as `--json` prints it, with `run`: its id
    DIR/20261121T141200Z/findings.jsonl    its findings, one JSON object a line

A run appears when all of it is written; nothing in it is changed afterwards.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from streamwarden.errors import ReconcileError

__all__ = ["Runs", "StoredRun", "read_report"]

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]+)?")
_REPORT, _FINDINGS = "report.json", "findings.jsonl"


@dataclass(frozen=True)
class StoredRun:
    """One past run. `id` says when it began; later ids sort behind earlier ones."""

    id: str
    folder: Path

    @cached_property
    def report(self) -> dict[str, Any]:
        """Its report. Raises ReconcileError where that cannot be read."""
        return read_report(self.folder / _REPORT)

    @property
    def findings(self) -> Path | None:
        """The file of its findings, None where they were not kept."""
        path = self.folder / _FINDINGS
        return path if path.exists() else None


class Runs:
    """See the module's first lines. Several runs may write into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self,
        report: Mapping[str, Any],
        *,
        started_ms: int,
        findings: Callable[[Path], None] | None = None,
    ) -> StoredRun:
        """Keep a run that began at `started_ms`; `findings` writes its findings to a path.

        Raises ReconcileError where the folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return self._write(report, started_ms, findings)
        except OSError as error:
            raise ReconcileError(
                f"the run cannot be kept in `{self.folder}`: {error.strerror}",
                remedy="name a folder that can be written to",
            ) from None

    def list(self) -> tuple[StoredRun, ...]:
        """Every run, the oldest first."""
        return tuple(self._found())

    def load(self, name: str) -> StoredRun:
        """The run called `name`: its id, the beginning of one id, or `latest`.

        Raises ReconcileError where there is none, or more than one.
        """
        runs = self.list()
        if name == "latest" and runs:
            return runs[-1]
        found = [run for run in runs if run.id == name] or [
            run for run in runs if name and run.id.startswith(name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise ReconcileError(
                f"`{name}` is the beginning of {len(found)} runs",
                remedy=f"say which, such as `{found[-1].id}`",
            )
        raise ReconcileError(
            f"there is no run `{name}` in `{self.folder}`",
            remedy=f"the latest is `{runs[-1].id}`" if runs else "keep runs with `--runs DIR`",
        )

    def latest_complete(
        self, fits: Callable[[Mapping[str, Any]], bool] = lambda _report: True
    ) -> StoredRun | None:
        """The latest run that read everything it was asked for and whose report `fits`."""
        for run in reversed(self.list()):
            with contextlib.suppress(ReconcileError):
                if run.report.get("complete") is True and fits(run.report):
                    return run
        return None

    def _found(self) -> Iterator[StoredRun]:
        if not self.folder.is_dir():
            return
        names = [path.name for path in self.folder.iterdir() if _ID.fullmatch(path.name)]
        for name in sorted(names, key=_order):
            if (self.folder / name / _REPORT).is_file():
                yield StoredRun(name, self.folder / name)

    def _write(
        self,
        report: Mapping[str, Any],
        started_ms: int,
        findings: Callable[[Path], None] | None,
    ) -> StoredRun:
        began = dt.datetime.fromtimestamp(started_ms // 1000, dt.UTC)
        name = base = f"{began:%Y%m%dT%H%M%SZ}"
        part = self.folder / f".{base}-{os.getpid()}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        if findings is not None:
            findings(part / _FINDINGS)
        number = 1
        while True:
            data = msgspec.json.format(msgspec.json.encode({**report, "run": name}), indent=1)
            (part / _REPORT).write_bytes(data + b"\n")
            try:
                part.rename(self.folder / name)
            except OSError:
                if not (self.folder / name).exists():
                    raise
                number += 1
                name = f"{base}-{number}"
            else:
                return StoredRun(name, self.folder / name)


def read_report(path: Path) -> dict[str, Any]:
    """The report in a file, or in the folder of a run. Raises ReconcileError."""
    if path.is_dir():
        path /= _REPORT
    try:
        report: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ReconcileError(
            f"report `{path}` cannot be read: {error.strerror}",
            remedy="name a file that `reconcile --json` wrote, or the folder of a run",
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReconcileError(
            f"`{path}` is no report: {error}",
            remedy="name a file that `reconcile --json` wrote, or the folder of a run",
        ) from None
    return report


def _order(name: str) -> tuple[str, int]:
    began, _, number = name.partition("-")
    return began, int(number or 1)
