"""`streamwarden doctor`: what will fail at the first bad event, said before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

import click
from rich.text import Text

from ..policy.bundle import Bundle
from ..producers.checkup import Asked, check_cluster, reach_cluster
from ..producers.repairs import Check, Commands
from ..producers.topics import parking_topics
from .client import Client
from .doctor_sources import (
    check_decision_log,
    check_libraries,
    check_policies,
    check_schemas,
    policy_flags,
)
from .failures import OK, VIOLATIONS
from .options import (
    PolicySource,
    client_options,
    decision_log_option,
    output_options,
    policy_options,
    topic_option,
)
from .output import SECRETS, Output, counted, escaped, write_json

__all__ = ["doctor"]

_T = TypeVar("_T")

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@topic_option(
    required=False, multiple=True, help="A topic to guard; else those that policies name."
)
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice(("produce", "consume")),
    help="What this user does with the topics; produce, and consume where --group is said.",
)
@click.option("--group", metavar="GROUP", help="The consumer group that this user reads as.")
@policy_options
@decision_log_option
@client_options
@output_options
def doctor(
    topics: tuple[str, ...],
    stages: tuple[str, ...],
    group: str | None,
    source: PolicySource,
    client: Client,
    output: Output,
) -> int:
    """Say what will fail, before the first bad event does, and with which commands to repair it.

    Looks at brokers, topics, their parking topics, rights, retention and record sizes, and at
    policies, store, schemas and decision log. Call it as the service is configured: with its user,
    its flags and its variables. It only asks: nothing is written, made, committed or joined.

      streamwarden doctor -b localhost:9092 --topic payments --policies policies/
      streamwarden doctor -F client.properties -t payments --store redis://host/0 --group fulfilment

    Exit status: 0 nothing will fail (there may be warnings), 2 something will, or parking could not
    be looked at, 1 wrongly called.
    """
    deadline = time.monotonic() + client.timeout_s
    commands = Commands(
        client.servers,
        client.properties.get("sasl.username", ""),
        client.properties.get("security.protocol", "plaintext").lower() != "plaintext",
        policy_flags(source),
    )
    # Any of them may be silent until the deadline, so they are asked at the same time.
    reached = _aside(lambda: reach_cluster(client.config(), commands, deadline))
    logged = _aside(lambda: check_decision_log(source.decision_log, client, deadline))
    bundle, checks = check_policies(source, client, deadline)
    names = topics or _named(bundle)
    if bundle is not None:
        checks += check_schemas(source.schemas, bundle, names, deadline)
        checks += [_coverage(bundle, topic) for topic in names]
    checks += logged.result()
    doing = stages or (("produce",) if group is None else ("produce", "consume"))
    asked = Asked(names, doing, bundle, group, commands)
    found = check_cluster(reached.result(), asked)
    if bundle is not None:
        found = _eased(found, bundle, names)
    checks = [check_libraries(), *checks, *found]
    if output.json:
        write_json([_as_json(check) for check in checks])
    else:
        output.print(*map(_line, checks), _sum(checks))
    return VIOLATIONS if any(check.status == "fail" for check in checks) else OK


def _aside(work: Callable[[], _T]) -> Future[_T]:
    """Begin `work` on a thread that nobody waits for where the command is interrupted."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="streamwarden-doctor", daemon=True).start()
    return future


def _named(bundle: Bundle | None) -> tuple[str, ...]:
    """The topics that policies name without a glob."""
    policies = () if bundle is None else bundle.policies
    return tuple(sorted({t for policy in policies for t in policy.topics if "*" not in t}))


def _coverage(bundle: Bundle, topic: str) -> Check:
    policies = bundle.policies_for(topic, "produce", time.time_ns())
    policies += tuple(
        policy
        for policy in bundle.policies_for(topic, "consume", time.time_ns())
        if policy not in policies
    )
    if policies:
        return Check("policies", "ok", topic, f"covered by {', '.join(p.id for p in policies)}")
    found = "no policy covers it now"
    if bundle.settings.uncovered == "reject":
        return Check("policies", "fail", topic, found, "every event is rejected")
    return Check("policies", "warn", topic, found, "every event passes, stamped `none`")


def _eased(checks: list[Check], bundle: Bundle, topics: Sequence[str]) -> list[Check]:
    """Warnings instead of failures of parking topics of `topics` of which every event passes.

    Nothing is parked there until a policy covers them.
    """
    if bundle.settings.uncovered == "reject":
        return checks
    now = time.time_ns()
    idle = {
        name: topic
        for topic in topics
        if not any(bundle.policies_for(topic, stage, now) for stage in ("produce", "consume"))
        for name, _ in parking_topics(bundle, topic)
    }
    return [
        replace(
            check, status="warn", means=f"once a policy covers {idle[check.subject]}, {check.means}"
        )
        if check.status == "fail" and check.subject in idle
        else check
        for check in checks
    ]


def _as_json(check: Check) -> dict[str, object]:
    return {
        "check": check.check,
        "status": check.status,
        "subject": SECRETS.hide(check.subject),
        "found": SECRETS.hide(check.found),
        "means": SECRETS.hide(check.means),
        "repair": [SECRETS.hide(command) for command in check.repair],
    }


def _line(check: Check) -> Text:
    shown = Text().append(f"{check.status:<5}", _STYLES[check.status])
    shown.append(f" {check.check:<12} ")
    shown.append(SECRETS.hide(escaped(check.subject)), "bold")
    shown.append(f"  {SECRETS.hide(escaped(check.found))}")
    if check.means:
        shown.append(f"\n      {SECRETS.hide(escaped(check.means))}")
    for command in check.repair:
        shown.append(f"\n        {SECRETS.hide(escaped(command))}", "cyan")
    return shown


def _sum(checks: list[Check]) -> Text:
    failed = sum(check.status == "fail" for check in checks)
    warned = sum(check.status == "warn" for check in checks)
    if not failed and not warned:
        return Text("nothing will fail", "green")
    said = [counted(failed, "problem")] if failed else []
    said += [counted(warned, "warning")] if warned else []
    return Text(", ".join(said), "red" if failed else "yellow")
