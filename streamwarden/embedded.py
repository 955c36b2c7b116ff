"""An in-process Kafka for demos and fast tests: the mock cluster inside librdkafka.

    with EmbeddedBroker() as broker:
        broker.create_topic("payments", 4)
        producer = Producer({"bootstrap.servers": broker.bootstrap})

It speaks Kafka's protocol on loopback ports, so that any client, in this process or another, can
use it. It is good for producing, consuming, headers, groups, rebalances and commits. A group's
first member joins at once; whenever one joins or leaves later, the others wait for
`session.timeout.ms` less a second, so give consumers the `group_settings`.

It never proves anything about:

- transactions and `read_committed`: aborted records are visible, zombies commit;
- timestamps: those in delivery reports are made up, and looking up offsets by time finds nothing
  (`reconcile --since` reads all there, and filters);
- topic administration and access rights: no topic settings, no ACLs, no compaction, no retention;
- more than 5 MiB a partition: the oldest records disappear;
- restarts, replication, and anything else that needs a disk.
"""

from __future__ import annotations

import ctypes
import os
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer, cimpl

from streamwarden.errors import ConfigurationError

__all__ = ["EmbeddedBroker"]

_POINTER, _TEXT, _INT, _NOTHING = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, None

#: Result and argument types of the functions used, as in rdkafka.h and rdkafka_mock.h.
_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (_INT, [_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]),
    "rd_kafka_new": (_POINTER, [_INT, _POINTER, _TEXT, ctypes.c_size_t]),
    "rd_kafka_destroy": (_NOTHING, [_POINTER]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, _INT]),
    "rd_kafka_mock_cluster_destroy": (_NOTHING, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, [_POINTER]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (_NOTHING, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_topic_create": (_INT, [_POINTER, _TEXT, _INT, _INT]),
    "rd_kafka_mock_topic_set_error": (_NOTHING, [_POINTER, _TEXT, _INT]),
    "rd_kafka_mock_broker_set_down": (_INT, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_broker_set_up": (_INT, [_POINTER, ctypes.c_int32]),
}

_PRODUCER_HANDLE = 0  # rd_kafka_type_t
_ALL_BROKERS = -1


def _load_library() -> ctypes.CDLL | None:
    """The librdkafka that the client itself runs on, or None where it cannot be reached.

    Looking symbols up through the client's extension module finds those of the library it was
    linked with, wherever a wheel or a distribution has put that.
    """
    try:
        library = ctypes.CDLL(cimpl.__file__)
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (AttributeError, OSError):
        return None
    return library


class _MockCluster:
    """A mock cluster on a client handle of its own, driven through librdkafka's C functions."""

    session_timeout_ms = 2000

    def __init__(self, library: ctypes.CDLL, brokers: int) -> None:
        self._library = library
        error = ctypes.create_string_buffer(512)
        configuration = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(configuration, b"log_level", b"0", error, len(error))
        # From here on the handle owns the configuration.
        self._handle = library.rd_kafka_new(_PRODUCER_HANDLE, configuration, error, len(error))
        if not self._handle:
            raise ConfigurationError(f"no embedded broker: {error.value.decode()}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, brokers)
        self.bootstrap: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        # The default of 3 s would be spent by every first member of a group.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    def call(self, function: str, *arguments: object) -> None:
        code: int | None = getattr(self._library, function)(self._cluster, *arguments)
        if code:
            raise KafkaException(KafkaError(code))

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)


class _ConfiguredCluster:
    """A mock cluster that a producer keeps by its configuration: no control, but always there."""

    session_timeout_ms = 4500  # a session has to outlive the first assignment, which takes 3 s

    def __init__(self, brokers: int) -> None:
        self._producer = Producer({"test.mock.num.brokers": brokers, "log_level": 0})
        found = self._producer.list_topics(timeout=10).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in found)

    def call(self, function: str, *arguments: object) -> None:
        if function != "rd_kafka_mock_topic_create":
            raise ConfigurationError(
                "this installation of confluent-kafka does not export librdkafka's mock cluster",
                remedy="install confluent-kafka from its wheel",
            )
        (name, *_) = arguments
        assert isinstance(name, bytes)
        self._producer.list_topics(name.decode(), timeout=10)  # asking for a topic makes it

    def close(self) -> None:
        self._producer.close()


class EmbeddedBroker:
    """A Kafka cluster inside this process: a context manager, empty at first, gone at the end.

    A topic that is written to without `create_topic` gets 4 partitions. Close clients before the
    broker. In a forked child it is of no use, and closing it there does nothing.
    """

    def __init__(self, *, brokers: int = 1) -> None:
        if brokers < 1:
            raise ConfigurationError(f"an embedded broker cannot have {brokers} brokers")
        self._brokers = brokers
        self._cluster: _MockCluster | _ConfiguredCluster | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap.servers`."""
        return self._running().bootstrap

    @property
    def group_settings(self) -> dict[str, int]:
        """Consumer settings under which rebalances are short: 1 s, by default 44 s."""
        session_timeout_ms = self._running().session_timeout_ms
        return {"session.timeout.ms": session_timeout_ms, "heartbeat.interval.ms": 200}

    def start(self) -> None:
        """Listen. Does nothing when it already does."""
        if self._cluster is None:
            library = _load_library()
            self._cluster = (
                _ConfiguredCluster(self._brokers)
                if library is None
                else _MockCluster(library, self._brokers)
            )
            self._pid = os.getpid()

    def close(self) -> None:
        """Stop listening and forget all records. Does nothing when it is closed."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None and self._pid == os.getpid():
            cluster.close()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic; KafkaException TOPIC_ALREADY_EXISTS when it is there.

        Where the client library does not export the mock cluster, the topic has 4 partitions
        whatever is asked for.
        """
        if not name or partitions < 1:
            raise ConfigurationError(f"cannot make topic `{name}` with {partitions} partitions")
        self._running().call("rd_kafka_mock_topic_create", name.encode(), partitions, 1)

    def fail_topic(self, name: str, code: int) -> None:
        """Answer everything about a topic with an error code of KafkaError, from now on.

        `KafkaError.NO_ERROR` ends it.
        """
        self._running().call("rd_kafka_mock_topic_set_error", name.encode(), code)

    def go_down(self) -> None:
        """Refuse connections, as a cluster that is unreachable does, until `come_up`."""
        self._running().call("rd_kafka_mock_broker_set_down", _ALL_BROKERS)

    def come_up(self) -> None:
        """Accept connections again."""
        self._running().call("rd_kafka_mock_broker_set_up", _ALL_BROKERS)

    def _running(self) -> _MockCluster | _ConfiguredCluster:
        if self._cluster is None:
            raise ConfigurationError(
                "the embedded broker is not running", remedy="use it in `with`"
            )
        return self._cluster
