"""What a local broker runs on: Kafka's jars, and what makes its start take under a second.

A home in the cache holds `libs/` (jars, from pom.xml), `log4j2.properties`, `bootstrap.checkpoint`
(what formatting writes, copied into new data folders) and `classes.jsa` (an archive of loaded
classes, bound to the jars' absolute paths).
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from .cache import MissingServerError, find_program, free_port, once
from .process import Server, listening

__all__ = ["KafkaHome", "java", "kafka_home", "lines", "maven", "random_id"]

# A small heap, and a JVM that starts fast rather than one that ends up fast.
JVM_OPTIONS = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xlog:disable",
)

JAVA_MIN = 17  # what Kafka 4 runs on

LOG4J = """
    appender.c.type=Console
    appender.c.name=C
    appender.c.layout.type=PatternLayout
    appender.c.layout.pattern=%d_%p_%c{1}_%m%n
    rootLogger.level=${env:KAFKA_LOG:-WARN}
    rootLogger.appenderRef.c.ref=C
"""

_BUILD = 1  # raised when homes are built in another way, so that nobody uses an old one
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM = Path(__file__).with_name("pom.xml")


@dataclass(frozen=True, slots=True)
class KafkaHome:
    """A folder of the cache that brokers run from."""

    folder: Path

    def command(self, properties: Path) -> list[str]:
        """The command line of a broker."""
        archive = self.folder / "classes.jsa"
        return [
            java(),
            *JVM_OPTIONS,
            *([f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []),
            f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
            "-cp",
            f"{self.folder}/libs/*",
            "kafka.Kafka",
            str(properties),
        ]

    def format(self, data: Path, *, node: int, cluster: str) -> None:
        """Make a data folder as `kafka-storage format` would, half a second faster."""
        data.mkdir(parents=True)
        shutil.copy(self.folder / "bootstrap.checkpoint", data)
        (data / "meta.properties").write_text(
            f"version=1\ncluster.id={cluster}\nnode.id={node}\ndirectory.id={random_id()}\n"
        )


def kafka_home() -> KafkaHome:
    """The home, made the first time; MissingServerError where it cannot be."""
    made_from = repr((_BUILD, java(), JVM_OPTIONS, LOG4J, _POM.read_text()))
    key = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    return KafkaHome(once(f"kafka-{key}", _build))


def java() -> str:
    """The absolute path of a Java that Kafka runs on."""
    home = os.environ.get("JAVA_HOME")
    name = f"{home}/bin/java" if home else "java"
    return os.path.realpath(find_program(name, remedy=f"install Java {JAVA_MIN} or set JAVA_HOME"))


def maven(folder: Path, *arguments: str) -> None:
    """Run Maven with a repository below `folder`, so that nothing is left in the user's own."""
    program = find_program("mvn", remedy="install Maven, which fetches the servers' jars")
    repository = folder / "maven"
    run = subprocess.run(
        [program, "-q", "-B", f"-Dmaven.repo.local={repository}", *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    shutil.rmtree(repository, ignore_errors=True)
    if run.returncode:
        raise MissingServerError(
            f"Maven could not fetch a server:\n{run.stdout[-2000:]}{run.stderr}"
        )


def lines(settings: str) -> str:
    """Settings written with spaces between them, one a line."""
    return "\n".join(settings.split()) + "\n"


def random_id() -> str:
    """An id as Kafka makes them; it may not begin with a dash."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


def _build(folder: Path) -> None:
    _check_java_version()
    maven(folder, "-f", str(_POM), _PLUGIN, f"-DoutputDirectory={folder}/libs")
    (folder / "log4j2.properties").write_text(lines(LOG4J))
    home = KafkaHome(folder)
    with tempfile.TemporaryDirectory(prefix="streamwarden-build-") as work:
        _save_checkpoint(home, Path(work))
        _save_classes(home, Path(work))


def _check_java_version() -> None:
    said = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < JAVA_MIN:
        raise MissingServerError(f"Kafka needs Java {JAVA_MIN}, found: {said.splitlines()[0]}")


def _save_checkpoint(home: KafkaHome, work: Path) -> None:
    properties = _minimal_properties(work, client_port=2, controller_port=1)
    command = home.command(properties)
    tool = [*command[: command.index("kafka.Kafka")], "kafka.tools.StorageTool"]
    subprocess.run(
        [*tool, "format", "-t", random_id(), "-c", str(properties)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    shutil.move(work / "data" / "bootstrap.checkpoint", home.folder)
    shutil.rmtree(work / "data")


def _save_classes(home: KafkaHome, work: Path) -> None:
    """Run a broker once, ended by SIGTERM, upon which the JVM writes the classes it has loaded."""
    port = free_port()
    home.format(work / "data", node=1, cluster=random_id())
    properties = _minimal_properties(work, client_port=port, controller_port=free_port())
    command = home.command(properties)
    command.insert(1, f"-XX:ArchiveClassesAtExit={home.folder}/classes.jsa")
    server = Server(command, work, lambda: listening(port))
    try:
        server.start()
    finally:
        server.stop()


def _minimal_properties(work: Path, *, client_port: int, controller_port: int) -> Path:
    path = work / "build.properties"
    settings = f"""
        process.roles=broker,controller
        node.id=1
        controller.listener.names=CONTROLLER
        controller.quorum.voters=1@127.0.0.1:{controller_port}
        listeners=PLAINTEXT://127.0.0.1:{client_port},CONTROLLER://127.0.0.1:{controller_port}
        log.dirs={work}/data
        offsets.topic.replication.factor=1
        log.cleaner.dedupe.buffer.size=4194304
    """
    path.write_text(lines(settings))
    return path
