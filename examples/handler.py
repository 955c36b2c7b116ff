"""A service that handles payments which policy lets through.

It reads these variables:
  STREAMWARDEN_BOOTSTRAP_SERVERS   where Kafka is
  STREAMWARDEN_STORE               the URL of a bundle store, which is followed; or
  STREAMWARDEN_POLICIES            a directory of policies (default: the one beside this file)
  STREAMWARDEN_TOPIC               the topic to read (default: payments)
  STREAMWARDEN_GROUP               the consumer group (default: fulfilment)
  UNTIL_END                        set: end where the topic ends (default: at SIGTERM)
  METRICS_PORT                     where Prometheus scrapes, on loopback (default: nowhere)
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from streamwarden import Guard, GuardedConsumer, GuardedMessage, metrics

log = logging.getLogger("handler")


def open_guard() -> Guard:
    store = os.environ.get("STREAMWARDEN_STORE")
    if store:
        return Guard.from_url(store, client_id="handler")
    policies = os.environ.get("STREAMWARDEN_POLICIES") or Path(__file__).parent / "policies"
    return Guard.from_directory(policies, client_id="handler")


def handle(message: GuardedMessage) -> None:
    """Do the work; when this raises, the event is tried again, and never skipped in silence."""
    log.info("%s %s", message.decision.effect.value, (message.value() or b"").decode())


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    if port := os.environ.get("METRICS_PORT"):
        metrics.serve(int(port))
    config = {
        "bootstrap.servers": os.environ["STREAMWARDEN_BOOTSTRAP_SERVERS"],
        "group.id": os.environ.get("STREAMWARDEN_GROUP", "fulfilment"),
        "auto.offset.reset": "earliest",
    }
    with open_guard().start() as guard, GuardedConsumer(config, guard=guard) as consumer:
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: consumer.stop())
        consumer.subscribe([os.environ.get("STREAMWARDEN_TOPIC", "payments")])
        log.info("handling under %s", guard.bundle.label)
        handled = consumer.run(handle, until_end=bool(os.environ.get("UNTIL_END")))
    log.info("%d payments handled", handled)
    return 0


if __name__ == "__main__":
    sys.exit(main())
