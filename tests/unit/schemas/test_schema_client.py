"""Schemas from a registry: what is kept, how long is waited, and what failure means."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import pytest

from streamwarden.schemas.registry import NotFound, Schema, SubjectVersion, Unavailable
from streamwarden.schemas.registry_client import connect, shown_registry
from streamwarden.schemas.schema_client import RegistrySource
from streamwarden.schemas.schema_sources import open_schemas

A = '{"type": "record", "name": "A", "fields": [{"name": "x", "type": "int"}]}'
GUID = UUID("67e55044-10b1-426f-9247-bb680e5fe0c8")

T = TypeVar("T")


@dataclass
class Text:
    schema_str: str | None
    schema_type: str | None = "AVRO"
    references: list[Any] | None = None
    metadata: Any = None


@dataclass
class Registered:
    subject: str | None
    version: int | None
    schema_id: int | None
    schema: Text


@dataclass
class Reference:
    name: str
    subject: str
    version: int


class RefusedError(Exception):
    def __init__(self, status: int, code: int = -1) -> None:
        super().__init__("said by the other side: SECRET")
        self.http_status_code, self.error_code = status, code


@dataclass
class FakeRegistry:
    """Answers from tables; `before` runs first, and may wait or raise."""

    texts: dict[int | str, Text] = field(default_factory=dict[int | str, Text])
    versions: dict[int, list[Registered]] = field(default_factory=dict[int, list[Registered]])
    subjects: dict[tuple[str, Any], Registered] = field(
        default_factory=dict[tuple[str, Any], Registered]
    )
    before: Callable[[], object] = lambda: None
    asked: int = 0

    def get_schema(self, schema_id: int) -> Text:
        return self._found(self.texts.get(schema_id), 40403)

    def get_schema_by_guid(self, guid: str) -> Text:
        return self._found(self.texts.get(guid), -1)

    def get_schema_versions(self, schema_id: int) -> list[Any]:
        if schema_id not in self.versions:
            raise RefusedError(404)
        return self.versions[schema_id]

    def get_version(
        self, subject_name: str, version: Any = "latest", deleted: bool = False
    ) -> Registered:
        assert deleted or version == "latest"
        return self._found(self.subjects.get((subject_name, version)), 40401)

    def get_versions(self, subject_name: str) -> list[int]:
        return [number for name, number in self.subjects if name == subject_name]

    def get_subjects(self) -> list[str]:
        return sorted({name for name, _ in self.subjects})

    def _found(self, found: T | None, code: int) -> T:
        self.asked += 1
        self.before()
        if found is None:
            raise RefusedError(404, code)
        return found


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def source(
    registry: FakeRegistry, clock: Callable[[], float] = time.monotonic, **given: Any
) -> RegistrySource:
    url = "http://user:PASSWORD@registry:8081"
    return RegistrySource(url, client=registry, clock=clock, **given)


def test_a_schema_is_asked_for_once() -> None:
    """And comes with where it is registered, and the tags of its metadata."""
    tags = type("Tags", (), {"tags": {"A.x": ["PII"]}})()
    registry = FakeRegistry({7: Text(A, metadata=type("Metadata", (), {"tags": tags})())})
    registry.versions[7] = [
        Registered("b-value", 1, 7, Text(A)),
        Registered("a-value", 4, 7, Text(A)),
    ]
    schemas = source(registry)

    first, second = schemas.schema(7), schemas.schema(7)

    assert isinstance(first, Schema)
    assert first is second
    assert first.avro is not None
    assert (SubjectVersion("a-value", 4), SubjectVersion("b-value", 1)) == first.versions
    assert first.tags == ("PII",)
    assert registry.asked == 1


def test_what_it_refers_to_is_fetched() -> None:
    """Types of other subjects, each once, those first that others need."""
    b = Text('{"type": "record", "name": "B", "fields": [{"name": "a", "type": "A"}]}')
    b.references = [Reference("A", "a", 1)]
    both = Text('["A", "B"]', references=[Reference("B", "b", 2), Reference("A", "a", 1)])
    registry = FakeRegistry({9: both})
    registry.subjects = {
        ("a", 1): Registered("a", 1, 1, Text(A)),
        ("b", 2): Registered("b", 2, 2, b),
    }

    found = source(registry).schema(9)

    assert isinstance(found, Schema)
    assert (found.problem, found.versions) == (None, ())
    assert registry.asked == 3


def test_references_in_a_circle_end() -> None:
    loop = Text('"A"', references=[Reference("A", "a", 1)])
    registry = FakeRegistry({9: loop})
    registry.subjects[("a", 1)] = Registered("a", 1, 1, loop)

    found = source(registry).schema(9)

    assert isinstance(found, Schema)
    assert found.problem == "the type `A` is not defined"


def test_a_schema_that_cannot_be_used_is_said_to_be_none() -> None:
    """It is there, and its events cannot be read: bad data, not a registry that is down."""
    registry = FakeRegistry({1: Text('"Nope"'), 2: Text("{}", "JSON"), 3: Text("x", "PROTOBUF")})
    schemas = source(registry)

    kinds = [schemas.schema(number) for number in (1, 2, 3)]

    assert [
        (found.kind, found.problem is not None) for found in kinds if isinstance(found, Schema)
    ] == [("AVRO", True), ("JSON", False), ("PROTOBUF", False)]


def test_that_an_id_is_unknown_is_kept_for_a_while() -> None:
    """A schema can be registered a moment later."""
    clock, registry = Clock(), FakeRegistry()
    schemas = source(registry, clock)

    assert NotFound(7) == schemas.schema(7) == schemas.schema(7)
    assert registry.asked == 1

    registry.texts[7] = Text(A)
    clock.now += 11
    assert isinstance(schemas.schema(7), Schema)


def test_guids_are_looked_up_by_themselves() -> None:
    """A registry that knows none answers with a plain 404: then there is none."""
    registry = FakeRegistry({str(GUID): Text(A)})
    schemas = source(registry)

    assert isinstance(schemas.schema(GUID), Schema)
    assert NotFound(UUID(int=1)) == schemas.schema(UUID(int=1))


def test_ids_that_no_registry_gives_are_not_asked_for() -> None:
    registry = FakeRegistry()

    assert NotFound(2**31) == source(registry).schema(2**31)
    assert registry.asked == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RefusedError(404), "answered with HTTP status 404"),
        (RefusedError(500, 50001), "answered with HTTP status 500"),
        (RefusedError(401), "refuses these credentials (HTTP status 401)"),
        (type("ReadTimeout", (Exception,), {})("SECRET"), "did not answer in time"),
        (type("ConnectError", (Exception,), {})("SECRET"), "cannot be reached"),
        (ValueError("SECRET"), "does not speak as a schema registry does"),
    ],
)
def test_everything_else_means_that_it_is_unavailable(error: Exception, reason: str) -> None:
    """Never that the data is bad. Nothing that the other side says is repeated."""

    def fail() -> None:
        raise error

    registry = FakeRegistry({7: Text(A)}, before=fail)

    found = source(registry).schema(7)

    assert Unavailable(7, f"the schema registry `http://***@registry:8081` {reason}") == found


@pytest.mark.parametrize("empty", [None, ""])
def test_an_answer_without_a_schema_is_none(empty: str | None) -> None:
    """Also of what it refers to; it is not kept, and the next answer counts."""
    clock = Clock()
    registry = FakeRegistry({7: Text(empty), 8: Text(A, references=[Reference("N", "n", 1)])})
    registry.subjects["n", 1] = Registered("n", 1, 1, Text(empty))
    schemas = source(registry, clock)

    for number in (7, 8):
        found = schemas.schema(number)
        assert isinstance(found, Unavailable)
        assert "answered without a schema" in found.reason
        clock.now += 0.6
    registry.texts[7] = Text(A)

    assert isinstance(schemas.schema(7), Schema)


def test_a_registry_that_failed_is_left_alone_for_a_moment() -> None:
    """So that a burst of events waits once; what was found before is still found."""
    clock, registry = Clock(), FakeRegistry({7: Text(A), 8: Text(A)})
    schemas = source(registry, clock)
    assert isinstance(schemas.schema(7), Schema)

    def fail() -> None:
        raise ConnectionError

    registry.before = fail
    assert isinstance(schemas.schema(8), Unavailable)
    asked = registry.asked
    assert isinstance(schemas.schema(8), Unavailable)
    assert isinstance(schemas.schema(9), Unavailable)
    assert isinstance(schemas.schema(7), Schema)
    assert asked == registry.asked

    registry.before = lambda: None
    clock.now += 0.6
    assert isinstance(schemas.schema(8), Schema)


def test_one_deadline_for_a_lookup() -> None:
    """However many requests it takes: who waits stops waiting, and what comes later is kept."""
    go_on = threading.Event()
    registry = FakeRegistry({7: Text(A)}, before=lambda: go_on.wait(10))
    schemas = source(registry, timeout_s=0.2)

    started = time.monotonic()
    found = schemas.schema(7)
    spent = time.monotonic() - started

    assert (
        Unavailable(7, "the schema registry `http://***@registry:8081` did not answer within 0.2 s")
        == found
    )
    assert 0.15 < spent < 2
    go_on.set()
    _until(lambda: isinstance(schemas.schema(7), Schema))
    assert registry.asked == 1


def test_many_wait_for_one_lookup() -> None:
    """A hundred threads that meet a new schema ask for it once."""
    go_on = threading.Event()
    registry = FakeRegistry({7: Text(A)}, before=lambda: go_on.wait(10))
    schemas = source(registry, timeout_s=5)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(schemas.schema(7))) for _ in range(20)]

    for thread in threads:
        thread.start()
    time.sleep(0.05)
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert len(found) == 20
    assert all(isinstance(each, Schema) for each in found)
    assert registry.asked == 1


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_newest_schema_of_a_subject() -> None:
    registry = FakeRegistry()
    registry.subjects[("a", "latest")] = Registered("a", 3, 7, Text(A))
    schemas = source(registry)

    found = schemas.latest("a")

    assert isinstance(found, Schema)
    assert (7, (SubjectVersion("a", 3),)) == (found.id, found.versions)
    assert NotFound("b") == schemas.latest("b")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://registry:8081", "http://registry:8081"),
        ("https://user:pa%40ss@registry/apis/v7?key=SECRET", "https://***@registry/apis/v7"),
        ("http://u:p@one:1, http://u:p@two:2", "http://***@one:1,http://***@two:2"),
        ("http://u:p,q@one:1,http://u:p?q@two:2", "http://***@one:1,http:***"),
    ],
)
def test_a_url_is_shown_without_credentials(url: str, shown: str) -> None:
    assert shown == shown_registry(url)


def test_credentials_go_from_the_url_to_the_client() -> None:
    """A URL that still had them could be logged by the HTTP library."""
    pytest.importorskip("authlib", reason="the client's own dependencies are not installed")
    client: Any = connect({"url": "http://user:pa%40ss@registry:1/apis"})

    assert client._rest_client.base_urls == ["http://registry:1/apis"]
    assert client._rest_client.auth == ("user", "pa@ss")


def test_a_property_that_the_client_does_not_have() -> None:
    """It is noticed at the first lookup; a guard says so and does not blame the event."""
    pytest.importorskip("authlib", reason="the client's own dependencies are not installed")

    found = open_schemas({"url": "http://r", "timeoutt": 1}).schema(1)

    assert isinstance(found, Unavailable)
    assert "cannot be asked with this configuration" in found.reason
