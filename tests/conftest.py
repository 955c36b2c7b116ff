"""Fixtures that every test can ask for, and what is done about servers that are not there.

A server starts when the first test asks for it and is gone when the run is, however that ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import hypothesis
import pytest

from streamwarden.embedded import EmbeddedBroker

from .servers.cache import MissingServerError
from .servers.container import kafka_container
from .servers.kafka import Cluster, StartKafka, kafka_cluster
from .servers.redis_server import RedisServer, StartRedis, redis_server
from .servers.registry import RegistryServer, registry_server
from .servers.topics import (
    ConsumeAll,
    Kafka,
    MakeTopic,
    Record,
    create_topic,
    read_topic,
    unique_name,
)

T = TypeVar("T")

#: A test that uses one of these fixtures, however indirectly, gets the marker.
MARKERS = {
    "kafka": {"kafka", "start_kafka"},
    "redis": {"redis", "start_redis"},
    "registry": {"registry"},
    "browser": {"chromium"},
}

#: Also a server, in the process of the test: no marker, since it is always there.
EMBEDDED = {"embedded_broker"}

#: Set where a run must prove everything: then a test skipped for want of a server has failed.
SERVERS_REQUIRED = os.environ.get("STREAMWARDEN_REQUIRE_SERVERS", "") not in {"", "0"}

# No deadlines: what a test machine is doing besides says nothing about the code.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=20_000)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)


@pytest.hookimpl(tryfirst=True)  # before -m selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers they use, so that nobody can forget to.

    One that fails against a server is tried once more, and the summary tells (`R`): what a busy
    machine did to it does not happen twice, and a defect does.
    """
    for item in items:
        drawn = hasattr(getattr(item, "obj", None), "hypothesis")
        if drawn or {"property", "fuzz"} & set(item.path.parts):
            item.add_marker("property")
        used: set[str] = set(getattr(item, "fixturenames", ()))
        servers = [marker for marker, fixtures in MARKERS.items() if used & fixtures]
        for marker in servers:
            item.add_marker(marker)
        if (servers or used & EMBEDDED) and item.get_closest_marker("flaky") is None:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where servers are required."""
    report = yield
    needs_server = any(item.get_closest_marker(marker) for marker in MARKERS)
    if SERVERS_REQUIRED and needs_server and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"STREAMWARDEN_REQUIRE_SERVERS is set, so this may not be: {reason}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _state_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Guards keep their last good policies in the run's own folder, never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def embedded_broker() -> Generator[EmbeddedBroker]:
    """The broker inside the process, empty; its module says what it does not prove."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka() -> Generator[Kafka]:
    """A real Kafka with one node, shared by the run: topics need names of their own."""
    with ExitStack() as stack:
        bootstrap = os.environ.get("STREAMWARDEN_TEST_BOOTSTRAP")
        if bootstrap is None and os.environ.get("STREAMWARDEN_TEST_DOCKER", "") not in {"", "0"}:
            bootstrap = _start(stack, kafka_container)
        yield Kafka(bootstrap or _start(stack, kafka_cluster).bootstrap)


@pytest.fixture
def make_topic(kafka: Kafka) -> MakeTopic:
    """Make topics of the shared Kafka, ready to be written to."""

    def make(
        prefix: str = "t", *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> str:
        name = unique_name(prefix)
        return create_topic(kafka.bootstrap, name, partitions=partitions, config=config)

    return make


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """A new topic of the shared Kafka, with one partition."""
    return make_topic()


@pytest.fixture
def consume_all(kafka: Kafka) -> ConsumeAll:
    """Read a topic of the shared Kafka from its beginning to its end."""

    def consume(topic: str, *, isolation: str = "read_committed") -> list[Record]:
        return read_topic(kafka.bootstrap, topic, isolation=isolation)

    return consume


@pytest.fixture
def start_kafka() -> Generator[StartKafka]:
    """Start clusters of the test's own: several nodes, users, faults."""
    with ExitStack() as stack:

        def start(
            nodes: int = 1,
            *,
            config: Mapping[str, str] | None = None,
            users: Mapping[str, str] | None = None,
            proxied: bool = False,
        ) -> Cluster:
            return _start(
                stack, lambda: kafka_cluster(nodes, config=config, users=users, proxied=proxied)
            )

        yield start


@pytest.fixture(scope="session")
def redis() -> Generator[RedisServer]:
    """A real Redis on a unix socket and a port, shared by the run: keys need names of their own."""
    with ExitStack() as stack:
        yield _start(stack, lambda: redis_server(tcp=True))


@pytest.fixture
def start_redis() -> Generator[StartRedis]:
    """Start Redis servers of the test's own, to be killed or paused."""
    with ExitStack() as stack:

        def start(*options: str, tcp: bool = False) -> RedisServer:
            return _start(stack, lambda: redis_server(*options, tcp=tcp))

        yield start


@pytest.fixture(scope="session")
def registry() -> Generator[RegistryServer]:
    """A real schema registry, shared by the run: subjects need names of their own."""
    with ExitStack() as stack:
        yield _start(stack, registry_server)


def _start(stack: ExitStack, server: Callable[[], AbstractContextManager[T]]) -> T:
    """Enter the server's context, or skip the test with what would make it possible."""
    try:
        return stack.enter_context(server())
    except MissingServerError as missing:
        pytest.skip(str(missing))
