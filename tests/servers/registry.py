"""A real schema registry: Apicurio, in memory, with the API that Confluent's clients speak."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .cache import free_port, once
from .kafka_home import JVM_OPTIONS, java, maven
from .process import Server, listening

__all__ = ["RegistryServer", "registry_server"]

VERSION = "3.0.9"

# Of the plugin's later versions, `get` also wants the parent of the artifact.
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"


class RegistryServer(Server):
    """An Apicurio Registry; it is empty again after a restart. `url` is what clients take."""

    def __init__(self, home: Path, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        settings = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": port,
            "apicurio.rest.deletion.artifact.enabled": "true",
        }
        super().__init__(
            [
                java(),
                *JVM_OPTIONS,
                *(f"-D{name}={value}" for name, value in settings.items()),
                "-jar",
                f"{home}/apicurio-registry-app-{VERSION}-runner.jar",
            ],
            folder,
            lambda: listening(port),
        )


@contextmanager
def registry_server() -> Generator[RegistryServer]:
    """A registry, killed at the end."""
    java()  # before a hundred megabytes are fetched
    home = once(f"apicurio-{VERSION}", _build)
    with tempfile.TemporaryDirectory(prefix="streamwarden-registry-") as folder:
        server = RegistryServer(home, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _build(folder: Path) -> None:
    archive = folder / "all.tar.gz"
    artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
    maven(folder, _PLUGIN, "-Dtransitive=false", f"-Dartifact={artifact}", f"-Ddest={archive}")
    subprocess.run(["tar", "-xzf", archive.name], cwd=folder, check=True)
    archive.unlink()
