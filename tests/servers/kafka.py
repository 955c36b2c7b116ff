"""Real Kafka on loopback: one node or several, with users, through a proxy, to be killed at will."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from .cache import free_port
from .kafka_home import KafkaHome, kafka_home, lines, random_id
from .process import START_TIMEOUT_S, Server, listening
from .proxy import Proxy

__all__ = ["Cluster", "Node", "StartKafka", "kafka_cluster"]

# The defaults are for clusters that run for years and fail slowly; these let the internal topics,
# group joins, failovers, compaction and retention happen within a test. Retention is only where a
# topic asks for it: records with timestamps of last year would be gone before they are read.
_SETTINGS = """
    process.roles=broker,controller
    controller.listener.names=CONTROLLER
    inter.broker.listener.name=PLAINTEXT
    auto.create.topics.enable=false
    offsets.topic.num.partitions=1
    transaction.state.log.num.partitions=1
    share.coordinator.state.topic.num.partitions=1
    group.initial.rebalance.delay.ms=0
    group.min.session.timeout.ms=1000
    broker.heartbeat.interval.ms=200
    broker.session.timeout.ms=2000
    controller.quorum.fetch.timeout.ms=1000
    controller.quorum.election.timeout.ms=300
    controller.quorum.election.backoff.max.ms=300
    log.cleaner.backoff.ms=200
    log.cleaner.dedupe.buffer.size=4194304
    log.initial.task.delay.ms=100
    log.retention.check.interval.ms=300
    log.retention.ms=-1
"""


class Node(Server):
    """One broker, which is a controller too.

    `bootstrap` is for the super user and without faults; `sasl_bootstrap` checks passwords and
    rights (with `users`); `proxied_bootstrap` goes through `proxy` (with `proxied`).
    """

    def __init__(self, home: KafkaHome, folder: Path, number: int, *, proxied: bool) -> None:
        port = free_port()
        super().__init__(
            home.command(folder / "server.properties"),
            folder,
            lambda: listening(port) and _has_joined(self.bootstrap, number),
        )
        self.number = number
        self.port = port
        self.sasl_port = free_port()
        self.behind_proxy_port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.sasl_bootstrap = f"127.0.0.1:{self.sasl_port}"
        self._proxy = Proxy(self.behind_proxy_port) if proxied else None

    @property
    def proxy(self) -> Proxy:
        """The faults in front of `proxied_bootstrap`."""
        assert self._proxy is not None, "the node was started without `proxied=True`"
        return self._proxy

    @property
    def proxied_bootstrap(self) -> str:
        """Through the proxy, whatever the client then asks for."""
        return f"127.0.0.1:{self.proxy.port}"

    def end(self) -> None:
        """Kill it and take its proxy away."""
        self.kill()
        if self._proxy is not None:
            self._proxy.close()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes that make one cluster; `node` is the first, for clusters of one."""

    nodes: tuple[Node, ...]

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap.servers`."""
        return ",".join(node.bootstrap for node in self.nodes)

    @property
    def node(self) -> Node:
        """The first node."""
        return self.nodes[0]


class StartKafka(Protocol):
    """The `start_kafka` fixture: `kafka_cluster`, ended with the test."""

    def __call__(
        self,
        nodes: int = 1,
        *,
        config: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        proxied: bool = False,
    ) -> Cluster: ...


@contextmanager
def kafka_cluster(
    nodes: int = 1,
    *,
    config: Mapping[str, str] | None = None,
    users: Mapping[str, str] | None = None,
    proxied: bool = False,
) -> Generator[Cluster]:
    """A cluster in a temporary folder, killed and removed at the end.

    `config` overrides what stands in server.properties. `users` (name: password) adds a SASL/PLAIN
    listener with access control, on which nobody may do anything at first.
    """
    home = kafka_home()
    root = Path(tempfile.mkdtemp(prefix="streamwarden-kafka-"))
    controller_ports = {number: free_port() for number in range(1, nodes + 1)}
    cluster_id = random_id()
    brokers: list[Node] = []
    try:
        for number in controller_ports:
            node = Node(home, root / str(number), number, proxied=proxied)
            brokers.append(node)
            home.format(node.folder / "data", node=number, cluster=cluster_id)
            settings = _properties(node, controller_ports, users or {}, proxied=proxied)
            text = "".join(f"{k}={v}\n" for k, v in {**settings, **(config or {})}.items())
            (node.folder / "server.properties").write_text(lines(_SETTINGS) + text)
        for node in brokers:
            node.spawn()
        for node in brokers:
            node.wait()
        cluster = Cluster(tuple(brokers))
        _make_internal_topics(cluster)
        yield cluster
    finally:
        for node in brokers:
            node.end()
        shutil.rmtree(root, ignore_errors=True)


def _properties(
    node: Node, controller_ports: Mapping[int, int], users: Mapping[str, str], *, proxied: bool
) -> dict[str, object]:
    # Name, port to listen on, port to tell clients, protocol.
    listeners = [("PLAINTEXT", node.port, node.port, "PLAINTEXT")]
    if proxied:
        listeners.append(("PROXIED", node.behind_proxy_port, node.proxy.port, "PLAINTEXT"))
    if users:
        listeners.append(("SASL", node.sasl_port, node.sasl_port, "SASL_PLAINTEXT"))
    controller = f"CONTROLLER://127.0.0.1:{controller_ports[node.number]}"
    size = len(controller_ports)
    return {
        "node.id": node.number,
        "log.dirs": node.folder / "data",
        "controller.quorum.voters": ",".join(
            f"{number}@127.0.0.1:{port}" for number, port in controller_ports.items()
        ),
        "listeners": ",".join(
            [*(f"{name}://127.0.0.1:{port}" for name, port, _, _ in listeners), controller]
        ),
        "advertised.listeners": ",".join(
            f"{name}://127.0.0.1:{port}" for name, _, port, _ in listeners
        ),
        "listener.security.protocol.map": ",".join(
            [*(f"{name}:{protocol}" for name, _, _, protocol in listeners), "CONTROLLER:PLAINTEXT"]
        ),
        "default.replication.factor": size,
        "min.insync.replicas": min(size, 2),
        "offsets.topic.replication.factor": size,
        "transaction.state.log.replication.factor": size,
        "transaction.state.log.min.isr": min(size, 2),
        "share.coordinator.state.topic.replication.factor": size,
        "share.coordinator.state.topic.min.isr": min(size, 2),
        **(_access_control(users) if users else {}),
    }


def _access_control(users: Mapping[str, str]) -> dict[str, object]:
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    logins = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    return {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": f"{module} required {logins};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _has_joined(bootstrap: str, number: int) -> bool:
    """True when the cluster knows the node: before that, its open port knows no leaders."""
    with suppress(KafkaException):
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        return number in admin.list_topics(timeout=5).brokers
    return False


def _make_internal_topics(cluster: Cluster) -> None:
    """Make them now, or the first transaction and the first group wait a second for theirs."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    deadline = time.monotonic() + START_TIMEOUT_S
    while len(admin.list_topics(timeout=10).brokers) < len(cluster.nodes):
        if time.monotonic() > deadline:
            raise RuntimeError("the nodes did not find each other")
        time.sleep(0.02)
    names = ("__consumer_offsets", "__transaction_state")
    compacted = {"cleanup.policy": "compact"}
    topics = [NewTopic(name, 1, len(cluster.nodes), config=compacted) for name in names]
    made = cast("dict[str, Future[None]]", admin.create_topics(topics))
    for future in made.values():
        future.result(30)
