"""Publishes made-up payments, as Avro, until it is told to stop.

PAYMENTS_PER_SECOND says how many.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from surroundings import BOOTSTRAP, REGISTRY, TOPIC, begin, open_guard

from streamwarden import GuardedSerializingProducer

log = logging.getLogger("publisher")

SCHEMA = Path(__file__).parent / "schemas" / "payments-value.avsc"
MARKETS = [("US", "USD"), ("DE", "EUR"), ("FR", "EUR"), ("CA", "CAD")]


def payment(number: int, chance: random.Random) -> dict[str, object]:
    """A payment; now and then one that policy does not let through."""
    country, currency = chance.choice(MARKETS)
    amount = chance.uniform(1, 20_000)
    kind = chance.choice(["card", "transfer"])
    if number % 25 == 10:  # rejected: not settled
        country, currency, kind = "GB", "GBP", "card"
    elif number % 25 == 20:  # held: large, and foreign
        country, currency, kind, amount = "DE", "EUR", "transfer", 61_250.5
    return {
        "id": f"p{number}",
        "kind": kind,
        "amount": Decimal(amount).quantize(Decimal("0.01")),
        "currency": currency,
        "country": country,
        "card_number": "4111111111111111" if kind == "card" else None,
        "ordered_at": datetime.now(UTC),
    }


def report(error: KafkaError | None, message: Any) -> None:
    """Called once for each payment, when it is known where it is."""
    if error is None:
        return
    refused = error.code() == KafkaError.POLICY_VIOLATION
    level = logging.INFO if refused else logging.ERROR
    log.log(level, "%s: %s", message.key().decode(), error.str())


def main() -> None:
    """Publish until SIGTERM; what is under way is written before the end."""
    begin()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    pause_s = 1 / float(os.environ.get("PAYMENTS_PER_SECOND", "10"))
    config = {
        "bootstrap.servers": BOOTSTRAP,
        "key.serializer": lambda key, _: key.encode(),
        "value.serializer": AvroSerializer(
            SchemaRegistryClient({"url": REGISTRY}), SCHEMA.read_text()
        ),
    }
    chance = random.Random()  # noqa: S311 - the payments are made up
    with (
        open_guard("publisher") as guard,
        GuardedSerializingProducer(config, guard=guard) as producer,
    ):
        log.info("publishing to %s under %s", TOPIC, guard.bundle.label)
        for number in count(1):
            event = payment(number, chance)
            producer.produce(TOPIC, key=str(event["id"]), value=event, on_delivery=report)
            producer.poll(0)
            if stop.wait(pause_s):
                break
    log.info("%d payments published", number)


if __name__ == "__main__":
    main()
