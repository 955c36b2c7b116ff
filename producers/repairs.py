"""What is said of one thing that was looked at, and the commands that put it right."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from confluent_kafka.admin import AclOperation

__all__ = ["Check", "Commands", "Status", "operation_name"]

Status: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found and, where it is not ok, what that means.

    `repair` holds the commands that put it right, for somebody with the rights to.
    """

    check: str
    status: Status
    subject: str
    found: str
    means: str = ""
    repair: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Commands:
    """Writes the commands that repair. `source` are the flags that name the policies.

    Where the cluster wants credentials, they are taken from files that are named, never shown.
    """

    servers: str
    user: str = ""
    secured: bool = False
    source: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Commands:
        """Those for the cluster and the user of a client's configuration."""
        secured = str(config.get("security.protocol", "plaintext")).lower() != "plaintext"
        servers, user = config.get("bootstrap.servers", ""), config.get("sasl.username", "")
        return cls(str(servers), str(user), secured)

    def ensure_log(self, url: str) -> str:
        """Make the topic of a decision log."""
        secured = ("-F", "admin.properties") if self.secured else ()
        return shlex.join(("streamwarden", "topics", "ensure", *secured, "--decision-log", url))

    def ensure(self, topic: str) -> str:
        """Make the parking topics of an origin."""
        secured = ("-F", "admin.properties") if self.secured else ()
        said = ("topics", "ensure", "-b", self.servers, *secured, "-t", topic, *self.source)
        return shlex.join(("streamwarden", *said))

    def create(self, topic: str, settings: Mapping[str, str] | None = None) -> str:
        """Make an ordinary topic."""
        more = [word for item in (settings or {}).items() for word in ("--config", "=".join(item))]
        partitions = ("--partitions", "1") if settings else ()
        return self._kafka("topics", "--create", "--topic", topic, *partitions, *more)

    def configure(self, topic: str, settings: Mapping[str, str]) -> str:
        """Change settings of a topic."""
        changes = ",".join(f"{name}={value}" for name, value in settings.items())
        what = ("--entity-type", "topics", "--entity-name", topic)
        return self._kafka("configs", "--alter", *what, "--add-config", changes)

    def grant(self, operations: Iterable[AclOperation], kind: str, name: str) -> str:
        """Give this user rights to a topic or a group."""
        said = [word for each in operations for word in ("--operation", operation_name(each))]
        principal = f"User:{self.user or 'NAME'}"
        allow = ("--add", "--allow-principal", principal)
        return self._kafka("acls", *allow, *said, f"--{kind}", name)

    def _kafka(self, tool: str, *words: str) -> str:
        secured = ("--command-config", "admin.properties") if self.secured else ()
        return shlex.join(
            (f"kafka-{tool}.sh", "--bootstrap-server", self.servers, *secured, *words)
        )


def operation_name(operation: AclOperation) -> str:
    """As kafka-acls.sh writes it: `DescribeConfigs`."""
    return "".join(part.capitalize() for part in operation.name.split("_"))
