"""Confluent's registry client: made from a configuration, and what its answers mean.

The client's dependencies are an extra, so that it is imported when a registry is first asked. What
fails is put into words without anything that the other side could have put there, and without
credentials.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

from streamwarden.errors import ConfigurationError
from streamwarden.urls import http_url, shown_url

__all__ = [
    "RegisteredSchema",
    "RegistryClient",
    "SchemaText",
    "bare_configuration",
    "close_client",
    "connect",
    "connected",
    "content_of",
    "failure_of",
    "references_of",
    "shown_registry",
    "tags_of",
]

_REFERENCES_MAX: Final = 1000
#: Between the URLs of several registries. A comma elsewhere belongs to what is around it.
_BETWEEN: Final = re.compile(r"\s*,\s*(?=[a-z]+://)")
#: The client's own for tests: it is in memory, and has no host.
_MOCK: Final = "mock://"


class SchemaText(Protocol):
    """A schema, as the client has it; references and tags as the client's own classes."""

    schema_str: str | None
    schema_type: str | None
    references: list[Any] | None
    metadata: Any


class RegisteredSchema(Protocol):
    """A version of a subject, as the client has it."""

    @property
    def subject(self) -> str | None:
        """Where it is registered."""
        ...

    @property
    def version(self) -> int | None:
        """Which version of the subject it is."""
        ...

    @property
    def schema_id(self) -> int | None:
        """The schema's id."""
        ...

    @property
    def schema(self) -> SchemaText:
        """The schema itself."""
        ...


class RegistryClient(Protocol):
    """What is used of Confluent's SchemaRegistryClient; every method asks the registry."""

    def get_schema(self, schema_id: int) -> SchemaText:
        """The schema of an id."""
        ...

    def get_schema_by_guid(self, guid: str) -> SchemaText:
        """The schema of a GUID."""
        ...

    def get_schema_versions(self, schema_id: int) -> list[Any]:
        """Where a schema is registered."""
        ...

    def get_version(
        self, subject_name: str, version: Any = "latest", deleted: bool = False
    ) -> RegisteredSchema:
        """A version of a subject."""
        ...

    def get_versions(self, subject_name: str) -> list[int]:
        """The versions of a subject."""
        ...

    def get_subjects(self) -> list[str]:
        """All subjects."""
        ...


def content_of(text: SchemaText) -> str:
    """A schema as it is written. Raises ConfigurationError for an answer that holds none.

    Such an answer is no word about the bytes: a gateway gives it, or a registry that is starting.
    """
    if not text.schema_str:
        raise ConfigurationError("answered without a schema")
    return text.schema_str


def tags_of(text: SchemaText) -> list[str]:
    """The tags of a schema's metadata, by whatever path they are given to."""
    tagged: Mapping[str, list[str]] = (
        getattr(getattr(text.metadata, "tags", None), "tags", None) or {}
    )
    return [tag for tags in tagged.values() for tag in tags]


def references_of(client: RegistryClient, text: SchemaText) -> list[str]:
    """The texts that a schema refers to, those first that others need."""
    done: dict[tuple[str, int], str] = {}
    seen: set[tuple[str, int]] = set()
    pending: list[tuple[tuple[str, int], SchemaText | None]] = _named(text)
    while pending:
        key, complete = pending.pop()
        if complete is not None:
            done[key] = content_of(complete)
        elif key not in seen:
            seen.add(key)
            if len(seen) > _REFERENCES_MAX:
                raise ConfigurationError(
                    f"names more than {_REFERENCES_MAX} references of a schema"
                )
            found = client.get_version(*key, deleted=True).schema
            pending += [(key, found), *_named(found)]
    return list(done.values())


def _named(text: SchemaText) -> list[tuple[tuple[str, int], SchemaText | None]]:
    """The references of a schema, as what is still to be fetched; the first one last."""
    return [((each.subject, each.version), None) for each in reversed(text.references or [])]


def connect(configuration: Mapping[str, Any]) -> RegistryClient:
    """Confluent's client for a configuration. Raises ConfigurationError."""
    bare = bare_configuration(configuration)
    try:
        module = importlib.import_module("confluent_kafka.schema_registry")
    except ImportError:
        raise ConfigurationError(
            "cannot be asked, since parts of the client are missing",
            remedy="install `streamwarden[registry]`",
        ) from None
    try:
        return cast("RegistryClient", module.SchemaRegistryClient.new_client(bare))
    except (ValueError, TypeError, OSError):
        raise ConfigurationError(
            "cannot be asked with this configuration",
            remedy="give `http://` or `https://` and properties of Confluent's client",
        ) from None


@contextmanager
def connected(
    configuration: Mapping[str, Any], client: RegistryClient | None = None
) -> Generator[RegistryClient]:
    """A client for a while; `client` is used instead where it is given. Raises ConfigurationError."""
    if client is not None:
        yield client
        return
    made = connect(configuration)
    try:
        yield made
    finally:
        close_client(made)


def close_client(client: RegistryClient) -> None:
    """Close its connections."""
    close = getattr(client, "close", None)  # older versions of the client have none
    if close is not None:
        close()


def bare_configuration(
    configuration: Mapping[str, Any], setting: str = "schemas"
) -> dict[str, Any]:
    """The configuration with credentials taken out of the URLs, so that nothing can log them.

    Raises ConfigurationError, which names the `setting`, for a URL that is none; asks nobody.
    """
    given = configuration.get("url")
    if not isinstance(given, str) or not given.strip():
        raise ConfigurationError(
            f"`{setting}` names no `url` of a schema registry",
            remedy="write `http://HOST:PORT`, or a configuration of Confluent's client with `url`",
        )
    bare = dict(configuration)
    if given.startswith(_MOCK):
        return bare
    urls = [http_url(url, setting) for url in _BETWEEN.split(given)]
    for url in urls:
        if url.user is not None and "basic.auth.user.info" not in bare:
            password = "" if url.password is None else f":{url.password}"
            bare["basic.auth.user.info"] = url.user + password
    bare["url"] = ",".join(url.bare for url in urls)
    return bare


def shown_registry(url: str) -> str:
    """The URL of a registry, or several, for people: without credentials and query."""
    return ",".join(map(shown_url, _BETWEEN.split(url)))


def failure_of(error: Exception) -> str:
    """What went wrong, without anything that the other side could have put there."""
    status = getattr(error, "http_status_code", None)
    if status in (401, 403):
        return f"refuses these credentials (HTTP status {status})"
    if status is not None:
        return f"answered with HTTP status {status}"
    name = type(error).__name__
    if "Timeout" in name:
        return "did not answer in time"
    if "Connect" in name:
        return "cannot be reached"
    return "does not speak as a schema registry does"
