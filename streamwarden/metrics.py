"""Metrics for Prometheus: what all guards of this process do, as one collector.

    from streamwarden import metrics

    metrics.register()                  # beside the service's own metrics, in prometheus_client's registry
    server = metrics.serve(9464)        # or served by itself, on loopback

Nothing here runs while an event is decided: what a scrape reads are the counters that guards keep
anyway. Counts are sums over the process, and stay when a guard goes.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamwarden.errors import ConfigurationError

from .decision_times import TIMES
from .policy.guard import Guard
from .policy.model import Effect, Mode
from .policy.tallies import LEDGER, Sums

if TYPE_CHECKING:
    from .reconciler.report import Report

__all__ = ["GuardCollector", "MetricsServer", "reconciled", "register", "serve"]

_PREFIX = "streamwarden_"
_LOOPBACK = "127.0.0.1"


class _LastRun:
    """The last reconciliation of this process."""

    findings: dict[tuple[str, str], int] | None = None
    succeeded_at: float | None = None


_last = _LastRun()


def reconciled(report: Report) -> None:
    """Show the findings of a reconciliation that has ended; a complete one is a success."""
    from .reconciler.findings import KINDS  # noqa: PLC0415 - a service that guards needs none of it

    counts = report.counts_by_topic()
    topics = {partition.topic for partition in report.partitions} | set(counts)
    _last.findings = {
        (topic, kind): counts.get(topic, {}).get(kind, 0) for topic in topics for kind in KINDS
    }
    if report.complete:
        _last.succeeded_at = time.time()


class GuardCollector(Collector):
    """Gives the metrics of all guards of this process, and of its last reconciliation."""

    def collect(self) -> Iterable[Metric]:
        """Every metric, as it is now."""
        sums, guards = LEDGER.sums(), [guard for guard in LEDGER.guards() if not guard.closed]
        yield from _decided(sums)
        yield from _counted(sums)
        yield from _guards(guards)
        yield from _reconciliation()

    def describe(self) -> Iterable[Metric]:
        """The names, for a registry that looks for doubles and for scrapes of some names only."""
        yield from self.collect()


def _counter(name: str, help_: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(_PREFIX + name, help_, labels=labels)


def _gauge(name: str, help_: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, help_, labels=labels)


def _decided(sums: Sums) -> Iterable[Metric]:
    decisions = _counter("decisions", "Decisions on events.", "topic", "stage", "effect")
    for topic, stage in sorted({(topic, stage) for topic, stage, _ in sums.decisions}):
        for effect in Effect:
            count = sums.decisions.get((topic, stage, effect.value), 0)
            decisions.add_metric([topic, stage, effect.value], count)
    yield decisions
    matches = _counter("rule_matches", "Events on which a rule fired.", "policy", "rule", "mode")
    for labels, count in sorted(sums.matches.items()):
        matches.add_metric(labels, count)
    yield matches
    errors = _counter(
        "rule_errors", "Events on which a rule could not be evaluated.", "policy", "rule"
    )
    for rule, count in sorted(sums.errors.items()):
        errors.add_metric(rule, count)
    yield errors
    uncovered = _counter("uncovered", "Events of topics that no policy covers.", "topic")
    for topic, count in sorted(sums.uncovered.items()):
        uncovered.add_metric([topic], count)
    yield uncovered
    buckets, total_s = TIMES.buckets()
    yield HistogramMetricFamily(
        f"{_PREFIX}decision_seconds",
        "Time from an event's bytes to the decision; sampled.",
        buckets=buckets,
        sum_value=total_s,
    )


def _counted(sums: Sums) -> Iterable[Metric]:
    parked = _counter("parked", "Events written to a parking topic.", "topic", "kind")
    dropped = _counter("dropped", "What was dropped or refused.", "component", "reason")
    fallbacks = _counter("fallbacks", "Times something was done in another way.", "component")
    refused = _counter("bundle_refused", "Bundles that were not taken.", "reason")
    handler = _counter("handler", "What became of events that a handler failed on.", "outcome")
    stamps = _counter("stamps", "What consumers found about the stamps of events.", "finding")
    waits = _counter("schema_waits", "Times a consumer waited for a schema.")
    families: dict[str, dict[tuple[str, ...], int]] = {}
    for name, count in sums.counters.items():
        family, labels = _split(name)
        found = families.setdefault(family, {})
        found[labels] = found.get(labels, 0) + count
    for family, metric in (
        ("parked", parked),
        ("dropped", dropped),
        ("fallbacks", fallbacks),
        ("bundle_refused", refused),
        ("handler", handler),
        ("stamps", stamps),
    ):
        for labels, count in sorted(families.get(family, {}).items()):
            metric.add_metric(labels, count)
        yield metric
    waits.add_metric([], families.get("schema", {}).get(("waited",), 0))
    yield waits


def _split(name: str) -> tuple[str, tuple[str, ...]]:
    """A counter's name as its metric and labels: `dropped/parking/failed`, `fallbacks/source`."""
    family, _, rest = name.partition("/")
    if family == "parked":
        topic, _, kind = rest.rpartition("/")
        return family, (LEDGER.topic(topic), kind)
    if family == "dropped":
        component, _, reason = rest.partition("/")
        return family, (component, reason)
    return family, (rest,)


def _guards(guards: list[Guard]) -> Iterable[Metric]:
    tables = [table for guard in guards if (table := guard.in_use) is not None]
    info = _gauge("bundle_info", "1 for each bundle in use.", "name", "number", "digest")
    for labels in sorted({(t.bundle.name, str(t.bundle.number), t.bundle.digest) for t in tables}):
        info.add_metric(labels, 1)
    yield info
    activated = _gauge(
        "bundle_activated_timestamp_seconds", "When the newest bundle in use was taken."
    )
    taken = [guard.swapped_at for guard in guards if guard.swapped_at is not None]
    if taken:
        activated.add_metric([], max(taken))
    yield activated
    heard = _gauge(
        "source_last_success_timestamp_seconds",
        "When a source of policy was last heard; of several guards the one that waits longest.",
    )
    times = [at for guard in guards if (at := guard.source_last_success) is not None]
    if times:
        heard.add_metric([], min(times))
    yield heard
    modes = _gauge("guard_mode", "Guards by the mode that they decide in.", "mode")
    for mode in Mode:
        modes.add_metric([mode.value], sum(table.mode is mode for table in tables))
    yield modes
    for name, help_ in (
        ("flood_open", "Guards that met a flood of refused events, and stop or warn."),
        ("overrides_active", "Break-glass grants in force: 0, since there are none yet."),
    ):
        gauge = _gauge(name, help_)
        gauge.add_metric([], sum(guard.gauges.get(name, 0) for guard in guards))
        yield gauge


def _reconciliation() -> Iterable[Metric]:
    findings = _gauge(
        "reconcile_findings", "Findings of the last reconciliation here.", "kind", "topic"
    )
    for (topic, kind), count in sorted((_last.findings or {}).items()):
        findings.add_metric([kind, topic], count)
    yield findings
    succeeded = _gauge(
        "reconcile_last_success_timestamp_seconds", "When a reconciliation here last read it all."
    )
    if _last.succeeded_at is not None:
        succeeded.add_metric([], _last.succeeded_at)
    yield succeeded


_collector = GuardCollector()
_registered: weakref.WeakSet[CollectorRegistry] = weakref.WeakSet()


def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Add the metrics to `registry`, and begin to time decisions. A second call does nothing."""
    if registry not in _registered:
        registry.register(_collector)
        _registered.add(registry)
    TIMES.start()


class MetricsServer:
    """Metrics at `http://HOST:PORT/metrics` until it is closed; a context manager."""

    def __init__(self, server: Any) -> None:
        self._server: Any = server
        self.host, self.port = str(server.server_address[0]), int(server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(
    port: int, host: str = _LOOPBACK, *, registry: CollectorRegistry = REGISTRY
) -> MetricsServer:
    """Serve the metrics of `registry`, these among them, from a thread of their own.

    `port` 0 is any free one. There is neither TLS nor a password: beyond loopback, only in a
    network of one's own. Raises ConfigurationError where it cannot listen.
    """
    register(registry)
    try:
        server, _ = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"metrics cannot be served at {host}:{port}: {why.lower()}",
            remedy="name another port or address",
        ) from None
    return MetricsServer(server)
