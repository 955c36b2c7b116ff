"""The current policy against a candidate, on the same events: which decisions would change.

The kinds of findings are those of any replay, with the candidate in today's place. Beside them
stands how the candidate's decision differs from the current policy's; an event that differs and is
nothing else is `would-change`. What is unknown of an event is unknown to both, and shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..policy.model import Effect
from ..policy.parking import Parked
from ..policy.plan_table import PlanTable
from ..policy.stamp import Stamp
from .batch import Batch, Swept
from .blame import behind
from .findings import WOULD_CHANGE, Finding
from .history import Found, Version
from .judge import Judge, Terms
from .lanes import Lane
from .pairs import Pair, lost_to
from .parked import ParkedJudge, given_by
from .possibilities import Branch, Outlook
from .seen import Seen
from .unknowns import Unknowns
from .writing import FindingMaker

__all__ = ["WhatIfJudge", "WhatIfParkedJudge"]

_PAIRS_MAX = 256
_WARN = Effect.WARN.rank


class _Comparison:
    """Compares the plans of two bundles, `current` and `candidate`."""

    def __init__(self, current: PlanTable, candidate: PlanTable, terms: Terms) -> None:
        self.current, self.candidate = current, candidate
        self._at = terms.now if terms.retroactive else None
        self._version = Version(current.bundle)
        self._maker = FindingMaker(candidate.bundle)
        self._pairs: dict[tuple[object, ...], Pair] = {}

    def pair(
        self, topic: str, stage: str, when: int, masks: tuple[Any, ...], also: tuple[str, ...]
    ) -> Pair:
        """The plans for an event, with what is unknown of it."""
        at = when if self._at is None else self._at
        old, new = self.current.plan(topic, stage, at), self.candidate.plan(topic, stage, at)
        key = (id(old), id(new), masks, also)
        pair = self._pairs.get(key)
        if pair is None:
            if len(self._pairs) >= _PAIRS_MAX:
                self._pairs.clear()
            pair = self._pairs[key] = Pair(old, new, Unknowns.of(masks, also=also), masks)
        return pair

    def finding(
        self,
        record: Seen,
        event: Seen,
        pair: Pair,
        found: Finding | None,
        stamped: Mapping[str, Any] | None,
        said: Effect | None,
        given: Mapping[str, object],
    ) -> Finding | None:
        """`found` with how the decision on `event` changes, or a finding of its own for that.

        `said` is what the current version decided according to a stamp that can be trusted.
        """
        if pair.same or (found is None and _untouched(pair, event)):
            return found
        if pair.lacking(event):
            lost: dict[str, Any] = {"from": None, "to": None, "topic": event.topic, "rules": []}
            return None if found is None else replace(found, what_if=lost)
        outlooks = pair.outlooks(event, given)
        if outlooks is not None and said is not None:
            outlooks = [o for o in outlooks if o.then and o.then.effect is said] or outlooks
        change = _change(event.topic, outlooks)
        if change is None:
            return found
        if found is not None:
            return replace(found, what_if=change)
        if outlooks is None:
            now = pair.now.branch(pair.now.case(event))
            chosen = Outlook(None, now)
        else:
            chosen = next((o for o in outlooks if _differs(o)), outlooks[0])
        detail = "" if change["to"] else f"hangs on {', '.join(pair.unknown_names)}"
        made = self._maker.finding(
            record,
            kind=WOULD_CHANGE,
            drift=None,
            detail=detail,
            stamped=stamped,
            chosen=chosen,
            possible=outlooks,
            pair=pair,
            then=self._version,
            missing="",
        )
        return replace(made, what_if=change)


def _untouched(pair: Pair, event: Seen) -> bool:
    """True where a look at known things shows that no rule of either plan says anything."""
    if not pair.certain or event.value is None or pair.then is None:
        return False
    sides = (pair.now, pair.then)
    if any(side.closed for side in sides):
        return False
    return all(not side.plan.compiled.run(event) for side in sides)


def _place(effect: Effect) -> int:
    """Where an event goes: none, allow and warn are the same place."""
    return max(effect.rank, _WARN)


def _differs(outlook: Outlook) -> bool:
    then, now = outlook
    assert then is not None  # two plans are compared
    if _place(then.effect) != _place(now.effect):
        return True
    return now.effect is Effect.MASK and _masks_of(then) != _masks_of(now)


def _masks_of(branch: Branch) -> frozenset[object]:
    return frozenset(branch.masks)


def _change(topic: str, outlooks: Sequence[Outlook] | None) -> dict[str, Any] | None:
    """How a decision changes; `to` is None where that hangs on unknowns, None where it does not."""
    if outlooks is None:
        return {"from": None, "to": None, "topic": topic, "rules": []}
    differing = [_differs(outlook) for outlook in outlooks]
    if not any(differing):
        return None
    ways = {(o.then.effect, o.now.effect) for o in outlooks if o.then is not None}
    if not all(differing) or len(ways) > 1:
        return {"from": None, "to": None, "topic": topic, "rules": []}
    then, now = outlooks[0]
    assert then is not None
    stricter = now if now.effect.rank >= then.effect.rank else then
    rules = [f"{each.policy}/{each.rule}" for each in behind(stricter.decision)]
    return {"from": then.effect.value, "to": now.effect.value, "topic": topic, "rules": rules}


class WhatIfJudge(Judge):
    """Judges delivered events by the candidate, and compares it with `current`."""

    def __init__(self, current: PlanTable, *args: Any) -> None:
        super().__init__(*args)
        self._compare = _Comparison(current, self.today, self.terms)

    def sweep(self, _batch: Batch, /) -> Swept | None:
        """See `Judging.sweep`: an event that is clean may still be decided otherwise."""
        return None

    def judged(self, event: Seen, lane: Lane, data: bytes | None = None) -> Finding | None:
        """See `Judge.judged`."""
        found = super().judged(event, lane, data)
        when = event.now if event.timestamp is not None or event.now else self.terms.now
        stamp = None if lane.forged else lane.stamp
        _, also = lost_to(stamp, event.appended)
        assert lane.pair is not None  # the judge made it
        masks = lane.pair.masks
        pair = self._compare.pair(self.topic, lane.stage_now, when, masks, also)
        version = lane.version
        known = (
            stamp is not None
            and version is not None
            and version.bundle.digest == self._compare.current.digest
            and stamp.stage == lane.stage_now
        )
        told = lane.stamp if lane.stamp is None or data is None else Stamp.parse(data)
        return self._compare.finding(
            event,
            event,
            pair,
            found,
            None if told is None else told.to_dict(),
            stamp.effect if known and stamp is not None else None,
            {},
        )


class WhatIfParkedJudge(ParkedJudge):
    """Judges parked records by the candidate, and compares it with `current`."""

    def __init__(self, current: PlanTable, *args: Any) -> None:
        super().__init__(*args)
        self._compare = _Comparison(current, self.today, self.terms)

    def judged(
        self,
        record: Seen,
        event: Seen,
        parked: Parked,
        stamp: Stamp | None,
        found: Found,
        forged: str,
    ) -> Finding | None:
        """See `ParkedJudge.judged`. What consumers parked stands in its own topic as well."""
        finding = super().judged(record, event, parked, stamp, found, forged)
        assert record.partition is not None
        assert record.offset is not None
        place = record.topic, record.partition, record.offset
        if stamp is None or forged or stamp.stage != "produce" or self.terms.is_settled(*place):
            return finding
        pair = self._compare.pair(event.topic, self.terms.stage or "produce", event.now, (), ())
        version = found.version
        known = version is not None and version.bundle.digest == self._compare.current.digest
        return self._compare.finding(
            record,
            event,
            pair,
            finding,
            {**stamp.to_dict(), "kind": parked.kind},
            stamp.effect if known else None,
            given_by(event, parked),
        )
