"""Letting parked events go: to a topic, under the current policy, once, with names; or for good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from streamwarden.errors import QuarantineError

from ..policy.decision import new_ids
from ..schemas.event import Record
from .approving import agreed
from .chains import Chains, read_chains, turn_of
from .judging import Judge, Judged
from .limiting import first_to_go
from .outgoing import check_topic_name
from .quarantine import (
    Listing,
    ParkedEvent,
    Quarantine,
    Selection,
    check_places,
    load_values,
    opened,
    scan,
)
from .reading import BoundedReader
from .reviews import Review, Signature
from .topics import KINDS
from .writing import ReleaseWriter

__all__ = ["Outcome", "ReleaseOutcome", "ReleaseReport", "discard", "release"]

#: `approved`: the names were recorded, more are needed. `failed`: it was let go, and the broker
#: did not take it; it waits as before. With `dry_run` the outcome is what would have been.
Outcome: TypeAlias = Literal["released", "discarded", "approved", "refused", "failed"]

#: Events in one transaction.
_BATCH = 100
#: Topic, partition and offset of a parked record.
_Place: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class ReleaseOutcome:
    """What became of one selected event.

    `why` is one line without sensitive values; empty for a plain release. `to` is the topic that
    it was released to; `effect` what the current policy says; `approval` the id in its stamp; `by`
    everybody who agreed to it, now or before.
    """

    topic: str
    partition: int
    offset: int
    outcome: Outcome
    why: str = ""
    to: str | None = None
    effect: str | None = None
    approval: str | None = None
    rules: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseReport:
    """What was done (or with `dry_run` would be).

    `closed` counts events that fit and were released or discarded before, unless they were asked
    for by their coordinates: then each is an outcome. `complete` as in Listing.
    """

    outcomes: tuple[ReleaseOutcome, ...]
    dry_run: bool
    bundle: str
    complete: bool = True
    closed: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many of each outcome."""
        counts: dict[str, int] = {}
        for each in self.outcomes:
            counts[each.outcome] = counts.get(each.outcome, 0) + 1
        return counts


def release(
    quarantine: Quarantine,
    selection: Selection,
    *,
    signatures: Sequence[Signature] = (),
    to: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> ReleaseReport:
    """Write the selected events to `to`, as far as the current policy lets them.

    `to` is needed for events parked at consume; else it is the origin topic. Held events need
    `signatures`, as many names as the rule asks for; fewer are recorded as approvals. `force`
    releases an event though its topic has a newer record of its key, or would remove it at once
    for its age, or though the guard has stamp keys and none of them made its decision: then
    somebody has to sign for it as for a held one, and facts are not taken from it. It also releases
    events of a topic that the policy does not cover, which nothing has judged. An event that is
    released or discarded is refused, whatever is forced.

    With `park: key`, events that wait behind a released one go with it, in their order, as far as
    the policy lets them; one that waits is refused by itself, unless forced.

    `selection.max` counts what is let go, and with it those that are older and are refused; what
    waits behind comes on top.
    """
    _check_signatures(signatures)
    if to is not None:
        check_topic_name(to)
        if to in (quarantine.topic_of("held"), quarantine.topic_of("quarantined")):
            raise QuarantineError(f"`{to}` is itself a parking topic", remedy="name another topic")

    def decide(reader: BoundedReader) -> _Decider:
        judge = Judge(quarantine, reader, tuple(signatures), to=to, force=force)
        return judge.judge

    return _Operation(quarantine, selection, decide, dry_run=dry_run, in_turn=not force).run()


def discard(
    quarantine: Quarantine,
    selection: Selection,
    *,
    signature: Signature,
    dry_run: bool = False,
) -> ReleaseReport:
    """Record that the selected events will never be released. Their records stay as they are.

    Events that wait behind one of them wait on, with the next one the first of their key.
    """
    _check_signatures([signature])
    next_id = new_ids()

    def decide(_reader: BoundedReader) -> _Decider:
        def one(events: Sequence[ParkedEvent]) -> list[Judged]:
            at = quarantine.guard.now() // 1_000_000
            return [
                Judged(
                    "discarded",
                    review=Review(
                        "discarded", event.partition, event.offset, at, (signature,), next_id()
                    ),
                )
                for event in events
            ]

        return one

    return _Operation(quarantine, selection, decide, dry_run=dry_run, in_turn=False).run()


def _check_signatures(signatures: Sequence[Signature]) -> None:
    for signature in signatures:
        if not signature.by.strip() or not signature.reason.strip():
            raise QuarantineError(
                "a name needs a reason and a reason a name", remedy="give `--by` and `--reason`"
            )


#: What is to be done with each of some events, values loaded.
_Decider: TypeAlias = Callable[[Sequence[ParkedEvent]], list[Judged]]


class _Operation:
    """Goes through the selected events of one parking topic after the other.

    When a transaction is undone, everything is read anew, since another release may have been
    faster; then single events are tried, so that one bad event does not hold up the others.
    """

    def __init__(
        self,
        quarantine: Quarantine,
        selection: Selection,
        decide: Callable[[BoundedReader], _Decider],
        *,
        dry_run: bool,
        in_turn: bool,
    ) -> None:
        self._quarantine, self._most = quarantine, selection.max
        self._selection = replace(selection, max=None)
        self._decide, self._dry_run, self._in_turn = decide, dry_run, in_turn
        self._chains = Chains("", 0, {})
        #: Those that go with the one they wait behind, whatever else was selected.
        self._chosen: set[_Place] = set()
        #: Where there is a limit, what it leaves.
        self._within: set[_Place] | None = None
        self._outcomes: dict[_Place, ReleaseOutcome] = {}
        self._closed: set[_Place] = set()
        self._complete = True
        self._batch = _BATCH

    def run(self) -> ReleaseReport:
        with opened(self._quarantine) as reader:
            listing = scan(reader, self._quarantine, self._selection, all_states=True)
            self._complete = listing.complete
            topics = self._topics(listing)
            self._chains = read_chains(reader, self._quarantine)
            if self._most is not None:
                listing = self._limited(reader, listing, self._most)
            if self._chains:
                self._run_in_turn(reader, listing)
                topics = []
            for topic in topics:
                self._one_topic(reader, topic)
        return ReleaseReport(
            tuple(self._outcomes.values()),
            self._dry_run,
            self._quarantine.guard.bundle.label,
            self._complete,
            len(self._closed),
        )

    def _limited(self, reader: BoundedReader, listing: Listing, most: int) -> Listing:
        """The oldest events of `listing` that wait, until `most` of them would be let go."""
        if self._chains:
            self._arranged(reader)
        waiting = [event for event in listing.events if self._is_open(event)]
        chains = self._chains if self._in_turn else None
        tried = first_to_go(reader, waiting, most, self._decide(reader), chains)
        self._complete = self._complete and len(tried) == len(waiting)
        self._within = {(event.topic, *event.place) for event in tried}
        return replace(listing, events=tuple(tried))

    def _run_in_turn(self, reader: BoundedReader, listing: Listing) -> None:
        """Events that wait for one of these go with it, those too that are parked meanwhile."""
        self._chosen = {(event.topic, *event.place) for event in listing.events}
        while True:
            before = len(self._outcomes), len(self._chosen)
            events = self._arranged(reader)
            if self._in_turn:
                self._add_those_behind(events)
            # In this order, since what waits is held, while the first may be in quarantine.
            for kind in KINDS:
                topic = self._quarantine.topic_of(kind)
                if any(place[0] == topic and place not in self._outcomes for place in self._chosen):
                    self._one_topic(reader, topic)
            if before == (len(self._outcomes), len(self._chosen)):
                return

    def _arranged(self, reader: BoundedReader) -> Sequence[ParkedEvent]:
        """All parked events of the origin topic as they are now."""
        events = scan(reader, self._quarantine, Selection(), all_states=True).events
        self._chains.arrange(events)
        return events

    def _add_those_behind(self, events: Sequence[ParkedEvent]) -> None:
        done = self._done()
        for event in events:
            chain = self._chains.of(event)
            if chain is not None and (event.topic, *event.place) in self._chosen:
                first = chain.first_open(done)
                if first is None or (first.topic, *first.place) in self._chosen:
                    self._chosen.update((e.topic, *e.place) for e in chain.events)

    def _done(self) -> set[_Place]:
        """What this operation has let go, or with `dry_run` would have."""
        return {
            place
            for place, each in self._outcomes.items()
            if each.outcome in ("released", "discarded")
        }

    def _topics(self, listing: Listing) -> list[str]:
        topics = list(dict.fromkeys(event.topic for event in listing.events))
        at = self._selection.at
        places = [event.place for event in listing.events]
        if at and len(places) > len(set(places)):
            raise QuarantineError(
                f"{len(set(places))} of the coordinates are in {' and '.join(sorted(topics))}",
                remedy="say which with `--kind quarantined` or `--kind held`",
            )
        check_places(self._selection, listing.events)
        return topics

    def _one_topic(self, reader: BoundedReader, topic: str) -> None:
        if self._dry_run:
            self._pass(reader, topic, None)
            return
        keys = self._quarantine.guard.stamp_keys
        while True:
            with ReleaseWriter(
                self._quarantine.config, topic, keys, deadline=reader.deadline
            ) as writer:
                if self._pass(reader, topic, writer):
                    return

    def _pass(self, reader: BoundedReader, topic: str, writer: ReleaseWriter | None) -> bool:
        """Go through what waits; False when a transaction was undone and all must be read anew."""
        # Read after the writer shut out all others: what they released is seen.
        mine = [event for event in self._listed(reader, topic) if self._is_open(event)]
        decide = self._decide(reader)
        for start in range(0, len(mine), self._batch):
            loaded: list[ParkedEvent] = []
            for event, found in load_values(reader, mine[start : start + self._batch]):
                if found is None:
                    self._say(event, Judged("refused", "its record is gone by now"))
                else:
                    loaded.append(found)
            if not self._write(loaded, decide(loaded), writer):
                return False
        return True

    def _listed(self, reader: BoundedReader, topic: str) -> Sequence[ParkedEvent]:
        """The events of `topic` to go through; those of one key in their order."""
        if not self._chains:
            found = scan(
                reader, self._quarantine, self._selection, all_states=True, topics=[topic]
            ).events
            within = self._within
            if within is None:
                return found
            return [event for event in found if (event.topic, *event.place) in within]
        mine = [
            event
            for event in self._arranged(reader)
            if event.topic == topic and (topic, *event.place) in self._chosen
        ]
        order: dict[_Place, tuple[int, int]] = {}
        for number, event in enumerate(mine):
            chain = self._chains.of(event)
            for each in [event] if chain is None else chain.events:
                order.setdefault((each.topic, *each.place), (number, len(order)))
        return sorted(mine, key=lambda event: order[event.topic, *event.place])

    def _is_open(self, event: ParkedEvent) -> bool:
        """Whether something is still to be done with `event`."""
        place = event.topic, *event.place
        closing = event.closed_by
        if place in self._outcomes:
            return False
        if closing is None:
            return True
        if self._selection.at:  # asked for by name: it is said why nothing is done
            before = event if closing.action == "released" else replace(event, reviews=())
            who = ", ".join(agreed(before, closing.signatures)) or "nobody named"
            where = f" to `{closing.to}`" if closing.to else ""
            why = f"it is {closing.action} already{where}, by {who}"
            self._say(event, Judged("refused", why))
        else:
            self._closed.add(place)
        return False

    def _write(
        self,
        events: Sequence[ParkedEvent],
        judged: Sequence[Judged],
        writer: ReleaseWriter | None,
    ) -> bool:
        pairs = list(zip(events, judged, strict=True))
        notes: list[Record] = []
        if self._chains:
            pairs, notes = self._in_their_turn(pairs)
        entries = [(each.record, each.review) for _, each in pairs if each.review is not None]
        error = writer.write(entries, notes) if writer is not None and entries else None
        if error is None:
            for event, each in pairs:
                self._say(event, each)
            return True
        if len(entries) > 1:
            self._batch = 1
        else:
            for event, each in pairs:
                failed = each.review is not None
                self._say(event, Judged("failed", error.str()) if failed else each)
        return False

    def _in_their_turn(
        self, pairs: Sequence[tuple[ParkedEvent, Judged]]
    ) -> tuple[list[tuple[ParkedEvent, Judged]], list[Record]]:
        """`pairs`, with those refused that are not the first of their key; and what to note."""
        done = self._done()
        found: list[tuple[ParkedEvent, Judged]] = []
        going: list[ParkedEvent] = []
        for event, each in pairs:
            judged, chain = each, self._chains.of(event)
            if chain is not None and each.outcome in ("released", "discarded"):
                if self._in_turn:
                    judged = turn_of(event, each, chain, done)
                if judged is each:
                    done.add((event.topic, *event.place))
                    going.append(event)
            found.append((event, judged))
        return found, self._chains.closing(going, done)

    def _say(self, event: ParkedEvent, judged: Judged) -> None:
        place = event.topic, *event.place
        self._outcomes[place] = ReleaseOutcome(
            *place,
            outcome=judged.outcome,
            why=judged.why,
            to=judged.to,
            effect=judged.effect,
            approval=judged.approval,
            rules=event.rules,
            by=judged.by,
        )
