"""A real Spark of several processes reads a real Kafka: what it finds is what is found without it."""

from __future__ import annotations

import json
import multiprocessing
import operator
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.reconciler import Progress, ReconcileOptions, reconcile

from ..servers.topics import Kafka, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, policy_for, versions_of

pytestmark = pytest.mark.slow

MASTER = "local-cluster[2,1,1024]"
#: Below the limit for a test that hangs, which ends all of them.
LIMIT_S = 150
NOW = 1_800_000_000_000
OVER_50 = "{id: over, when: value.amount > 50, effect: reject}"
OVER_10 = "{id: over, when: value.amount > 10, effect: reject}"


@pytest.fixture(scope="module")
def spark_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Spark as it is installed, in a folder of the test's own: workers write below it."""
    pyspark = pytest.importorskip("pyspark", reason="needs PySpark: pip install pyspark")
    if shutil.which("java") is None:
        pytest.skip("needs java")
    home = tmp_path_factory.mktemp("spark")
    for found in Path(pyspark.__file__).parent.iterdir():
        (home / found.name).symlink_to(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_HOME", str(home))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        # Processes that start fast, rather than ones that end up fast.
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        patch.setenv("SPARK_LOCAL_DIRS", str(tmp_path_factory.mktemp("scratch")))
        yield home


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store for bundle `b`."""
    return DirectoryStore(tmp_path / "store", name="b")


@pytest.fixture
def plant(kafka: Kafka, store: DirectoryStore) -> Planter:
    """A history of three partitions under a former version, with a bypass and a lie."""
    topic = create_topic(kafka.bootstrap, unique_name("t"), partitions=3)
    for name in (f"quarantine.{topic}", f"held.{topic}"):
        create_topic(kafka.bootstrap, name, partitions=3)
    plant = Planter(kafka.bootstrap, topic, store)
    then, _ = versions_of(
        store,
        make_bundle(policy_for(topic, OVER_50)),
        make_bundle(policy_for(topic, OVER_10)),
    )
    for number in range(90):
        plant.guarded(then, {"amount": number}, partition=number % 3)
    plant.bypass({"amount": 70}, stamp=f"1;b@1;{then.digest[:12]};reject;produce;ov=grant")
    plant.bypass({"amount": 1})
    plant.bypass({"amount": 1}, stamp=f"1;b@1;{then.digest[:12]};warn;produce")
    with plant.transaction(commit=False) as aborted:
        plant.guarded(then, {"amount": 2}, producer=aborted)
    return plant


def said(report: dict[str, Any]) -> dict[str, Any]:
    """A report without its times and how it was called."""
    return {**report, "seconds": 0, "started": 0, "command": ""}


def test_spark_comes_to_the_same_result(
    plant: Planter, store: DirectoryStore, spark_home: Path, tmp_path: Path
) -> None:
    """Report and findings are equal byte for byte, and stdout is the report and nothing else."""
    whole = plant.reconcile(findings=tmp_path / "local.jsonl", now=NOW)
    arguments = [
        *("reconcile", "-b", plant.bootstrap, "-t", plant.topic, "--store", f"dir:{store.path}"),
        *("--now", "2027-01-15T08:00:00Z", "--findings", str(tmp_path / "spark.jsonl")),
        *("--checkpoint", str(tmp_path / "checkpoint"), "--engine", "spark", "--json"),
        *("--engine-option", f"master={MASTER}"),
    ]

    run = subprocess.run(
        [sys.executable, "-m", "streamwarden", *arguments],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert run.returncode == 2, run.stderr.decode()
    found = json.loads(run.stdout)
    assert said(found) == said(json.loads(json.dumps(whole.to_dict())))
    assert (found["counts"]["now-rejected"], found["counts"]["misrecorded"]) == (40, 1)
    assert (tmp_path / "spark.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    executors = sorted(path.name for path in spark_home.glob("work/app-*/*"))
    assert executors == ["0", "1"]
    assert b" INFO " not in run.stderr


def executors_of(parent: int) -> list[int]:
    """The executors below process `parent`, by their ids."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    below = {parent}
    for _ in range(4):
        below |= {int(pid) for pid, above, _ in rows if int(above) in below}
    return [int(pid) for pid, _, args in rows if int(pid) in below and "ExecutorBackend" in args]


def run_in_trouble(options: dict[str, Any], store: Path, told: Path) -> None:
    """Two runs on the Spark of this process: with an executor killed, and with a task that fails."""
    import pyspark

    lock, killed = threading.Lock(), list[int]()

    def kill(_progress: Progress) -> None:
        with lock:
            if not killed:
                killed.extend(executors_of(os.getpid())[:1])
                os.kill(killed[0], signal.SIGKILL)

    os.environ["PYSPARK_PYTHON"] = sys.executable
    kept = DirectoryStore(store, name="b")
    with pyspark.SparkContext(MASTER, "a notebook") as spark:
        lost = reconcile(ReconcileOptions(store=kept, **options), kill)
        # Called with two texts this raises, wherever and however often it is tried.
        raising: Any = operator.sub
        failing = reconcile(ReconcileOptions(store=kept, known_id=raising, **options))
        usable = spark.parallelize([1]).count()
    reports = {"lost": lost.to_dict(), "failing": failing.to_dict()}
    told.write_text(json.dumps({"killed": len(killed), "usable": usable, **reports}))


@pytest.mark.usefixtures("spark_home")
def test_what_an_executor_could_not_do_is_done_again_or_told(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """Another one does it; what none can do is unread, and a run without Spark goes on there."""
    whole = plant.reconcile(findings=tmp_path / "whole.jsonl", now=NOW)
    options: dict[str, Any] = {
        "config": {"bootstrap.servers": plant.bootstrap, "log_level": 0},
        "topics": (plant.topic,),
        "findings": tmp_path / "parts.jsonl",
        "checkpoint": tmp_path / "checkpoint",
        "slice_offsets": 4,
        "now": NOW,
    }
    on_spark = {**options, "engine": "spark", "engine_options": {"tasks": "2"}}
    process = multiprocessing.get_context("spawn").Process(
        target=run_in_trouble, args=(on_spark, store.path, tmp_path / "told.json")
    )

    process.start()
    process.join(LIMIT_S)
    process.kill()
    process.join()

    assert process.exitcode == 0
    told = json.loads((tmp_path / "told.json").read_text())
    expected = said(json.loads(json.dumps(whole.to_dict())))
    assert (told["killed"], told["usable"]) == (1, 1)
    assert said(told["lost"]) == expected
    gaps = [gap for part in told["failing"]["partitions"] for gap in part["gaps"]]
    lost = [gap["to"] - gap["from"] for gap in gaps if gap["reason"] == "unread"]
    assert (told["failing"]["complete"], lost) == (False, [4])
    assert "the worker that read it ended" in str(told["failing"]["problems"])
    again = reconcile(ReconcileOptions(store=store, **options))
    assert said(json.loads(json.dumps(again.to_dict()))) == expected
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
