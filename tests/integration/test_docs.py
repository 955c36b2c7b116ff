"""Pages of the documentation whose examples need servers, each on servers of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documented import PAGES, run_page, servers_of
from tests.servers.kafka import StartKafka
from tests.servers.redis_server import StartRedis
from tests.servers.registry import RegistryServer
from tests.servers.topics import create_topic

WITH_KAFKA = [page for page in (*PAGES, "docs/operations.md") if "kafka" in servers_of(page)]

#: Topics that a page takes for granted.
TOPICS = {
    "README.md": ("payments",),
    "docs/clients.md": ("payments", "ledger"),
    "docs/operations.md": ("payments",),
}


@pytest.mark.parametrize("page", WITH_KAFKA)
def test_pages_do_what_they_say(
    page: str,
    tmp_path: Path,
    start_kafka: StartKafka,
    start_redis: StartRedis,
    request: pytest.FixtureRequest,
) -> None:
    """Block by block, in one folder, as a reader would; each has something that is tried."""
    needed = servers_of(page)
    places = {"kafka": start_kafka().bootstrap}
    for topic in TOPICS.get(page, ()):
        create_topic(places["kafka"], topic)
    if "redis" in needed:
        places["redis"] = start_redis(tcp=True).url
    if "registry" in needed:
        registry: RegistryServer = request.getfixturevalue("registry")
        places["registry"] = registry.url

    assert run_page(page, tmp_path, places) > 0
