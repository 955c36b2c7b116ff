"""Schemas by id: what they are, and who gives them.

Three answers are told apart everywhere: a schema; that there is none of that id (the bytes are bad);
that nobody can say now (the bytes may be good). A source keeps what it has found within bounds, and
asks for nothing before it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from .avro_types import AvroSchema, SchemaError, parse_schema
from .framing import SchemaId

__all__ = [
    "NotFound",
    "Schema",
    "SchemaAnswer",
    "SchemaSource",
    "SubjectVersion",
    "Unavailable",
    "make_schema",
]

_AVRO: Final = "AVRO"


@dataclass(frozen=True, slots=True, order=True)
class SubjectVersion:
    """One of the places where a schema is registered."""

    subject: str
    version: int


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A registered schema.

    `kind` is AVRO, JSON or another of the registry's words. `avro` is the parsed schema where it
    is one; None otherwise, and `problem` says why where it should be one. `tags` are those of the
    schema and its fields, sorted; `versions` is empty where the registry does not say.
    """

    id: SchemaId
    kind: str
    text: str
    versions: tuple[SubjectVersion, ...] = ()
    tags: tuple[str, ...] = ()
    avro: AvroSchema | None = None
    problem: str | None = None

    def subject(self, topic: str, field: str = "value") -> str:
        """The subject under which events of `topic` use the schema; empty where none is known.

        The same schema under several subjects has one id: the topic's own comes first.
        """
        subjects = [version.subject for version in self.versions]
        own = f"{topic}-{field}"
        return own if own in subjects else min(subjects, default="")


@dataclass(frozen=True, slots=True)
class NotFound:
    """There is no such schema: bytes that name it cannot be read. `remedy` may be empty."""

    id: SchemaId | str
    remedy: str = field(default="", compare=False)

    @property
    def reason(self) -> str:
        """For people; holds nothing of the bytes but the id."""
        return f"there is no schema `{self.id}`"


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nobody can say now. `reason` is for people, without credentials."""

    id: SchemaId | str
    reason: str


SchemaAnswer: TypeAlias = Schema | NotFound | Unavailable


class SchemaSource(Protocol):
    """Gives schemas. Thread-safe; never raises once it is made."""

    def schema(self, id: SchemaId) -> SchemaAnswer:  # noqa: A002 — the word everybody uses
        """The schema of an id, within one deadline."""
        ...

    def latest(self, subject: str) -> SchemaAnswer:
        """The newest schema of a subject, for checking rules against it."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def make_schema(
    id: SchemaId,  # noqa: A002
    kind: str,
    text: str,
    *,
    references: Sequence[str] = (),
    versions: Sequence[SubjectVersion] = (),
    tags: Sequence[str] = (),
) -> Schema:
    """A schema from its text. `references` are the texts that it refers to, needed ones first."""
    avro: AvroSchema | None = None
    problem: str | None = None
    if kind == _AVRO:
        try:
            avro = parse_schema(text, references)
        except SchemaError as error:
            problem = str(error)
    every = sorted({*tags, *(avro.tags if avro else ())})
    return Schema(id, kind, text, tuple(sorted(versions)), tuple(every), avro, problem)
