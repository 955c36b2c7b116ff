"""A whole run, on the broker inside the process; and what is refused before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from streamwarden.embedded import EmbeddedBroker
from streamwarden.errors import ConfigurationError, ReconcileError
from streamwarden.policy.directory_store import DirectoryStore
from streamwarden.policy.guard import Guard
from streamwarden.reconciler import Progress, ReconcileOptions, reconcile

from .histories import make_bundle, policy

OVER_50 = "{id: over, when: value.amount > 50, effect: reject}"
OVER_10 = "{id: over, when: value.amount > 10, effect: reject}"
V1, V2 = make_bundle(policy(OVER_50), number=1), make_bundle(policy(OVER_10), number=2)

Options = Callable[..., ReconcileOptions]


@pytest.fixture
def options(embedded_broker: EmbeddedBroker) -> Options:
    """What a run is asked for, on an embedded broker with some history."""
    embedded_broker.create_topic("t", 2)
    embedded_broker.create_topic("quarantine.t", 1)
    producer = Producer({"bootstrap.servers": embedded_broker.bootstrap, "log_level": 0})
    guard = Guard(V1)
    for number in range(30):
        for record in guard.route(topic="t", value=b'{"amount": %d}' % (number * 2)).records:
            producer.produce(
                record.topic,
                record.value,
                partition=number % 2 if record.topic == "t" else 0,
                headers=list(record.headers),
                timestamp=record.timestamp or 0,
            )
    producer.flush(30)

    def asked(**more: Any) -> ReconcileOptions:
        config = {"bootstrap.servers": embedded_broker.bootstrap, "log_level": 0}
        settings: dict[str, Any] = {"config": config, "topics": ("t",), "bundle": V2, **more}
        return ReconcileOptions(**settings)

    return asked


@pytest.mark.parametrize("size", [3, 100])
def test_a_run_from_start_to_end(options: Options, tmp_path: Path, size: int) -> None:
    """Records, parked ones among them; progress up to the end; findings in order."""
    path = tmp_path / "findings.jsonl"
    store = DirectoryStore(tmp_path / "store", name="b")
    for bundle in (V1, V2):
        store.publish(bundle, by="ann", reason="test")
    store.activate(2, by="ann", reason="test")
    signs: list[Progress] = []

    report = reconcile(
        options(bundle=None, store=store, findings=path, slice_offsets=size), signs.append
    )
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]

    assert (report.verdict, report.bundle, report.complete) == ("drift", "b@2", True)
    assert (report.account.events, report.account.parked) == (30, 4)
    assert {kind: n for kind, n in report.counts().items() if n} == {"now-rejected": 20}
    assert [(line["partition"], line["offset"]) for line in lines] == sorted(
        (line["partition"], line["offset"]) for line in lines
    )
    assert len(lines) == 20
    assert signs[-1].offsets == signs[-1].offsets_total == 30
    assert signs[-1].slices == signs[-1].slices_total
    assert [sign.offsets for sign in signs] == sorted(sign.offsets for sign in signs)
    assert (signs[-1].records, signs[-1].findings) == (30, 20)
    assert [sign.findings for sign in signs] == sorted(sign.findings for sign in signs)


def test_worker_processes_tell_what_they_found(options: Options) -> None:
    """As one process does."""
    signs: list[Progress] = []

    reconcile(options(slice_offsets=5, engine_options={"workers": "2"}), signs.append)

    assert (signs[-1].offsets, signs[-1].records, signs[-1].findings) == (30, 30, 20)


def test_a_clean_run(options: Options) -> None:
    """The policy that let it through, still in force."""
    report = reconcile(options(bundle=V1))

    assert (report.verdict, report.exit_status()) == ("clean", 0)
    assert report.to_dict()["seconds"] > 0


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ({"since": 2}, {0, 1}),
        ({"until": 2}, {2, 3}),
        ({"since": 3, "until": 1}, {1, 2}),
        ({"since": 0}, set[int]()),
    ],
)
def test_a_range_of_time_on_a_broker_that_knows_no_times(
    embedded_broker: EmbeddedBroker, tmp_path: Path, days: dict[str, int], expected: set[int]
) -> None:
    """It finds no offset by time: all is read, and filtered."""
    day_ms, now, path = 86_400_000, 1_800_000_000_000, tmp_path / "findings.jsonl"
    embedded_broker.create_topic("t", 2)
    producer = Producer({"bootstrap.servers": embedded_broker.bootstrap, "log_level": 0})
    for age in range(4):
        at = now - age * day_ms - day_ms // 2
        producer.produce("t", b'{"amount": %d}' % age, partition=age % 2, timestamp=at)
    assert producer.flush(30) == 0
    asked: dict[str, Any] = {name: now - ago * day_ms for name, ago in days.items()}

    report = reconcile(
        ReconcileOptions(
            config={"bootstrap.servers": embedded_broker.bootstrap, "log_level": 0},
            topics=("t",),
            bundle=V2,
            findings=path,
            now=now,
            **asked,
        )
    )
    found = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]

    assert (report.account.events, report.complete) == (len(expected), True)
    assert {each["partition"] + 2 * each["offset"] for each in found} == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"topics": ()}, "no topic was named"),
        ({"stage": "later"}, "`later` is no stage"),
        ({"fail_on": ("drift",)}, "`drift` is no kind of finding"),
        ({"since": 5, "until": 5}, "nothing lies between"),
        ({"timeout_s": 0}, "must be above zero"),
        ({"bundle": None}, "there is no policy to judge by"),
        ({"engine": "flink"}, "there is no engine `flink`"),
        ({"engine_options": {"speed": "9"}}, "engine `local` has no option `speed`"),
        ({"engine_options": {"workers": "many"}}, "`workers` cannot be `many`"),
        ({"engine_options": {"workers": "0"}}, "`workers` cannot be `0`"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    """Before anything is asked of a broker."""
    settings: dict[str, Any] = {"config": {}, "topics": ("t",), "bundle": V1}

    with pytest.raises(ConfigurationError, match=message):
        reconcile(ReconcileOptions(**{**settings, **wrong}))


def test_functions_that_cannot_be_sent_are_refused(options: Options) -> None:
    """Workers are processes of their own."""

    def released(_topic: str, _partition: int, _offset: int) -> bool:
        return False

    asked = options(engine_options={"workers": "2"}, slice_offsets=3, released=released)

    with pytest.raises(ConfigurationError, match="cannot be sent to other processes"):
        reconcile(asked)


def test_an_empty_store_has_no_policy_of_today(options: Options, tmp_path: Path) -> None:
    """Nothing was ever activated."""
    with pytest.raises(ReconcileError, match="no active bundle"):
        reconcile(options(bundle=None, store=DirectoryStore(tmp_path, name="b")))
