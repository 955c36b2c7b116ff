"""Where schemas come from, by whatever a caller names it with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .registry import SchemaSource
from .schema_client import RegistrySource
from .schema_directory import DirectorySource

__all__ = ["Schemas", "open_schemas"]

#: A directory, the URL of a registry, a configuration of Confluent's client, or a source.
Schemas: TypeAlias = str | Path | Mapping[str, Any] | SchemaSource


def open_schemas(schemas: Schemas, *, timeout_s: float = 5.0) -> SchemaSource:
    """The source behind what a caller gave. Asks no network.

    `timeout_s` is for one lookup in a registry. Raises ConfigurationError for a directory that cannot be read.
    """
    if isinstance(schemas, Mapping):
        return RegistrySource(schemas, timeout_s=timeout_s)
    if isinstance(schemas, str) and "://" in schemas:
        return RegistrySource({"url": schemas}, timeout_s=timeout_s)
    if isinstance(schemas, str | Path):
        return DirectorySource(Path(schemas))
    return schemas
