"""Handles the payments that policy lets through, until it is told to stop."""

from __future__ import annotations

import logging
import signal

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from surroundings import BOOTSTRAP, REGISTRY, TOPIC, begin, open_guard

from streamwarden import GuardedDeserializingConsumer, GuardedMessage

log = logging.getLogger("handler")


def handle(message: GuardedMessage) -> None:
    """Do the work. When this raises, the payment is tried again; it is never skipped in silence."""
    paid = message.value()
    card = f", card {paid['card_number']}" if paid["card_number"] else ""
    log.info("%s: %s %s%s", paid["id"], paid["amount"], paid["currency"], card)


def main() -> None:
    """Handle until SIGTERM."""
    begin()
    config = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": "fulfilment",
        "auto.offset.reset": "earliest",
        "value.deserializer": AvroDeserializer(SchemaRegistryClient({"url": REGISTRY})),
    }
    with (
        open_guard("handler") as guard,
        GuardedDeserializingConsumer(config, guard=guard) as consumer,
    ):
        signal.signal(signal.SIGTERM, lambda *_: consumer.stop())
        consumer.subscribe([TOPIC])
        log.info("handling %s under %s", TOPIC, guard.bundle.label)
        handled = consumer.run(handle)
    log.info("%d payments handled", handled)


if __name__ == "__main__":
    main()
