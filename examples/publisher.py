"""A service that publishes payments through policy.

It reads these variables:
  STREAMWARDEN_BOOTSTRAP_SERVERS   where Kafka is
  STREAMWARDEN_STORE               the URL of a bundle store, which is followed; or
  STREAMWARDEN_POLICIES            a directory of policies (default: the one beside this file)
  STREAMWARDEN_TOPIC               the topic to write to (default: payments)
  PAYMENTS                         how many payments to publish (default: until SIGTERM)
  PAYMENTS_PER_SECOND              how fast (default: 10)
  METRICS_PORT                     where Prometheus scrapes, on loopback (default: nowhere)
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError
from streamwarden import Guard, GuardedProducer, metrics

log = logging.getLogger("publisher")


def open_guard() -> Guard:
    store = os.environ.get("STREAMWARDEN_STORE")
    if store:
        return Guard.from_url(store, client_id="publisher")
    policies = os.environ.get("STREAMWARDEN_POLICIES") or Path(__file__).parent / "policies"
    return Guard.from_directory(policies, client_id="publisher")


def payment(number: int, chance: random.Random) -> dict[str, object]:
    """A made-up payment; a few of them are what policy is there for."""
    country, currency = chance.choice([("US", "USD"), ("DE", "EUR"), ("CA", "CAD"), ("FR", "EUR")])
    made: dict[str, object] = {
        "id": f"p{number}",
        "kind": chance.choice(["card", "transfer"]),
        "amount": round(chance.uniform(1, 20_000), 2),
        "country": country,
        "currency": currency,
    }
    if number % 20 == 3:
        made |= {"kind": "card", "currency": "GBP"}  # rejected
    elif number % 20 == 7:
        made |= {"kind": "transfer", "amount": 61_250.5, "country": "DE"}  # held
    if made["kind"] == "card":
        made["card_number"] = "4111111111111111"  # masked
    return made


def report(error: KafkaError | None, message: Any) -> None:
    """Called once for each payment, when its write, wherever it went, is decided."""
    if error is None:
        return
    if error.code() == KafkaError.POLICY_VIOLATION:
        log.info("%s: %s", message.key().decode(), error.str())
    else:
        log.error("%s was not written: %s", message.key().decode(), error.str())


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    if port := os.environ.get("METRICS_PORT"):
        metrics.serve(int(port))
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    topic = os.environ.get("STREAMWARDEN_TOPIC", "payments")
    limit = int(os.environ.get("PAYMENTS", "0")) or None
    pause_s = 1 / float(os.environ.get("PAYMENTS_PER_SECOND", "10"))
    config = {"bootstrap.servers": os.environ["STREAMWARDEN_BOOTSTRAP_SERVERS"]}
    chance, number = random.Random(7), 0  # noqa: S311 - made-up payments
    with open_guard().start() as guard, GuardedProducer(config, guard=guard) as producer:
        log.info("publishing to %s under %s", topic, guard.bundle.label)
        while not stop.is_set() and number != limit:
            number += 1
            event = payment(number, chance)
            producer.produce(
                topic,
                key=str(event["id"]).encode(),
                value=json.dumps(event).encode(),
                on_delivery=report,
            )
            producer.poll(0)
            if number != limit:
                stop.wait(pause_s)
        # Within the 30 s that are usual between SIGTERM and SIGKILL: callbacks tell what is given up.
        unsent = producer.flush(20)
        producer.close(2)
    log.info("%d payments published, %d left unsent", number, unsent)
    return 1 if unsent else 0


if __name__ == "__main__":
    sys.exit(main())
