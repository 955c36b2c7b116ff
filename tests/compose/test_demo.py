"""What docker-compose.yml promises, seen from outside: events, policy, metrics, findings.

The tests build on one demo, and change it in the order in which they stand.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.servers.topics import read_topic

from .demo import ROOT, Demo, DemoError, say

SERVICES = ("publisher", "handler", "reconciler")
#: By the first version that is published.
STAMP = re.compile(rb"1;payments@1;[0-9a-f]{12};(allow|mask);produce")
#: What the last reconciliation found that counts.
DRIFT = 'streamwarden_reconcile_findings{kind!~"overridden|now-allowed"}'


def test_every_port_is_on_loopback(demo: Demo) -> None:
    """Nothing can be reached from another machine."""
    services = {each.service for each in demo.containers()}
    published = {
        (service, binding["HostIp"])
        for service in services
        for bindings in demo.inspect(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }

    assert {address for _, address in published} == {"127.0.0.1"}
    assert {service for service, _ in published} == {
        *("kafka", "redis", "registry", "prometheus", "grafana")
    }


def test_the_image_runs_as_nobody_and_holds_no_tools(demo: Demo) -> None:
    """Not root, no right that could be raised, nothing that installs or builds."""
    user = demo.compose("exec", "-T", "publisher", "id", "-u").strip()
    tools = demo.compose(
        *("exec", "-T", "publisher", "sh", "-c"),
        "for tool in gcc cc make git; do command -v $tool; done; ls /opt/streamwarden/bin | grep pip; true",
    )
    host = demo.inspect("publisher")["HostConfig"]

    assert user == "10001"
    assert tools == ""
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"] is True
    with pytest.raises(DemoError, match="Read-only file system"):
        demo.compose("exec", "-T", "publisher", "touch", "/opt/demo/x")


def test_redis_wants_a_password(demo: Demo) -> None:
    """Whoever could write there would decide what policy is."""
    with socket.create_connection(("127.0.0.1", int(demo.settings["REDIS_PORT"])), 10) as client:
        client.sendall(b"PING\r\n")
        answer = client.recv(100)

    assert answer.startswith(b"-NOAUTH")


def test_events_flow(demo: Demo) -> None:
    """Payments that pass are stamped, masked, and handled; the others are parked, with a decision."""
    demo.wait(
        "the handler has handled payments",
        lambda: _sum(demo, 'streamwarden_decisions_total{stage="consume"}') >= 20,
        services=SERVICES,
    )
    parked = {
        kind: demo.wait(
            f"a payment is in {kind}.payments",
            partial(read_topic, demo.bootstrap, f"{kind}.payments"),
            services=SERVICES,
        )
        for kind in ("quarantine", "held")
    }
    written = read_topic(demo.bootstrap, "payments")
    stamps = [dict(record[4])["streamwarden"] for record in written]
    effects = {
        name: json.loads(dict(records[0][4])["streamwarden-decision"] or b"")["effect"]
        for name, records in parked.items()
    }

    assert len(written) >= 20
    assert [stamp for stamp in stamps if not STAMP.fullmatch(stamp or b"")] == []
    assert effects == {"quarantine": "reject", "held": "hold"}
    masked = [
        record[3] or b""
        for record, stamp in zip(written, stamps, strict=True)
        if b"mask" in (stamp or b"")
    ]
    assert [value for value in masked if b"*" * 12 + b"1111" not in value] == []
    assert "card ************1111" in demo.logs(["handler"], tail=500)


def test_decisions_are_logged_with_why(demo: Demo) -> None:
    """A rejected payment stands in the decision log, with its rule, and without its card number."""

    def rejected() -> list[bytes]:
        lines = [record[3] or b"" for record in read_topic(demo.bootstrap, "decisions")]
        return [line for line in lines if json.loads(line)["effect"] == "reject"]

    lines = demo.wait("a rejected payment is in the decision log", rejected, services=SERVICES)
    decision = json.loads(lines[0])

    assert decision["guard"]["client"] == "publisher"
    assert decision["schema"]["subject"] == "payments-value"
    assert "currency-known" in [match["rule"] for match in decision["matches"]]
    assert [line for line in lines if b"411111" in line] == []


def test_prometheus_asks_every_guard(demo: Demo) -> None:
    """Each service is a target that answers, and says by which version it decides."""
    up = demo.wait(
        "Prometheus reaches the three services",
        lambda: (
            {
                labels["instance"]
                for labels, value in demo.query('up{job="streamwarden"}')
                if value == 1
            }
            >= {f"{service}:9464" for service in SERVICES}
        ),
        services=(*SERVICES, "prometheus"),
    )
    versions = demo.query('streamwarden_bundle_info{name="payments", number="1"}')

    assert up
    assert {labels["instance"] for labels, _ in versions} == {"publisher:9464", "handler:9464"}


def test_alert_rules_are_loaded_and_tested(demo: Demo) -> None:
    """Prometheus has the alerts, and its own tool runs their tests."""
    groups = demo.get("PROMETHEUS_PORT", "/api/v1/rules")["data"]["groups"]
    checked = demo.compose(
        *("exec", "-T", "prometheus", "promtool", "check", "rules", "/etc/prometheus/alerts.yml")
    )
    tested = demo.compose(
        *("exec", "-T", "-w", "/tmp", "prometheus", "promtool", "test", "rules"),
        "/etc/prometheus/alerts.test.yml",
    )

    names = {rule["name"] for group in groups for rule in group["rules"]}
    assert {"StreamwardenGuardStale", "StreamwardenDriftFound"} <= names
    assert "SUCCESS" in checked
    assert "SUCCESS" in tested


def test_the_dashboard_is_there_and_its_questions_are_understood(demo: Demo) -> None:
    """Grafana has taken the dashboard; Prometheus answers what its panels ask."""
    user = base64.b64encode(f"admin:{demo.settings['GRAFANA_PASSWORD']}".encode()).decode()
    board = demo.get(
        "GRAFANA_PORT",
        "/api/dashboards/uid/streamwarden",
        headers={"Authorization": f"Basic {user}"},
    )["dashboard"]
    asked = [
        target["expr"]
        .replace("$instance", ".*")
        .replace("$topic", ".*")
        .replace("$__rate_interval", "1m")
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]
    answers = {expression: demo.query(expression) for expression in asked}

    assert len(answers) >= 17
    some = [expression for expression, answer in answers.items() if answer]
    say(f"{len(some)} of {len(answers)} questions of the dashboard have an answer by now")
    assert len(some) >= 10


def test_a_policy_change_arrives_and_history_is_found_to_differ(demo: Demo, tmp_path: Path) -> None:
    """Guards take a published version by themselves; the next reconciliation tells of the past."""
    demo.wait(
        "a first reconciliation has succeeded",
        lambda: demo.query("streamwarden_reconcile_last_success_timestamp_seconds > 0"),
        services=["reconciler"],
    )
    demo.wait(
        "some Canadian payments by card are written",
        lambda: len(read_topic(demo.bootstrap, "payments")) >= 60,
        services=SERVICES,
    )
    assert _sum(demo, DRIFT) == 0, demo.logs(["reconciler"])

    say("publishing a policy that settles no Canadian dollars any more")
    published = demo.compose(
        *("run", "--rm", "--no-deps", "-T", "--volume", f"{_without_cad(tmp_path)}:/policies:ro"),
        "policy",
    )
    demo.wait(
        "both guards have taken payments@2",
        _taken(demo, "2"),
        services=["publisher", "handler"],
    )
    found = demo.wait(
        "the reconciler has found payments that would be rejected now",
        lambda: _sum(demo, 'streamwarden_reconcile_findings{kind="now-rejected"}'),
        services=["reconciler"],
    )
    demo.wait(
        "the alert about it is firing",
        lambda: demo.query('ALERTS{alertname="StreamwardenDriftFound", alertstate="firing"}'),
        services=["prometheus"],
    )
    stamps = [
        dict(record[4])["streamwarden"] or b"" for record in read_topic(demo.bootstrap, "payments")
    ]

    say(f"found {found:.0f} payments")
    assert "payments@2" in published
    assert any(stamp.startswith(b"1;payments@2;") for stamp in stamps)
    assert "drift by payments@2" in demo.logs(["reconciler"])
    assert [each for each in demo.containers() if not each.well] == []


def test_services_end_in_an_orderly_way(demo: Demo) -> None:
    """Told to stop, they write what is under way and end by themselves."""
    demo.compose("stop", *SERVICES)

    ended = {each.service: each for each in demo.containers() if each.service in SERVICES}
    assert {name: each.exit_status for name, each in ended.items()} == dict.fromkeys(SERVICES, 0)
    assert re.search(r"\d+ payments published", demo.logs(["publisher"], tail=5))
    assert re.search(r"\d+ payments handled", demo.logs(["handler"], tail=5))


def _taken(demo: Demo, number: str) -> Callable[[], Any]:
    wanted = {"publisher:9464", "handler:9464"}
    return lambda: (
        wanted
        == {
            labels["instance"]
            for labels, _ in demo.query(f'streamwarden_bundle_info{{number="{number}"}}')
        }
    )


def _sum(demo: Demo, series: str) -> float:
    return sum(value for _, value in demo.query(series))


def _without_cad(folder: Path) -> Path:
    """The policies of the demo, with one currency less; readable for the container's user."""
    changed = folder / "policies"
    shutil.copytree(ROOT / "deploy" / "policies", changed)
    settlement = changed / "settlement.yaml"
    text = settlement.read_text()
    assert text.count(', "CAD"]') == 1
    settlement.write_text(text.replace(', "CAD"]', "]"))
    for path in (changed, *changed.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return changed
