"""`streamwarden reconcile`: history against the policy of today."""

from __future__ import annotations

from pathlib import Path

import click

from streamwarden import metrics
from streamwarden.errors import ConfigurationError

from ..reconciler import Progress, ReconcileOptions, Report
from ..reconciler import reconcile as replay
from ..reconciler.findings import KINDS
from ..reconciler.text import render
from .called import called
from .client import Client
from .decide import STAGES
from .lazy import Lazy, MainGroup
from .loading import load, opened_schemas
from .options import (
    PolicySource,
    client_options,
    metrics_options,
    output_options,
    policy_options,
    topic_option,
)
from .output import Output, write_json
from .pace import Pace
from .reaching import reach
from .reconcile_options import Forms, Scope, form_options, scope_options
from .stores import opened
from .times import Instant

__all__ = ["reconcile"]

_COMMANDS = {
    "history": Lazy("runs:history", "list past runs, and how drift moved"),
    "show": Lazy("runs:show", "show a past run again"),
    "diff": Lazy("runs:diff", "say what changed from one run to another"),
}


@click.command("reconcile", cls=MainGroup, commands=_COMMANDS)
@topic_option(multiple=True, help="A topic to replay, with its parking topics; repeatable.")
@click.option("--since", type=Instant(), metavar="TIME", help="Only records from then on.")
@click.option("--until", type=Instant(), metavar="TIME", help="Only records before then.")
@click.option(
    "--findings",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write each finding as a line of JSON; to a .parquet file as a row.",
)
@click.option(
    "--findings-topic", metavar="TOPIC", help="Write each finding to this topic, in Avro."
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep this run there, for history, show, diff and --incremental.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep what was done there, so that a run that is stopped goes on where it was.",
)
@click.option(
    "--retroactive", is_flag=True, help="Judge by the policies in force now, not at event time."
)
@click.option("--stage", type=click.Choice(STAGES), help="Judge today's policy at this stage.")
@click.option(
    "--mac-since", type=Instant(), metavar="TIME", help="From when on stamps must be signed."
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="KIND,…",
    help=f"Kinds of findings for exit status 2: {', '.join(KINDS)}.",
)
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="What runs it.")
@click.option(
    "--engine-option",
    "engine_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the engine, such as workers=4.",
)
@scope_options
@form_options
@policy_options
@client_options
@metrics_options
@output_options
@click.pass_context
def reconcile(
    context: click.Context,
    topics: tuple[str, ...],
    since: int | None,
    until: int | None,
    findings: Path | None,
    findings_topic: str | None,
    runs: Path | None,
    checkpoint: Path | None,
    retroactive: bool,
    stage: str | None,
    mac_since: int | None,
    fail_on: tuple[str, ...],
    engine: str,
    engine_options: tuple[str, ...],
    scope: Scope,
    forms: Forms,
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Replay history against policy: what would happen to these events today?

    The policies of --policies, else the active bundle of --store, are today's; --store also gives
    the versions that stamps name. Nothing is changed: no event, no offset, no policy.

      streamwarden reconcile -b localhost:9092 --topic payments --policies policies/
      streamwarden reconcile -t payments --store dir:bundles --since 30d --findings drift.jsonl
      streamwarden reconcile -t 'payments.*' --store dir:bundles --against candidate/
      streamwarden reconcile -t payments --store dir:bundles --runs runs/ --incremental --json

    Exit status: 0 clean, 2 drift found, 1 failed, or not everything was read.
    """
    with opened_schemas(source.schemas) as schemas:
        bundle = load(source.directories, schemas) if source.directories else None
        candidate = scope.candidate(source.store, client, schemas)
    options = ReconcileOptions(
        config=client.config(),
        topics=topics,
        bundle=bundle,
        schemas=source.schemas,
        store=None if source.store is None else opened(source.store, client),
        since=since,
        until=until,
        findings=findings,
        checkpoint=checkpoint,
        retroactive=retroactive,
        stage=stage,
        fail_on=_kinds(fail_on),
        engine=engine,
        engine_options=_engine_options(engine_options),
        stamp_keys=source.keys(source.stamp_keys),
        mac_since=mac_since,
        mask_keys=source.keys(source.mask_keys),
        now=source.now_ms,
        timeout_s=client.timeout_s,
        command=called(context),
        as_of=scope.as_of,
        version=scope.version,
        candidate=candidate,
        selection=scope.selection,
        sample=scope.sample,
        runs=runs,
        incremental=scope.incremental,
        decision_log=scope.decision_log,
        lossless_since=scope.lossless_since,
        log_has_allows=scope.log_has_allows,
        log_differences=scope.log_differences,
        findings_topic=findings_topic,
    )
    reach(client)
    report = _run(options, output)
    metrics.reconciled(report)
    if output.json:
        write_json(report.to_dict())
    else:
        output.print(render(report))
    forms.write(report, options.fail_on)
    return report.exit_status(options.fail_on)


def _run(options: ReconcileOptions, output: Output) -> Report:
    pace = Pace()
    with output.progress("replaying", None, in_words=True) as advance:

        def watch(progress: Progress) -> None:
            advance(progress.offsets, progress.offsets_total, pace.told(progress))

        return replay(options, watch)


def _kinds(given: tuple[str, ...]) -> tuple[str, ...]:
    """`--fail-on a --fail-on b`, or `--fail-on a,b`."""
    return tuple(kind.strip() for text in given for kind in text.split(",") if kind.strip())


def _engine_options(given: tuple[str, ...]) -> dict[str, str]:
    options: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(
                f"--engine-option `{text}` is not name=value", remedy="write such as `workers=4`"
            )
        options[name.strip()] = value.strip()
    return options
