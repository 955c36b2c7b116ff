"""Schemas from a real registry: found, unknown, referring to others; slow and down."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from streamwarden.schemas.pull import pull
from streamwarden.schemas.registry import NotFound, Schema, Unavailable
from streamwarden.schemas.schema_client import RegistrySource
from streamwarden.schemas.schema_directory import DirectorySource

from ..servers.registry import RegistryServer

pytest.importorskip("authlib", reason="the registry client's own dependencies are not installed")

ADDRESS = '{"type": "record", "name": "a.Address", "fields": [{"name": "city", "type": "string"}]}'


class Registered:
    """Registers schemas under names of the test's own."""

    def __init__(self, registry: RegistryServer) -> None:
        from confluent_kafka.schema_registry import SchemaRegistryClient

        self._client: Any = SchemaRegistryClient({"url": registry.url})
        self._suffix = uuid.uuid4().hex[:8]

    def subject(self, name: str) -> str:
        return f"{name}-{self._suffix}-value"

    def add(self, name: str, text: str, kind: str = "AVRO", references: Any = ()) -> int:
        from confluent_kafka.schema_registry import Schema as Text
        from confluent_kafka.schema_registry import SchemaReference

        listed = [SchemaReference(type_, self.subject(other), 1) for type_, other in references]
        number: int = self._client.register_schema(self.subject(name), Text(text, kind, listed))
        return number

    def close(self) -> None:
        self._client.close()


class Connect(Protocol):
    """The `connect` fixture: a source of schemas, closed with the test."""

    def __call__(self, url: str, timeout_s: float = 5.0) -> RegistrySource: ...


@pytest.fixture
def registered(registry: RegistryServer) -> Generator[Registered]:
    with closing(Registered(registry)) as made:
        yield made


@pytest.fixture
def connect() -> Generator[Connect]:
    with ExitStack() as stack:

        def source(url: str, timeout_s: float = 5.0) -> RegistrySource:
            return stack.enter_context(closing(RegistrySource(url, timeout_s=timeout_s)))

        yield source


@pytest.fixture
def running(registry: RegistryServer) -> Generator[RegistryServer]:
    """The shared registry, running again afterwards."""
    yield registry
    registry.resume()


def order(name: str) -> str:
    return (
        f'{{"type": "record", "name": "{name}", "fields": '
        '[{"name": "to", "type": "a.Address"}, {"name": "card", "type": "string"}]}'
    )


def test_schemas_are_found(
    registry: RegistryServer, registered: Registered, connect: Connect
) -> None:
    """By id, with what they refer to and where they are registered; by subject, the newest."""
    registered.add("address", ADDRESS)
    number = registered.add("order", order("O"), references=[("a.Address", "address")])
    schemas = connect(registry.url)

    found, latest = schemas.schema(number), schemas.latest(registered.subject("order"))

    assert isinstance(found, Schema)
    assert found.problem is None
    assert registered.subject("order") == found.subject("some-topic")
    assert isinstance(latest, Schema)
    assert (number, found.text) == (latest.id, latest.text)


def test_the_same_schema_under_two_subjects(
    registry: RegistryServer, registered: Registered, connect: Connect
) -> None:
    """One id: the topic's own subject is told."""
    text = json.dumps({"type": "enum", "name": f"E{uuid.uuid4().hex}", "symbols": ["A"]})
    number = registered.add("one", text)
    assert number == registered.add("two", text)

    found = connect(registry.url).schema(number)

    assert isinstance(found, Schema)
    topic = registered.subject("two").removesuffix("-value")
    assert registered.subject("two") == found.subject(topic)


def test_json_schemas_say_so(
    registry: RegistryServer, registered: Registered, connect: Connect
) -> None:
    text = '{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}'

    found = connect(registry.url).schema(registered.add("doc", text, "JSON"))

    assert isinstance(found, Schema)
    assert (found.kind, found.avro) == ("JSON", None)


@pytest.mark.parametrize("number", [0, 999_999, 2**31 - 1, 2**32 - 1])
def test_an_unknown_id_is_unknown(registry: RegistryServer, number: int, connect: Connect) -> None:
    """The registry's own word; whatever bytes claim."""
    assert NotFound(number) == connect(registry.url).schema(number)


def test_an_unknown_guid_is_unknown(registry: RegistryServer, connect: Connect) -> None:
    guid = uuid.uuid4()

    assert NotFound(guid) == connect(registry.url).schema(guid)


def test_a_wrong_path_is_not_an_unknown_id(registry: RegistryServer, connect: Connect) -> None:
    """A URL that is not a registry's answers 404 as well."""
    found = connect(registry.url.removesuffix("/v7") + "/nowhere").schema(1)

    assert isinstance(found, Unavailable)
    assert "answered with HTTP status 404" in found.reason


def test_a_registry_that_hangs(
    running: RegistryServer, registered: Registered, connect: Connect
) -> None:
    """One deadline, however the client retries; afterwards everything is as before."""
    number = registered.add("slow", '"string"')
    other = registered.add("slow-too", '"int"')
    schemas = connect(running.url, timeout_s=0.5)
    assert isinstance(schemas.schema(number), Schema)

    running.pause()
    started = time.monotonic()
    hanging = schemas.schema(other)
    spent = time.monotonic() - started
    known = schemas.schema(number)
    running.resume()

    assert isinstance(hanging, Unavailable)
    assert 0.4 < spent < 1.5
    assert isinstance(known, Schema)
    deadline = time.monotonic() + 15
    while not isinstance(schemas.schema(other), Schema):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_registry_that_is_down(connect: Connect) -> None:
    """Refused at once, and never a word about the data. Credentials are not shown."""
    schemas = connect("http://user:SECRET@127.0.0.1:9")

    started = time.monotonic()
    found = schemas.schema(1)

    assert isinstance(found, Unavailable)
    assert found.reason == "the schema registry `http://***@127.0.0.1:9` cannot be reached"
    assert time.monotonic() - started < 3


def test_a_registry_that_asks_for_credentials_gets_those_of_the_url(connect: Connect) -> None:
    """Seen by a server that says no."""
    import http.server
    import threading

    seen: list[str | None] = []

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = connect(f"http://me:pass%20word@127.0.0.1:{server.server_port}").schema(1)
        server.shutdown()

    assert isinstance(found, Unavailable)
    assert "refuses these credentials" in found.reason
    assert "Basic bWU6cGFzcyB3b3Jk" in seen


def test_pulled_schemas_read_as_the_registrys(
    registry: RegistryServer, registered: Registered, tmp_path: Path, connect: Connect
) -> None:
    """A directory says the same of every id as the registry that it was pulled from."""
    numbers = [registered.add("address", ADDRESS)]
    numbers.append(registered.add("order", order("P"), references=[("a.Address", "address")]))
    numbers.append(
        registered.add(
            "order", order("P").replace("card", "iban"), references=[("a.Address", "address")]
        )
    )

    pulled = pull(registry.url, tmp_path, [registered.subject("order")])

    assert pulled.schemas == 3
    directory, source = DirectorySource(tmp_path), connect(registry.url)
    for number in numbers:
        mine, theirs = directory.schema(number), source.schema(number)
        assert isinstance(mine, Schema)
        assert isinstance(theirs, Schema)
        assert theirs.text == mine.text
        assert set(mine.versions) <= set(theirs.versions)
