"""Releasing in bulk, on a real Kafka, what a reconciliation found to be fine today."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from streamwarden.cli.root import main
from streamwarden.errors import ReconcileError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.guard import Guard
from streamwarden.producers.quarantine import Quarantine
from streamwarden.producers.reviews import Signature
from streamwarden.reconciler.releasing import Candidates, read_candidates, release_found
from streamwarden.reconciler.runs import Runs

from ..servers.topics import Kafka, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, policy_for, versions_of

OVER_10 = "{id: over, when: value.amount > 10, effect: reject}"
OVER_50 = "{id: over, when: value.amount > 50, effect: reject}"
HOLD_5 = "{id: wait, when: value.amount > 5, effect: hold}"
ANN = (Signature("ann", "fine by now"),)


class World:
    """A topic with events that a strict version parked, and a lenient one for today."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.topic = create_topic(bootstrap, unique_name("t"), partitions=2)
        for name in (f"quarantine.{self.topic}", f"held.{self.topic}"):
            create_topic(bootstrap, name, partitions=2)
        self.store = DirectoryStore(folder / "store", name="b")
        self.plant = Planter(bootstrap, self.topic, self.store)
        self.strict, self.today = versions_of(
            self.store,
            make_bundle(policy_for(self.topic, OVER_10, HOLD_5)),
            make_bundle(policy_for(self.topic, OVER_50)),
        )
        self.folder = folder

    def quarantine(self, bundle: Bundle | None = None) -> Quarantine:
        """The parked events, with today's policy."""
        config = {"bootstrap.servers": self.plant.bootstrap, "log_level": 0}
        return Quarantine(config, Guard(bundle or self.today), self.topic)

    def candidates(self) -> Candidates:
        """What a reconciliation finds now."""
        self.plant.reconcile(self.today, runs=self.folder / "runs")
        return read_candidates(self.folder / "runs")

    def delivered(self) -> int:
        """Events in the topic itself."""
        report = self.plant.reconcile(self.today)
        return report.account.events - report.account.parked


@pytest.fixture
def world(kafka: Kafka, tmp_path: Path) -> World:
    """A topic of its own."""
    return World(kafka.bootstrap, tmp_path)


def test_each_candidate_is_released_once(world: World) -> None:
    """A dry run changes nothing; a second release finds nothing; what is not fine stays."""
    for amount in (6, 7, 20, 30, 99):
        world.plant.guarded(world.strict, {"amount": amount}, partition=amount % 2)
    candidates = world.candidates()

    dry = release_found(world.quarantine(), candidates, signatures=ANN, dry_run=True)
    first = release_found(world.quarantine(), candidates, signatures=ANN)
    again = release_found(world.quarantine(), candidates, signatures=ANN)

    assert len(candidates.places) == 4
    assert (dry.report.counts, sum(dry.open.values())) == ({"released": 4}, 4)
    assert (first.report.counts, sum(first.open.values())) == ({"released": 4}, 0)
    assert (again.report.counts, again.report.closed) == ({}, 4)
    assert world.delivered() == 4
    assert world.candidates().places == ()


def test_the_policy_of_the_moment_decides(world: World) -> None:
    """What was fine at the reconciliation and is not any more stays parked, and open."""
    for amount in (20, 40):
        world.plant.guarded(world.strict, {"amount": amount}, partition=0)
    candidates = world.candidates()
    (stricter,) = versions_of(
        world.store, make_bundle(policy_for(world.topic, OVER_50.replace("50", "30")))
    )

    bulk = release_found(world.quarantine(stricter), candidates)

    assert bulk.report.counts == {"released": 1, "refused": 1}
    assert bulk.open == {f"quarantine.{world.topic}": 1, f"held.{world.topic}": 0}


def test_what_comes_back_again_and_again_is_left_to_people(world: World) -> None:
    """Released and parked three times, the fourth is refused; another that looks alike is not."""
    moment = int(time.time() * 1000)
    event: dict[str, Any] = {"key": b"k", "timestamp": moment}
    for _ in range(2):
        world.plant.guarded(world.strict, {"amount": 20}, partition=0, **event)
    for _ in range(3):
        bulk = release_found(world.quarantine(), world.candidates())
        assert set(bulk.report.counts) == {"released"}
        world.plant.guarded(world.strict, {"amount": 20}, partition=0, **event)
    other = world.plant.guarded(world.strict, {"amount": 20}, partition=0, key=b"k")

    bulk = release_found(world.quarantine(), world.candidates())
    patient = release_found(world.quarantine(), world.candidates(), returns_max=9, dry_run=True)

    outcomes = {each.offset: each for each in bulk.report.outcomes}
    refused = [each for each in bulk.report.outcomes if each.outcome == "refused"]
    assert bulk.report.counts == {"released": 1, "refused": 1}
    assert outcomes[other[2]].outcome == "released"
    assert "released and parked again 3 times" in refused[0].why
    assert sum(bulk.open.values()) == 1
    assert patient.report.counts == {"released": 1}


def test_the_command_line_releases_from_a_run(world: World) -> None:
    """A histogram of what would be, then the release; the figures of what is still open."""
    for amount in (6, 20, 30, 99):
        world.plant.guarded(world.strict, {"amount": amount}, partition=0)
    runs, figures = world.folder / "runs", world.folder / "open.prom"
    world.candidates()
    store = f"dir:{world.store.path}"
    common = ["-b", world.plant.bootstrap, "-t", world.topic, "--store", store]
    asked = ["quarantine", "release", *common, "--from-report", str(runs), "--json"]
    asked += ["--metrics-textfile", str(figures), "--by", "ann", "--reason", "fine by now"]

    dry = CliRunner().invoke(main, [*asked, "--dry-run"])
    before = figures.read_text()
    done = CliRunner().invoke(main, [*asked, "--max", "2"])
    last = CliRunner().invoke(main, [*asked, "--max", "2"])

    said, told = msgspec.json.decode(dry.stdout), msgspec.json.decode(done.stdout)
    assert (dry.exit_code, done.exit_code) == (0, 0)
    assert said["histogram"]["outcomes"] == {"released": 3}
    assert said["histogram"]["rules"]["limits/wait"] == 3
    assert f'streamwarden_release_open{{topic="quarantine.{world.topic}"}} 2.0' in before
    assert told["counts"] == {"released": 2}
    assert not told["complete"]
    assert sum(told["open"].values()) == 1
    ended = msgspec.json.decode(last.stdout)
    assert (ended["counts"], ended["closed_before"], ended["complete"]) == (
        {"released": 1},
        2,
        True,
    )


def test_a_report_alone_has_only_examples(world: World, tmp_path: Path) -> None:
    """With few findings they are all there; with many, the findings have to be named."""
    for amount in range(11, 16):
        world.plant.guarded(world.strict, {"amount": amount}, partition=0)
    world.plant.reconcile(world.today, runs=world.folder / "runs")
    (run,) = Runs(world.folder / "runs").list()
    alone = tmp_path / "report.json"
    alone.write_bytes(msgspec.json.encode(run.report))

    assert len(read_candidates(run.folder).places) == 5
    assert len(read_candidates(run.folder / "findings.jsonl").places) == 5
    assert read_candidates(alone, "forged").places == ()
    with pytest.raises(ReconcileError, match="names 3 of 5 findings"):
        read_candidates(alone)
    with pytest.raises(ReconcileError, match="is no kind"):
        read_candidates(alone, "lost")
    with pytest.raises(ReconcileError, match="nothing to release"):
        read_candidates(alone, "now-rejected")


@pytest.mark.parametrize("kind", ["quarantine", "held"])
def test_where_former_versions_parked_is_looked_too(
    kafka: Kafka, tmp_path: Path, kind: str
) -> None:
    """The template changed between versions; what is held there needs a name as ever."""
    topic = create_topic(kafka.bootstrap, unique_name("t"))
    for name in (f"quarantine.{topic}", f"held.{topic}", f"old.{topic}"):
        create_topic(kafka.bootstrap, name)
    store = DirectoryStore(tmp_path / "store", name="b")
    rule = OVER_10 if kind == "quarantine" else HOLD_5
    strict, _ = versions_of(
        store,
        make_bundle(policy_for(topic, rule), settings=f'{kind}: "old.{{topic}}"\n'),
        make_bundle(policy_for(topic, OVER_50)),
    )
    plant = Planter(kafka.bootstrap, topic, store)
    plant.guarded(strict, {"amount": 20})
    plant.reconcile(runs=tmp_path / "runs")
    asked = ["quarantine", "release", "-b", kafka.bootstrap, "-t", topic, "--json"]
    asked += ["--store", f"dir:{store.path}", "--from-report", str(tmp_path / "runs")]

    nameless = CliRunner().invoke(main, [*asked, "--dry-run"])
    done = CliRunner().invoke(main, [*asked, "--by", "ann", "--reason", "fine by now"])
    again = CliRunner().invoke(main, [*asked, "--by", "ann", "--reason", "fine by now"])

    expected = {"released": 1} if kind == "quarantine" else {"refused": 1}
    assert msgspec.json.decode(nameless.stdout)["counts"] == expected
    assert done.exit_code == 0, done.output
    assert msgspec.json.decode(done.stdout)["counts"] == {"released": 1}
    assert msgspec.json.decode(again.stdout)["closed_before"] == 1
    report = plant.reconcile()
    assert (report.verdict, report.account.unverifiable) == ("clean", 0)
