"""`streamwarden reconcile history`, `show` and `diff`: what past runs came to."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from streamwarden.errors import ConfigurationError, ReconcileError

from ..reconciler.comparison import FindingsChange, compare_causes, compare_findings
from ..reconciler.findings import NOT_DRIFT
from ..reconciler.overlap import overlap
from ..reconciler.page import write_page
from ..reconciler.runs import Runs, StoredRun
from ..reconciler.text import render
from .failures import FAILED, OK, VIOLATIONS
from .options import output_options
from .output import Output, write_json
from .past import comparison_json, history_json, print_comparison, print_history

__all__ = ["diff", "history", "show"]

_runs = click.option(
    "--runs",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Where `reconcile --runs` keeps its runs.",
)


def _kept(folder: Path) -> Runs:
    """The runs in `folder`. Raises ConfigurationError where it is not there, and so holds no history."""
    if not folder.is_dir():
        raise ConfigurationError(
            f"there is no folder `{folder}`", remedy="name the one of `reconcile --runs DIR`"
        )
    return Runs(folder)


@click.command("history")
@_runs
@click.option("-t", "--topic", metavar="TOPIC", help="Only runs over this topic.")
@click.option(
    "--max",
    "most",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="N",
    help="At most N, the latest.",
)
@output_options
def history(folder: Path, topic: str | None, most: int, output: Output) -> None:
    """List past runs: when, over what, what they came to, and how drift moved.

      streamwarden reconcile history --runs runs/
      streamwarden reconcile history --runs runs/ --topic payments --json

    How drift moved is told against the run before that was asked the same, on events that both
    read and on later ones. A run that goes on from others (--incremental) read new events only:
    it is not compared.
    """
    runs = _kept(folder).list()
    if not runs:
        output.note(f"no run is kept in {folder}; `reconcile --runs {folder}` keeps them")
    rows, unreadable = history_json(runs, topic, most)
    for run, why in unreadable:
        output.warn(f"run {run.id} is left out: {why}")
    if output.json:
        write_json({"runs": rows})
    elif rows:
        print_history(rows, output)


@click.command("show")
@click.argument("run")
@_runs
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it as an HTML page, too.",
)
@output_options
def show(run: str, folder: Path, page: Path | None, output: Output) -> int:
    """Show a past run again, as it was told then.

    RUN is its id, the beginning of one, or `latest`.

      streamwarden reconcile show latest --runs runs/
      streamwarden reconcile show 20261121T06 --runs runs/ --report report.html

    Exit status: that of the run: 0 clean, 2 drift found, 1 not everything was read.
    """
    found = _kept(folder).load(run)
    report = found.report
    if page is not None:
        write_page(report, page)
    if output.json:
        write_json(report)
    else:
        output.print(f"Run {found.id}, by {report['bundle']}", render(report))
    return {"clean": OK, "drift": VIOLATIONS}.get(report["verdict"], FAILED)


@click.command("diff")
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN", default="latest", required=False)
@_runs
@click.option(
    "--findings",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write each finding that differs as a line of JSON, with `diff`: how.",
)
@output_options
def diff(before: str, after: str, folder: Path, target: Path | None, output: Output) -> int:
    """Say what changed from one run to another: causes and findings that appeared or are gone.

    Each RUN is an id, the beginning of one, or `latest`, which is also the second one by default.

      streamwarden reconcile diff 20261114T06 latest --runs runs/
      streamwarden reconcile diff 20261114T06 --runs runs/ --findings changed.jsonl

    Findings on events that both runs read are told apart from those on later events. What only one
    of them read is unseen by the other: that is no drift that came or went.

    Exit status: 0 no drift appeared or grew, 2 some did, 1 failed.
    """
    runs = _kept(folder)
    one, two = runs.load(before), runs.load(after)
    shared = overlap(one.report, two.report)
    changed = _findings(one, two, target)
    if changed is None:
        output.warn("findings are not compared: one of the runs did not keep them")
    alike = not shared.unseen and not shared.older
    causes = compare_causes(one.report, two.report, changed, alike=alike)
    said = comparison_json(one, two, causes, changed, shared)
    if said["asked_otherwise"]:
        output.warn(
            f"the runs were asked differently ({', '.join(said['asked_otherwise'])}): "
            "what only one of them was asked about shows as new or gone"
        )
    if output.json:
        write_json(said)
    else:
        print_comparison(said, output)
    worse = any(
        cause.sort in ("appeared", "grew") and cause.cause["kind"] not in NOT_DRIFT
        for cause in causes
    )
    return VIOLATIONS if worse or (changed is not None and _has_drift(changed)) else OK


def _has_drift(changed: FindingsChange) -> bool:
    """True where there are findings that were not there before, and count as drift."""
    return any(
        kind not in NOT_DRIFT
        for sort in ("new", "later", "other")
        for kind in changed.counts.get(sort, {})
    )


def _findings(one: StoredRun, two: StoredRun, target: Path | None) -> FindingsChange | None:
    """The findings that differ, written to `target` where one is given."""
    if target is None:
        return compare_findings(one, two)
    try:
        with target.open("wb") as out:

            def write(sort: str, line: bytes) -> None:
                # The line is an object with members: one more goes in front.
                out.write(b'{"diff":' + msgspec.json.encode(sort) + b"," + line.lstrip()[1:])

            return compare_findings(one, two, write)
    except OSError as error:
        raise ReconcileError(
            f"`{target}` cannot be written: {error.strerror}",
            remedy="name a file in a folder that can be written to",
        ) from None
