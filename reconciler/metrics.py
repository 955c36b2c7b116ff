"""The figures of a run for Prometheus: as a text file for the node exporter, or pushed.

A run ends before anybody could scrape it, so it leaves its figures where they stay.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from prometheus_client import CollectorRegistry, Gauge, exposition
from prometheus_client.exposition import basic_auth_handler, generate_latest

from streamwarden.errors import ReconcileError
from streamwarden.urls import http_url

__all__ = ["push", "write_open", "write_textfile"]

_JOB = "streamwarden_reconcile"
_TIMEOUT_S = 30.0


def write_textfile(report: Mapping[str, Any], path: Path) -> None:
    """Write the figures of a report, as JSON has it, to `path`, whole or not at all."""
    try:
        registry = _registry(report, _last_success(path))
    except OSError as error:
        raise _not_written(path, error) from None
    _write(registry, path)


def write_open(open_: Mapping[str, int], path: Path) -> None:
    """Write how many release candidates still wait in each parking topic."""
    registry = CollectorRegistry()
    name = "streamwarden_release_open"
    gauge = Gauge(name, "Release candidates that wait.", ["topic"], registry=registry)
    for topic, count in open_.items():
        gauge.labels(topic).set(count)
    _write(registry, path)


def _write(registry: CollectorRegistry, path: Path) -> None:
    try:
        data = generate_latest(registry)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as part:
            try:
                part.write(data)
                part.flush()
                Path(part.name).chmod(0o644)  # the node exporter is another user
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink()
                raise
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> ReconcileError:
    return ReconcileError(
        f"the metrics cannot be written to `{path}`: {error.strerror}",
        remedy="name a file in a folder that can be written to",
    )


def push(report: Mapping[str, Any], url: str) -> None:
    """Push the figures to the push gateway at `url`; user and password may stand in it.

    Those of the last successful run stay where this one was none. Raises ConfigurationError for a
    URL that is none, ReconcileError where it does not take them.
    """
    gateway_url = http_url(url, "--metrics-push")
    key = {"bundle": report["bundle"].partition("@")[0]}

    def handler(**request: Any) -> Any:
        user, password = gateway_url.user, gateway_url.password
        return basic_auth_handler(**request, username=user, password=password)

    more: dict[str, Any] = {} if gateway_url.user is None else {"handler": handler}
    # Added, not replaced: a run that was no success must not take away when the last one was.
    gateway: Any = exposition  # its annotations leave the handlers open
    send = gateway.push_to_gateway if report["complete"] else gateway.pushadd_to_gateway
    try:
        send(
            gateway_url.bare,
            job=_JOB,
            registry=_registry(report, None),
            grouping_key=key,
            timeout=_TIMEOUT_S,
            **more,
        )
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise ReconcileError(
            f"the metrics cannot be pushed to `{gateway_url.place}`: {error}",
            remedy="check that the push gateway is there",
        ) from None


def _registry(report: Mapping[str, Any], before: float | None) -> CollectorRegistry:
    registry = CollectorRegistry()

    def gauge(name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(f"streamwarden_reconcile_{name}", help_, labels, registry=registry)

    findings = gauge("findings", "Findings of the last run.", "kind", "topic")
    topics = {part["topic"] for part in report["partitions"]} | set(report["topics"])
    for topic in sorted(topics):
        counts = report["topics"].get(topic, {})
        for kind in report["counts"]:
            findings.labels(kind, topic).set(counts.get(kind, 0))
    gauge("events", "Events that the last run judged.").set(report["events"])
    gauge("unverifiable", "Stamps that could not be verified.").set(report["unverifiable"])
    gauge("complete", "1 where the last run read everything.").set(int(report["complete"]))
    gauge("duration_seconds", "How long the last run took.").set(report["seconds"])
    ended = report["started"] / 1000 + report["seconds"]
    gauge("last_run_timestamp_seconds", "When the last run ended.").set(ended)
    unread = sum(p["end"] - p["first"] - p["covered"] for p in report["partitions"])
    gauge("unread_offsets", "Offsets that the last run did not get past.").set(unread)
    unplanned = sum(bool(p.get("problem")) for p in report["partitions"])
    gauge("unread_partitions", "Partitions of which nothing could be read.").set(unplanned)
    _decision_log(report.get("decision_log"), gauge)
    candidates = gauge("release_candidates", "Parked events that today's policy lets through.")
    candidates.set(report["counts"]["now-allowed"])
    succeeded = ended if report["complete"] else before
    if succeeded is not None:
        success = gauge("last_success_timestamp_seconds", "When the last complete run ended.")
        success.set(succeeded)
    return registry


def _decision_log(log: Mapping[str, Any] | None, gauge: Callable[[str, str], Gauge]) -> None:
    """What a comparison with the log of decisions came to; nothing where there was none."""
    if log is None or log.get("problem"):
        return
    for name, help_, number in (
        ("missed", "Events that the decision log should tell of and does not.", log["missed"]),
        ("unlogged", "Events without an entry.", sum(log["events_without_entry"].values())),
        ("unfound", "Entries without an event.", log["entries_without_event"]),
    ):
        gauge(f"decision_log_{name}", help_).set(number)


def _last_success(path: Path) -> float | None:
    """What the file said of the last complete run; None where it said nothing."""
    try:
        text = path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "streamwarden_reconcile_last_success_timestamp_seconds":
            try:
                return float(value)
            except ValueError:
                return None
    return None
