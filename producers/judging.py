"""Whether a parked event may be released now, and the record that it would become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from ..policy.decision import Decision, new_ids
from ..policy.masking import MaskError, strictest
from ..policy.model import Approvals, Effect, Mode
from ..policy.parking import decision_doubt, origin_headers
from ..policy.stamp import is_guard_header, sign
from ..schemas.event import Event, Record
from .approving import agreed, approvals_of, from_whom
from .quarantine import ParkedEvent, Quarantine
from .reading import BoundedReader, Span
from .reviews import Review, Signature
from .target import Target, look_at, newer_keys

__all__ = ["Judge", "Judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be done with one event: `record` to send, and `review` to keep of it.

    `by` are those who agree that it is released, now or before.
    """

    outcome: Literal["released", "discarded", "approved", "refused", "failed"]
    why: str = ""
    record: Record | None = None
    review: Review | None = None
    to: str | None = None
    effect: str | None = None
    approval: str | None = None
    by: tuple[str, ...] = ()


class Judge:
    """Judges events for one release; see `release` for what the arguments mean."""

    def __init__(
        self,
        quarantine: Quarantine,
        reader: BoundedReader,
        signatures: tuple[Signature, ...],
        *,
        to: str | None,
        force: bool,
    ) -> None:
        self._quarantine, self._reader, self._guard = quarantine, reader, quarantine.guard
        self._signatures, self._to, self._force = signatures, to, force
        self._next_id = new_ids()
        self._targets: dict[str, Target | None] = {}

    def judge(self, events: Sequence[ParkedEvent]) -> list[Judged]:
        """What is to be done with each of `events`, whose values are loaded."""
        whole = [self._fetched(event) for event in events]
        newer = self._newer([event for event in whole if isinstance(event, ParkedEvent)])
        return [
            event
            if isinstance(event, Judged)
            else self._one(event, newer=(event.topic, *event.place) in newer)
            for event in whole
        ]

    def _target_of(self, event: ParkedEvent) -> str | None:
        if self._to is not None:
            return self._to
        return event.parked.origin_topic if event.parked.origin_offset is None else None

    def _target(self, topic: str) -> Target | None:
        if topic not in self._targets:
            self._targets[topic] = look_at(self._reader, self._quarantine.config, topic)
        return self._targets[topic]

    def _newer(self, events: Sequence[ParkedEvent]) -> set[tuple[str, int, int]]:
        found: set[tuple[str, int, int]] = set()
        if self._force:
            return found
        for topic in {self._target_of(event) for event in events}:
            target = None if topic is None else self._target(topic)
            if target is not None and target.compacted:
                mine = [event for event in events if self._target_of(event) == topic]
                found |= newer_keys(self._reader, target.topic, mine)
        return found

    def _fetched(self, event: ParkedEvent) -> ParkedEvent | Judged:
        """The event itself, where the parked record only points to it."""
        if not event.pointer:
            return event
        parked = event.parked
        partition, offset = parked.origin_partition, parked.origin_offset
        if partition is not None and offset is not None:
            bounds = self._reader.bounds(parked.origin_topic).get(partition)
            if bounds is not None and bounds.first <= offset < bounds.end:
                spans = {partition: Span(offset, offset + 1)}
                for message in self._reader.read(parked.origin_topic, spans):
                    key, value, keys = message.key(), message.value(), self._guard.stamp_keys
                    doubt = ""
                    if keys is not None:
                        doubt = decision_doubt(event.headers, keys, parked.origin_topic, key, value)
                    return replace(
                        event,
                        key=key,
                        value=value,
                        headers=tuple(message.headers() or ()),  # type: ignore[arg-type]  # read ones have bytes or None
                        doubt=doubt,
                    )
        where = f"{parked.origin_topic}[{partition}]@{offset}"
        return Judged("refused", f"only a pointer was parked, and {where} is gone by now")

    def _one(self, event: ParkedEvent, *, newer: bool) -> Judged:
        if event.doubt and not self._force:
            return Judged("refused", f"its decision cannot be verified: {event.doubt} (`--force`)")
        topic = self._target_of(event)
        if topic is None:
            return Judged(
                "refused",
                "it was parked while consuming, when others may have handled it; name the topic"
                " to release it to (`--to`)",
            )
        target = self._target(topic)
        if target is None:
            return Judged("refused", f"there is no topic `{topic}`")
        decisions = self._decide(event, topic)
        decision, strictest_one = decisions[0], max(decisions, key=lambda d: d.effect.rank)
        said: dict[str, Any] = {"to": topic, "effect": strictest_one.effect.value}
        if strictest_one.effect is Effect.REJECT:
            return Judged("refused", f"today's policy: {strictest_one.reasons()}", **said)
        if not self._force and self._is_unjudged(decisions):
            why = f"no policy covers topic `{event.parked.origin_topic}`: nothing judged this event"
            return Judged("refused", f"{why} (`--force`)", **said)
        asked = approvals_of(event, self._guard.bundle, strictest_one)
        names = agreed(event, self._signatures)
        if asked is not None and asked.need > len(names):
            return self._not_yet(event, asked, decision.at, said)
        review = Review(
            "released",
            event.partition,
            event.offset,
            decision.at,
            self._signatures,
            self._next_id(),
            to=topic,
            effect=decision.effect.value,
            bundle=decision.bundle,
            forced=self._force,
        )
        approval = None if asked is None else review.id
        try:
            record = self._record(event, decision, target, approval)
        except MaskError as error:
            return Judged("refused", f"a mask cannot be applied: {error}", **said)
        unfit = self._unfit(record, target, newer=newer, now=decision.at)
        if unfit:
            return Judged("refused", unfit, **said)
        return Judged("released", "", record, review, approval=approval, by=names, **said)

    def _decide(self, event: ParkedEvent, topic: str) -> list[Decision]:
        """The current policy's word: first as an event for `topic`, then where it was refused."""
        parked = event.parked
        decisions = [self._guard.evaluate(self._event(event, topic), "produce")]
        if parked.origin_offset is not None:
            again = self._event(
                event, parked.origin_topic, parked.origin_partition, parked.origin_offset
            )
            decisions.append(self._guard.evaluate(again, "consume"))
        elif topic != parked.origin_topic:
            again = self._event(event, parked.origin_topic)
            decisions.append(self._guard.evaluate(again, "produce"))
        return decisions

    def _is_unjudged(self, decisions: Sequence[Decision]) -> bool:
        """True where the policy names none of the topics: it passes for want of one, not as fine."""
        bundle = self._guard.bundle
        return all(each.effect is Effect.NONE for each in decisions) and not any(
            bundle.covering(each.event.topic) for each in decisions
        )

    def _event(
        self,
        event: ParkedEvent,
        topic: str,
        partition: int | None = None,
        offset: int | None = None,
    ) -> Event:
        decision = event.parked.decision
        facts: object = None if decision is None or event.doubt else decision.get("facts")
        return Event(
            topic,
            event.value,
            event.key,
            origin_headers(event.headers),
            _timestamp(event),
            self._guard.now(),
            partition,
            offset,
            cast("dict[str, object]", facts) if isinstance(facts, dict) else None,
        )

    def _not_yet(
        self, event: ParkedEvent, asked: Approvals, at: int, said: Mapping[str, Any]
    ) -> Judged:
        have = agreed(event, self._signatures)
        count = f"{len(have)} of {asked.need} names{from_whom(asked)}"
        if not self._signatures:
            how = "give a name and a reason (`--by`, `--reason`)"
            return Judged("refused", f"{count}; {how}", **said)
        if len(have) == len(agreed(event, ())):
            return Judged("refused", f"{count}; somebody else has to agree too", **said)
        review = Review(
            "approved", event.partition, event.offset, at, self._signatures, self._next_id()
        )
        return Judged("approved", count, None, review, by=have, **said)

    def _record(
        self, event: ParkedEvent, decision: Decision, target: Target, approval: str | None
    ) -> Record:
        plan, keys, value = decision.plan, self._guard.stamp_keys, _masked(event, decision)
        stamp = replace(plan.stamp(decision.effect, at=decision.at), ap=approval)
        if keys is not None:
            stamp = sign(stamp, keys, target.topic, event.key, value)
        own = [header for header in origin_headers(event.headers) if not is_guard_header(header[0])]
        return Record(
            target.topic,
            _partition(event, target),
            event.key,
            value,
            [*own, *stamp.headers(expanded=plan.settings.stamp == "expanded")],
            _timestamp(event),
        )

    def _unfit(self, record: Record, target: Target, *, newer: bool, now: int) -> str:
        headers = [part for name, data in record.headers for part in (name.encode(), data)]
        if target.too_large(record.key, record.value, *headers):
            return f"it is larger than `{target.topic}` takes"
        if self._force:
            return ""
        if newer:
            return (
                f"`{target.topic}` may be compacted and has a newer record of its key (`--force`)"
            )
        if record.timestamp is not None and target.too_old(record.timestamp, now):
            return f"it is older than `{target.topic}` keeps, and would be removed (`--force`)"
        return ""


def _masked(event: ParkedEvent, decision: Decision) -> bytes | None:
    """The value to send: masked also where the event passes by approval only."""
    if decision.effect.passes:
        return event.value if decision.masked_value is None else decision.masked_value
    if event.value is None:
        return None
    plan = decision.plan
    masks = strictest(
        mask
        for entry in decision.outcome.entries
        if entry.effect == Effect.MASK
        and entry.mode is Mode.ENFORCE
        and entry.exempted_by is None
        and isinstance(entry.rule, int)
        for mask in plan.rules[entry.rule].rule.masks
    )
    return plan.mask(event.value, event.headers, masks)


def _timestamp(event: ParkedEvent) -> int | None:
    given = event.parked.origin_timestamp
    return event.timestamp if given is None else given


def _partition(event: ParkedEvent, target: Target) -> int | None:
    """The partition that the event was in, or was meant for; None leaves it to the key."""
    if target.topic != event.parked.origin_topic:
        return None
    meant: object = event.parked.origin_partition
    if meant is None:
        said: object = (event.parked.decision or {}).get("event")
        meant = cast("dict[str, object]", said).get("partition") if isinstance(said, dict) else None
    return meant if isinstance(meant, int) and 0 <= meant < target.partitions else None
