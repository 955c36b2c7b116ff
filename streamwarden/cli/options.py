"""Flags that mean the same everywhere, each group of them handed to a command as one value."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from streamwarden.errors import ConfigurationError

from .client import Client, read_properties
from .output import SECRETS, Output
from .times import Duration, Instant

if TYPE_CHECKING:
    from ..policy.guard import Guard
    from ..policy.keys import KeyRing

__all__ = [
    "PolicySource",
    "client_options",
    "decision_log_option",
    "flood_option",
    "metrics_options",
    "output_options",
    "policy_options",
    "store_client_options",
    "topic_option",
]

_F = TypeVar("_F", bound=Callable[..., Any])
_SERVERS_VARIABLE = "STREAMWARDEN_BOOTSTRAP_SERVERS"
_FILE = click.Path(path_type=Path)


_properties = click.option(
    "-X",
    "properties",
    multiple=True,
    metavar="NAME=VALUE",
    help="Any property of the Kafka client.",
)
_property_files = click.option(
    "-F",
    "property_files",
    multiple=True,
    type=_FILE,
    metavar="FILE",
    help="A file of such properties, one a line.",
)


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Where policies come from, and what a guard needs beside them. `now_ms` None is the clock."""

    directories: tuple[Path, ...] = ()
    store: str | None = None
    schemas: str | None = None
    now_ms: int | None = None
    stamp_keys: Path | None = None
    mask_keys: Path | None = None
    decision_log: str | None = None
    flood: str | None = None

    def guard(self, client: Client | None = None, *, masks: bool = True) -> Guard:
        """A started guard. Raises PolicyError, ConfigurationError, StoreError, NoPolicyError.

        `client` is who rules see as `client`, and how to reach a store that is in Kafka. Without
        `masks` no event is masked, and no key for that is asked for.
        """
        from ..policy.guard import Guard  # noqa: PLC0415 - options are read without policies too
        from ..policy.keys import KeyRing  # noqa: PLC0415 - as above
        from .stores import store_client, store_settings  # noqa: PLC0415 - as above

        settings: dict[str, Any] = {
            "client_id": "" if client is None else client.id,
            "stamp_keys": self.keys(self.stamp_keys),
            "mask_keys": self.keys(self.mask_keys),
            "clock": self.clock,
            "flood": self.flood,
        }
        if not masks and self.mask_keys is None:
            settings["mask_keys"] = KeyRing.load({"unused": os.urandom(32)})
        if self.schemas is not None:
            settings["schemas"] = self.schemas
        if self.decision_log is not None:
            # A log in Kafka is reached as a store there is.
            beside = store_settings(self.decision_log, client)
            settings["decision_log"] = {"url": self.decision_log, "client": beside}
        if self.directories and self.store is not None:
            raise ConfigurationError(
                "both --policies and --store are given", remedy="say which of them decides"
            )
        if self.directories:
            return Guard.from_directory(*self.directories, **settings).start()
        if self.store is not None:
            store = store_client(self.store, client)
            return Guard.from_url(self.store, client=store, **settings).start()
        raise ConfigurationError(
            "no policies were named", remedy="say --policies DIR, or --store URL"
        )

    def clock(self) -> int:
        """What rules see as `now`, in nanoseconds since the epoch."""
        return time.time_ns() if self.now_ms is None else self.now_ms * 1_000_000

    @staticmethod
    def keys(path: Path | None) -> KeyRing | None:
        """The keys in a file. Raises ConfigurationError."""
        from ..policy.keys import KeyRing  # noqa: PLC0415 - as above

        return None if path is None else KeyRing.load(path)


def policy_options(function: _F) -> _F:
    """Adds what makes a `PolicySource`, given to the command as `source`."""

    @click.option(
        "--policies",
        "directories",
        multiple=True,
        type=_FILE,
        metavar="DIR",
        help="A directory of policies; several compose into one bundle.",
    )
    @click.option(
        "--store",
        metavar="URL",
        help="A bundle store (dir:PATH, redis://…, kafka://…); its active bundle is used.",
    )
    @click.option("--schemas", metavar="DIR|URL", help="Schemas: a directory or a registry.")
    @click.option("--now", "now_ms", type=Instant(), metavar="TIME", help="The clock rules see.")
    @click.option("--stamp-keys", type=_FILE, metavar="FILE", help="Keys that sign stamps.")
    @click.option("--mask-keys", type=_FILE, metavar="FILE", help="Keys of `hash` masks.")
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        directories: tuple[Path, ...],
        store: str | None,
        schemas: str | None,
        now_ms: int | None,
        stamp_keys: Path | None,
        mask_keys: Path | None,
        **rest: Any,
    ) -> object:
        for url in (store, schemas):
            if url is not None:
                SECRETS.note_url(url)
        source = PolicySource(directories, store, schemas, now_ms, stamp_keys, mask_keys)
        return function(*args, source=source, **rest)

    return cast("_F", wrapper)


def client_options(function: _F) -> _F:
    """Adds what makes a `Client`, given to the command as `client`."""

    @click.option(
        "-b",
        "--bootstrap-servers",
        metavar="HOST:PORT,…",
        envvar=_SERVERS_VARIABLE,
        help=f"Where the cluster is; else {_SERVERS_VARIABLE}.",
    )
    @_properties
    @_property_files
    @click.option(
        "--timeout",
        "timeout_s",
        type=Duration(),
        default="30s",
        show_default=True,
        metavar="TIME",
        help="How long to wait for a broker that does not answer.",
    )
    @click.pass_context
    @functools.wraps(function)
    def wrapper(
        context: click.Context,
        /,
        *args: Any,
        bootstrap_servers: str | None,
        properties: tuple[str, ...],
        property_files: tuple[Path, ...],
        timeout_s: float,
        **rest: Any,
    ) -> object:
        given = read_properties(
            bootstrap_servers,
            properties,
            property_files,
            servers_from_environment=context.get_parameter_source("bootstrap_servers")
            is ParameterSource.ENVIRONMENT,
        )
        return function(*args, client=Client(given, timeout_s), **rest)

    return cast("_F", wrapper)


def store_client_options(function: _F) -> _F:
    """Adds what a store in Kafka needs besides its URL, given to the command as `client`."""

    @_properties
    @_property_files
    @functools.wraps(function)
    def wrapper(
        *args: Any, properties: tuple[str, ...], property_files: tuple[Path, ...], **rest: Any
    ) -> object:
        given = read_properties(None, properties, property_files)
        return function(*args, client=Client(given), **rest)

    return cast("_F", wrapper)


def decision_log_option(function: _F) -> _F:
    """Adds `--decision-log`, noted in the command's `source`; belongs below `policy_options`."""

    @click.option(
        "--decision-log",
        metavar="URL",
        envvar="STREAMWARDEN_DECISION_LOG",
        help="Log decisions with their why-trail to kafka://HOST:PORT/TOPIC, or to file:PATH.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, source: PolicySource, decision_log: str | None, **rest: Any) -> object:
        return function(*args, source=replace(source, decision_log=decision_log), **rest)

    return cast("_F", wrapper)


def flood_option(function: _F) -> _F:
    """Adds `--flood`, noted in the command's `source`; belongs below `policy_options`."""

    @click.option(
        "--flood",
        type=click.Choice(("stop", "warn")),
        default="warn",
        show_default=True,
        envvar="STREAMWARDEN_FLOOD",
        help="What to do when most events are refused.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, source: PolicySource, flood: str, **rest: Any) -> object:
        return function(*args, source=replace(source, flood=flood), **rest)

    return cast("_F", wrapper)


def metrics_options(function: _F) -> _F:
    """Adds `--metrics-port` and `--metrics-host`: while the command runs, metrics are served."""

    @click.option(
        "--metrics-port",
        type=click.IntRange(0, 65_535),
        default=0,
        metavar="PORT",
        help="Serve metrics for Prometheus there; 0, the default, serves none.",
    )
    @click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="The address that they are served at.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, metrics_port: int, metrics_host: str, **rest: Any) -> object:
        if not metrics_port:
            return function(*args, **rest)
        from .. import metrics  # noqa: PLC0415 - most commands need none

        with metrics.serve(metrics_port, metrics_host):
            return function(*args, **rest)

    return cast("_F", wrapper)


def output_options(function: _F) -> _F:
    """Adds `--json` and `--quiet`, given to the command as `output`."""

    @click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else there.")
    @click.option("--quiet", is_flag=True, help="No words on stderr but errors and warnings.")
    @functools.wraps(function)
    def wrapper(*args: Any, as_json: bool, quiet: bool, **rest: Any) -> object:
        return function(*args, output=Output(as_json, quiet), **rest)

    return cast("_F", wrapper)


def topic_option(
    *,
    required: bool = True,
    multiple: bool = False,
    help: str = "The topic.",  # noqa: A002
) -> Callable[[_F], _F]:
    """`-t/--topic`."""
    attributes: Mapping[str, Any] = {"required": required, "multiple": multiple, "help": help}
    name = "topics" if multiple else "topic"
    return click.option("-t", "--topic", name, metavar="TOPIC", **attributes)
