"""deploy/ and docker-compose.yml against what they speak of; `make test-compose` really runs them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from ruamel.yaml import YAML

from streamwarden.metrics import GuardCollector
from streamwarden.policy.compiler.framed import FramedValues
from streamwarden.policy.loader import load_directories
from streamwarden.policy.model import Effect
from streamwarden.policy.testing import run_cases
from streamwarden.schemas.schema_directory import DirectorySource

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"


def load_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


COMPOSE = load_yaml(ROOT / "docker-compose.yml")
DASHBOARD: dict[str, Any] = json.loads(
    (DEPLOY / "grafana/dashboards/streamwarden.json").read_text()
)
ALERTS: list[dict[str, Any]] = [
    rule for group in load_yaml(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]
]
#: What each alert and each panel asks, by its name.
QUESTIONS = [(rule["alert"], rule["expr"]) for rule in ALERTS] + [
    (panel["title"], target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
]

#: One-shot services end; the others are asked whether they are well.
ONE_SHOT = {"topics", "policy", "parking"}


def exported() -> dict[str, Metric]:
    """The metrics of a process, by each name that a series of them has."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    return {
        f"{metric.name}{ending}": metric
        for metric in GuardCollector().collect()
        for ending in endings.get(metric.type, [""])
    }


def asked(expression: str) -> set[str]:
    return set(re.findall(r"\bstreamwarden_\w+", expression))


@pytest.mark.parametrize(("name", "expression"), QUESTIONS)
def test_alerts_and_panels_ask_for_metrics_that_there_are(name: str, expression: str) -> None:
    """A question about a metric that nobody exports would never be answered."""
    known = exported()

    assert asked(expression) - set(known) == set()
    assert asked(expression) or "up{" in expression, name


@pytest.mark.parametrize(("name", "expression"), QUESTIONS)
def test_alerts_and_panels_ask_by_labels_that_there_are(name: str, expression: str) -> None:
    """A matcher on a label that a metric has not matches everything or nothing."""
    known = exported()
    labels = {"instance", "job", "le"}
    for metric in asked(expression):
        labels |= set(getattr(known[metric], "_labelnames", ()))
    named = {
        label.strip()
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        for label in group.split(",")
    }
    matched = {
        label
        for group in re.findall(r"\{([^}]*)\}", expression)
        for label in re.findall(r"(\w+)\s*[=!]", group)
    }

    assert (named | matched) - labels == set(), name


def test_the_dashboard_shows_every_metric() -> None:
    """What is counted can be seen; of a histogram, one of its series is enough."""
    shown = {metric for _, expression in QUESTIONS[len(ALERTS) :] for metric in asked(expression)}
    families = {metric.name for metric in exported().values()}

    assert families - {exported()[name].name for name in shown} == set()


def test_panels_do_not_lie_on_each_other() -> None:
    """Each place of the grid belongs to one panel, and each panel has a number of its own."""
    panels = DASHBOARD["panels"]
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_is_tested_and_explained() -> None:
    """By the tests of promtool, and by a line of docs/deployment.md about what to do."""
    names = {rule["alert"] for rule in ALERTS}
    tested = {
        check["alertname"]
        for test in load_yaml(PROMETHEUS / "alerts.test.yml")["tests"]
        for check in test["alert_rule_test"]
        if check["exp_alerts"]
    }
    explained = set(re.findall(r"`(Streamwarden\w+)`", (ROOT / "docs/deployment.md").read_text()))

    assert tested == names
    assert explained == names
    assert {rule["labels"]["severity"] for rule in ALERTS} == {"critical", "warning"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        pytest.param(("test", "rules", "alerts.test.yml"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """Prometheus's own tool reads the files, and the alerts fire when they should."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("`promtool` is not on PATH; on Debian: apt-get install prometheus")
    done = subprocess.run(
        [promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_ports_are_published_on_loopback_only() -> None:
    """A machine in a network must not offer a Kafka without a password to it."""
    published = [
        port for service in COMPOSE["services"].values() for port in service.get("ports", ())
    ]

    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_images_are_pinned() -> None:
    """Tomorrow's demo is today's: no tag that means something else by then."""
    images = {service["image"] for service in COMPOSE["services"].values()}
    bases = re.findall(r"^ARG BASE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert len(bases) == 1
    for image in {*images, *bases}:
        assert re.search(r":(v?\d+[\w.-]*|\$\{STREAMWARDEN_TAG:-dev\})$", image), image


def test_services_say_whether_they_are_well_and_wait_for_what_they_need() -> None:
    """Every service that stays has a check; the guarded ones start after policy and topics."""
    services: dict[str, dict[str, Any]] = COMPOSE["services"]
    without = {name for name, service in services.items() if "healthcheck" not in service}

    assert without == ONE_SHOT
    for name in ("publisher", "handler", "reconciler"):
        waits_for = services[name]["depends_on"]
        assert {"kafka", "redis", "registry", "policy", "parking"} <= set(waits_for), name
        for needed, how in waits_for.items():
            ended = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
            assert how["condition"] == ended, (name, needed)


def test_settings_are_listed_with_their_defaults() -> None:
    """deploy/env.example names every variable of the compose file, with what it is without."""
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text()))
    lines = (DEPLOY / "env.example").read_text().splitlines()
    listed = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert listed == used


def test_the_image_is_built_from_every_package() -> None:
    """What .dockerignore leaves out is not in the image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = set(project["tool"]["setuptools"]["package-dir"].values())
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert folders - let_in == set()


def test_the_policies_of_the_demo_do_what_their_tests_say() -> None:
    """One rejects, one holds, one masks; all are checked against the schema of the payments."""
    bundle = load_directories([DEPLOY / "policies"])
    schemas = DirectorySource(DEPLOY / "demo" / "schemas")
    results = list(run_cases(bundle, clock=time.time_ns, framed=FramedValues(schemas)))

    effects = {rule.effect for policy in bundle.policies for rule in policy.rules}
    assert {Effect.REJECT, Effect.HOLD, Effect.MASK} <= effects
    assert len(results) == 4
    assert [result.failures for result in results if not result.passed] == []
