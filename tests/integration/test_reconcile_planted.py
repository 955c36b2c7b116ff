"""What is planted in a real Kafka is found, by a candidate too; and killing a run changes nothing."""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest

from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.guard import Guard
from streamwarden.producers.producer import GuardedProducer
from streamwarden.reconciler import ReconcileOptions, Report, reconcile
from streamwarden.reconciler.findings_topic import finding_schema

from ..servers.registry import RegistryServer
from ..servers.topics import ConsumeAll, Kafka, MakeTopic, create_topic, unique_name
from ..unit.reconciler.histories import make_bundle
from .reconciling import Planter, policy_for, versions_of

OVER_50 = "{id: over, when: value.amount > 50, effect: reject, severity: high}"
OVER_10 = "{id: over, when: value.amount > 10, effect: reject, severity: high}"
CARD_MASK = (
    "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: last4}]}"
)
CARD = "4111111111111111"
KILLS = 20


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store for bundle `b`."""
    return DirectoryStore(tmp_path / "store", name="b")


@pytest.fixture
def plant(kafka: Kafka, store: DirectoryStore) -> Planter:
    """A topic with two partitions and its parking topics."""
    topic = create_topic(kafka.bootstrap, unique_name("t"), partitions=2)
    for name in (f"quarantine.{topic}", f"held.{topic}"):
        create_topic(kafka.bootstrap, name, partitions=2)
    return Planter(kafka.bootstrap, topic, store)


def said(report: Report) -> dict[str, Any]:
    """A report without its times."""
    return {**report.to_dict(), "seconds": 0, "started": 0, "run": ""}


def test_a_candidate_is_tried_on_all_that_history_holds(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """Exactly the events whose decision it changes: masked, parked, aborted, released or unstamped."""
    t = plant.topic
    then, current = versions_of(
        store,
        make_bundle(policy_for(t, OVER_50, CARD_MASK)),
        make_bundle(policy_for(t, OVER_10, CARD_MASK)),
    )
    candidate = make_bundle(
        policy_for(
            t,
            OVER_50.replace("50", "30"),
            CARD_MASK,
            "{id: small, when: value.amount < 2, effect: hold}",
        )
    )
    expected: dict[tuple[str, int, int], tuple[str, str]] = {}
    looser, stricter = ("reject", "allow"), ("allow", "hold")
    for number in range(6):
        plant.guarded(then, {"amount": 5}, partition=number % 2)
    expected[plant.guarded(then, {"amount": 20})] = looser
    expected[plant.guarded(current, {"amount": 25})] = looser  # parked by the current policy
    expected[plant.guarded(then, {"amount": 25, "card": CARD})] = ("reject", "mask")
    expected[plant.guarded(then, {"amount": 1}, partition=1)] = stricter
    expected[plant.guarded(then, {"amount": 0, "card": CARD})] = ("mask", "hold")
    expected[plant.bypass({"amount": 1})] = stricter
    plant.guarded(then, {"amount": 40})
    plant.guarded(then, {"amount": 60})
    plant.guarded(then, None, key=b"k")
    plant.bypass(b"\xff\xfe")
    with plant.transaction(commit=False) as producer:
        plant.bypass({"amount": 1}, producer=producer)
    with plant.transaction(commit=True) as producer:
        expected[plant.guarded(then, {"amount": 1}, producer=producer, partition=1)] = stricter
    path = tmp_path / "findings.jsonl"

    report = plant.reconcile(current, candidate=candidate, findings=path, slice_offsets=4)

    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    changes = {
        (line["topic"], line["partition"], line["offset"]): (
            line["what_if"]["from"],
            line["what_if"]["to"],
        )
        for line in lines
        if "what_if" in line
    }
    what_if = report.to_dict()["what_if"]
    assert changes == expected
    assert what_if["changed"] == len(expected)
    assert what_if["uncertain"] == 0
    assert what_if["topics"] == {t: len(expected)}
    assert sum(what_if["days"].values()) == len(expected)
    assert report.complete


def test_findings_go_to_a_topic_in_avro(
    plant: Planter,
    store: DirectoryStore,
    make_topic: MakeTopic,
    consume_all: ConsumeAll,
    registry: RegistryServer,
) -> None:
    """Each under its event's coordinates, as a single object, or framed for a registry."""
    then, today = versions_of(
        store,
        make_bundle(policy_for(plant.topic, OVER_50)),
        make_bundle(policy_for(plant.topic, OVER_10)),
    )
    places = [plant.guarded(then, {"amount": 20 + n}, key=b"k%d" % n) for n in range(3)]
    bare, framed = make_topic("findings"), make_topic("findings")

    plant.reconcile(today, findings_topic=bare)
    plant.reconcile(today, findings_topic=framed, schemas=registry.url)

    schema = fastavro.parse_schema(finding_schema())
    for topic, head, size in ((bare, b"\xc3\x01", 10), (framed, b"\0", 5)):
        records = consume_all(topic)
        values = [record[3] or b"" for record in records]
        found: list[Any] = [
            fastavro.schemaless_reader(io.BytesIO(value[size:]), schema, None) for value in values
        ]
        assert {record[2] for record in records} == {f"{t}/{p}/{o}".encode() for t, p, o in places}
        assert {value[: len(head)] for value in values} == {head}
        assert {each["kind"] for each in found} == {"now-rejected"}
        assert {each["key"] for each in found} == {"k0", "k1", "k2"}
        assert {each["change"] for each in found} == {"over: 50 → 10"}
        assert found[0]["rules"][0]["severity"] == "high"
        assert found[0]["timestamp"].year > 2020


def run_and_die(options: dict[str, Any], store: Path, after_s: float) -> None:
    """A run whose process is killed after a while, wherever it is then."""
    killer = threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGKILL))
    killer.daemon = True
    killer.start()
    reconcile(ReconcileOptions(store=DirectoryStore(store, name="b"), **options))
    killer.cancel()


def test_killed_at_twenty_random_moments_it_comes_to_the_same(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """Report and findings are those of an undisturbed run, however often a run was killed."""
    then, today = versions_of(
        store,
        make_bundle(policy_for(plant.topic, OVER_50, CARD_MASK)),
        make_bundle(policy_for(plant.topic, OVER_10, CARD_MASK)),
    )
    for number in range(80):
        plant.guarded(then, {"amount": number, "card": CARD}, partition=number % 2)
    whole = plant.reconcile(today, findings=tmp_path / "whole.jsonl")
    options: dict[str, Any] = {
        "config": {"bootstrap.servers": plant.bootstrap, "log_level": 0},
        "topics": (plant.topic,),
        "bundle": today,
        "findings": tmp_path / "parts.jsonl",
        "checkpoint": tmp_path / "checkpoint",
        "slice_offsets": 3,
    }
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    chance = random.Random(20)
    kills = ended = 0
    deadline = time.monotonic() + 150
    while kills < KILLS and time.monotonic() < deadline:
        after_s = chance.uniform(0.01, 0.6)
        process = context.Process(target=run_and_die, args=(options, store.path, after_s))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        kills += process.exitcode != 0
        if process.exitcode == 0:
            ended += 1
            assert (tmp_path / "parts.jsonl").read_bytes() == (
                tmp_path / "whole.jsonl"
            ).read_bytes()

    report = reconcile(ReconcileOptions(store=store, **options))

    assert kills == KILLS
    assert said(report) == said(whole)
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_what_guards_log_is_what_history_holds(
    plant: Planter, store: DirectoryStore, make_topic: MakeTopic
) -> None:
    """Every decision of a guard has its event, and every event its entry, masked and parked too."""
    t = plant.topic
    (today,) = versions_of(
        store,
        make_bundle(
            policy_for(t, OVER_50, CARD_MASK, "{id: big, when: value.amount > 40, effect: warn}")
        ),
    )
    url = f"kafka://{plant.bootstrap}/{make_topic('decisions')}"
    config = {"bootstrap.servers": plant.bootstrap, "log_level": 0}
    guard = Guard(today, decision_log={"url": url, "allow": 1})
    with GuardedProducer(config, guard=guard, on_reject="return") as producer:
        for number in range(60):
            card = {"card": CARD} if number % 3 == 0 else {}
            value = msgspec.json.encode({"amount": number, **card})
            producer.produce(t, value, b"k%d" % number, partition=number % 2)
        producer.flush(30)
    guard.close()
    plant.guarded(today, {"amount": 45}, clock=time.time_ns() - 10**10)  # no log was given
    plant.guarded(today, {"amount": 5}, clock=time.time_ns() - 10**10)

    asked: dict[str, Any] = {"decision_log": url, "now": int(time.time() * 1000) + 3_600_000}
    report = plant.reconcile(today, lossless_since=0, **asked)
    sampled = plant.reconcile(today, lossless_since=0, log_has_allows=True, **asked)

    found = report.to_dict()["decision_log"]
    assert (found["entries"], found["unreadable"], found["matched"]) == (60, 0, 60)
    assert found["events_without_entry"] == {"allow": 1, "warn": 1}
    assert found["entries_without_event"] == 0
    assert (found["missed"], report.exit_status()) == (1, 2)
    assert sampled.missed == 2
    assert sum(report.counts().values()) == 0
