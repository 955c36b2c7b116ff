"""What `streamwarden reconcile` is asked about, and the forms in which it answers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from streamwarden.errors import ConfigurationError, ReconcileError
from streamwarden.urls import http_url

from ..policy.bundle import Bundle
from ..reconciler.report import Report
from ..reconciler.sampling import Sample
from ..reconciler.selection import Selection, parse_offsets, parse_partitions
from ..schemas.registry import SchemaSource
from .client import Client
from .loading import load
from .output import SECRETS
from .stores import opened
from .times import Instant, parse_instant

__all__ = ["Forms", "Scope", "form_options", "scope_options"]

_F = TypeVar("_F", bound=Callable[..., Any])
_VERSION = re.compile(r"(?:[a-z0-9][a-z0-9._-]*@|#)?([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of history is looked at, and by which version it is judged."""

    selection: Selection
    sample: Sample | None
    as_of: int | None
    version: int | None
    against: str | None
    incremental: bool
    decision_log: str | None
    lossless_since: int | None
    log_has_allows: bool
    log_differences: Path | None

    def candidate(
        self, store: str | None, client: Client, schemas: SchemaSource | None
    ) -> Bundle | None:
        """The bundle of `--against`: a directory, or `STORE#N`; `#N` is of `--store`."""
        if self.against is None:
            return None
        url, mark, number = self.against.rpartition("#")
        if mark and number.isdigit() and not Path(self.against).exists():
            place = url or store
            if place is None:
                raise ConfigurationError(
                    f"`{self.against}` names no store", remedy="say `--store URL`, or `URL#N`"
                )
            return opened(place, client).get(int(number))
        return load([Path(self.against)], schemas)


def scope_options(function: _F) -> _F:
    """Adds what makes a `Scope`, given to the command as `scope`."""

    @_selection_options
    @click.option(
        "--sample", metavar="N%|N", help="Judge about so many at random; estimate the rest."
    )
    @click.option(
        "--as-of", metavar="TIME|N", help="Judge by what --store had active then, or by version N."
    )
    @click.option(
        "--against",
        metavar="DIR|STORE#N",
        help="Judge by this candidate, and say what it would change.",
    )
    @click.option("--incremental", is_flag=True, help="Begin where the last run in --runs ended.")
    @click.option(
        "--decision-log",
        metavar="FILE|URL",
        help="Compare with this log of decisions: file:PATH or kafka://HOST:PORT/TOPIC.",
    )
    @click.option(
        "--lossless-since",
        type=Instant(),
        metavar="TIME",
        help="From when on that log must have every decision but plain allows.",
    )
    @click.option("--log-has-allows", is_flag=True, help="That log must have plain allows too.")
    @click.option(
        "--log-differences",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write each event without an entry, and each entry without one, as a line of JSON.",
    )
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        selection: Selection,
        sample: str | None,
        as_of: str | None,
        against: str | None,
        incremental: bool,
        decision_log: str | None,
        lossless_since: int | None,
        log_has_allows: bool,
        log_differences: Path | None,
        **rest: Any,
    ) -> object:
        instant, version = _as_of(as_of)
        drawn = None if sample is None else Sample.parse(sample)
        scope = Scope(
            selection=selection,
            sample=drawn,
            as_of=instant,
            version=version,
            against=against,
            incremental=incremental,
            decision_log=decision_log,
            lossless_since=lossless_since,
            log_has_allows=log_has_allows,
            log_differences=log_differences,
        )
        return function(*args, scope=scope, **rest)

    return cast("_F", wrapper)


def _selection_options(function: Callable[..., object]) -> Callable[..., object]:
    """Adds what makes a `Selection`, given as `selection`."""

    @click.option("--partitions", metavar="N,N-N", help="Only these partitions.")
    @click.option(
        "--offsets", metavar="FIRST-END", help="Only these offsets of each partition; END is not."
    )
    @click.option(
        "--policy", "policies", multiple=True, metavar="NAME", help="Only findings of this policy."
    )
    @click.option(
        "--severity", "severities", multiple=True, metavar="LEVEL", help="… of rules so severe."
    )
    @click.option("--owner", "owners", multiple=True, metavar="NAME", help="… of this owner.")
    @click.option("--class", "classes", multiple=True, metavar="CLASS", help="… of this class.")
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        partitions: str | None,
        offsets: str | None,
        policies: tuple[str, ...],
        severities: tuple[str, ...],
        owners: tuple[str, ...],
        classes: tuple[str, ...],
        **rest: Any,
    ) -> object:
        selection = replace(
            _places(partitions, offsets),
            policies=_split(policies),
            severities=_split(severities),
            owners=_split(owners),
            classes=_split(classes),
        )
        return function(*args, selection=selection, **rest)

    return wrapper


def _places(partitions: str | None, offsets: str | None) -> Selection:
    first, end = (None, None) if offsets is None else parse_offsets(offsets)
    numbers = frozenset[int]() if partitions is None else parse_partitions(partitions)
    return Selection(partitions=numbers, first=first, end=end)


def _split(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for text in given for name in text.split(",") if name.strip())


def _as_of(text: str | None) -> tuple[int | None, int | None]:
    """A time in milliseconds, or the number of a version."""
    if text is None:
        return None, None
    version = _VERSION.fullmatch(text.strip())
    if version is not None:
        return None, int(version[1])
    try:
        return parse_instant(text), None
    except ValueError as error:
        raise ConfigurationError(
            f"`--as-of` takes a time or a version: {error}", remedy="a version is such as `#14`"
        ) from None


@dataclass(frozen=True, slots=True)
class Forms:
    """Files and places that the report is written to besides the terminal."""

    page: Path | None
    junit: Path | None
    openreports: Path | None
    metrics_textfile: Path | None
    metrics_push: str | None

    def write(self, report: Report, fail_on: Collection[str]) -> None:
        """Write every form that was asked for. Raises ReconcileError."""
        said = report.to_dict()
        if self.page is not None:
            from ..reconciler.page import write_page  # noqa: PLC0415 - who asks for it pays for it

            write_page(said, self.page)
        if self.junit is not None:
            from ..reconciler.junit import junit  # noqa: PLC0415 - as above

            _save(self.junit, junit(said, fail_on))
        if self.openreports is not None:
            from ..reconciler import openreports  # noqa: PLC0415 - as above

            is_json = self.openreports.suffix == ".json"
            render = openreports.as_json if is_json else openreports.as_yaml
            _save(self.openreports, render(said))
        if self.metrics_textfile is not None or self.metrics_push is not None:
            from ..reconciler import metrics  # noqa: PLC0415 - as above

            if self.metrics_textfile is not None:
                metrics.write_textfile(said, self.metrics_textfile)
            if self.metrics_push is not None:
                metrics.push(said, self.metrics_push)


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ReconcileError(
            f"`{path}` cannot be written: {error.strerror}",
            remedy="name a file in a folder that can be written to",
        ) from None


def form_options(function: _F) -> _F:
    """Adds what makes `Forms`, given to the command as `forms`."""
    path = click.Path(path_type=Path, dir_okay=False)

    @click.option(
        "--report", "page", type=path, metavar="FILE", help="Write the report as an HTML page."
    )
    @click.option("--junit", type=path, metavar="FILE", help="Write the report as JUnit XML.")
    @click.option(
        "--openreports",
        type=path,
        metavar="FILE",
        help="Write it as an openreports.io Report: YAML, or JSON by the name.",
    )
    @click.option(
        "--metrics-textfile", type=path, metavar="FILE", help="Write its figures for Prometheus."
    )
    @click.option("--metrics-push", metavar="URL", help="Push its figures to a push gateway.")
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        page: Path | None,
        junit: Path | None,
        openreports: Path | None,
        metrics_textfile: Path | None,
        metrics_push: str | None,
        **rest: Any,
    ) -> object:
        if metrics_push is not None:
            SECRETS.note_url(metrics_push)
            http_url(metrics_push, "--metrics-push")
        # Before the work, which may last for hours.
        scope: Scope | None = rest.get("scope")
        differences = None if scope is None else scope.log_differences
        written = [rest.get("findings"), differences, page, junit, openreports, metrics_textfile]
        targets = [target for target in written if isinstance(target, Path)]
        for target in targets:
            if targets.count(target) > 1:
                raise ConfigurationError(
                    f"`{target}` is to be written twice", remedy="name a file for each form"
                )
            if not target.parent.is_dir():
                raise ConfigurationError(
                    f"there is no folder `{target.parent}` for `{target.name}`",
                    remedy="make it, or name another one",
                )
        forms = Forms(page, junit, openreports, metrics_textfile, metrics_push)
        return function(*args, forms=forms, **rest)

    return cast("_F", wrapper)
