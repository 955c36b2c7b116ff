"""Runs that look at a part: topics, places, rules, samples, versions of then, and what came since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError, ReconcileError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.guard import Guard
from streamwarden.producers.reviews import Review, Signature, encode_review
from streamwarden.reconciler import ReconcileOptions, Report, reconcile
from streamwarden.reconciler.page import render_page
from streamwarden.reconciler.runs import Runs
from streamwarden.reconciler.sampling import Sample
from streamwarden.reconciler.selection import Selection, parse_offsets, parse_partitions
from streamwarden.reconciler.text import first_sentence
from streamwarden.reconciler.words import headline, judges_nothing

from .histories import make_bundle

pytestmark = pytest.mark.slow

_MS = 1_000_000
DAY = 86_400_000
#: 2026-03-01T12:00:00Z
NOON_MS = 1_772_366_400_000


def _policy(name: str, owner: str, *rules: str, more: str = "") -> str:
    listed = "".join(f"  - {rule}\n" for rule in rules)
    return f"policy: {name}\nowner: {owner}\ntopics: ['t*']\n{more}rules:\n{listed}"


V1 = make_bundle(
    _policy("limits", "risk", "{id: over, when: value.amount > 50, effect: reject}"), number=1
)
V2 = make_bundle(
    _policy(
        "limits", "risk", "{id: over, when: value.amount > 10, effect: reject, severity: high}"
    ),
    _policy(
        "sanctions",
        "legal",
        "{id: country, when: value.country == 'XX', effect: hold, severity: critical}",
        more="class: platform\n",
    ),
    number=2,
)


class World:
    """An embedded broker with topics `t1` and `t2`, a store, and runs on them."""

    def __init__(self, broker: EmbeddedBroker, folder: Path) -> None:
        self.broker, self.folder = broker, folder
        clock = [NOON_MS * _MS]
        self.store = DirectoryStore(folder / "store", name="b", clock=lambda: clock[0])
        self.versions: list[Bundle] = []
        for number, bundle in enumerate((V1, V2)):
            clock[0] = (NOON_MS + number * DAY) * _MS
            self.versions.append(self.store.publish(bundle, by="ann", reason="test"))
            self.store.activate(number + 1, by="ann", reason="test")
        for topic in ("t1", "t2", "other"):
            broker.create_topic(topic, 2)
        broker.create_topic("quarantine.t1", 1)
        self.producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})

    def write(self, topic: str, *values: dict[str, Any], bundle: Bundle | None = None) -> None:
        """Guarded events under the first version, to both partitions in turn, a second apart."""
        for number, value in enumerate(values):
            at = NOON_MS + number * 1000
            guard = Guard(bundle or self.versions[0], clock=lambda at=at: at * _MS)  # type: ignore[misc]
            for record in guard.route(topic=topic, value=msgspec.json.encode(value)).records:
                self.producer.produce(
                    record.topic,
                    record.value,
                    partition=number % 2 if record.topic == topic else 0,
                    headers=list(record.headers),
                    timestamp=record.timestamp or at,
                )
        self.producer.flush(30)

    def run(self, *topics: str, **more: Any) -> Report:
        """A run on `topics`."""
        return reconcile(self.asked(*topics, **more))

    def asked(self, *topics: str, **more: Any) -> ReconcileOptions:
        """What a run on `topics` is asked for."""
        config = {"bootstrap.servers": self.broker.bootstrap, "log_level": 0}
        settings: dict[str, Any] = {"config": config, "store": self.store, **more}
        return ReconcileOptions(topics=topics or ("t1",), **settings)


@pytest.fixture
def world(embedded_broker: EmbeddedBroker, tmp_path: Path) -> World:
    """Topics without events yet."""
    return World(embedded_broker, tmp_path)


def found(report: Report) -> dict[str, int]:
    """The kinds that there are."""
    return {kind: count for kind, count in report.counts().items() if count}


AMOUNTS = [{"amount": amount} for amount in range(20)]


def test_a_glob_takes_topics_of_events(world: World) -> None:
    """Not those where events are parked, and each topic once; one that fits nothing is an error."""
    world.write("t1", {"amount": 20}, {"amount": 99})
    world.write("t2", {"amount": 30})
    world.write("other", {"amount": 1})

    report = world.run("t*", "t2")

    topics = [part.topic for part in report.partitions]
    assert list(dict.fromkeys(topics)) == ["t1", "quarantine.t1", "t2"]
    assert found(report) == {"now-rejected": 2}
    assert report.account.parked == 1
    with pytest.raises(ReconcileError, match="no topic that fits `x"):
        world.run("x*")


def test_places_are_selected_in_the_topics_asked_for(world: World) -> None:
    """Partitions and offsets; parking topics beside have others, and are not read."""
    world.write("t1", *AMOUNTS, {"amount": 99})

    chosen = Selection(partitions=parse_partitions("1"), first=2, end=5)
    report = world.run("t1", selection=chosen)

    (part,) = report.to_dict()["partitions"]
    assert (part["topic"], part["partition"]) == ("t1", 1)
    assert (part["first"], part["end"], part["covered"]) == (2, 5, 3)
    assert report.complete
    assert report.asked["partitions"] == [1]
    assert report.asked["offsets"] == [2, 5]
    with pytest.raises(ConfigurationError, match="no topic has partition 9;"):
        world.run("t1", selection=Selection(partitions=parse_partitions("1,9")))


def test_findings_are_selected_by_the_rules_behind_them(world: World) -> None:
    """What other rules found, and what no rule did, is counted apart and hides nothing."""
    world.write("t1", {"amount": 20, "country": "FR"}, {"amount": 1, "country": "XX"})
    world.producer.produce("t1", b'{"amount": 1, "country": "FR"}', partition=0)
    world.producer.flush(30)

    def run(**chosen: Any) -> tuple[dict[str, int], dict[str, int]]:
        report = world.run("t1", selection=Selection(**chosen))
        return found(report), report.to_dict()["left_out"]

    assert run(owners=("risk",)) == ({"now-rejected": 1}, {"now-held": 1, "unchecked": 1})
    assert run(policies=("sanc*",)) == ({"now-held": 1}, {"now-rejected": 1, "unchecked": 1})
    assert run(severities=("critical", "high"))[1] == {"unchecked": 1}
    assert run(classes=("platform",), owners=("risk",))[0] == {}
    with pytest.raises(ConfigurationError, match="`urgent` is no severity"):
        Selection(severities=("urgent",))
    with pytest.raises(ConfigurationError, match="`foo` is no class; use platform, edge,"):
        Selection(classes=("foo",))


@pytest.mark.parametrize("name", ["f.csv", "f.PARQUET", "f.jsonl.gz", "f.yaml"])
def test_a_file_is_what_its_name_says(world: World, tmp_path: Path, name: str) -> None:
    """Lines of JSON, or rows of Parquet: another form is refused before the work."""
    with pytest.raises(ConfigurationError) as refused:
        world.asked(findings=tmp_path / name)
    with pytest.raises(ConfigurationError, match="differences are written as lines of JSON"):
        world.asked(decision_log="file:x", log_differences=tmp_path / "f.parquet")

    assert str(refused.value) == (
        f"findings are written as lines of JSON, which `{name}` does not promise; "
        "name a file that ends in `.jsonl`, or `.parquet` for rows"
    )
    for taken in ("f", "f.jsonl", "f.ndjson", "f.json", "f.parquet"):
        assert world.asked(findings=tmp_path / taken).findings == tmp_path / taken


def test_a_name_that_nothing_has_is_refused(world: World) -> None:
    """Mistyped, it would pass for a clean history."""
    world.write("t1", {"amount": 20})

    with pytest.raises(ConfigurationError) as refused:
        world.run("t1", selection=Selection(policies=("lim*", "limit"), owners=("legal", "riks")))

    assert str(refused.value) == (
        "no version that is looked at has the policy `limit` or the owner `riks`; "
        "there are owner legal, owner risk, policy limits, policy sanctions"
    )


def test_a_topic_that_no_policy_covers_is_told(world: World) -> None:
    """Nothing judged its events: that is no clean history, and what is parked there is not fine."""
    world.write("other", {"amount": 20})
    report = world.run("other", "t1").to_dict()
    alone = world.run("other").to_dict()

    assert (report["uncovered"], alone["uncovered"]) == (["other"], ["other"])
    assert "No policy covers `other`" in headline(alone)
    assert (judges_nothing(report), judges_nothing(alone)) == (False, True)
    assert "Nothing judged" in render_page(alone)
    assert "uncovered" not in world.run("t1").to_dict()


@pytest.mark.parametrize(
    "part",
    [
        {"selection": Selection(first=1000, end=2000)},
        {"since": NOON_MS + DAY},
        {"until": NOON_MS - DAY},
    ],
    ids=lambda part: next(iter(part)),
)
def test_a_range_without_events_is_told(
    world: World, caplog: pytest.LogCaptureFixture, part: dict[str, Any]
) -> None:
    """It is no drift, and no verdict on any event either."""
    world.write("t1", {"amount": 20})

    report = world.run("t1", **part)

    said = "No event was judged, so nothing is said of any: none lies in the range"
    assert (report.account.events, report.complete, report.exit_status()) == (0, True, 0)
    assert [record.getMessage().startswith(said) for record in caplog.records] == [True]


def test_a_topic_without_events_in_the_range_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Beside others it would not be missed."""
    world.write("t1", {"amount": 20})

    world.run("t1", "t2")

    assert [record.getMessage() for record in caplog.records] == [
        "nothing is said of `t2`: the range holds no record of it"
    ]


@pytest.mark.parametrize(
    ("stages", "stage", "told"),
    [
        ("[consume]", None, True),
        ("[consume]", "consume", False),
        ("[produce]", "consume", True),
        ("[produce, consume]", None, False),
        ("[reconcile]", None, False),
    ],
)
def test_rules_that_no_event_is_asked_about_are_told(
    world: World, caplog: pytest.LogCaptureFixture, stages: str, stage: str | None, *, told: bool
) -> None:
    """A policy for another stage finds nothing, which is not that all is well."""
    rule = "{id: over, when: value.amount > 10, effect: reject}"
    today = make_bundle(
        f"policy: limits\nowner: team\ntopics: ['t*']\nstages: {stages}\nrules:\n  - {rule}\n"
    )
    for topic in ("t1", "t2"):
        world.write(topic, {"amount": 5})

    world.run("t*", bundle=today, stage=stage)

    other = stages.strip("[]")
    words = f"has rules for `t1`, `t2` at stage {other} only, and none was asked"
    assert [words in record.getMessage() for record in caplog.records] == [True] * told


def test_that_nothing_is_new_is_no_warning(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A daily run over a quiet topic is as it should be; its first sentence says so."""
    world.write("t1", {"amount": 20})
    kept: dict[str, Any] = {"runs": tmp_path / "runs", "incremental": True}
    world.run("t1", **kept)

    report = world.run("t1", **kept)

    assert first_sentence(report).endswith("nothing is said of any: none is new.")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "expected"), [("0", {0}), ("0,2", {0, 2}), ("1-3, 7", {1, 2, 3, 7})]
)
def test_partitions_as_people_write_them(text: str, expected: set[int]) -> None:
    """Numbers and ranges."""
    assert parse_partitions(text) == expected


@pytest.mark.parametrize("wrong", ["", "a", "3-1", "0-9999999", "1,,2"])
def test_what_names_no_partitions(wrong: str) -> None:
    """Refused, with what to write."""
    with pytest.raises(ConfigurationError, match="names no partitions"):
        parse_partitions(wrong)


def test_offsets_as_people_write_them() -> None:
    """Either end may be left open."""
    assert parse_offsets("10-20") == (10, 20)
    assert parse_offsets("10-") == (10, None)
    assert parse_offsets("-20") == (None, 20)
    for wrong in ("", "-", "10", "a-b"):
        with pytest.raises(ConfigurationError, match="is no range of offsets"):
            parse_offsets(wrong)


def test_a_sample_repeats_and_is_never_complete(world: World) -> None:
    """The same events however the work is cut; an interval that holds the truth; exit status 1."""
    world.write("t1", *[{"amount": number % 20} for number in range(200)])
    for number in range(40):  # which are no events
        review = Review("released", 0, 0, number, (Signature("ann", "fine"),), f"r{number}")
        value, headers = encode_review(review, "quarantine.t1", None)
        world.producer.produce("quarantine.t1", value, partition=0, headers=list(headers))
    world.producer.flush()
    whole = found(world.run("t1"))["now-rejected"]

    sampled = world.run("t1", sample=Sample.parse("50%"))
    again = world.run("t1", sample=Sample.parse("50%"), slice_offsets=7)

    said = sampled.to_dict()["sample"]
    estimate = said["estimates"]["now-rejected"]
    assert {**again.to_dict(), "started": 0, "seconds": 0} == {
        **sampled.to_dict(),
        "started": 0,
        "seconds": 0,
    }
    assert said["events"] == 200
    assert 60 < said["drawn"] < 140
    assert sampled.account.events == said["drawn"]
    assert estimate["low"] <= whole <= estimate["high"]
    assert said["method"] == "Clopper-Pearson"
    assert (sampled.complete, said["all_read"], sampled.verdict) == (False, True, "drift")
    assert world.run("t1", sample=Sample.parse("10"), bundle=V1).exit_status() == 1


def test_a_former_policy_judges_as_of_then(world: World) -> None:
    """By the time, or by the number; before anything was active it is an error."""
    world.write("t1", {"amount": 20})

    then = world.run("t1", as_of=NOON_MS + DAY // 2)
    numbered = world.run("t1", version=1)
    now = world.run("t1", as_of=NOON_MS + 2 * DAY)

    assert (then.bundle, found(then)) == ("b@1", {})
    assert (numbered.bundle, found(numbered)) == ("b@1", {})
    assert (now.bundle, found(now)) == ("b@2", {"now-rejected": 1})
    with pytest.raises(
        ReconcileError, match=r"no bundle was active then; the first one is since 20\d\d-\d\d-\d\dT"
    ):
        world.run("t1", as_of=NOON_MS - DAY)


def test_a_candidate_tells_what_it_would_change(world: World, tmp_path: Path) -> None:
    """Stricter for some, looser for others, and not known for those that hang on facts."""
    candidate = make_bundle(
        _policy(
            "limits",
            "risk",
            "{id: over, when: value.amount > 30, effect: reject}",
            "{id: small, when: value.amount < 2, effect: hold}",
            "{id: score, when: 'value.amount == 5 && facts.score > 8', effect: reject}",
        )
    )
    world.write("t1", *({"amount": n, "country": "FR"} for n in (0, 1, 5, 7, 20, 40, 99)))
    path = tmp_path / "findings.jsonl"

    report = world.run("t1", candidate=candidate, findings=path)

    said = report.to_dict()["what_if"]
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    told = {
        (line["kind"], line["what_if"]["from"], line["what_if"]["to"])
        for line in lines
        if "what_if" in line
    }
    assert (report.bundle, said["current"]) == ("b@0", "b@2")
    assert said["effects"] == {"allow → hold": 2, "reject → allow": 1}
    assert (said["changed"], said["uncertain"]) == (3, 1)
    assert said["rules"] == {"limits/over": 1, "limits/small": 2}
    assert said["topics"] == {"t1": 3}
    assert said["days"] == {"2026-03-01": 3}
    assert told == {
        ("now-held", "allow", "hold"),
        ("would-change", "reject", "allow"),
        ("undecidable", None, None),
    }
    assert found(report) == {"undecidable": 1, "now-rejected": 1, "now-held": 2, "would-change": 1}


def test_a_bundle_in_shadow_mode_is_said_to_do_nothing(world: World) -> None:
    """Otherwise a report of it would read as if all were well."""
    rule = "{id: over, when: value.amount > 30, effect: reject}"
    shadow = make_bundle(_policy("limits", "risk", rule), settings="mode: shadow\n")
    world.write("t1", {"amount": 20}, {"amount": 99, "country": "FR"})

    report = world.run("t1", candidate=shadow)

    assert report.to_dict()["mode"] == "shadow"
    assert "The bundle is in shadow mode" in first_sentence(report)
    assert "The bundle is in shadow mode" in render_page(report.to_dict())
    assert "mode" not in world.run("t1").to_dict()


def test_a_candidate_like_the_current_policy_changes_nothing(world: World) -> None:
    """Whatever history holds."""
    world.write("t1", *AMOUNTS, {"amount": 99})

    report = world.run("t1", candidate=V2)

    assert report.to_dict()["what_if"]["changed"] == 0
    assert "would-change" not in found(report)


def test_a_run_goes_on_where_the_last_complete_one_ended(world: World, tmp_path: Path) -> None:
    """Each event once; runs that were asked something else, or were not complete, do not count."""
    runs = tmp_path / "runs"

    def run(**more: Any) -> Report:
        return world.run("t1", runs=runs, incremental=True, **more)

    world.write("t1", {"amount": 20}, {"amount": 1})
    first = run()
    world.write("t1", {"amount": 30}, {"amount": 40})
    world.run("t1", runs=runs, sample=Sample.parse("99%"))
    world.run("t1", runs=runs, selection=Selection(owners=("risk",)))
    second, third = run(), run()
    whole = world.run("t1", runs=runs)

    kept = Runs(runs).list()
    assert [report.account.events for report in (first, second, third, whole)] == [2, 2, 0, 4]
    assert (found(second), found(third)) == ({"now-rejected": 2}, {})
    assert first.base == {}
    assert second.base == {"t1/0": first.run, "t1/1": first.run, "quarantine.t1/0": first.run}
    assert third.base["t1/0"] == second.run
    assert [run.id for run in kept][-1] == whole.run
    assert kept[0].report == msgspec.json.decode(msgspec.json.encode(first.to_dict()))
    assert kept[0].findings is not None
    assert len(kept[0].findings.read_bytes().splitlines()) == sum(first.counts().values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"incremental": True}, "needs to know the last one"),
        ({"incremental": True, "since": 5}, "begins where the last one ended"),
        ({"as_of": 5, "bundle": V1}, "both `--as-of` and `--policies`"),
        ({"as_of": 5, "store": None, "bundle": V1}, "former versions are in a store"),
        ({"lossless_since": 5}, "there is no decision log to compare with"),
        ({"log_differences": Path("x.jsonl")}, "there is no decision log to compare with"),
        ({"decision_log": "nowhere.jsonl"}, "there is no decision log at"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, wrong: dict[str, Any], message: str) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigurationError, match=message):
        world.asked("t1", **wrong)


def test_events_and_entries_of_the_decision_log_are_matched(world: World, tmp_path: Path) -> None:
    """Each event has its entry and each entry its event; what is missing on either side is told."""
    guard = Guard(world.versions[0], clock=lambda: NOON_MS * _MS)
    log = tmp_path / "decisions.jsonl"
    entries: list[bytes] = []
    for amount in (1, 1, 2, 3, 99):
        decision = guard.decide(topic="t1", value=msgspec.json.encode({"amount": amount}))
        entries.append(msgspec.json.encode(decision.to_dict()))
    world.write("t1", {"amount": 1})
    world.write("t1", {"amount": 1})
    world.write("t1", {"amount": 2})
    world.write("t1", {"amount": 4})
    world.write("t1", {"amount": 99})
    log.write_bytes(b"\n".join([*entries, b"{broken", b'{"v": 1, "id": "cut"}']) + b"\n")

    def run(**more: Any) -> Report:
        return world.run("t1", bundle=world.versions[0], decision_log=f"file:{log}", **more)

    plain, strict = run(), run(lossless_since=NOON_MS, log_has_allows=True)
    later = run(lossless_since=NOON_MS + 1, log_has_allows=True)
    sampled = run(lossless_since=NOON_MS)
    file = tmp_path / "differences.jsonl"
    run(lossless_since=NOON_MS, log_has_allows=True, log_differences=file)

    said = plain.to_dict()["decision_log"]
    assert (said["entries"], said["unreadable"], said["matched"]) == (7, 2, 4)
    assert said["events_without_entry"] == {"allow": 1}
    assert said["entries_without_event"] == 1
    assert said["examples"] == {
        "events": [{"topic": "t1", "partition": 0, "offset": 3}],
        "entries": [{"entry": 4, "at": NOON_MS, "effect": "allow"}],
    }
    assert (plain.verdict, plain.exit_status()) == ("clean", 0)
    assert (strict.verdict, strict.exit_status(), strict.missed) == ("drift", 2, 1)
    assert (later.verdict, later.missed) == ("clean", 0)
    assert (sampled.verdict, sampled.missed) == ("clean", 0)
    same = {"at": NOON_MS, "effect": "allow"}
    where = {"topic": "t1", "partition": 0, "offset": 3, "missed": True}
    assert [msgspec.json.decode(line) for line in file.read_bytes().splitlines()] == [
        {"kind": "event_without_entry", **same, **where},
        {"kind": "entry_without_event", **same, "entry": 4},
    ]
    log.write_bytes(b'{"amount": 1}\n{"amount": 2}\n')
    assert run().verdict == "incomplete"
