"""How to reach Kafka: `-b`, `-X`, `-F` and `--timeout`, and what they come to for a client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamwarden.errors import ConfigurationError

from .output import SECRETS

__all__ = ["Client", "Trouble", "read_properties"]

_NAME = re.compile(r"[a-z][a-z0-9._]*")
_FILE_MAX_BYTES = 1_048_576
_SERVERS = ("bootstrap.servers", "metadata.broker.list")


@dataclass(frozen=True, slots=True)
class Client:
    """The properties that were asked for, and how long to wait for a broker."""

    properties: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value in self.properties.items():
            SECRETS.note_property(name, value)

    @property
    def servers(self) -> str:
        """Where the cluster is. Raises ConfigurationError where nobody said."""
        for name in _SERVERS:
            if self.properties.get(name):
                return self.properties[name]
        raise ConfigurationError(
            "no broker was named",
            remedy="say -b HOST:PORT, or set STREAMWARDEN_BOOTSTRAP_SERVERS",
        )

    @property
    def id(self) -> str:
        """The client's name for itself, which rules see as `client.id`."""
        return self.properties.get("client.id", "")

    def config(
        self, trouble: Trouble | None = None, defaults: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """The configuration of a client: `defaults`, then what was asked for.

        The client's own log lines stay off the terminal, unless asked for with `log_level` or
        `debug`; what they would say reaches `trouble`.
        """
        servers = self.servers
        config: dict[str, object] = dict(defaults or {})
        if "debug" not in self.properties:
            config["log_level"] = 0
        config.update(self.properties)
        config["bootstrap.servers"] = servers
        config.pop("metadata.broker.list", None)
        if trouble is not None:
            config["error_cb"] = trouble.heard
        return config


class Trouble:
    """What a client complained about, for the message when nothing works."""

    def __init__(self) -> None:
        #: The text of the last complaint, empty where there was none.
        self.last = ""
        #: True where the cluster answered and does not want us: waiting is in vain.
        self.refused = False

    def heard(self, error: object) -> None:
        """What the client calls with each of its errors."""
        text, name = getattr(error, "str", None), getattr(error, "name", None)
        if not callable(text) or not callable(name):
            return
        # That all brokers are down is only the sum of what was said about each of them.
        if name() != "_ALL_BROKERS_DOWN":
            self.last = str(text())
        self.refused = self.refused or name() in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED")


def read_properties(
    servers: str | None,
    given: Sequence[str],
    files: Sequence[Path],
    *,
    servers_from_environment: bool = False,
) -> dict[str, str]:
    """The properties of `-b`, `-X` and `-F` together: `-b` beats `-X`, which beats `-F`.

    Servers that only the environment names come last. Raises ConfigurationError.
    """
    properties: dict[str, str] = {}
    for path in files:
        properties.update(_read_file(path))
    for text in given:
        name, value = _property(text, "-X takes name=value, such as `-X security.protocol=SSL`")
        properties[name] = value
    if servers:
        named = any(properties.get(name) for name in _SERVERS)
        if not (servers_from_environment and named):
            properties.pop("metadata.broker.list", None)
            properties["bootstrap.servers"] = servers
    return properties


def _property(text: str, how: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not _NAME.fullmatch(name) or name.endswith("_cb"):
        # The text itself may be a secret: only a name is ever said.
        shown = f"`{name}`" if _NAME.fullmatch(name) else "one of them"
        raise ConfigurationError(f"{shown} is no client property", remedy=how)
    SECRETS.note_property(name, value.strip())
    return name, value.strip()


def _read_file(path: Path) -> dict[str, str]:
    """`name=value` lines, as kcat and librdkafka's examples have them; `#` starts a comment."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the properties in `{path}`: {error.strerror}",
            remedy="check path and rights",
        ) from None
    if len(data) > _FILE_MAX_BYTES:
        raise ConfigurationError(f"`{path}` is too large for a file of properties")
    properties: dict[str, str] = {}
    for number, raw in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        how = f"{path}:{number} is not name=value"
        name, value = _property(line, how)
        properties[name] = value
    return properties
