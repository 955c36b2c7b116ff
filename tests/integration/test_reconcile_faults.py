"""Outages, expiry, kills and missing rights: a run carries on, and says what it could not read."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streamwarden.errors import ReconcileError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.reconciler import Progress, ReconcileOptions, Report, reconcile

from ..servers.kafka import StartKafka
from ..servers.topics import Kafka, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, delete_below, policy_for, versions_of

OVER_50 = "{id: over, when: value.amount > 50, effect: reject}"
OVER_10 = "{id: over, when: value.amount > 10, effect: reject}"


def plant_history(
    bootstrap: str, store: DirectoryStore, *, partitions: int = 2, events: int = 60
) -> tuple[Planter, Bundle]:
    """A topic with a version's events, and a stricter version for today."""
    topic = create_topic(bootstrap, unique_name("t"), partitions=partitions)
    for name in (f"quarantine.{topic}", f"held.{topic}"):
        create_topic(bootstrap, name, partitions=partitions)
    plant = Planter(bootstrap, topic, store)
    then, today = versions_of(
        store,
        make_bundle(policy_for(topic, OVER_50)),
        make_bundle(policy_for(topic, OVER_10)),
    )
    for number in range(events):
        plant.guarded(then, {"amount": number}, partition=number % partitions)
    return plant, today


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store for bundle `b`."""
    return DirectoryStore(tmp_path / "store", name="b")


def said(report: Report) -> dict[str, Any]:
    """A report without its duration."""
    return {**report.to_dict(), "seconds": 0, "started": 0}


def test_brokers_that_come_back_in_time_leave_no_trace(
    start_kafka: StartKafka, store: DirectoryStore
) -> None:
    """The broker is killed in the middle of a run and started again."""
    cluster = start_kafka()
    plant, today = plant_history(cluster.bootstrap, store)
    expected = said(plant.reconcile(today))
    killed = threading.Event()

    def restart() -> None:
        time.sleep(1)
        cluster.node.start()

    starter = threading.Thread(target=restart)

    def kill(_progress: Progress) -> None:
        if not killed.is_set():
            killed.set()
            cluster.node.kill()
            starter.start()

    report = reconcile(plant.options(today, slice_offsets=4), kill)
    starter.join()

    assert killed.is_set()
    assert said(report) == expected


def test_brokers_that_come_back_while_a_run_is_planned_leave_no_trace(
    start_kafka: StartKafka, store: DirectoryStore
) -> None:
    """What there is to read is asked of a broker that is not there yet, and then knows no leaders."""
    cluster = start_kafka()
    plant, today = plant_history(cluster.bootstrap, store, partitions=4)
    expected = said(plant.reconcile(today))
    cluster.node.kill()
    starter = threading.Timer(1, cluster.node.start)
    starter.start()

    report = reconcile(plant.options(today, timeout_s=60))
    starter.join()

    assert said(report) == expected


def test_brokers_that_stay_away_make_a_run_incomplete(
    start_kafka: StartKafka, store: DirectoryStore, tmp_path: Path
) -> None:
    """What was found until then is told, the rest is unread; the time is bounded."""
    cluster = start_kafka()
    plant, today = plant_history(cluster.bootstrap, store, partitions=4)
    path = tmp_path / "findings.jsonl"
    stopped: list[float] = []

    def kill(progress: Progress) -> None:
        if not stopped and progress.slices == 2:
            stopped.append(time.monotonic())
            cluster.node.kill()

    report = reconcile(plant.options(today, slice_offsets=15, timeout_s=3, findings=path), kill)
    took = time.monotonic() - stopped[0]

    reasons = {gap["reason"] for part in report.to_dict()["partitions"] for gap in part["gaps"]}
    read = sum(part["covered"] for part in report.to_dict()["partitions"])
    assert not report.complete
    assert reasons == {"unread"}
    assert 0 < read < 60
    assert took < 3 + 12 * 2 + 10
    assert len(path.read_bytes().splitlines()) == sum(report.counts().values()) > 0
    assert report.exit_status() == 2
    assert report.exit_status(["forged"]) == 1


def test_no_brokers_at_all_is_an_error(store: DirectoryStore) -> None:
    """A run that cannot start reports nothing, soon."""
    (today,) = versions_of(store, make_bundle(policy_for("t", OVER_10)))
    began = time.monotonic()

    with pytest.raises(ReconcileError, match="the brokers do not answer"):
        reconcile(
            ReconcileOptions(
                config={"bootstrap.servers": "127.0.0.1:9", "log_level": 0},
                topics=("t",),
                bundle=today,
                timeout_s=2,
            )
        )
    assert time.monotonic() - began < 10


def test_what_expires_during_a_run_is_told(kafka: Kafka, store: DirectoryStore) -> None:
    """Retention moves the start of a partition before its turn comes."""
    plant, today = plant_history(kafka.bootstrap, store)
    moved = threading.Event()

    def expire(_progress: Progress) -> None:
        if not moved.is_set():
            moved.set()
            delete_below(kafka.bootstrap, plant.topic, 1, 20)

    report = reconcile(plant.options(today, slice_offsets=10), expire)

    part = report.to_dict()["partitions"][1]
    assert part["gaps"] == [{"from": 0, "to": 20, "reason": "retention"}]
    assert (part["end"] - part["covered"], report.complete) == (20, False)
    assert report.exit_status(["forged"]) == 1


def run_until(options: dict[str, Any], store: Path, kill_after: int) -> None:
    """A run that kills its own process at the n-th sign of progress; runs in a process."""
    signs = 0

    def maybe_kill(_progress: Progress) -> None:
        nonlocal signs
        signs += 1
        if signs == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    kept = DirectoryStore(store, name="b")
    reconcile(ReconcileOptions(store=kept, **options), maybe_kill)


def test_a_killed_run_goes_on_and_comes_to_the_same_result(
    kafka: Kafka, store: DirectoryStore, tmp_path: Path
) -> None:
    """Killed again and again, wherever it stands; writers go on in between."""
    plant, today = plant_history(kafka.bootstrap, store)
    whole = plant.reconcile(today, findings=tmp_path / "whole.jsonl")
    options: dict[str, Any] = {
        "config": {"bootstrap.servers": kafka.bootstrap, "log_level": 0},
        "topics": (plant.topic,),
        "bundle": today,
        "findings": tmp_path / "parts.jsonl",
        "checkpoint": tmp_path / "checkpoint",
        "slice_offsets": 7,
    }
    context = multiprocessing.get_context("spawn")
    kills = 0
    for kill_after in (1, 2, 3, 4, 5, 6):
        process = context.Process(target=run_until, args=(options, store.path, kill_after))
        process.start()
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        plant.bypass({"amount": 1})

    report = reconcile(ReconcileOptions(store=store, **options))

    assert kills >= 3
    assert said(report) == said(whole)
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    anew = reconcile(ReconcileOptions(store=store, **options))
    assert anew.counts()["unchecked"] == kills


def test_a_checkpoint_of_another_run_is_refused(
    kafka: Kafka, store: DirectoryStore, tmp_path: Path
) -> None:
    """Results of different questions are not mixed."""
    plant, today = plant_history(kafka.bootstrap, store, events=4)
    folder = tmp_path / "checkpoint"

    def stop(_progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconcile(plant.options(today, checkpoint=folder), stop)

    with pytest.raises(ReconcileError, match="differs in since"):
        plant.reconcile(today, checkpoint=folder, since=5)
    assert plant.reconcile(today, checkpoint=folder).complete


def test_a_worker_that_dies_takes_only_its_slices_along(
    kafka: Kafka, store: DirectoryStore, tmp_path: Path
) -> None:
    """The run ends incomplete; called again with its checkpoint it does what is missing."""
    plant, today = plant_history(kafka.bootstrap, store, partitions=4, events=400)
    whole = plant.reconcile(today)
    folder = tmp_path / "checkpoint"
    killed: list[int] = []

    def kill(_progress: Progress) -> None:
        children = multiprocessing.active_children()
        if not killed and children:
            killed.append(children[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    options = plant.options(
        today, checkpoint=folder, slice_offsets=5, engine_options={"workers": "2"}
    )
    broken = reconcile(options, kill)
    again = reconcile(options)

    assert killed
    assert not broken.complete
    assert "the worker that read it ended" in str(broken.to_dict()["problems"])
    assert said(again) == said(whole)


def test_workers_do_not_outlive_a_run_that_is_killed(
    kafka: Kafka, store: DirectoryStore, tmp_path: Path
) -> None:
    """Else they would go on writing beside the run that is started next."""
    plant, _ = plant_history(kafka.bootstrap, store, partitions=4, events=400)
    command = [sys.executable, "-m", "streamwarden", "reconcile", "--quiet"]
    command += ["-b", kafka.bootstrap, "-t", plant.topic, "--store", f"dir:{tmp_path / 'store'}"]
    command += ["--checkpoint", str(tmp_path / "checkpoint"), "--engine-option", "workers=2"]

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        workers: set[int] = set()
        # Two workers, what forks them, and what looks after their semaphores.
        while len(workers) < 4 and run.poll() is None:
            workers |= below(run.pid)
            time.sleep(0.01)
        run.kill()
    deadline = time.monotonic() + 30
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert workers
    assert [worker for worker in workers if is_running(worker)] == []


def below(process: int) -> set[int]:
    """The processes below one, as Linux tells them."""
    found = [process]
    for parent in found:
        for listed in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in listed.read_text().split()]
    return set(found[1:])


def is_running(process: int) -> bool:
    """False for one that has ended, waited for or not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_reading_needs_no_rights_beyond_the_topic(
    start_kafka: StartKafka, store: DirectoryStore
) -> None:
    """No right to a group, none to settings; without the right to read, it is said."""
    cluster = start_kafka(users={"auditor": "secret", "stranger": "secret"})
    plant, today = plant_history(cluster.bootstrap, store, events=4)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    rights = [
        ("auditor", AclOperation.READ),
        ("auditor", AclOperation.DESCRIBE),
        ("stranger", AclOperation.DESCRIBE),
    ]
    bindings = [
        AclBinding(
            ResourceType.TOPIC,
            plant.topic,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for user, operation in rights
    ]
    allow = cast("Callable[..., dict[Any, Future[Any]]]", admin.create_acls)
    for future in allow(bindings).values():
        future.result(30)
    with plant.transaction(commit=False) as producer:
        plant.bypass({"amount": 99}, producer=producer)
    plant.bypass({"amount": 1})

    def run(user: str) -> Report:
        config = {
            "bootstrap.servers": cluster.node.sasl_bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanisms": "PLAIN",
            "sasl.username": user,
            "sasl.password": "secret",
            "log_level": 0,
        }
        return plant.reconcile(today, config=config, timeout_s=10)

    auditor, stranger = run("auditor"), run("stranger")

    assert auditor.complete
    assert auditor.counts()["unchecked"] == 1
    assert (stranger.verdict, stranger.exit_status()) == ("incomplete", 1)
    assert "authorization" in str(stranger.to_dict()["problems"]).lower()
