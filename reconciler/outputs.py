"""Where a run's findings go once all slices are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from streamwarden.errors import ReconcileError

from .checkpoint import Spool
from .findings_topic import write_findings
from .options import ReconcileOptions
from .parquet import check_parquet, write_parquet
from .report import Report
from .runs import Runs
from .slices import Slice

__all__ = ["check_outputs", "write_outputs"]


def check_outputs(options: ReconcileOptions) -> None:
    """Find out before a long run what could not be written after it. Raises ConfigurationError."""
    if options.findings is not None and options.findings.suffix == ".parquet":
        check_parquet()


def write_outputs(
    options: ReconcileOptions, report: Report, slices: Sequence[Slice], spool: Spool
) -> Report:
    """Write the findings of `slices` to where `options` say, and keep the run.

    The report comes back with what that adds: the run's id, and what could not be written.
    """
    if options.findings is not None and options.findings.suffix == ".parquet":
        write_parquet(spool.lines(slices), options.findings)
    elif options.findings is not None:
        spool.copy_findings(slices, options.findings)
    if options.findings_topic is not None:
        try:
            write_findings(
                options.config,
                options.findings_topic,
                spool.lines(slices),
                started=report.started,
                schemas=options.schemas,
                timeout_s=options.timeout_s,
            )
        except ReconcileError as error:
            report = replace(report, problems=(*report.problems, str(error)))
    if options.runs is None:
        return report
    run = Runs(options.runs).write(
        report.to_dict(),
        started_ms=report.started,
        findings=lambda path: spool.copy_findings(slices, path),
    )
    return replace(report, run=run.id)
