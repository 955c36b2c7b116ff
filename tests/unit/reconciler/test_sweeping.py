"""Whole batches are judged as their events would be one by one, and only some of those are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from streamwarden.policy.bundle import Bundle
from streamwarden.policy.compiler import UnavailableError
from streamwarden.policy.plan_table import PlanTable
from streamwarden.reconciler.batch import Batch, Swept
from streamwarden.reconciler.findings import Finding
from streamwarden.reconciler.judge import Judge, Terms
from streamwarden.reconciler.replay import replay
from streamwarden.reconciler.seen import Seen
from streamwarden.reconciler.slices import Slice
from streamwarden.reconciler.tally import SliceReport, Tally
from tests.unit.reconciler.histories import NOON, Past, batches, make_bundle, policy

DAY = 86_400_000
NOON_MS = NOON // 1_000_000
OVER = "{id: over, when: value.n > 10, effect: reject}"
ODD = "{id: odd, when: value.n == 7, effect: warn}"
KEYED = "{id: keyed, when: 'key == \"bad\"', effect: reject}"
HEADED = '{id: headed, when: \'"x" in headers && headers["x"] == "bad"\', effect: reject}'


def judge_of(past: Past, today: Bundle, **terms: Any) -> Judge:
    table = PlanTable(today, detective=True, replay=True)
    return Judge("t", past.history(today), table, Terms(now=NOON, **terms))


def account(tally: Tally) -> SliceReport:
    return tally.report(Slice(0, "t", 0, 0, 10**6), [], "")


def both(past: Past, today: Bundle, **how: Any) -> tuple[SliceReport, SliceReport]:
    """The account by batches of various sizes, and event by event."""
    log = past.topics["t"]
    cut = [log[at : at + size] for size in (3,) for at in range(0, len(log), size)]
    swept = replay([b for part in cut for b in batches(part)], judge_of(past, today), **how)
    single = replay([[record] for record in log], judge_of(past, today), **how)
    return account(swept), account(single)


class Counting(Judge):
    """Counts the events that it is asked about one by one."""

    asked = 0

    def finding(self, event: Seen) -> Finding | None:
        self.asked += 1
        return super().finding(event)


@pytest.mark.parametrize("rules", [(OVER, ODD), (OVER, KEYED), (OVER, HEADED)])
def test_a_clean_event_on_a_known_lane_is_not_made(rules: Sequence[str]) -> None:
    """Only the first event of a stamp, and what a rule fires on, is looked at by itself."""
    bundle = make_bundle(policy(*rules))
    past = Past(bundle)
    for number in range(30):
        past.guarded(bundle, {"n": number % 10 if number != 20 else 11}, key=b"k")
    past.bypass({"n": 12}, stamp=past.topics["t"][0].headers[-1][1].decode())  # type: ignore[union-attr]
    log = past.topics["t"]
    judge = Counting(
        "t",
        past.history(bundle),
        PlanTable(bundle, detective=True, replay=True),
        Terms(now=NOON),
    )

    first = replay(batches(log[:1]), judge)
    tally = replay(batches(log[1:]), judge)

    fired = sum(1 for n in range(30) if n % 10 == 7 and n != 20) if ODD in rules else 0
    assert judge.asked == 1 + fired + 1
    assert first.events + tally.events == len(log) == 30
    assert account(tally).counts == {"t": {"misrecorded": 1}}


def test_batches_and_events_come_to_the_same() -> None:
    """Versions, tombstones, bytes that do not decode, bypassing producers and doubled stamps mixed."""
    old = make_bundle(policy("{id: over, when: value.n > 50, effect: reject}", ODD), number=1)
    today = make_bundle(policy(OVER, ODD), number=2)
    past = Past(old, today)
    for number in range(60):
        past.guarded(
            (old, today)[number % 2],
            {"n": number % 13},
            at=NOON + (number // 5) * DAY * 250_000,
            headers=[("trace", b"%d" % number)] if number % 3 else [],
        )
        if number % 10 == 4:
            past.bypass(None, stamp="1;b@1;000000000000;allow;produce")
            past.bypass({"n": 3}, timestamp=NOON_MS + number * DAY)
            past.bypass(b"{", stamp=past.topics["t"][0].headers[0][1].decode())  # type: ignore[union-attr]
            stamps = past.topics["t"][0].headers
            past.bypass({"n": 3}, headers=[*stamps, *stamps])

    swept, single = both(past, today)

    assert swept == single
    assert len(single.days) > 5
    assert {"now-rejected", "forged", "misrecorded"} <= set(single.counts["t"])


@pytest.mark.parametrize(
    ("since", "until"), [(None, None), (4, None), (None, 7), (4, 7), (20, None), (None, 0), (5, 6)]
)
def test_a_window_may_cut_batches(since: int | None, until: int | None) -> None:
    """Only events within it count, whether it takes a batch, leaves it out or cuts it."""
    bundle = make_bundle(policy(OVER))
    past = Past(bundle)
    for number in range(12):
        past.guarded(bundle, {"n": number}, at=NOON + number * 1_000_000)
    edges = tuple(None if edge is None else NOON_MS + edge for edge in (since, until))

    swept, single = both(past, bundle, window=edges)

    wanted = range(12)[slice(since, until)]
    assert swept == single
    assert swept.events == len([n for n in wanted if n <= 10])


def test_a_batch_is_counted_as_far_as_its_schemas_are_there() -> None:
    """Where a schema cannot be had the replay stops at that record, and says what came before."""
    unknown = make_bundle(policy(OVER, ODD), number=3)
    today = make_bundle(policy("{id: over, when: value.n > 9, effect: reject}", ODD), number=4)
    past = Past()
    for number in range(9):
        past.guarded(unknown, {"n": 7 if number in (2, 6) else 1})

    class Stopping(Judge):
        def finding(self, event: Seen) -> Finding | None:
            if event.offset == 6:
                raise UnavailableError("no registry")
            return super().finding(event)

    def stopped(parts: Sequence[Sequence[Seen]]) -> Tally:
        table = PlanTable(today, detective=True, replay=True)
        judge = Stopping("t", past.history(today, store=False), table, Terms(now=NOON))
        judge.finding(past.topics["t"][0])  # so that the lane is known
        return replay(parts, judge)

    log = past.topics["t"]
    swept, single = stopped(batches(log)), stopped([[record] for record in log])

    assert swept.stopped == single.stopped == (6, "no registry")
    assert account(swept) == account(single)
    assert (swept.events, swept.unverifiable) == (6, 6)


def test_an_event_is_shown_with_its_own_stamp() -> None:
    """Stamps that differ in id or key are judged alike, and each is shown as it stands there."""
    old = make_bundle(policy("{id: over, when: value.n > 50, effect: reject}"), number=1)
    today = make_bundle(policy(OVER), number=2)
    past = Past(old, today)
    plain = f"1;b@1;{old.digest[:12]};allow;produce"
    mac = ";mac=k1." + "a" * 22
    for more in (";id=d1", "", ";id=d2", ";id=d2", mac, "", mac):
        past.bypass({"n": 20}, stamp=plain + more)

    found = [finding.stamped or {} for finding in past.findings(today)]

    assert [stamp.get("id") for stamp in found] == ["d1", None, "d2", "d2", None, None, None]
    assert [stamp.get("key") for stamp in found] == [None] * 4 + ["k1", None, "k1"]


def test_a_batch_needs_times_of_one_kind() -> None:
    """Records without a time, or with times of both kinds, are no batch."""
    record = Seen("t", b"1", None, (), 5, 5_000_000, 0, 0)
    appended = msgspec.structs.replace(record, appended=True, offset=1)
    timeless = msgspec.structs.replace(record, timestamp=None, now=0, offset=2)

    made = batches([record, appended, timeless])

    assert [list(batch) for batch in made] == [[record], [appended]]
    assert [batch.appended for batch in made] == [False, True]


def test_nothing_is_said_of_batches_without_known_stamps() -> None:
    """What was never judged by itself cannot be swept over."""
    bundle = make_bundle(policy(OVER))
    past = Past(bundle)
    past.guarded(bundle, {"n": 1})
    judge = judge_of(past, bundle)
    (batch,) = batches(past.topics["t"])

    before = judge.sweep(batch)
    judge.finding(batch[0])

    assert isinstance(batch, Batch)
    assert before is None
    assert judge.sweep(batch) == Swept([], 0)
