"""What the three services find around them, by their environment.

BOOTSTRAP_SERVERS    where Kafka is
SCHEMA_REGISTRY_URL  the registry, with the path of the API that it shares with Confluent's
POLICY_STORE         where guards follow policy; REDIS_PASSWORD is its password
DECISION_LOG         where decisions go that are no plain allow, with why
TOPIC                the topic of the payments
METRICS_PORT         where Prometheus asks
"""

from __future__ import annotations

import logging
import os

from streamwarden import Guard, metrics

__all__ = ["BOOTSTRAP", "REGISTRY", "STORE", "STORE_CLIENT", "TOPIC", "begin", "open_guard"]

BOOTSTRAP = os.environ["BOOTSTRAP_SERVERS"]
REGISTRY = os.environ["SCHEMA_REGISTRY_URL"]
STORE = os.environ["POLICY_STORE"]
#: Beside the URL, so that no password can get from there into a log.
STORE_CLIENT = {"password": os.environ["REDIS_PASSWORD"]}
TOPIC = os.environ.get("TOPIC", "payments")


def begin() -> None:
    """Log to standard error, and serve metrics to the network of the containers."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    for ours in ("streamwarden", "publisher", "handler", "reconciler"):
        logging.getLogger(ours).setLevel(logging.INFO)
    port = int(os.environ.get("METRICS_PORT", "9464"))
    metrics.serve(port, "0.0.0.0")  # noqa: S104 - of the containers' own network, see docker-compose.yml


def open_guard(service: str) -> Guard:
    """A guard that follows the store; rules and the decision log see `service` as its client."""
    return Guard.from_url(
        STORE,
        client=STORE_CLIENT,
        schemas=REGISTRY,
        decision_log=os.environ.get("DECISION_LOG"),
        client_id=service,
    )
