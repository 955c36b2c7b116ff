"""A job that replays history against the policy of today, once or on a schedule.

It reads these variables:
  STREAMWARDEN_BOOTSTRAP_SERVERS   where Kafka is
  STREAMWARDEN_STORE               the URL of a bundle store; or
  STREAMWARDEN_POLICIES            a directory of policies (default: the one beside this file)
  STREAMWARDEN_TOPIC               the topics to replay, with commas (default: payments)
  RECONCILE_DAYS                   how far to look back (default: 0, everything)
  RECONCILE_EVERY_S                seconds between two runs (default: 0, run once)
  RECONCILE_FINDINGS               a file for the findings of the last run, one a line
  METRICS_PORT                     where Prometheus scrapes, on loopback (default: nowhere)

Run once, it exits as `streamwarden reconcile` does: 0 clean, 2 drift found, 1 failed or incomplete.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from streamwarden import StreamwardenError, metrics
from streamwarden.policy.loader import load_directories
from streamwarden.policy.store import open_store
from streamwarden.reconciler import ReconcileOptions, reconcile
from streamwarden.reconciler.text import first_sentence

log = logging.getLogger("reconciliation")


def options() -> ReconcileOptions:
    """What to replay. The policy is loaded anew for each run."""
    store = os.environ.get("STREAMWARDEN_STORE")
    policies = os.environ.get("STREAMWARDEN_POLICIES") or Path(__file__).parent / "policies"
    days = float(os.environ.get("RECONCILE_DAYS", "0"))
    findings = os.environ.get("RECONCILE_FINDINGS")
    return ReconcileOptions(
        config={"bootstrap.servers": os.environ["STREAMWARDEN_BOOTSTRAP_SERVERS"]},
        topics=tuple(os.environ.get("STREAMWARDEN_TOPIC", "payments").split(",")),
        store=open_store(store) if store else None,
        bundle=None if store else load_directories([Path(policies)]),
        since=int((time.time() - days * 86_400) * 1000) if days else None,
        findings=Path(findings) if findings else None,
    )


def run_once() -> int:
    """The exit status of one reconciliation; what it found is logged."""
    try:
        report = reconcile(options())
    except StreamwardenError as error:
        log.error("not reconciled: %s", error)
        return 1
    metrics.reconciled(report)
    log.info("%s %s", report.verdict, first_sentence(report))
    for kind, count in report.counts().items():
        if count:
            log.warning("%s: %d", kind, count)
    return report.exit_status()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    if port := os.environ.get("METRICS_PORT"):
        metrics.serve(int(port))
    stop = threading.Event()
    # A run only reads: it is cut off where it is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    every_s = float(os.environ.get("RECONCILE_EVERY_S", "0"))
    status = run_once()
    while every_s:
        stop.wait(every_s)
        status = run_once()
    return status


if __name__ == "__main__":
    sys.exit(main())
