"""Kafka in a container, for who would rather trust the official image: STREAMWARDEN_TEST_DOCKER=1."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .cache import MissingServerError, free_port

__all__ = ["kafka_container"]

IMAGE = "apache/kafka:4.1.0"

START_TIMEOUT_S = 120.0  # the image may have to be pulled first

_CLIENT_PORT = "9092"


@contextmanager
def kafka_container() -> Generator[str]:
    """A broker in a container, removed at the end; yields what clients take to reach it.

    STREAMWARDEN_TEST_KAFKA_IMAGE names another image that is configured as the official one.
    """
    from docker.errors import DockerException  # type: ignore[import-untyped]
    from testcontainers.core.container import DockerContainer

    port = free_port()
    try:
        container = DockerContainer(os.environ.get("STREAMWARDEN_TEST_KAFKA_IMAGE", IMAGE))
    except DockerException as error:
        raise MissingServerError(f"no Docker engine answers: {error}") from error
    for name, value in _environment(port).items():
        container.with_env(name, value)
    # The library's own way to bind a port would open it to the network.
    cast("dict[str, object]", container.ports)[f"{_CLIENT_PORT}/tcp"] = ("127.0.0.1", port)
    try:
        container.start()
    except DockerException as error:
        raise MissingServerError(f"the container cannot be started: {error}") from error
    try:
        bootstrap = f"127.0.0.1:{port}"
        _wait(bootstrap)
        yield bootstrap
    finally:
        container.stop()


def _environment(port: int) -> dict[str, str]:
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        # Transactions need a listener on which the broker reaches itself.
        "KAFKA_LISTENERS": f"OUTSIDE://:{_CLIENT_PORT},INSIDE://:19092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"OUTSIDE://127.0.0.1:{port},INSIDE://localhost:19092",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": ",".join(
            f"{name}:PLAINTEXT" for name in ("OUTSIDE", "INSIDE", "CONTROLLER")
        ),
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_LOG_RETENTION_MS": "-1",
        "KAFKA_HEAP_OPTS": "-Xms64m -Xmx384m",
    }


def _wait(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(KafkaException):
            if admin.list_topics(timeout=2).brokers:
                return
    raise RuntimeError(f"the container's broker did not answer in {START_TIMEOUT_S:.0f} s")
