"""Replays the payments of the last hours against the policy of today, again and again.

--interval SECONDS  from the end of one reconciliation to the begin of the next
--hours HOURS       how far each looks back
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from contextlib import closing

from surroundings import BOOTSTRAP, REGISTRY, STORE, STORE_CLIENT, TOPIC, begin

from streamwarden import StreamwardenError, metrics
from streamwarden.policy.store import open_store
from streamwarden.reconciler import ReconcileOptions, reconcile
from streamwarden.reconciler.text import first_sentence

log = logging.getLogger("reconciler")


def reconcile_once(hours: float) -> None:
    """One reconciliation; what it found is in the metrics, and its first sentence in the log."""
    with closing(open_store(STORE, client=STORE_CLIENT)) as store:
        report = reconcile(
            ReconcileOptions(
                config={"bootstrap.servers": BOOTSTRAP},
                topics=(TOPIC,),
                store=store,
                schemas=REGISTRY,
                since=int((time.time() - hours * 3600) * 1000),
            )
        )
    metrics.reconciled(report)
    found = {kind: number for kind, number in report.counts().items() if number}
    log.info("%s by %s: %s %s", report.verdict, report.bundle, first_sentence(report), found or "")


def main() -> None:
    """Reconcile until SIGTERM. One that fails is told, and tried again the next time."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--interval", type=float, default=86_400)
    arguments.add_argument("--hours", type=float, default=24)
    given = arguments.parse_args()
    begin()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while True:
        try:
            reconcile_once(given.hours)
        except StreamwardenError as error:
            log.error("not reconciled: %s", error)
        if stop.wait(given.interval):
            return


if __name__ == "__main__":
    main()
