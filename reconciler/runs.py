"""Past runs, kept in a folder: what each came to, and its findings.

    DIR/20261121T141200Z/report.json       the report as `--json` prints it, with `run`: its id
    DIR/20261121T141200Z/findings.jsonl    its findings, one JSON object a line

A run appears when all of it is written; nothing in it is changed afterwards.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from streamwarden.errors import ReconcileError

from .findings import DRIFT, KINDS

__all__ = ["Runs", "StoredRun", "is_special", "read_report"]

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]+)?")
_REPORT, _FINDINGS = "report.json", "findings.jsonl"
_REMEDY = "name a file that `reconcile --json` wrote, or the folder of a run"


class _Asked(msgspec.Struct):
    topics: list[str] = []


class _Gap(msgspec.Struct):
    first: int = msgspec.field(name="from")
    to: int
    reason: str


class _Part(msgspec.Struct):
    topic: str
    partition: int
    start: int
    first: int
    end: int
    covered: int
    pending: int
    gaps: list[_Gap]


class _Example(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Cause(msgspec.Struct):
    kind: str
    count: int
    rule: str | None
    change: str
    drift: str | None
    stamped: str | None
    examples: list[_Example]


class _Whole(msgspec.Struct):
    """What every report has, and whoever shows or compares runs takes for granted."""

    verdict: str
    complete: bool
    events: int
    counts: dict[str, int]
    drift: dict[str, int]
    unverifiable: int
    partitions: list[_Part]
    causes: list[_Cause]
    bundle: str
    digest: str
    started: int
    seconds: float
    asked: _Asked | None = None


@dataclass(frozen=True)
class StoredRun:
    """One past run. `id` says when it began; later ids sort behind earlier ones."""

    id: str
    folder: Path

    @cached_property
    def report(self) -> dict[str, Any]:
        """Its report. Raises ReconcileError where that cannot be read, or is none."""
        path = self.folder / _REPORT
        report = read_report(path)
        try:
            whole = msgspec.convert(report, _Whole)
        except msgspec.ValidationError as error:
            raise _no_report(path, str(error)) from None
        missing = [kind for kind in KINDS if kind not in whole.counts]
        missing += [kind for kind in DRIFT if kind not in whole.drift]
        if missing:
            raise _no_report(path, f"it does not count `{missing[0]}`")
        return report

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
    """The report in a file, or in the folder of a run: any JSON object. Raises ReconcileError."""
    if path.is_dir():
        path /= _REPORT
    if is_special(path):
        raise _no_report(path, "it is no regular file")
    try:
        report: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ReconcileError(
            f"report `{path}` cannot be read: {error.strerror}", remedy=_REMEDY
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_report(path, str(error)) from None
    return report


def is_special(path: Path) -> bool:
    """True for devices, pipes and whatever else may never come to an end; False where nothing is."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:  # told when it is opened
        return False


def _no_report(path: Path, why: str) -> ReconcileError:
    return ReconcileError(f"`{path}` is no report: {why}", remedy=_REMEDY)


def _order(name: str) -> tuple[str, int]:
    began, _, number = name.partition("-")
    return began, int(number or 1)
