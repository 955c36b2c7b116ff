"""Metrics: what a scrape says is what happened, over all guards of the process."""

from __future__ import annotations

import gc
import time
import urllib.request
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from streamwarden import metrics
from streamwarden.decision_times import DecisionTimes
from streamwarden.errors import ConfigurationError
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import load_directories
from streamwarden.policy.tallies import OTHER, Ledger
from streamwarden.reconciler.report import Report
from streamwarden.reconciler.slices import Partition
from streamwarden.reconciler.tally import merge_all
from tests.guards import BAD, CARD, CLEAN, LARGE, SHADY, guard_for, write_policy

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

WAIT_S = 30.0
_address: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _server() -> Generator[None]:
    with metrics.serve(0, registry=CollectorRegistry()) as server:
        _address.append(f"http://{server.host}:{server.port}/metrics")
        yield
    _address.clear()


def scrape() -> Samples:
    """Every sample, by name and labels, over HTTP as Prometheus reads it."""
    text = urllib.request.urlopen(_address[0]).read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, /, **labels: str) -> float:
    return samples.get((f"streamwarden_{name}", tuple(sorted(labels.items()))), 0.0)


def decisions(samples: Samples, topic: str) -> dict[str, float]:
    names = ("allow", "warn", "mask", "hold", "reject", "none")
    return {
        effect: found
        for effect in names
        if (found := value(samples, "decisions_total", topic=topic, stage="produce", effect=effect))
    }


def test_two_guards_of_a_process_are_one_sum(tmp_path: Path) -> None:
    """Every event of both guards is counted, by topic, effect and rule."""
    one = guard_for(tmp_path / "one", "two-guards")
    two = guard_for(tmp_path / "two", "two-guards")

    for value_ in (CLEAN, CLEAN, BAD, LARGE):
        one.decide(topic="two-guards", value=value_)
    for value_ in (CLEAN, CARD, SHADY, b"no JSON"):
        two.decide(topic="two-guards", value=value_)
    found = scrape()

    assert decisions(found, "two-guards") == {
        "allow": 3,
        "warn": 1,
        "mask": 1,
        "hold": 1,
        "reject": 2,
    }
    labels = {"policy": "limits", "mode": "enforce"}
    assert value(found, "rule_matches_total", rule="over-limit", **labels) >= 1


def test_counts_stay_when_a_guard_goes_or_takes_another_policy(tmp_path: Path) -> None:
    """What was counted is counted, whatever becomes of guard, bundle and plan."""
    guard = guard_for(tmp_path, "gone")
    for value_ in (CLEAN, BAD, BAD):
        guard.decide(topic="gone", value=value_)
    guard.count("dropped/gone/tested", 3)
    before = scrape()

    guard.swap(load_directories([write_policy(tmp_path, "gone", bundle="mode: shadow")]))
    guard.decide(topic="gone", value=BAD)
    after_swap = scrape()
    guard.close()
    del guard
    gc.collect()
    after_all = scrape()

    assert decisions(before, "gone") == {"allow": 1, "reject": 2}
    assert decisions(after_swap, "gone") == {"allow": 2, "reject": 2}
    assert decisions(after_all, "gone") == {"allow": 2, "reject": 2}
    assert value(after_all, "dropped_total", component="gone", reason="tested") == 3


def test_matches_name_rule_and_mode(tmp_path: Path) -> None:
    """Rules that fired, in which mode, and those that could not be evaluated."""
    (tmp_path / "own.yaml").write_text(
        "policy: own\nowner: me\ntopics: [rules]\nrules:\n"
        "  - {id: fires, when: value.a > 1, effect: warn}\n"
        "  - {id: shadows, when: value.a > 2, effect: reject, mode: shadow}\n"
        "  - {id: rests, when: value.a > 1000, effect: reject}\n"
    )
    guard = Guard.from_directory(tmp_path)

    for text in (b'{"a": 0}', b'{"a": 2}', b'{"a": 3}', b'{"b": 3}'):
        guard.decide(topic="rules", value=text)
    found = scrape()

    matches = {
        (rule, mode): value(found, "rule_matches_total", policy="own", rule=rule, mode=mode)
        for rule, mode in (("fires", "enforce"), ("shadows", "shadow"), ("rests", "enforce"))
    }
    errors = {
        rule: value(found, "rule_errors_total", policy="own", rule=rule)
        for rule in ("fires", "shadows", "rests")
    }
    assert matches == {("fires", "enforce"): 3, ("shadows", "shadow"): 2, ("rests", "enforce"): 1}
    assert errors == {"fires": 1, "shadows": 1, "rests": 1}


def test_what_a_bundle_says_is_counted_as_a_rule(tmp_path: Path) -> None:
    """Under the names that the decision log has, from before the first event on."""
    (tmp_path / "bundle.yaml").write_text("bundle: says\nuncovered: reject\ntombstones: reject\n")
    (tmp_path / "own.yaml").write_text(
        "policy: own\nowner: me\ntopics: [said]\nrules:\n"
        "  - {id: reads, when: has(value.c), effect: warn}\n"
    )
    (tmp_path / "masks.yaml").write_text(
        "policy: masks\nowner: me\ntopics: [masked]\nrules:\n"
        "  - {id: always, effect: mask, mask: [{field: value.c, with: last4}]}\n"
    )
    guard = Guard.from_directory(tmp_path)

    def counts() -> dict[str, float | None]:
        found = scrape()
        labels = {"policy": "says", "mode": "enforce"}
        return {
            rule: value(found, "rule_matches_total", rule=rule, **labels)
            for rule in ("undecodable", "tombstone", "uncovered", "unmaskable")
        }

    guard.decide(topic="said", value=b'{"c": "0123456789"}')
    before = counts()
    said = [
        guard.decide(topic="said", value=b"no JSON"),
        guard.decide(topic="said", value=b"no JSON either"),
        guard.decide(topic="said", value=None),
        guard.decide(topic="elsewhere", value=CLEAN),
        guard.decide(topic="masked", value=b"no JSON"),
    ]

    assert before == dict.fromkeys(before, 0)
    named = [(match.policy, match.rule) for decision in said for match in decision.matches]
    assert counts() == {rule: named.count(("says", rule)) for rule in before}
    assert {rule for policy, rule in named if policy == "says"} == before.keys()
    assert counts()["undecodable"] == 2


def test_a_topic_that_no_policy_covers_is_counted(tmp_path: Path) -> None:
    """Events that pass because nobody thought of their topic are seen."""
    guard = guard_for(tmp_path, "covered")

    for _ in range(3):
        guard.decide(topic="nobody-covers", value=CLEAN)
    found = scrape()

    assert value(found, "uncovered_total", topic="nobody-covers") == 3
    assert decisions(found, "nobody-covers") == {"none": 3}
    assert value(found, "uncovered_total", topic="covered") == 0


def test_what_guards_run_is_shown_while_they_are_open(tmp_path: Path) -> None:
    """Bundle, mode and time of the swap; nothing of a guard that was closed."""
    started = time.time()
    guard = guard_for(tmp_path, "shown", bundle="mode: shadow")
    labels = {"name": "limits", "number": "0", "digest": guard.bundle.digest}

    found = scrape()
    guard.close()
    closed = scrape()

    assert value(found, "bundle_info", **labels) == 1
    assert value(found, "guard_mode", mode="shadow") >= 1
    assert value(found, "bundle_activated_timestamp_seconds") >= started
    assert value(closed, "bundle_info", **labels) == 0


@pytest.mark.slow
def test_labels_of_topics_are_bounded(tmp_path: Path) -> None:
    """Names made up by a producer end in one label together, and are counted as dropped."""
    ledger = Ledger()
    guard = guard_for(tmp_path, "*")
    plans = [guard.plan(f"made-up-{number}", "produce", guard.now()) for number in range(600)]

    for plan in plans:
        ledger.take_plan(plan)
        plan.tally.clear += 1
    sums = ledger.sums()

    topics = {topic for topic, _, _ in sums.decisions}
    assert len(topics) == 501
    assert sums.decisions[OTHER, "produce", "allow"] == 100
    assert sums.counters["dropped/metrics/topics"] == 100


@pytest.mark.parametrize("sent", [CLEAN, BAD])
def test_the_next_decision_is_timed_and_no_other(tmp_path: Path, sent: bytes) -> None:
    """A time is taken of one decision, whether it passes or not."""
    guard = guard_for(tmp_path, "timed")
    guard.decide(topic="timed", value=CLEAN)
    times: list[int] = []

    guard.plan("timed", "produce", guard.now()).time_next(times.append)
    for _ in range(3):
        guard.decide(topic="timed", value=sent)

    assert len(times) == 1
    assert times[0] > 0


def test_times_fall_into_their_buckets() -> None:
    """Buckets are cumulative, from a microsecond on; the sum is in seconds."""
    times = DecisionTimes()
    for nanoseconds in (900, 1_000, 1_500, 40_000, 10**9):
        times.tell(nanoseconds)

    counts, total_s = times.buckets()
    buckets = dict(counts)

    assert [buckets[bound] for bound in ("1e-06", "2e-06", "5e-05", "0.1", "+Inf")] == [
        *(2, 3, 4, 4),
        5,
    ]
    assert total_s == pytest.approx(1.0000434)


def test_decisions_are_timed_while_metrics_are_registered(tmp_path: Path) -> None:
    """The histogram fills by itself."""
    guard = guard_for(tmp_path, "sampled")
    metrics.register()
    before = value(scrape(), "decision_seconds_count")

    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        guard.decide(topic="sampled", value=CLEAN)
        if value(scrape(), "decision_seconds_count") > before:
            break

    assert value(scrape(), "decision_seconds_count") > before


def test_a_port_that_is_taken_is_said() -> None:
    """The reason is one line, and what to do."""
    with (
        metrics.serve(0) as server,
        pytest.raises(ConfigurationError, match=f"127.0.0.1:{server.port}"),
    ):
        metrics.serve(server.port)


def test_a_reconciliation_that_has_ended_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of every topic that was read, zero too; only a complete run is a success."""
    monkeypatch.setattr(
        "streamwarden.metrics._last.succeeded_at", None
    )  # other tests reconcile, too
    account = merge_all([])
    part = Partition("replayed", 0, parked=False, start=0, first=0, end=0, pending=0)
    incomplete = Report("b@1", "0" * 64, (part,), account, 1.0, problems=("a worker ended",))

    metrics.reconciled(incomplete)
    before = scrape()
    metrics.reconciled(replace(incomplete, problems=()))
    after = scrape()

    labels = {"kind": "unchecked", "topic": "replayed"}
    name = "streamwarden_reconcile_last_success_timestamp_seconds"
    assert ("streamwarden_reconcile_findings", tuple(sorted(labels.items()))) in before
    assert (name, ()) not in before
    assert after[name, ()] > 0
