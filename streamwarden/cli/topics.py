"""`streamwarden topics`: the topics that parked events and decisions go to."""

from __future__ import annotations

import time
from dataclasses import replace

import click
from rich.text import Text

from streamwarden.errors import ConfigurationError

from ..producers.log_target import LogTarget, log_target
from ..producers.topics import TopicReport, ensure_log_topic, ensure_topics
from .client import Client
from .failures import OK, VIOLATIONS
from .lazy import HelpGroup
from .options import (
    PolicySource,
    client_options,
    decision_log_option,
    output_options,
    policy_options,
    topic_option,
)
from .output import Output, counted, escaped, write_json
from .reaching import reach, reach_by
from .stores import store_settings

__all__ = ["topics"]

_STYLES = {"created": "green", "fits": "green", "missing": "yellow", "differs": "red"}


topics = HelpGroup(
    "topics",
    help="""Make the topics that parked events and decisions go to.

  streamwarden topics ensure --topic payments --policies policies/
""",
)


@topics.command("ensure")
@topic_option(
    required=False,
    multiple=True,
    help="A topic whose parking topics are to be there; repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Only say what is missing or differs.")
@policy_options
@decision_log_option
@client_options
@output_options
def _ensure(
    topics: tuple[str, ...],
    dry_run: bool,
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Make the quarantine and held topics of topics, so that nothing parked can disappear.

    They are never compacted, and keep events long enough. A topic that is there is never changed:
    what differs from that is told, with the command that mends it. With --decision-log the topic of
    the log is made too, and keeps decisions for 90 days.

      streamwarden topics ensure -b localhost:9092 --topic payments --policies policies/
      streamwarden topics ensure -t payments -t refunds --store dir:bundles --dry-run
      streamwarden topics ensure --decision-log kafka://localhost:9092/decisions

    Exit status: 0 all are there as they should be, 2 some are missing or differ.
    """
    log = _log(source.decision_log, client)
    if not topics and log is None:
        raise ConfigurationError(
            "no topic was named", remedy="say --topic TOPIC, or --decision-log kafka://HOST/TOPIC"
        )
    deadline = time.monotonic() + client.timeout_s
    reports: tuple[TopicReport, ...] = ()
    if topics:
        with replace(source, decision_log="off").guard(client, masks=False) as guard:
            reach(client)
            reports = ensure_topics(
                client.config(), guard, topics, dry_run=dry_run, timeout_s=client.timeout_s
            )
    if log is not None:
        left = round(deadline - time.monotonic(), 1)
        reach_by(log.config, left, where="--decision-log")
        left = deadline - time.monotonic()
        reports += (ensure_log_topic(log, dry_run=dry_run, timeout_s=left),)
    if output.json:
        write_json([_as_json(report) for report in reports])
    else:
        for report in reports:
            output.print(_line(report))
    wrong = any(report.state in ("missing", "differs") for report in reports)
    return VIOLATIONS if wrong else OK


def _log(url: str | None, client: Client) -> LogTarget | None:
    """The log whose topic is to be there; None for a file, which needs none."""
    if url is None or url == "off":
        return None
    target = log_target(url, {"client": store_settings(url, client)})
    return target if target.topic else None


def _as_json(report: TopicReport) -> dict[str, object]:
    return {
        "topic": report.topic,
        "origin": report.origin,
        "kind": report.kind,
        "state": report.state,
        "partitions": report.partitions,
        "replication": report.replication,
        "settings": dict(report.settings),
        "differences": [
            {
                "setting": each.setting,
                "found": each.found,
                "wanted": each.wanted,
                "why": each.why,
            }
            for each in report.differences
        ],
    }


def _line(report: TopicReport) -> Text:
    shown = Text().append(f"{report.state:<8}", _STYLES[report.state])
    shown.append(f" {escaped(report.topic)}", "bold")
    if report.kind == "decisions":
        shown.append("  the decision log")
    elif report.kind == "waiting":
        shown.append(f"  which keys of {escaped(report.origin)} wait")
    else:
        shown.append(f"  {report.kind} events of {escaped(report.origin)}")
    if report.partitions:
        shown.append(f", {counted(report.partitions, 'partition')}")
    for each in report.differences:
        shown.append(
            escaped(f"\n         {each.setting} is {each.found}, and should be {each.wanted}"),
            "red",
        )
        shown.append(f": {escaped(each.why)}")
    changes = [f"{d.setting}={d.wanted}" for d in report.differences if d.setting != "replication"]
    if changes:
        shown.append(
            escaped(
                "\n         kafka-configs.sh --bootstrap-server … --alter --entity-type topics "
                f"--entity-name {report.topic} --add-config {','.join(changes)}"
            )
        )
    return shown
