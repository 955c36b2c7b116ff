"""Runs kept from the command line: their page, their history, and what changed between them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.admin import AdminClient

from streamwarden.cli import main
from streamwarden.policy.directory_store import DirectoryStore

from ..servers.topics import Kafka, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, policy_for, versions_of

OVER_50 = (
    "{id: over, when: value.amount > 50, effect: reject, reason: '{value.name} pays too much'}"
)
OVER_10 = OVER_50.replace("50", "10")


@pytest.fixture
def plant(kafka: Kafka, tmp_path: Path) -> Planter:
    """A topic, and a store of bundles."""
    topic = create_topic(kafka.bootstrap, unique_name("t"), partitions=2)
    return Planter(kafka.bootstrap, topic, DirectoryStore(tmp_path / "store", name="b"))


@pytest.fixture
def run(plant: Planter, tmp_path: Path) -> Callable[..., Result]:
    """Call `streamwarden reconcile` with runs kept in one folder."""

    def call(*arguments: object) -> Result:
        words = ("reconcile", *map(str, arguments), "--runs", str(tmp_path / "runs"))
        return CliRunner().invoke(
            main, words, env={"STREAMWARDEN_BOOTSTRAP_SERVERS": plant.bootstrap}
        )

    return call


def test_runs_are_kept_shown_and_compared(
    plant: Planter, run: Callable[..., Result], tmp_path: Path
) -> None:
    """A stricter version is new drift on old events; a bypass since then is a later finding."""
    assert plant.store is not None
    v1, v2 = versions_of(
        plant.store,
        make_bundle(policy_for(plant.topic, OVER_50)),
        make_bundle(policy_for(plant.topic, OVER_10)),
    )
    plant.store.activate(v1.number, by="ann", reason="test")
    for number in range(20):
        value = {"amount": number * 2, "name": "<b>Jo</b>"}
        plant.guarded(v1, value, partition=number % 2)
    asked = ("-t", plant.topic, "--store", f"dir:{tmp_path / 'store'}")
    page = tmp_path / "report.html"

    first = run(*asked, "-X", "client.id=me")
    plant.store.activate(v2.number, by="ann", reason="test")
    plant.bypass({"amount": 1})
    second = run(*asked, "--report", page)
    history = json.loads(run("history", "--json").stdout)["runs"]
    words = run("diff", history[0]["run"], "latest")
    changed = json.loads(run("diff", history[0]["run"], "--json").stdout)["findings"]
    shown = json.loads(run("show", "latest", "--json").stdout)

    assert (first.exit_code, second.exit_code, words.exit_code) == (0, 2, 2), second.output
    assert [row["verdict"] for row in history] == ["clean", "drift"]
    assert history[1]["moved"] == {"unchecked": 1, "now-rejected": 14}
    assert {sort: said["kinds"] for sort, said in changed.items() if said["count"]} == {
        "new": {"now-rejected": 14},
        "later": {"unchecked": 1},
    }
    assert "over: 50 → 10" in words.stdout
    html = page.read_text("utf-8")
    assert "Of 21 events, 14 would be rejected, 0 held, 0 masked today; 1 was never checked" in html
    assert "14 events that b@1 let through would be rejected today: over: 50 → 10." in html
    assert "&lt;b&gt;Jo&lt;/b&gt; pays too much" in html
    assert f"reconcile --topic {plant.topic} --runs" in shown["command"]
    assert sum(day["events"] for day in shown["days"]) == shown["events"] == 21
    assert shown["owners"]["team"] == {"now-rejected": 14}


def test_a_run_of_new_events_is_not_drift_that_moved(
    plant: Planter, run: Callable[..., Result], tmp_path: Path
) -> None:
    """Beside a full run it has fewer findings, none of which is gone; full runs are compared."""
    assert plant.store is not None
    v1, v2 = versions_of(
        plant.store,
        make_bundle(policy_for(plant.topic, OVER_50)),
        make_bundle(policy_for(plant.topic, OVER_10)),
    )
    plant.store.activate(v2.number, by="ann", reason="test")
    for number in range(20):
        plant.guarded(v1, {"amount": number * 2, "name": "Jo"}, partition=number % 2)
    asked = ("-t", plant.topic, "--store", f"dir:{tmp_path / 'store'}")

    run(*asked)
    plant.guarded(v1, {"amount": 12, "name": "Al"})
    run(*asked, "--incremental")
    run(*asked)
    first, new, full = json.loads(run("history", "--json").stdout)["runs"]
    changed = run("diff", first["run"], new["run"])

    assert (first["counts"]["now-rejected"], new["counts"]["now-rejected"]) == (14, 1)
    assert (new["against"], new["moved"], new["goes_on_from"]) == (None, None, [first["run"]])
    assert (full["against"], full["moved"]) == (first["run"], {"now-rejected": 1})
    assert "have no event in common" in changed.stdout
    assert "vanished" not in changed.stdout


def test_a_topic_that_was_made_anew_is_read_from_its_start(
    plant: Planter, run: Callable[..., Result]
) -> None:
    """More is in it than the last run had read, and none of it has been judged."""
    store, bootstrap = plant.store, plant.bootstrap
    assert store is not None
    topic = create_topic(bootstrap, unique_name("t"))
    versions_of(store, make_bundle(policy_for(topic, OVER_50)))
    asked = ("-t", topic, "--store", f"dir:{store.path}", "--json")

    def write(events: int) -> None:
        planter = Planter(bootstrap, topic)
        for _ in range(events):
            planter.bypass({"amount": 1})

    write(3)
    before = json.loads(run(*asked).stdout)
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    delete: Callable[..., dict[str, Future[None]]] = admin.delete_topics  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    delete([topic])[topic].result(30)
    deadline = time.monotonic() + 60
    while topic in admin.list_topics(timeout=30).topics and time.monotonic() < deadline:
        time.sleep(0.1)
    create_topic(bootstrap, topic)
    write(5)

    result = run(*asked, "--incremental")

    after = json.loads(result.stdout)
    ids = [{part["topic_id"] for part in said["partitions"]} for said in (before, after)]
    assert ids[0].isdisjoint(ids[1])
    assert (after["events"], after["counts"]["unchecked"], after["base"]) == (5, 5, {})
    assert "was made anew" in result.stderr
