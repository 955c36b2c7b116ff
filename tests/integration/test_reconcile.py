"""Planted histories in a real Kafka: exactly what was planted is found."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streamwarden.errors import ReconcileError
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.keys import KeyRing
from streamwarden.policy.stamp import Stamp, sign

from ..servers.topics import Kafka, MakeTopic, create_topic, unique_name
from ..unit.reconciler.histories import as_bytes, make_bundle
from .reconciling import Planter, delete_below, policy_for, versions_of

OVER_50 = "{id: over, when: value.amount > 50, effect: reject}"
OVER_10 = "{id: over, when: value.amount > 10, effect: reject}"
HOLD_40 = "{id: wait, when: value.amount > 40, effect: hold}"
MASK = "{id: card, when: has(value.card), effect: mask, mask: [{field: value.card, with: last4}]}"
MAIL = "{id: mail, when: has(value.mail), effect: mask, mask: [{field: value.mail, with: redact}]}"
CARD = "4111111111111111"


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store for bundle `b`."""
    return DirectoryStore(tmp_path / "store", name="b")


@pytest.fixture
def plant(kafka: Kafka, store: DirectoryStore) -> Planter:
    """A topic with three partitions and its parking topics."""
    topic = create_topic(kafka.bootstrap, unique_name("t"), partitions=3)
    for name in (f"quarantine.{topic}", f"held.{topic}"):
        create_topic(kafka.bootstrap, name, partitions=3)
    return Planter(kafka.bootstrap, topic, store)


def test_exactly_the_planted_findings(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """Several versions, bypasses, forgeries, lies, masks, tombstones and parked events."""
    t = plant.topic
    v1, v2, v3 = versions_of(
        store,
        make_bundle(policy_for(t, OVER_50, MASK)),
        make_bundle(policy_for(t, OVER_50, HOLD_40, MASK)),
        make_bundle(policy_for(t, OVER_10, MASK, MAIL)),
    )
    planted: dict[tuple[str, int, int], str] = {}

    def expect(kind: str, place: tuple[str, int, int]) -> None:
        planted[place] = kind

    for number in range(60):
        version = (v1, v2, v3)[number % 3]
        card = {"card": CARD} if number % 2 else {}
        plant.guarded(version, {"amount": number % 10, **card}, partition=number % 3)
    plant.guarded(v3, None, key=b"k")
    expect("now-rejected", plant.guarded(v1, {"amount": 20}))
    expect("now-rejected", plant.guarded(v2, {"amount": 30, "card": CARD}, partition=1))
    expect("now-masked", plant.guarded(v1, {"amount": 1, "mail": "a@b.c"}))
    expect("now-masked", plant.guarded(v1, {"amount": 1, "mail": "a@b.c", "card": CARD}))
    plant.guarded(v3, {"amount": 1, "mail": "a@b.c", "card": CARD})
    expect("unchecked", plant.bypass({"amount": 1}))
    expect("unchecked", plant.bypass({"amount": 99}))
    expect("unchecked", plant.bypass(None, key=b"k"))
    expect("unchecked", plant.bypass(b"\xff\xfe"))
    honest = f"1;b@3;{v3.digest[:12]};allow;produce"
    expect("forged", plant.bypass({"amount": 1}, stamp="1;b@3;short;allow;produce"))
    expect("forged", plant.bypass({"amount": 1}, stamp=f"1;b@8;{v3.digest[:12]};allow;produce"))
    expect("forged", plant.bypass({"amount": 1}, stamp=f"1;b@2;{v3.digest[:12]};allow;produce"))
    doubled = [("streamwarden", honest.encode())]
    expect("forged", plant.bypass({"amount": 1}, stamp=honest, headers=doubled))
    expect("misrecorded", plant.bypass({"amount": 99}, stamp=honest))
    expect("misrecorded", plant.bypass({"amount": 1}, stamp=honest.replace("allow", "reject")))
    expect(
        "now-masked",
        plant.bypass({"amount": 1, "card": CARD}, stamp=honest.replace("allow", "mask")),
    )
    expect(
        "forged", plant.bypass({"amount": 99}, stamp=f"{honest};ov=g1".replace("allow", "reject"))
    )
    plant.bypass({"amount": 1}, stamp=honest)
    plant.guarded(v1, {"amount": 99})
    plant.guarded(v1, b"{broken")
    plant.guarded(v2, {"amount": 45}, partition=0)

    report, found = plant.found(v3, tmp_path)

    assert found == planted
    assert report.verdict == "drift"
    assert report.complete
    assert report.account.events == len(plant.places)
    assert report.drift() == {"now-rejected": 6, "now-held": 0, "now-masked": 3}


def test_release_candidates_are_told(plant: Planter, store: DirectoryStore, tmp_path: Path) -> None:
    """Rejected and held under a strict version, fine under today's."""
    t = plant.topic
    v1, v2 = versions_of(
        store,
        make_bundle(policy_for(t, OVER_10, HOLD_40.replace("40", "5"))),
        make_bundle(policy_for(t, OVER_50, MASK)),
    )
    places = [
        plant.guarded(v1, {"amount": amount, "card": CARD}, partition=amount % 2)
        for amount in (6, 11, 20, 99)
    ]

    report, found = plant.found(v2, tmp_path)

    assert {place[0] for place in places} == {f"quarantine.{t}", f"held.{t}"}
    assert found == dict.fromkeys(places[:3], "now-allowed")
    assert (report.verdict, report.exit_status()) == ("clean", 0)
    assert report.account.parked == 4


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_unchanged_policy_finds_nothing(
    plant: Planter, store: DirectoryStore, tmp_path: Path, workers: str
) -> None:
    """Events of every outcome; in this process and in a pool."""
    rules = [OVER_50, HOLD_40, MASK, MAIL, "{id: f, when: facts.score > 8, effect: reject}"]
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, *rules)))
    for number in range(90):
        plant.guarded(
            today,
            {"amount": number, "card": CARD, "mail": "a@b.c"} if number % 4 else {"amount": 1},
            facts={"score": number % 10},
            partition=number % 2,
        )

    report, found = plant.found(
        None, tmp_path, slice_offsets=7, engine_options={"workers": workers}
    )

    assert found == {}
    assert (report.verdict, report.account.events) == ("clean", 90)
    assert report.account.unverifiable == 0


def test_a_pool_comes_to_the_same_result(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """Reports and findings are the same, byte for byte, however the work is divided."""
    v1, v2 = versions_of(
        store,
        make_bundle(policy_for(plant.topic, OVER_50, MASK)),
        make_bundle(policy_for(plant.topic, OVER_10, MASK)),
    )
    for number in range(60):
        plant.guarded(v1, {"amount": number}, partition=number % 3)
    written: list[bytes] = []
    said: list[dict[str, Any]] = []
    for options in ({}, {"slice_offsets": 4}, {"engine_options": {"workers": "2"}}):
        path = tmp_path / "findings.jsonl"
        report = plant.reconcile(v2, findings=path, now=1_800_000_000_000, **options)
        written.append(path.read_bytes())
        said.append({**report.to_dict(), "seconds": 0, "started": 0})

    assert said[0]["counts"]["now-rejected"] == 40
    assert written[0] == written[1] == written[2]
    assert said[0] == said[1] == said[2]


def test_aborted_events_are_not_part_of_history(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """Control and aborted records are holes of transactions; an open transaction is pending."""
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))
    with plant.transaction(commit=True) as producer:
        plant.guarded(today, {"amount": 1}, producer=producer)
        bypassed = plant.bypass({"amount": 99}, producer=producer)
    with plant.transaction(commit=False) as producer:
        plant.bypass({"amount": 99}, producer=producer)
    plant.guarded(today, {"amount": 1})
    with plant.transaction(commit=False) as producer:
        plant.bypass({"amount": 99}, producer=producer)

        report, found = plant.found(today, tmp_path)

    (part, *_) = report.to_dict()["partitions"]
    assert found == {bypassed: "unchecked"}
    assert (report.complete, report.account.events) == (True, 3)
    assert (part["first"], part["end"], part["covered"], part["pending"]) == (0, 6, 6, 1)
    # The coordinator may write its marker behind the next record.
    assert sum(gap["to"] - gap["from"] for gap in part["gaps"]) == 3
    assert {gap["reason"] for gap in part["gaps"]} == {"transaction"}


def test_a_log_that_ends_in_a_marker_is_read_to_its_end(
    plant: Planter, store: DirectoryStore
) -> None:
    """The last offset is a control record: got past without a record behind it."""
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))
    with plant.transaction(commit=True) as producer:
        plant.guarded(today, {"amount": 1}, producer=producer)

    report = plant.reconcile(today, slice_offsets=1)

    (part, *_) = report.to_dict()["partitions"]
    assert (report.verdict, part["end"], part["covered"]) == ("clean", 2, 2)
    assert part["gaps"] == [{"from": 1, "to": 2, "reason": "transaction"}]


def test_compaction_leaves_holes_and_not_doubts(
    kafka: Kafka, make_topic: MakeTopic, store: DirectoryStore, tmp_path: Path
) -> None:
    """What was compacted away is got past; aborted records on such a topic are told apart."""
    compacting = {
        "cleanup.policy": "compact",
        "segment.ms": "500",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "500",
        "delete.retention.ms": "0",
    }
    plant = Planter(kafka.bootstrap, make_topic("c", config=compacting), store)
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))
    for number in range(20):
        plant.guarded(today, {"amount": number % 5}, key=b"k%d" % (number % 4))
    time.sleep(0.8)
    plant.guarded(today, {"amount": 1}, key=b"last")
    deadline = time.monotonic() + 30
    report = plant.reconcile(today)
    while report.account.events == 21 and time.monotonic() < deadline:
        time.sleep(0.5)
        report = plant.reconcile(today)
    with plant.transaction(commit=False) as producer:
        plant.bypass({"amount": 99}, key=b"x", producer=producer)

    report, found = plant.found(today, tmp_path)

    (part,) = report.to_dict()["partitions"]
    assert (found, report.verdict, part["covered"]) == ({}, "clean", 23)
    assert report.account.events < 21
    reasons = {gap["reason"] for gap in part["gaps"]}
    assert part["gaps"][0]["reason"] == "compacted"
    assert part["gaps"][-2:] == [
        {"from": 21, "to": 22, "reason": "transaction"},
        {"from": 22, "to": 23, "reason": "compacted"},
    ]
    assert reasons == {"compacted", "transaction"}


def test_what_retention_took_before_is_told(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """No gap when nobody asked for it; incomplete when it was asked for explicitly."""
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))
    began = int(time.time() * 1000) - 1000
    for _ in range(10):
        plant.guarded(today, {"amount": 1})
    delete_below(plant.bootstrap, plant.topic, 0, 7)

    report, found = plant.found(today, tmp_path)
    asked = plant.reconcile(today, since=began)
    later = plant.reconcile(today, since=int(time.time() * 1000) + 60_000)

    (part, *_) = report.to_dict()["partitions"]
    assert (report.verdict, report.account.events, found) == ("clean", 3, {})
    assert (part["first"], part["end"], part["covered"], part["gaps"]) == (7, 10, 3, [])
    assert (asked.verdict, asked.exit_status(), asked.account.events) == ("incomplete", 1, 3)
    assert (later.verdict, later.account.events) == ("clean", 0)


def test_the_brokers_time_does_not_make_stamps_lie(
    kafka: Kafka, make_topic: MakeTopic, store: DirectoryStore, tmp_path: Path
) -> None:
    """Under LogAppendTime the stamp's at= is the event time."""
    topic = make_topic("l", config={"message.timestamp.type": "LogAppendTime"})
    plant = Planter(kafka.bootstrap, topic, store)
    day = 86_400 * 10**9
    now = time.time_ns()
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((now - day) / 1e9))
    (today,) = versions_of(
        store,
        make_bundle(
            policy_for(topic, "{id: never, when: 'false', effect: warn}"),
            policy_for(topic, OVER_10, name="old", more=f"effective: {{until: '{until}'}}\n"),
        ),
    )
    plant.guarded(today, {"amount": 99}, at=True)
    plant.guarded(today, {"amount": 1}, at=True, clock=now - 2 * day)
    lie = plant.bypass(
        {"amount": 99},
        stamp=f"1;b@1;{today.digest[:12]};allow;produce;at={(now - 2 * day) // 10**6}",
    )

    _, found = plant.found(today, tmp_path)

    assert found == {lie: "misrecorded"}


def test_a_range_of_time_is_one_of_timestamps(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """From (inclusive) until (exclusive), whatever the order; a far future hides nothing."""
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))
    base = int(time.time() * 1000) - 86_400_000
    order = [1, 2, 900, 3, 4, 1, 5]
    places = [plant.bypass({"amount": 1}, timestamp=base + n) for n in order]

    report, found = plant.found(today, tmp_path, since=base + 2, until=base + 5)

    assert list(found) == [places[1], places[3], places[4]]
    assert (report.account.events, report.complete) == (3, True)


def test_signed_stamps_are_verified(plant: Planter, store: DirectoryStore, tmp_path: Path) -> None:
    """A mac binds the stamp to topic, key and value."""
    keys = {"k1": b"0123456789abcdef"}
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))
    plant.guarded(today, {"amount": 1}, settings={"stamp_keys": keys}, key=b"a")
    plant.guarded(today, {"amount": 99}, settings={"stamp_keys": keys}, key=b"a")
    unsigned = plant.guarded(today, {"amount": 1}, key=b"a")
    text = f"1;b@1;{today.digest[:12]};allow;produce"
    mac = sign(
        Stamp.parse(text.encode()), KeyRing.load(keys), plant.topic, b"a", as_bytes({"a": 1})
    )
    moved = plant.bypass({"a": 2}, stamp=mac.encode().decode(), key=b"a")

    _, found = plant.found(today, tmp_path, stamp_keys=KeyRing.load(keys))

    assert found == {unsigned: "forged", moved: "forged"}


def test_a_store_that_was_not_given_accuses_nobody(plant: Planter, store: DirectoryStore) -> None:
    """Stamps of versions that are not at hand are unverifiable; bypassing is still told."""
    v1, v2 = versions_of(
        store,
        make_bundle(policy_for(plant.topic, OVER_50)),
        make_bundle(policy_for(plant.topic, OVER_10)),
    )
    plant.guarded(v1, {"amount": 1})
    plant.guarded(v1, {"amount": 20})
    plant.guarded(v2, {"amount": 1})
    plant.store = None

    report = plant.reconcile(v2)

    assert {k: n for k, n in report.counts().items() if n} == {"now-rejected": 1}
    assert report.account.unverifiable == 2


def test_a_topic_that_is_not_there_is_an_error(plant: Planter, store: DirectoryStore) -> None:
    """Nothing is reported about nothing; an empty topic is clean."""
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))

    assert plant.reconcile(today).verdict == "clean"
    with pytest.raises(ReconcileError, match="there is no topic `nowhere`"):
        plant.reconcile(today, topics=("nowhere",))


def test_a_parking_topic_can_be_asked_for_by_itself(plant: Planter, store: DirectoryStore) -> None:
    """Its records are judged as parked, whatever their origin."""
    v1, v2 = versions_of(
        store,
        make_bundle(policy_for(plant.topic, OVER_10)),
        make_bundle(policy_for(plant.topic, OVER_50)),
    )
    place = plant.guarded(v1, {"amount": 20})

    report = plant.reconcile(v2, topics=(f"quarantine.{plant.topic}",))

    assert report.counts_by_topic() == {place[0]: {"now-allowed": 1}}


def test_releases_are_known_from_the_parking_topic(
    plant: Planter, store: DirectoryStore, tmp_path: Path
) -> None:
    """A review behind the record says that nobody waits for it any more."""
    from streamwarden.producers.reviews import Review, Signature, encode_review
    from streamwarden.schemas.event import Record

    v1, v2 = versions_of(
        store,
        make_bundle(policy_for(plant.topic, HOLD_40.replace("40", "10"))),
        make_bundle(policy_for(plant.topic, OVER_50)),
    )
    held = plant.guarded(v1, {"amount": 20}, partition=0)
    waiting = plant.guarded(v1, {"amount": 21}, partition=0)
    review = Review("released", held[1], held[2], 1, (Signature("ann", "fine"),), "r1")
    value, headers = encode_review(review, held[0], None)
    plant.write(Record(held[0], held[1], None, value, headers, None))

    _, found = plant.found(v2, tmp_path)

    assert found == {waiting: "now-allowed"}


def test_writers_go_on_while_history_is_read(plant: Planter, store: DirectoryStore) -> None:
    """The end is that of the start: a run does not chase the head of the log."""
    (today,) = versions_of(store, make_bundle(policy_for(plant.topic, OVER_10)))
    for _ in range(20):
        plant.guarded(today, {"amount": 1})
    writer = Producer({"bootstrap.servers": plant.bootstrap, "log_level": 0})

    def write(_progress: object) -> None:
        for _ in range(100):
            writer.produce(plant.topic, b"{}", partition=0)
        writer.flush(30)

    from streamwarden.reconciler import reconcile

    report = reconcile(plant.options(today, slice_offsets=5), write)

    (part, *_) = report.to_dict()["partitions"]
    assert (part["end"], part["covered"], report.account.events) == (20, 20, 20)
    assert report.verdict == "clean"
