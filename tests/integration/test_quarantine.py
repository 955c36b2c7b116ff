"""Parked events in people's hands: listed, shown, released once, discarded, on a real Kafka."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streamwarden.consumers.consumer import GuardedConsumer
from streamwarden.errors import QuarantineError
from streamwarden.policy.guard import Guard
from streamwarden.policy.model import Approvals, Effect
from streamwarden.policy.stamp import Stamp, verify
from streamwarden.producers.producer import GuardedProducer
from streamwarden.producers.quarantine import Quarantine, Selection, list_parked
from streamwarden.producers.release import ReleaseReport, discard, release
from streamwarden.producers.reviews import Review, Signature
from streamwarden.producers.showing import show_parked
from streamwarden.producers.topics import ensure_topics
from streamwarden.producers.writing import ReleaseWriter, TakenOverError
from streamwarden.reconciler.releasing import BulkRelease, histogram
from tests.guards import BAD, CLEAN, LARGE, Told, event, guard_for, write_policy
from tests.servers.topics import ConsumeAll, MakeTopic, unique_name

from .conftest import Guarded

Make = Callable[..., Guarded]

ALICE = Signature("alice", "checked with the customer")
BOB = Signature("bob", "second pair of eyes")
HELD = Selection(kind="held")
KEYS = {"k1": b"s" * 32}


def park(guarded: Guarded, *values: bytes, key: str | None = "k", **options: Any) -> None:
    with GuardedProducer(guarded.config, guard=guarded.guard) as producer:
        for value in values:
            producer.produce(guarded.topic, value, key, on_delivery=Told(), **options)
            time.sleep(0.002)  # of the same millisecond it could not be said which was first


def quarantine_of(guarded: Guarded, **settings: Any) -> Quarantine:
    return Quarantine(guarded.config, guarded.guard, guarded.topic, **settings)


def only(report: ReleaseReport) -> tuple[str, str]:
    (outcome,) = report.outcomes
    return outcome.outcome, outcome.why


def test_parked_events_are_listed_oldest_first_with_why(guarded: Guarded) -> None:
    """Both kinds, with their rules, and without their content."""
    park(guarded, CLEAN, LARGE, BAD, LARGE)

    listing = list_parked(quarantine_of(guarded))

    assert [event.kind for event in listing.events] == ["held", "quarantined", "held"]
    assert [event.rules for event in listing.events][1] == ("limits/currency-known",)
    assert [event.offset for event in listing.events] == [0, 0, 1]
    assert {event.state for event in listing.events} == {"waiting"}
    assert {event.value for event in listing.events} == {None}
    assert listing.complete
    assert listing.foreign == 0


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(kind="quarantined"), [("quarantined", 0), ("quarantined", 1)]),
        (Selection(rule="over-limit"), [("held", 0)]),
        (Selection(rule="limits/currency-known", max=1), [("quarantined", 0)]),
        (Selection(at=frozenset({(0, 1)})), [("quarantined", 1)]),
        (Selection(since=2**45), []),
        (Selection(kind="handler"), []),
    ],
)
def test_a_selection_takes_what_fits_every_condition(
    guarded: Guarded, selection: Selection, expected: list[tuple[str, int]]
) -> None:
    """By kind, rule, coordinates, time and number."""
    park(guarded, BAD, LARGE, BAD)

    listing = list_parked(quarantine_of(guarded), selection)

    assert [(event.kind, event.offset) for event in listing.events] == expected
    assert listing.complete is (selection.max is None)


def test_without_parking_topics_it_is_said_how_to_make_them(
    make_topic: MakeTopic, guarded: Guarded, tmp_path: Path
) -> None:
    """And nothing is made by looking."""
    topic = make_topic("bare")
    bare = Guarded(topic, guard_for(tmp_path / "bare", topic), guarded.config)

    with pytest.raises(QuarantineError, match="topics ensure"):
        list_parked(quarantine_of(bare))


def test_a_cluster_that_does_not_answer_ends_within_the_time(guarded: Guarded) -> None:
    """One deadline for the whole operation."""
    unreachable = Guarded(
        guarded.topic, guarded.guard, {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    )
    started = time.monotonic()

    with pytest.raises(QuarantineError):
        list_parked(quarantine_of(unreachable, timeout_s=1.0))

    assert time.monotonic() - started < 4


def test_shown_events_are_masked(guarded: Guarded) -> None:
    """Every field that any mask names, whether its rule fired or not."""
    park(guarded, event(amount=99_000, card="4111111111111111", note="ä"), headers={"h": "x"})

    (shown,) = show_parked(quarantine_of(guarded), Selection())

    assert "4111" not in str(shown.value)
    assert '"card": "***"' in shown.value
    assert "99000" in shown.value
    assert shown.key == "k"
    assert ("h", "x") in shown.headers
    assert "4111" not in str(shown.headers)


def test_seeing_everything_needs_a_name_and_is_recorded(guarded: Guarded) -> None:
    """Who looked and why stands beside the event."""
    park(guarded, event(amount=99_000, card="4111111111111111"))
    quarantine = quarantine_of(guarded)

    with pytest.raises(QuarantineError, match="who you are"):
        show_parked(quarantine, Selection(), unmasked=Signature("alice", ""))
    (shown,) = show_parked(quarantine, Selection(), unmasked=ALICE)

    assert "4111111111111111" in shown.value
    (parked,) = list_parked(quarantine).events
    assert [(r.action, r.signatures) for r in parked.reviews] == [("shown", (ALICE,))]
    assert parked.state == "waiting"


def test_a_value_that_cannot_be_masked_is_not_shown(guarded: Guarded) -> None:
    """Not JSON, on a topic with sensitive fields."""
    park(guarded, b"4111 1111 1111 1111")

    (shown,) = show_parked(quarantine_of(guarded), Selection())

    assert shown.value == "***"
    assert "hidden" in shown.note


def test_a_held_event_is_released_with_a_name(make_guarded: Make, consume_all: ConsumeAll) -> None:
    """To its topic, with key, headers and time of its own, masked, stamped `at=` and `ap=`."""
    guarded = make_guarded(2, stamp_keys=KEYS)
    value = event(amount=99_000, card="4111111111111111")
    recent = time.time_ns() // 1_000_000 - 5_000
    park(guarded, value, headers=[("h", b"1"), ("h", b"2")], timestamp=recent, partition=1)

    report = release(quarantine_of(guarded), HELD, signatures=[ALICE])

    (outcome,) = report.outcomes
    assert (outcome.outcome, outcome.to, outcome.effect) == ("released", guarded.topic, "hold")
    (record,) = consume_all(guarded.topic)
    assert (record.partition, record.key, record.timestamp) == (1, b"k", recent)
    assert record.headers[:2] == [("h", b"1"), ("h", b"2")]
    assert [name for name, _ in record.headers[2:]] == ["streamwarden"]
    assert b"************1111" in (record.value or b"")
    stamp = Stamp.parse(record.headers[2][1])
    assert (stamp.effect, stamp.stage, stamp.ap) == (Effect.HOLD, "produce", outcome.approval)
    assert stamp.at is not None
    assert stamp.at > recent
    keys = guarded.guard.stamp_keys
    assert keys is not None
    assert verify(stamp, keys, guarded.topic, record.key, record.value) == "valid"
    (parked,) = list_parked(quarantine_of(guarded), all_states=True).events
    assert parked.state == "released"
    assert parked.reviews[0].id == outcome.approval
    assert parked.reviews[0].signatures == (ALICE,)
    assert parked.reviews[0].verified is True


def test_a_second_release_is_refused(guarded: Guarded, consume_all: ConsumeAll) -> None:
    """Whatever is forced: an event is released once."""
    park(guarded, LARGE)
    quarantine = quarantine_of(guarded)
    release(quarantine, HELD, signatures=[ALICE])

    again = release(quarantine, HELD, signatures=[BOB], force=True)
    named = release(
        quarantine, Selection(at=frozenset({(0, 0)}), kind="held"), signatures=[BOB], force=True
    )

    assert (again.outcomes, again.closed) == ((), 1)
    assert only(named) == ("refused", f"it is released already to `{guarded.topic}`, by alice")
    assert len(consume_all(guarded.topic)) == 1


def _release_in_a_process(policies: str, topic: str, config: dict[str, Any], queue: Any) -> None:
    from streamwarden.policy.guard import Guard

    quarantine = Quarantine(config, Guard.from_directory(policies), topic)
    try:
        report = release(quarantine, HELD, signatures=[ALICE])
        queue.put(report.counts.get("released", 0))
    except QuarantineError as error:
        queue.put(str(error))


def test_of_releases_at_the_same_time_each_event_takes_part_in_one(
    make_guarded: Make, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """Four processes at once: nothing twice, and what one left another finds."""
    guarded = make_guarded(2, flood="warn")
    park(guarded, *[event(amount=60_000 + n) for n in range(500)])
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    policies = str(tmp_path / guarded.topic)
    arguments = (policies, guarded.topic, guarded.config, queue)
    children = [context.Process(target=_release_in_a_process, args=arguments) for _ in range(4)]
    for child in children:
        child.start()
    told = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)

    release(quarantine_of(guarded), HELD, signatures=[ALICE])

    values = [record.value for record in consume_all(guarded.topic)]
    assert len(values) == len(set(values)) == 500
    assert any(isinstance(each, int) for each in told)


def test_who_is_shut_out_by_another_release_hears_it_from_us_alone(
    guarded: Guarded, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client's own words for it, which nobody understands, are not on stderr."""
    deadline = time.monotonic() + 30
    review = Review("discarded", 0, 0, 1, (ALICE,), "id")
    first = ReleaseWriter(guarded.config, guarded.held, None, deadline=deadline)
    second = ReleaseWriter(guarded.config, guarded.held, None, deadline=deadline)

    with first, second, pytest.raises(TakenOverError, match="another release from"):
        first.write([(None, review)])

    assert capfd.readouterr().err == ""


def test_a_held_event_needs_as_many_names_as_its_rule(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """Approvals are recorded until there are enough; nobody counts twice."""
    guarded = make_guarded(need=2)
    park(guarded, LARGE)
    quarantine = quarantine_of(guarded)

    assert only(release(quarantine, HELD))[0] == "refused"
    approved = release(quarantine, HELD, signatures=[ALICE])
    assert only(approved) == ("approved", "1 of 2 names (from senior-adjuster)")
    twice = Signature(" Alice", "again")
    assert only(release(quarantine, HELD, signatures=[twice]))[0] == "refused"
    assert consume_all(guarded.topic) == []
    (parked,) = list_parked(quarantine).events
    assert parked.approved_by == ("alice",)
    (shown,) = show_parked(quarantine, HELD)
    assert shown.approvals == Approvals(2, ("senior-adjuster",))
    released = release(quarantine, HELD, signatures=[BOB])
    again = release(quarantine, Selection(at=frozenset({(0, 0)})), signatures=[BOB])

    assert only(released)[0] == "released"
    assert [each.by for each in (*approved.outcomes, *released.outcomes)] == [
        ("alice",),
        ("alice", "bob"),
    ]
    assert only(again)[1].endswith("by alice, bob")
    assert len(consume_all(guarded.topic)) == 1


def test_two_names_at_once_are_enough(make_guarded: Make, consume_all: ConsumeAll) -> None:
    """Both are recorded."""
    guarded = make_guarded(need=2)
    park(guarded, LARGE)

    report = release(quarantine_of(guarded), HELD, signatures=[ALICE, BOB])

    assert only(report)[0] == "released"
    assert len(consume_all(guarded.topic)) == 1


def test_approvals_in_a_forged_record_do_not_count(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """With keys, only what was written with them is an approval."""
    guarded = make_guarded(need=2, stamp_keys=KEYS)
    park(guarded, LARGE)
    forger = Producer(guarded.config)
    forger.produce(
        guarded.held,
        b'{"v":1,"action":"approved","partition":0,"offset":0,"at":1,'
        b'"by":[{"name":"eve","reason":"please"}],"id":"x"}',
        partition=0,
        headers={"streamwarden-review": b"1"},
    )
    forger.flush(10)

    assert list_parked(quarantine_of(guarded)).unverified == 1
    assert only(release(quarantine_of(guarded), HELD, signatures=[ALICE]))[0] == "approved"
    assert consume_all(guarded.topic) == []


def test_what_todays_policy_refuses_is_not_released(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Names lift a hold, never a rejection."""
    park(guarded, BAD)

    report = release(quarantine_of(guarded), Selection(), signatures=[ALICE, BOB], force=True)

    outcome, why = only(report)
    assert outcome == "refused"
    assert "currency-known" in why
    assert consume_all(guarded.topic) == []


def test_what_a_new_policy_lets_pass_is_released(
    guarded: Guarded, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """A quarantined event needs no names when it is fine today."""
    park(guarded, BAD)
    policies = write_policy(tmp_path / "new", guarded.topic) / "limits.yaml"
    policies.write_text(policies.read_text().replace('"EUR"', '"EUR", "XXX"'))
    today = Guarded(guarded.topic, Guard.from_directory(policies.parent), guarded.config)

    report = release(quarantine_of(today), Selection())

    (outcome,) = report.outcomes
    assert (outcome.outcome, outcome.effect, outcome.approval) == ("released", "allow", None)
    (record,) = consume_all(guarded.topic)
    assert record.value == BAD
    stamp = Stamp.parse(record.headers[-1][1])
    assert (stamp.effect, stamp.digest12) == (Effect.ALLOW, today.guard.bundle.digest[:12])


def test_an_event_of_a_topic_that_no_policy_covers_is_released_by_force_only(
    guarded: Guarded, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """What lets it pass is a policy that judges it, not the want of one."""
    park(guarded, BAD)
    others = Guarded(guarded.topic, guard_for(tmp_path / "others", "other"), guarded.config)
    quarantine = quarantine_of(others)

    tried = release(quarantine, Selection(), dry_run=True)
    refused = release(quarantine, Selection())
    before = consume_all(guarded.topic)
    forced = release(quarantine, Selection(), force=True)

    why = f"no policy covers topic `{guarded.topic}`: nothing judged this event (`--force`)"
    assert only(tried) == only(refused) == ("refused", why)
    assert before == []
    assert histogram(BulkRelease(tried, {}))["why"] == {why: 1}
    assert only(forced) == ("released", "")
    (record,) = consume_all(guarded.topic)
    assert Stamp.parse(record.headers[-1][1]).effect is Effect.NONE


def test_a_dry_run_says_what_would_be_and_writes_nothing(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Neither in the topic nor beside the events."""
    park(guarded, LARGE, BAD)

    report = release(quarantine_of(guarded), Selection(), signatures=[ALICE], dry_run=True)

    assert report.dry_run
    assert report.counts == {"released": 1, "refused": 1}
    assert consume_all(guarded.topic) == []
    assert [event.reviews for event in list_parked(quarantine_of(guarded)).events] == [(), ()]


def test_a_limit_counts_what_is_let_go(guarded: Guarded) -> None:
    """Neither what is closed already nor what is refused: both would be in the way for ever."""
    park(guarded, LARGE, BAD, LARGE, LARGE, LARGE)
    quarantine, two = quarantine_of(guarded), Selection(max=2)

    def places(report: ReleaseReport) -> list[tuple[str, str, int]]:
        return sorted((e.outcome, e.topic.partition(".")[0], e.offset) for e in report.outcomes)

    dry = release(quarantine, two, signatures=[ALICE], dry_run=True)
    first = release(quarantine, two, signatures=[ALICE])
    second = release(quarantine, two, signatures=[ALICE])
    third = release(quarantine, two, signatures=[ALICE])

    refused = ("refused", "quarantine", 0)
    assert places(dry) == places(first)
    assert places(first) == [refused, ("released", "held", 0), ("released", "held", 1)]
    assert places(second) == [refused, ("released", "held", 2), ("released", "held", 3)]
    assert places(third) == [refused]
    assert [dry.complete, first.complete, second.complete, third.complete] == [
        *(False, False, True, True)
    ]
    assert second.closed == 2


def test_a_limit_counts_what_is_discarded(guarded: Guarded) -> None:
    """The oldest first, in whichever parking topic."""
    park(guarded, LARGE, BAD, LARGE)
    quarantine = quarantine_of(guarded)

    reports = [discard(quarantine, Selection(max=1), signature=BOB) for _ in range(4)]

    discarded = [[(e.topic, e.offset) for e in report.outcomes] for report in reports]
    assert discarded == [[(guarded.held, 0)], [(guarded.quarantine, 0)], [(guarded.held, 1)], []]


def test_discarded_events_are_never_released(guarded: Guarded, consume_all: ConsumeAll) -> None:
    """The record stays where it is, with who let it go."""
    park(guarded, LARGE, LARGE)
    quarantine = quarantine_of(guarded)
    first = Selection(at=frozenset({(0, 0)}), kind="held")

    assert discard(quarantine, first, signature=BOB).counts == {"discarded": 1}
    assert only(release(quarantine, first, signatures=[ALICE]))[1].endswith("by bob")
    assert release(quarantine, HELD, signatures=[ALICE]).counts == {"released": 1}
    assert len(list_parked(quarantine, all_states=True).events) == 2
    assert len(consume_all(guarded.topic)) == 1


def copy_with(
    guarded: Guarded, record: Any, kind: bytes, *, topic: str, said: bytes = b"held"
) -> None:
    """The parked `record` once more, into `topic`, with another kind in its decision."""
    headers = [
        (name, data.replace(b'"kind":"' + said + b'"', b'"kind":"' + kind + b'"'))
        for name, data in record.headers
    ]
    producer = Producer(guarded.config)
    producer.produce(topic, record.value, record.key, headers=headers)
    assert producer.flush(30) == 0


def test_what_is_in_held_needs_a_name_whatever_it_says(
    guarded: Guarded, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """A header is a claim; the topic is where only guards and reviewers write."""
    park(guarded, LARGE)
    (held,) = consume_all(guarded.held)
    for kind in (b"quarantined", b"handler"):
        copy_with(guarded, held, kind, topic=guarded.held)
    policies = write_policy(tmp_path / "new", guarded.topic) / "limits.yaml"
    policies.write_text(policies.read_text().replace("50000", "90000"))
    today = Guarded(guarded.topic, Guard.from_directory(policies.parent), guarded.config)
    quarantine = quarantine_of(today)

    listing = list_parked(quarantine)
    report = release(quarantine, Selection())
    named = release(quarantine, Selection(), signatures=[ALICE])

    assert [event.kind for event in listing.events] == ["held"] * 3
    assert [event.parked.kind for event in listing.events] == ["held", "quarantined", "handler"]
    assert listing.misplaced == 2
    assert report.counts == {"refused": 3}
    assert {each.why.partition(";")[0] for each in report.outcomes} == {
        "0 of 1 names (from senior-adjuster)"
    }
    assert named.counts == {"released": 3}


def test_a_held_record_among_the_quarantined_stays_held(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """It may be of a time when both had one topic."""
    park(guarded, LARGE)
    (held,) = consume_all(guarded.held)
    copy_with(guarded, held, b"held", topic=guarded.quarantine)

    listing = list_parked(quarantine_of(guarded))

    assert [(event.kind, event.topic) for event in listing.events] == [
        ("held", guarded.held),
        ("held", guarded.quarantine),
    ]
    assert listing.misplaced == 1


def test_one_topic_for_both_kinds_has_only_what_records_say(
    guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Where the topic does not tell, the header does. No bundle is like that."""
    park(guarded, LARGE)
    (held,) = consume_all(guarded.held)
    copy_with(guarded, held, b"quarantined", topic=guarded.held)

    listing = list_parked(quarantine_of(guarded, quarantine=guarded.held))

    assert [event.kind for event in listing.events] == ["held", "quarantined"]
    assert listing.misplaced == 0


@pytest.mark.parametrize("signatures", [[Signature("", "why")], [Signature("alice", " ")]])
def test_a_name_without_a_reason_is_refused(guarded: Guarded, signatures: list[Signature]) -> None:
    """And a reason without a name."""
    park(guarded, LARGE)

    with pytest.raises(QuarantineError, match="reason"):
        release(quarantine_of(guarded), HELD, signatures=signatures)


def consume_and_park(guarded: Guarded, *values: bytes, handler: Any = None) -> None:
    producer = Producer(guarded.config)
    for value in values:
        producer.produce(guarded.topic, value, "k", headers={"h": "1"})
    producer.flush(10)
    config = {
        **guarded.config,
        "group.id": unique_name("g"),
        "auto.offset.reset": "earliest",
    }
    with GuardedConsumer(
        config, guard=guarded.guard, on_handler_error="quarantine", handler_retries=0
    ) as consumer:
        consumer.subscribe([guarded.topic])
        consumer.run(handler or (lambda _: None), until_end=True)


def test_what_was_parked_at_consume_goes_where_the_command_says(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Other groups may have handled it: without a topic it is refused."""
    consume_and_park(guarded, LARGE)
    elsewhere = make_topic("elsewhere")
    quarantine = quarantine_of(guarded)

    outcome, why = only(release(quarantine, HELD, signatures=[ALICE]))
    assert (outcome, "--to" in why) == ("refused", True)
    report = release(quarantine, HELD, signatures=[ALICE], to=elsewhere)

    assert only(report)[0] == "released"
    (record,) = consume_all(elsewhere)
    assert record.value == LARGE
    assert record.headers[0] == ("h", b"1")
    assert Stamp.parse(record.headers[-1][1]).effect is Effect.NONE  # no policy covers it
    assert len(consume_all(guarded.topic)) == 1


def test_an_event_that_a_handler_failed_on_is_released_when_the_policy_lets_it(
    guarded: Guarded, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Kind handler: in the quarantine topic, selected by its kind."""

    def fails(_message: object) -> None:
        raise LookupError

    consume_and_park(guarded, CLEAN, handler=fails)
    again = make_topic("again")
    (parked,) = list_parked(quarantine_of(guarded), Selection(kind="handler")).events
    assert parked.kind == "handler"

    report = release(quarantine_of(guarded), Selection(kind="handler"), to=again)

    assert only(report)[0] == "released"
    assert [record.value for record in consume_all(again)] == [CLEAN]


def test_a_pointer_is_released_as_the_event_it_points_to(
    make_topic: MakeTopic, guarded: Guarded, consume_all: ConsumeAll, tmp_path: Path
) -> None:
    """The value comes from where it still is."""
    parking, elsewhere = make_topic("small", config={"max.message.bytes": "3000"}), make_topic("to")
    guard = guard_for(tmp_path / "small", guarded.topic, bundle=f"held: {parking}\n")
    value = event(amount=99_000, note="x" * 9000)
    consume_and_park(Guarded(guarded.topic, guard, guarded.config), value)
    quarantine = Quarantine(guarded.config, guard, guarded.topic)
    (parked,) = list_parked(quarantine).events
    assert parked.pointer

    report = release(quarantine, HELD, signatures=[ALICE], to=elsewhere)

    assert only(report)[0] == "released"
    (record,) = consume_all(elsewhere)
    assert (record.key, record.value, record.headers[0]) == (b"k", value, ("h", b"1"))


def test_an_older_record_of_a_key_is_not_brought_back_on_a_compacted_topic(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """Unless forced; an event whose key has nothing newer is released."""
    guarded = make_guarded(config={"cleanup.policy": "compact"})
    park(guarded, LARGE, key="old")
    park(guarded, LARGE, key="fresh")
    time.sleep(0.01)
    park(guarded, CLEAN, key="old")
    quarantine = quarantine_of(guarded)

    report = release(quarantine, HELD, signatures=[ALICE])

    assert report.counts == {"refused": 1, "released": 1}
    (refused,) = [each for each in report.outcomes if each.outcome == "refused"]
    assert "newer record" in refused.why
    assert [r.key for r in consume_all(guarded.topic)] == [b"old", b"fresh"]
    forced = release(quarantine, HELD, signatures=[ALICE], force=True)
    assert forced.counts == {"released": 1}


@pytest.mark.slow
def test_what_is_released_to_a_compacted_topic_outlives_its_compaction(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """Both events of a key wait side by side, and the one that is released is the key's last."""
    guarded = make_guarded(
        config={
            "cleanup.policy": "compact",
            "segment.ms": "300",
            "min.cleanable.dirty.ratio": "0.01",
        }
    )
    park(guarded, CLEAN, LARGE, event(amount=70_000), key="k")
    assert len(consume_all(guarded.held)) == 2
    quarantine = quarantine_of(guarded)

    later = Selection(at=frozenset({(0, 1)}), kind="held")
    assert only(release(quarantine, later, signatures=[ALICE]))[0] == "released"
    earlier = release(quarantine, HELD, signatures=[ALICE])

    assert earlier.counts == {"refused": 1}
    deadline = time.monotonic() + 60
    while sum(record.key == b"k" for record in consume_all(guarded.topic)) > 1:
        assert time.monotonic() < deadline
        park(guarded, CLEAN, key="other")  # a segment that is written to is not compacted
        time.sleep(0.4)
    (kept,) = [record for record in consume_all(guarded.topic) if record.key == b"k"]
    assert kept.value == event(amount=70_000)


def test_an_event_that_its_topic_would_remove_at_once_is_not_released(
    make_guarded: Make, consume_all: ConsumeAll
) -> None:
    """Retention goes by the record's own time, which a release keeps."""
    guarded = make_guarded(config={"retention.ms": "3600000"})
    two_hours_ago = time.time_ns() // 1_000_000 - 2 * 3_600_000
    park(guarded, LARGE, timestamp=two_hours_ago)
    assert len(consume_all(guarded.held)) == 1

    outcome, why = only(release(quarantine_of(guarded), HELD, signatures=[ALICE]))

    assert (outcome, "older than" in why) == ("refused", True)


def test_an_event_that_does_not_fit_its_topic_is_refused_and_the_others_go(
    make_topic: MakeTopic, guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Seen before it is sent; nothing is half done."""
    small = make_topic("small", config={"max.message.bytes": "2000"})
    park(guarded, LARGE, event(amount=99_000, note="x" * 3000), LARGE)

    report = release(quarantine_of(guarded), HELD, signatures=[ALICE], to=small)

    assert report.counts == {"released": 2, "refused": 1}
    assert len(consume_all(small)) == 2


def test_an_event_that_the_broker_refuses_holds_up_no_other(
    make_topic: MakeTopic, guarded: Guarded, consume_all: ConsumeAll
) -> None:
    """Its time is too old for the topic: it waits on, with the broker's word; the rest is there."""
    strict = make_topic("strict", config={"message.timestamp.before.max.ms": "60000"})
    hour_ago = time.time_ns() // 1_000_000 - 3_600_000
    park(guarded, LARGE)
    park(guarded, LARGE, timestamp=hour_ago)
    park(guarded, LARGE)

    report = release(quarantine_of(guarded), HELD, signatures=[ALICE], to=strict)

    assert report.counts == {"released": 2, "failed": 1}
    assert len(consume_all(strict)) == 2
    (waiting,) = list_parked(quarantine_of(guarded)).events
    assert waiting.offset == 1


def test_a_parking_topic_and_a_missing_one_are_no_targets(guarded: Guarded) -> None:
    """A release ends in a place where events are read."""
    park(guarded, LARGE)
    quarantine = quarantine_of(guarded)

    with pytest.raises(QuarantineError, match="parking topic"):
        release(quarantine, HELD, signatures=[ALICE], to=guarded.held)
    outcome, why = only(release(quarantine, HELD, signatures=[ALICE], to="no-such-topic"))
    assert (outcome, why) == ("refused", "there is no topic `no-such-topic`")


def test_coordinates_that_name_nothing_or_two_things_are_said(guarded: Guarded) -> None:
    """Before anything is done."""
    park(guarded, LARGE, BAD)

    with pytest.raises(QuarantineError, match="nothing that fits is parked at 0:6, 0:7"):
        show_parked(quarantine_of(guarded), Selection(at=frozenset({(0, 7), (0, 0), (0, 6)})))
    with pytest.raises(QuarantineError, match="nothing that fits is parked at 5:0"):
        discard(quarantine_of(guarded), Selection(at=frozenset({(5, 0)})), signature=ALICE)
    with pytest.raises(QuarantineError, match="0:7"):
        release(quarantine_of(guarded), Selection(at=frozenset({(0, 7)})), signatures=[ALICE])
    with pytest.raises(QuarantineError, match="--kind"):
        release(quarantine_of(guarded), Selection(at=frozenset({(0, 0)})), signatures=[ALICE])


def test_parking_topics_are_made_as_their_origin_and_kept(
    make_topic: MakeTopic, guarded: Guarded, tmp_path: Path
) -> None:
    """Never compacted, retention unlimited or long, room for decisions; a second time all fits."""
    topic = make_topic("origin", partitions=3, config={"retention.ms": "86400000"})
    guard = guard_for(tmp_path / "ensure", topic)

    missing = ensure_topics(guarded.config, guard, [topic], dry_run=True)
    made = ensure_topics(guarded.config, guard, [topic])
    again = ensure_topics(guarded.config, guard, [topic])

    assert [report.state for report in missing] == ["missing", "missing"]
    assert [report.state for report in made] == ["created", "created"]
    assert [report.state for report in again] == ["fits", "fits"]
    assert {report.partitions for report in again} == {3}
    settings = {report.kind: dict(report.settings) for report in made}
    assert settings["held"]["retention.ms"] == "-1"
    assert settings["quarantined"]["retention.ms"] == str(31 * 86_400_000)
    assert {each["cleanup.policy"] for each in settings.values()} == {"delete"}
    assert int(settings["held"]["max.message.bytes"]) > 1_048_588


def test_a_parking_topic_that_loses_events_is_reported_and_left_alone(
    make_topic: MakeTopic, guarded: Guarded, tmp_path: Path
) -> None:
    """Nothing is repaired in silence."""
    topic = make_topic("origin")
    unsafe = {"cleanup.policy": "compact", "retention.ms": "1000", "max.message.bytes": "900"}
    parking = make_topic("unsafe", config=unsafe)
    guard = guard_for(tmp_path / "unsafe", topic, bundle=f"held: {parking}\n")

    reports = ensure_topics(guarded.config, guard, [topic])
    again = ensure_topics(guarded.config, guard, [topic])

    (held,) = [report for report in reports if report.kind == "held"]
    assert held.state == "differs"
    assert [d.setting for d in held.differences] == [
        "cleanup.policy",
        "max.message.bytes",
        "retention.ms",
    ]
    assert [r.differences for r in again if r.kind == "held"] == [held.differences]


def test_an_origin_that_is_not_there_makes_nothing(guarded: Guarded) -> None:
    """Parking follows its topic."""
    with pytest.raises(QuarantineError, match="no topic `nowhere`"):
        ensure_topics(guarded.config, guarded.guard, ["nowhere"])
