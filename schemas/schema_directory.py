"""Schemas in a directory: `SUBJECT.avsc` and `SUBJECT.schema.json`, with their ids in `index.yaml`.

Without an index the files are numbered from 1 in the order of their names, and the index is
written, so that files that come later get new numbers. What the index lists may lie in folders
below; what gets a number by itself lies in the directory itself.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, unquote
from uuid import UUID

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from streamwarden.errors import ConfigurationError

from .framing import SchemaId
from .registry import NotFound, Schema, SchemaAnswer, SubjectVersion, make_schema

__all__ = [
    "INDEX",
    "SUFFIXES",
    "DirectorySource",
    "Reference",
    "Row",
    "file_name",
    "read_file",
    "read_index",
    "write_file",
    "write_index",
]

log = logging.getLogger("streamwarden")

INDEX: Final = "index.yaml"
SUFFIXES: Final[Mapping[str, str]] = {"AVRO": ".avsc", "JSON": ".schema.json"}

#: How files end that were perhaps meant to be schemas.
_LOOKING: Final = frozenset((".json", ".avro"))
_SUBJECTS_SHOWN: Final = 6
_FILE_MAX_BYTES: Final = 4 * 2**20
_ROWS_MAX: Final = 100_000
_REFERENCES_MAX: Final = 1000


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schema that another one refers to, by the name of its type."""

    name: str
    subject: str
    version: int


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the index."""

    id: int
    subject: str
    version: int
    file: str
    references: tuple[Reference, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """AVRO or JSON, by the name of the file."""
        return "JSON" if self.file.endswith(SUFFIXES["JSON"]) else "AVRO"


class DirectorySource:
    """The schemas of a directory, as they were when it was opened. Immutable.

    Raises ConfigurationError for an index or a schema that cannot be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        #: Files that look like schemas and are not named like them.
        self._passed_over: list[str] = []
        rows = read_index(directory)
        if rows is None and not directory.is_dir():
            raise ConfigurationError(
                f"there is no directory `{directory}`", remedy="give a directory of schemas"
            )
        rows = self._numbered(rows)
        self._rows = {(row.subject, row.version): row for row in rows}
        self._texts: dict[str, str] = {}
        self._by_id: dict[int, Schema] = {}
        self._latest: dict[str, Schema] = {}
        self._load(rows)

    def schema(self, id: SchemaId) -> SchemaAnswer:  # noqa: A002
        """The schema of an id. A directory knows no GUIDs."""
        found = None if isinstance(id, UUID) else self._by_id.get(id)
        return NotFound(id) if found is None else found

    def latest(self, subject: str) -> SchemaAnswer:
        """The schema of the highest version of a subject."""
        return self._latest.get(subject) or NotFound(subject, self._meant(subject))

    def _meant(self, subject: str) -> str:
        """What to do where there is no such subject: the file that looks meant, and those known."""
        for name in self._passed_over:
            if name.partition(".")[0] == subject:
                suffix = SUFFIXES["JSON" if name.endswith(".json") else "AVRO"]
                return f"rename `{name}` to `{quote(subject)}{suffix}`: files of that name are read"
        known = self.subjects()
        shown = ", ".join(f"`{each}`" for each in known[:_SUBJECTS_SHOWN])
        more = f" and {len(known) - _SUBJECTS_SHOWN:,} more" if len(known) > _SUBJECTS_SHOWN else ""
        if not known:
            return "schemas are files named `SUBJECT.avsc` or `SUBJECT.schema.json`; there is none"
        return f"there are {shown}{more}"

    def subjects(self) -> list[str]:
        """The subjects, sorted."""
        return sorted(self._latest)

    def close(self) -> None:
        """Nothing is held open."""

    def _numbered(self, rows: Sequence[Row] | None) -> list[Row]:
        """The rows of the index and of files that are not in it yet; both are written."""
        made = list(rows or ())
        listed = {row.file for row in made}
        number = max((row.id for row in made), default=0)
        for path in sorted(self._directory.iterdir(), key=lambda each: each.name):
            suffix = next((s for s in SUFFIXES.values() if path.name.endswith(s)), None)
            if suffix is None and path.suffix in _LOOKING:
                self._passed_over.append(path.name)
            if suffix is None or path.name in listed or not path.is_file():
                continue
            subject = unquote(path.name.removesuffix(suffix))
            version = max((row.version for row in made if row.subject == subject), default=0)
            number += 1
            made.append(Row(number, subject, version + 1, path.name))
        if rows is None or len(made) > len(rows):
            try:
                write_index(self._directory, made)
            except OSError as error:
                log.warning("the ids of `%s` cannot be kept: %s", self._directory, error.strerror)
        return made

    def _load(self, rows: Iterable[Row]) -> None:
        by_id: dict[int, list[Row]] = {}
        for row in rows:
            by_id.setdefault(row.id, []).append(row)
        newest: dict[str, int] = {}
        for number, same in by_id.items():
            if len({self._text(row) for row in same}) > 1:
                raise self._problem(f"id {number} stands for different schemas")
            first = same[0]
            schema = make_schema(
                number,
                first.kind,
                self._text(first),
                references=self._referenced(first),
                versions=[SubjectVersion(row.subject, row.version) for row in same],
                tags=[tag for row in same for tag in row.tags],
            )
            if schema.problem is not None:
                raise ConfigurationError(
                    f"`{self._directory / first.file}`: {schema.problem}",
                    remedy="mend the schema; types of other files are named by `references` in "
                    f"`{INDEX}`",
                )
            self._by_id[number] = schema
            for row in same:
                if row.version >= newest.get(row.subject, 0):
                    newest[row.subject], self._latest[row.subject] = row.version, schema

    def _referenced(self, row: Row) -> list[str]:
        """The texts that a schema refers to, those first that others need."""
        order: dict[str, None] = {}
        pending: list[tuple[Row, bool]] = [(row, False)]
        seen: set[str] = set()
        while pending:
            each, complete = pending.pop()
            if complete:
                order.setdefault(each.file)
            elif each.file not in seen:
                seen.add(each.file)
                pending.append((each, True))
                pending += [(self._row(each, r), False) for r in reversed(each.references)]
        order.pop(row.file, None)
        if len(order) > _REFERENCES_MAX:
            raise self._problem(f"`{row.file}` refers to more than {_REFERENCES_MAX} schemas")
        return [self._texts[file] for file in order]

    def _row(self, row: Row, reference: Reference) -> Row:
        found = self._rows.get((reference.subject, reference.version))
        if found is None:
            raise self._problem(
                f"`{row.file}` refers to version {reference.version} of `{reference.subject}`, "
                "which is not there"
            )
        self._text(found)
        return found

    def _text(self, row: Row) -> str:
        if row.file not in self._texts:
            self._texts[row.file] = read_file(self._directory / row.file)
        return self._texts[row.file]

    def _problem(self, message: str) -> ConfigurationError:
        return ConfigurationError(
            f"`{self._directory / INDEX}`: {message}", remedy="mend it, or pull it again"
        )


def file_name(subject: str, version: int, kind: str, *, newest: bool) -> str:
    """Where a schema is kept: the newest by its subject, others below `versions`."""
    name = quote(subject, safe="")
    suffix = SUFFIXES[kind]
    return f"{name}{suffix}" if newest else f"versions/{name}.{version}{suffix}"


def read_index(directory: Path) -> list[Row] | None:
    """The index of a directory, None where there is none. Raises ConfigurationError."""
    path = directory / INDEX
    if not path.exists():
        return None
    try:
        yaml = cast("_Yaml", YAML(typ="safe", pure=True))
        rows = msgspec.convert(yaml.load(read_file(path)) or [], list[Row])
    except (YAMLError, msgspec.ValidationError, RecursionError) as error:
        raise ConfigurationError(
            f"`{path}` is no index of schemas: {_what_is_wrong(error)}",
            remedy="entries are `{id: 7, subject: payments-value, version: 3, file: F.avsc}`",
        ) from None
    if len(rows) > _ROWS_MAX:
        raise ConfigurationError(f"`{path}` has more than {_ROWS_MAX} entries")
    for row in rows:
        _check(path, row)
    keys = [(row.subject, row.version) for row in rows]
    if len(set(keys)) < len(keys):
        raise ConfigurationError(f"`{path}` has two entries for one version of a subject")
    return rows


#: What an index has, by the names that its decoder has for it.
_NOUNS: Final = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a mapping",
    "str": "text",
}
_FIELDS: Final = (
    ("Object missing required field", "it lacks the field"),
    ("Object contains unknown field", "it has an unknown field"),
)
_PLACE: Final = re.compile(r" - at `\$\[(\d+)\]\.?(.*)`$")
_EXPECTED: Final = re.compile(r"Expected `(\w+)`, got `(\w+)`")


def _what_is_wrong(error: Exception) -> str:
    """What a parser or decoder found, in words of the file."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MarkedYAMLError):
        marked: Any = error  # the library says nothing of their types
        mark = marked.problem_mark or marked.context_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        said = str(marked.problem or marked.context or "it is no YAML")
        return where + said.replace("but got '<stream end>'", "but the file ends")
    if isinstance(error, ReaderError):
        return f"it has the character {error.character:#x}, which YAML does not allow"
    said = " ".join(str(error).split())
    place = _PLACE.search(said)
    where = ""
    if place is not None:
        said = said[: place.start()]
        field = f", `{place[2]}`" if place[2] else ""
        where = f"entry {int(place[1]) + 1}{field}: "
    said = _EXPECTED.sub(lambda m: f"it is {_noun(m[2])}, not {_noun(m[1])}", said)
    for theirs, ours in _FIELDS:
        said = said.replace(theirs, ours)
    return where + said


def _noun(name: str) -> str:
    return _NOUNS.get(name, name)


class _Yaml(Protocol):
    def load(self, stream: str, /) -> Any: ...


def _check(path: Path, row: Row) -> None:
    file = PurePosixPath(row.file)
    inside = not file.is_absolute() and ".." not in file.parts
    if not inside or not row.file.endswith(tuple(SUFFIXES.values())):
        raise ConfigurationError(
            f"`{path}` names the file `{row.file}`",
            remedy="name files below the directory that end in `.avsc` or `.schema.json`",
        )
    if not 0 <= row.id < 2**32 or row.version < 1:
        raise ConfigurationError(
            f"`{path}`: id {row.id}, version {row.version} of `{row.subject}` cannot be",
            remedy="ids are numbers below 4294967296, versions begin at 1",
        )


def write_index(directory: Path, rows: Iterable[Row]) -> None:
    """Write the index, all of it or nothing."""
    lines = [f"- {_flow(msgspec.to_builtins(row))}\n" for row in sorted(rows, key=_order)]
    write_file(directory / INDEX, "".join(lines) or "[]\n")


def _order(row: Row) -> tuple[int, str, int]:
    return row.id, row.subject, row.version


#: Text that YAML reads as itself without quotes, and as nothing else.
_BARE: Final = re.compile(r"(?!(?:null|true|false)\Z)[A-Za-z][A-Za-z0-9_./-]*", re.IGNORECASE)


def _flow(value: object) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in entries.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, cast("Sequence[object]", value))) + "]"
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return msgspec.json.encode(value).decode()


def read_file(path: Path) -> str:
    """The text of a file. Raises ConfigurationError."""
    try:
        if path.stat().st_size > _FILE_MAX_BYTES:
            raise ConfigurationError(f"`{path}` is larger than {_FILE_MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"`{path}` cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"`{path}` is not UTF-8") from None


def write_file(path: Path, text: str) -> None:
    """Replace a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
