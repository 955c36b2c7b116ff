"""What a reconciliation is asked for, and the signs that it gives of its progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamwarden.errors import ConfigurationError

from ..policy.bundle import Bundle
from ..policy.keys import KeyRing
from ..policy.store import BundleStore
from ..schemas.schema_sources import Schemas
from .decision_log import check_log_place
from .findings import KINDS, WOULD_CHANGE
from .sampling import Sample
from .selection import Selection
from .slices import SLICE_MAX_OFFSETS

__all__ = ["Progress", "ReconcileOptions"]

_STAGES = ("produce", "consume", "reconcile")
#: Names of files that hold lines of JSON.
_LINES = ("", ".json", ".jsonl", ".log", ".ndjson", ".txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOptions:
    """What to replay, and by what to judge it. Times are milliseconds since the epoch.

    `config` says how to reach the cluster, as a consumer takes it. `bundle` is today's policy, or a
    candidate; None takes the active one of `store`, which is also where older versions are.
    `since` (inclusive) and `until` (exclusive) select by the record's timestamp. `findings` is a
    file to write, one line a finding; `checkpoint` a folder that makes the run resumable.
    `retroactive` judges by the policies in force at `now` and not at event time; `stage` judges
    today's policy at that stage. `mac_since` says from when stamps must be signed, with
    `stamp_keys`. `fail_on` are the kinds that count for the exit status, all that are drift by
    default. `schemas` is a directory of schemas or the URL of a registry. `known_id` and
    `released`: see `judge.Terms`. `timeout_s` is how long the brokers may stay silent. `command` is
    told in the report.

    `as_of`, or the number of a `version`, takes as current what the store had then; a `candidate`
    judges in place of the current bundle, and is compared with it. `selection` and `sample` narrow
    what is read and what counts. `runs` is a folder that keeps the run, and where an `incremental`
    one finds the end of the last. `decision_log` is a file or topic of decisions to compare with;
    `lossless_since` from when on it has every decision but plain allows, `log_has_allows` that it
    has those too; `log_differences` is a file for each difference. `findings_topic` is a topic that findings are written to.
    """

    config: Mapping[str, Any] = field(repr=False)
    topics: tuple[str, ...]
    bundle: Bundle | None = None
    store: BundleStore | None = None
    since: int | None = None
    until: int | None = None
    findings: Path | None = None
    checkpoint: Path | None = None
    retroactive: bool = False
    stage: str | None = None
    fail_on: tuple[str, ...] = ()
    engine: str = "local"
    engine_options: Mapping[str, str] = field(default_factory=dict[str, str])
    stamp_keys: KeyRing | None = None
    mac_since: int | None = None
    mask_keys: KeyRing | None = None
    schemas: Schemas | None = None
    now: int | None = None
    timeout_s: float = 30.0
    slice_offsets: int = SLICE_MAX_OFFSETS
    command: str = ""
    known_id: Callable[[str, str], bool | None] | None = None
    released: Callable[[str, int, int], bool] | None = None
    as_of: int | None = None
    version: int | None = None
    candidate: Bundle | None = None
    selection: Selection = field(default_factory=Selection)
    sample: Sample | None = None
    runs: Path | None = None
    incremental: bool = False
    decision_log: str | None = None
    lossless_since: int | None = None
    log_has_allows: bool = False
    log_differences: Path | None = None
    findings_topic: str | None = None

    def __post_init__(self) -> None:
        if not self.topics:
            raise ConfigurationError("no topic was named", remedy="say `--topic NAME`")
        if self.stage is not None and self.stage not in _STAGES:
            raise ConfigurationError(
                f"`{self.stage}` is no stage", remedy=f"use {', '.join(_STAGES)}"
            )
        for kind in self.fail_on:
            if kind not in (*KINDS, WOULD_CHANGE):
                raise ConfigurationError(
                    f"`{kind}` is no kind of finding", remedy=f"use {', '.join(KINDS)}"
                )
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ConfigurationError(
                "nothing lies between `since` and `until`", remedy="put the earlier time first"
            )
        if self.timeout_s <= 0 or self.slice_offsets < 1:
            raise ConfigurationError("`timeout_s` and `slice_offsets` must be above zero")
        self._check_versions()
        _check_form("findings", self.findings, (*_LINES, ".parquet"))
        _check_form("differences", self.log_differences, _LINES)
        if self.incremental and (self.since, self.until, self.selection.first) != (None,) * 3:
            raise ConfigurationError(
                "an incremental run begins where the last one ended",
                remedy="leave out `--since`, `--until` and `--offsets`",
            )
        if self.incremental and self.runs is None:
            raise ConfigurationError(
                "an incremental run needs to know the last one", remedy="say `--runs DIR`"
            )
        if self.decision_log is not None:
            check_log_place(self.decision_log)
            if self.selection.by_place or self.sample is not None:
                raise ConfigurationError(
                    "a decision log does not say where its events are, nor which are in a sample",
                    remedy="compare it with whole topics",
                )
        elif self.lossless_since is not None or self.log_has_allows or self.log_differences:
            raise ConfigurationError(
                "there is no decision log to compare with", remedy="say `--decision-log FILE|URL`"
            )
        if self.bundle is None and self.store is None:
            raise ConfigurationError(
                "there is no policy to judge by",
                remedy="say `--policies DIR`, or `--store URL` for its active bundle",
            )

    def _check_versions(self) -> None:
        if self.as_of is None and self.version is None:
            return
        if self.store is None:
            raise ConfigurationError(
                "former versions are in a store", remedy="say `--store URL` with `--as-of`"
            )
        if self.bundle is not None:
            raise ConfigurationError(
                "both `--as-of` and `--policies` say what is current",
                remedy="leave one out; a candidate goes with `--against`",
            )

    @property
    def keeps_findings(self) -> bool:
        """True where findings are written somewhere."""
        return any((self.findings, self.runs, self.findings_topic))


def _check_form(what: str, file: Path | None, endings: tuple[str, ...]) -> None:
    """Raise ConfigurationError for a name that promises another form than the file would have."""
    if file is not None and file.suffix not in endings:
        rows = ", or `.parquet` for rows" if ".parquet" in endings else ""
        raise ConfigurationError(
            f"{what} are written as lines of JSON, which `{file.name}` does not promise",
            remedy=f"name a file that ends in `.jsonl`{rows}",
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: offsets got past of all, records read, slices done of all, findings so far.

    What a run that was stopped had done is in all of them but `records`.
    """

    offsets: int
    offsets_total: int
    records: int
    slices: int
    slices_total: int
    findings: int = 0
