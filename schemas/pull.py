"""A registry's schemas written into a directory, so that guards and tests need no registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streamwarden.errors import ConfigurationError, StoreError

from .registry_client import (
    RegisteredSchema,
    RegistryClient,
    bare_configuration,
    connected,
    failure_of,
    shown_registry,
    tags_of,
)
from .schema_directory import (
    SUFFIXES,
    Reference,
    Row,
    file_name,
    read_file,
    read_index,
    write_file,
    write_index,
)

__all__ = ["Pulled", "pull"]

#: More is the registry of a whole company: name the subjects.
_SCHEMAS_MAX: Final = 50_000


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was written: subjects, schemas, and the subjects whose kind of schema is not kept."""

    subjects: tuple[str, ...]
    schemas: int
    skipped: tuple[str, ...]


def pull(
    registry: str | Mapping[str, Any],
    directory: str | Path,
    subjects: Sequence[str] = (),
    *,
    timeout_s: float = 30.0,
    client: RegistryClient | None = None,
) -> Pulled:
    """Write every version of `subjects` (all where none are named), and what they refer to.

    Subjects of the directory that are not pulled stay. `timeout_s` is for each request. Raises
    StoreError where the registry cannot be read, ConfigurationError where the directory holds other
    schemas under the same ids, or the URL is none; then nothing has been written.
    """
    given = {"url": registry} if isinstance(registry, str) else dict(registry)
    if client is None:
        given = bare_configuration(given, "registry")
    shown = shown_registry(str(given.get("url", "")))
    folder = Path(directory)
    present = read_index(folder) or []
    try:
        with connected({"timeout": timeout_s, **given}, client) as registry_client:
            pulled = _Puller(registry_client)
            pulled.take(subjects)
    except ConfigurationError as error:
        raise StoreError(f"the schema registry `{shown}` {error}") from None
    except Exception as error:  # noqa: BLE001 — of the client, of HTTP, of TLS
        raise StoreError(
            f"the schema registry `{shown}` {failure_of(error)}",
            remedy="check the URL and the names of the subjects",
        ) from None
    rows = pulled.rows()
    kept = [row for row in present if row.subject not in pulled.subjects]
    _refuse_conflicts(folder, kept, {row.id: pulled.text(row) for row in rows})
    for row in rows:
        write_file(folder / row.file, pulled.text(row))
    write_index(folder, [*kept, *rows])
    listed = {row.file for row in (*kept, *rows)}
    for row in present:
        if row.file not in listed:
            (folder / row.file).unlink(missing_ok=True)
    return Pulled(tuple(sorted(pulled.subjects)), len(rows), tuple(sorted(pulled.skipped)))


class _Puller:
    """Asks for subjects, and for those that they refer to."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._found: dict[tuple[str, int], RegisteredSchema] = {}
        self.subjects: set[str] = set()
        self.skipped: set[str] = set()

    def take(self, subjects: Sequence[str]) -> None:
        """Ask for every version of `subjects`; of all subjects where none are named."""
        pending = list(subjects or self._client.get_subjects())
        while pending:
            subject = pending.pop()
            if subject in self.subjects:
                continue
            self.subjects.add(subject)
            for version in self._client.get_versions(subject):
                self._version(subject, version, pending)

    def _version(self, subject: str, version: int, pending: list[str]) -> None:
        """One version, and the very versions that it refers to, also deleted ones."""
        versions = [(subject, version)]
        while versions:
            key = versions.pop()
            if key in self._found:
                continue
            registered = self._client.get_version(*key, deleted=True)
            if (registered.schema.schema_type or "AVRO") not in SUFFIXES:
                self.skipped.add(key[0])
                continue
            self._found[key] = registered
            if len(self._found) > _SCHEMAS_MAX:
                raise ConfigurationError(f"has more than {_SCHEMAS_MAX} schemas to pull")
            for reference in registered.schema.references or []:
                versions.append((reference.subject, reference.version))
                pending.append(reference.subject)

    def rows(self) -> list[Row]:
        """The index of what was found."""
        newest: dict[str, int] = {}
        for subject, version in self._found:
            newest[subject] = max(version, newest.get(subject, 0))
        return [
            Row(
                registered.schema_id or 0,
                subject,
                version,
                file_name(
                    subject,
                    version,
                    registered.schema.schema_type or "AVRO",
                    newest=newest[subject] == version,
                ),
                tuple(
                    Reference(each.name, each.subject, each.version)
                    for each in registered.schema.references or []
                ),
                tuple(sorted(set(tags_of(registered.schema)))),
            )
            for (subject, version), registered in sorted(self._found.items())
        ]

    def text(self, row: Row) -> str:
        """The schema of a row."""
        return self._found[row.subject, row.version].schema.schema_str or ""


def _refuse_conflicts(folder: Path, kept: Sequence[Row], texts: Mapping[int, str]) -> None:
    for row in kept:
        if row.id in texts and read_file(folder / row.file) != texts[row.id]:
            raise ConfigurationError(
                f"`{folder}` holds another schema of id {row.id}: `{row.file}`",
                remedy="pull into a directory of its own",
            )
