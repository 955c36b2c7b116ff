"""The compose file as a project of its own: brought up, asked, and taken down without a trace."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.servers.cache import free_port

__all__ = ["Container", "Demo", "DemoError", "say"]

_T = TypeVar("_T")

ROOT = Path(__file__).parents[2]

#: Images may have to be pulled and one is built; the machine may be busy with other things.
UP_TIMEOUT_S = 1200.0
COMMAND_TIMEOUT_S = 300.0
WAIT_TIMEOUT_S = 300.0

#: What is worth telling of what Compose says: steps of the build, and containers that are there.
_STEP = re.compile(r"#\d+ \[|\s*Container \S+\s+(Started|Healthy|Exited|Error)")

_PORTS = ("KAFKA_PORT", "REDIS_PORT", "REGISTRY_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")

# Waits on its standard input, which closes when the run ends however it ends, also by SIGKILL; then
# takes down what the run no longer can.
_GUARD = 'read _; docker compose --project-name "$0" down --volumes --remove-orphans; docker image rm "$1"'


class DemoError(AssertionError):
    """The demo is not as it should be; the text holds the logs of who may know why."""


class Container(NamedTuple):
    """A container of the project: its service, state, health (empty without a check), exit status."""

    service: str
    state: str
    health: str
    exit_status: int

    @property
    def well(self) -> bool:
        """Running and healthy, or ended as it should."""
        if self.state == "exited":
            return self.exit_status == 0
        return self.state == "running" and self.health in {"", "healthy"}


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"compose: {text}", flush=True)


class Demo:
    """One project of docker-compose.yml, on ports that nobody else has, with quick schedules."""

    def __init__(self) -> None:
        if shutil.which("docker") is None:
            raise DemoError("`docker` is not on PATH: install Docker with its Compose plug-in")
        self.project = f"streamwarden-test-{os.getpid()}"
        self.image = f"streamwarden-demo:test-{os.getpid()}"
        self.settings = {
            **{name: str(free_port()) for name in _PORTS},
            "STREAMWARDEN_TAG": self.image.partition(":")[2],
            "REDIS_PASSWORD": "only4tests",
            "GRAFANA_PASSWORD": "only4tests",
            "PAYMENTS_PER_SECOND": "20",
            "RECONCILE_INTERVAL_S": "3",
        }
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Where Kafka is for this machine."""
        return f"127.0.0.1:{self.settings['KAFKA_PORT']}"

    # ---------------------------------------------------------------- up and down

    def up(self) -> None:
        """Build, start, and return when everything is well. Raises DemoError."""
        docker("compose", "version", remedy="install Docker's Compose plug-in, 2.20 or newer")
        docker("info", remedy="start the Docker engine")
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, self.project, self.image],
            cwd=ROOT,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        say("building the image of the services, and starting everything in order")
        started = time.monotonic()
        status, said = self._told("--progress", "plain", "up", "--detach", "--build")
        if status:
            raise self.failure(f"`docker compose up` failed:\n{said}")
        self.wait("every container is well", lambda: all(each.well for each in self.containers()))
        say(f"up and well after {time.monotonic() - started:.0f} s")

    def down(self) -> None:
        """Take everything down: containers, network, volumes, and the image that was built."""
        say("taking everything down")
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        subprocess.run(["docker", "image", "rm", self.image], capture_output=True, check=False)
        if self._guard is not None:
            self._guard.kill()  # now that there is nothing left for it to do
            self._guard.communicate()

    def left(self) -> list[str]:
        """What there still is of the project; names of containers, volumes, networks, images."""
        label = f"label=com.docker.compose.project={self.project}"
        return [
            *docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split(),
            *docker("volume", "ls", "--filter", label, "--format", "{{.Name}}").split(),
            *docker("network", "ls", "--filter", label, "--format", "{{.Name}}").split(),
            *docker("image", "ls", self.image, "--format", "{{.Repository}}:{{.Tag}}").split(),
        ]

    # ---------------------------------------------------------------- asking

    def compose(self, *arguments: str) -> str:
        """What `docker compose` says on its standard output. Raises DemoError where it fails."""
        return _run(self._command(*arguments), self._environment())

    def containers(self) -> list[Container]:
        """Every container of the project, running or not."""
        label = f"label=com.docker.compose.project={self.project}"
        ids = docker("ps", "--all", "--quiet", "--filter", label).split()
        return [_container(each) for each in json.loads(docker("inspect", *ids))] if ids else []

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of the one container of a service."""
        found: list[dict[str, Any]] = json.loads(
            docker("inspect", self.compose("ps", "--all", "--quiet", service).strip())
        )
        return found[0]

    def logs(self, services: Iterable[str] = (), *, tail: int = 60) -> str:
        """The last lines of the logs of services, of all without."""
        return self.compose("logs", "--no-color", "--tail", str(tail), *services)

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What Prometheus answers now: labels and value of each series."""
        answer = self.get(
            "PROMETHEUS_PORT", "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        )
        return [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]

    def get(self, port: str, path: str, *, headers: dict[str, str] | None = None) -> Any:
        """The JSON at a path of a published port, named as in the settings."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.settings[port]}{path}", headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise DemoError(f"{path}: {error}: {error.read().decode(errors='replace')}") from None

    def wait(
        self,
        what: str,
        condition: Callable[[], _T],
        *,
        services: Sequence[str] = (),
        timeout_s: float = WAIT_TIMEOUT_S,
    ) -> _T:
        """What `condition` gives once it is true; DemoError with the logs of `services` if never."""
        say(f"waiting: {what}")
        deadline = time.monotonic() + timeout_s
        last: object = None
        while time.monotonic() < deadline:
            try:
                last = found = condition()
            except (OSError, DemoError) as error:
                last = error
            else:
                if found:
                    return found
            time.sleep(0.5)
        raise self.failure(f"{what}: not within {timeout_s:.0f} s; last seen: {last!r}", services)

    def failure(self, why: str, services: Iterable[str] = ()) -> DemoError:
        """The error to raise, with the logs of `services`, else of whoever is not well."""
        containers = self.containers()
        chosen = list(services) or [each.service for each in containers if not each.well]
        states = "\n".join(f"  {each}" for each in containers)
        logs = self.logs(chosen) if chosen else ""
        return DemoError(f"{why}\n\n{states}\n\n{logs}")

    def _told(self, *arguments: str) -> tuple[int, str]:
        """Run `docker compose` and tell of its steps; its exit status and its last lines."""
        last: deque[str] = deque(maxlen=80)
        with subprocess.Popen(
            self._command(*arguments),
            cwd=ROOT,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            limit = threading.Timer(UP_TIMEOUT_S, running.kill)
            limit.start()
            try:
                for line in running.stdout or ():
                    last.append(line)
                    if _STEP.match(line):
                        say(line.strip())
            finally:
                limit.cancel()
        return running.returncode, "".join(last)

    def _command(self, *arguments: str) -> list[str]:
        return ["docker", "compose", "--project-name", self.project, *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.settings}


def docker(*arguments: str, remedy: str = "") -> str:
    """What `docker` says on its standard output. Raises DemoError, with `remedy`."""
    return _run(["docker", *arguments], dict(os.environ), remedy)


def _run(command: list[str], environment: dict[str, str], remedy: str = "") -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}".strip()
        raise DemoError(f"`{' '.join(command)}` failed; {remedy}\n{said}")
    return done.stdout


def _container(inspected: dict[str, Any]) -> Container:
    state = inspected["State"]
    return Container(
        inspected["Config"]["Labels"]["com.docker.compose.service"],
        state["Status"],
        state.get("Health", {}).get("Status", ""),
        state["ExitCode"],
    )
