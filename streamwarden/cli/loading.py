"""Directories of policies to a bundle, checked against schemas where these are given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from streamwarden.errors import ConfigurationError, PolicyError, Problem

from ..policy.bundle import Bundle
from ..policy.loader import read_directories
from ..policy.schema_types import SchemaTypes
from ..policy.written import Adviser
from ..schemas.registry import SchemaAnswer, SchemaSource, Unavailable
from ..schemas.schema_sources import open_schemas
from .output import SECRETS, Output, say, write_json
from .times import today

__all__ = [
    "load",
    "opened_schemas",
    "present",
    "problems_json",
    "read",
    "schemas_option",
    "tell_problems",
]

schemas_option = click.option(
    "--schemas", metavar="DIR|URL", help="Schemas to check against: a directory or a registry."
)


def present(directories: Sequence[Path]) -> None:
    """Raise ConfigurationError for a directory that is not there."""
    for directory in directories:
        if not directory.exists():
            raise ConfigurationError(
                f"there is no `{directory}`", remedy="name a directory of policies"
            )


@contextmanager
def opened_schemas(
    schemas: str | None, *, timeout_s: float | None = None
) -> Generator[SchemaSource | None]:
    """The schemas that `--schemas` names; None without. `timeout_s` is for one lookup."""
    if schemas is None:
        yield None
        return
    SECRETS.note_url(schemas)
    source = (
        open_schemas(schemas) if timeout_s is None else open_schemas(schemas, timeout_s=timeout_s)
    )
    try:
        yield source
    finally:
        source.close()


def read(
    directories: Sequence[Path],
    schemas: SchemaSource | None = None,
    advisers: Sequence[Adviser] = (),
    unasked: set[str] | None = None,
) -> tuple[Bundle | None, list[Problem]]:
    """The bundle, where no error keeps it from being made, and all problems.

    Subjects whose schema nobody could say go into `unasked`. Raises ConfigurationError for a
    directory that is not there.
    """
    present(directories)
    types = None if schemas is None else SchemaTypes(_Told(schemas, unasked))
    return read_directories(
        list(directories),
        value_types=types,
        mask_problem=None if types is None else types.mask_problem,
        advisers=advisers,
    )


def load(
    directories: Sequence[Path],
    schemas: SchemaSource | None = None,
    *,
    advisers: Sequence[Adviser] = (),
    warn: Callable[[Problem], None] | None = None,
    output: Output | None = None,
) -> Bundle:
    """The bundle of directories; PolicyError with all problems where there is none.

    `output` gets them too, see `tell_problems`. `warn` is called with each warning.
    """
    unchecked = set[str]()
    bundle, problems = read(directories, schemas, advisers, unchecked)
    if bundle is None:
        if output is not None:
            tell_problems(problems, output, unchecked)
        raise PolicyError([each for each in problems if each.severity == "error"])
    if warn is not None:
        for problem in problems:
            warn(problem)
    return bundle


def tell_problems(
    problems: Sequence[Problem], output: Output, unchecked: Collection[str] = ()
) -> None:
    """With `--json`, the problems of policies that cannot be loaded, as `policy check` has them.

    People read them in the error that follows.
    """
    if output.json:
        write_json(problems_json(problems, unchecked=unchecked))


def problems_json(
    problems: Sequence[Problem], bundle: Bundle | None = None, unchecked: Collection[str] = ()
) -> dict[str, object]:
    """Problems, and what there is of a bundle in spite of them, as JSON.

    `unchecked` are the subjects of schemas that nothing was checked against.
    """
    errors = sum(problem.severity == "error" for problem in problems)
    return {
        "ok": not errors,
        "errors": errors,
        "warnings": len(problems) - errors,
        "problems": [
            {
                "code": problem.code,
                "severity": problem.severity,
                "file": problem.location.file,
                "line": problem.location.line,
                "column": problem.location.column,
                "message": problem.message,
                "text": problem.text,
                "remedy": problem.remedy,
                "corrected": problem.corrected,
            }
            for problem in problems
        ],
        "bundle": None if bundle is None else bundle.label,
        "digest": None if bundle is None else bundle.digest,
        "policies": None if bundle is None else len(bundle.policies),
        "rules": None if bundle is None else sum(len(p.rules) for p in bundle.policies),
        "cases": None if bundle is None else len(bundle.tests),
        "overdue": []
        if bundle is None
        else [each.id for each in bundle.policies if each.is_overdue(today())],
        "unchecked": sorted(unchecked),
    }


class _Told:
    """A source whose silence does not go unnoticed."""

    def __init__(self, schemas: SchemaSource, told: set[str] | None = None) -> None:
        self._schemas, self._told = schemas, set[str]() if told is None else told
        self.schema, self.close = schemas.schema, schemas.close

    def latest(self, subject: str) -> SchemaAnswer:
        """As the source says; that it cannot say is told once."""
        found = self._schemas.latest(subject)
        if isinstance(found, Unavailable) and subject not in self._told:
            self._told.add(subject)
            say(f"warning: not checked against schema `{subject}`: {found.reason}")
        return found
