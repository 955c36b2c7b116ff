"""The verdict on one event of history.

A judge serves one topic. Stamps of guards are constant bytes for most events, so everything that
follows from a stamp alone (is it well-formed, which version, at which stage) is found once and kept
as a lane; what follows from the event time as well (the two plans, whether anything in them hangs
on unknowns) as the lane's pair. The common event then costs one or two runs of compiled code, and
is never made: `sweep` goes over the values of whole batches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest

from ..policy.keys import KeyRing, mac_text
from ..policy.model import Effect, MaskField
from ..policy.plan import Plan
from ..policy.plan_table import FOREVER, PlanTable
from ..policy.stamp import STAMP_HEADER, Stamp, StampError
from .approvals import Approval, Approvals
from .batch import Batch, Swept
from .findings import Finding
from .history import History
from .lacking import lacks
from .lanes import Lane, sweep
from .pairs import Pair, lost_to, pair_of
from .possibilities import Branch, Outlook
from .reviewed import Reviewed
from .seen import Seen
from .verdict import drift_of, masks_anew
from .words import unsigned
from .writing import FindingMaker

__all__ = ["Judge", "Terms"]

#: Distinct constant stamps kept for a topic; there are a few for each version, and anything beyond
#: that is somebody making them up.
_LANES_MAX = 4096
#: Pairs of plans; each keeps what it has found out.
_PAIRS_MAX = 256
_WARN = Effect.WARN.rank
#: A stamp that may differ from event to event, in what does not decide which lane it is on.
_VARYING = re.compile(
    rb"(1;[^;]{1,150};[0-9a-f]{12};[a-z]{1,8};[a-z]{1,12})(;id=[A-Za-z0-9_-]{1,64})?"
    rb"(?:;at=(0|[1-9][0-9]{0,15}))?(;mode=(?:shadow|off))?"
    rb"(;mac=([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]{22}))?"
)
_NEVER = -1


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run was asked to judge by. Times are nanoseconds.

    `approvals` finds what parking topics record of approvals; without it none can be told. Beside
    it `known_id(kind, id)` says whether a grant (`ov`) or an approval (`ap`) exists, None where that
    cannot be told. Nothing else knows of grants: without it, none was ever made.
    `released(topic, partition, offset)` says whether a parked record was released, which adds to
    what `reviewed` has read.
    """

    now: int
    stamp_keys: KeyRing | None = None
    mac_since: int | None = None
    retroactive: bool = False
    stage: str | None = None
    known_id: Callable[[str, str], bool | None] | None = None
    released: Callable[[str, int, int], bool] | None = None
    reviewed: Reviewed = field(default_factory=Reviewed)
    approvals: Approvals | None = None

    def is_settled(self, topic: str, partition: int, offset: int) -> bool:
        """Whether nobody waits for this parked record any more."""
        if (topic, partition, offset) in self.reviewed.settled:
            return True
        return self.released is not None and self.released(topic, partition, offset)


class Judge:
    """Judges delivered events of one topic, in any order; see the module's first lines."""

    def __init__(self, topic: str, history: History, today: PlanTable, terms: Terms) -> None:
        self.topic, self.history, self.today, self.terms = topic, history, today, terms
        self._lanes: dict[tuple[bytes | None, bool], Lane] = {}
        self._heads: dict[tuple[bytes | str | bool | None, ...], Lane] = {}
        self._topic_bytes = topic.encode()
        self._pairs: dict[tuple[object, ...], Pair] = {}
        self._maker = FindingMaker(today.bundle)
        since = today.bundle.guarded_from(topic)
        self._guarded_from = _NEVER if since is None else since
        self._none = self._unstamped("")
        self._doubled = self._unstamped("the stamp is there twice")
        #: Events whose stamp could neither be confirmed nor refuted; none is left out.
        self.unverifiable = self.skipped = 0

    # ------------------------------------------------------------------ the way of an event

    def takes(self, _event: Seen, /) -> bool:
        """See `Judging.takes`."""
        return True

    def sweep(self, batch: Batch, /) -> Swept | None:
        """See `Judging.sweep`."""
        return sweep(batch, self._lanes)

    def finding(self, event: Seen) -> Finding | None:
        """What is wrong with one delivered event, or None."""
        stamp: bytes | None = None
        stamped = False
        for name, value in event.headers:
            if name == STAMP_HEADER:
                if stamped:
                    return self.judged(event, self._doubled)
                stamp, stamped = value, True
        if not stamped:
            return self.judged(event, self._none)
        lane = self._lanes.get((stamp, event.appended))
        if lane is not None:
            return self.judged(event, lane)
        return self._with_stamp(event, stamp)

    def _with_stamp(self, event: Seen, data: bytes | None) -> Finding | None:
        """A stamp not seen before, or one that is new with every event."""
        parts = None if data is None else _VARYING.fullmatch(data)
        if parts is None or data is None:
            return self._parsed(event, data)
        head, named, at, mode, signed, kid, mac = parts.groups()
        forged = ""
        if self.terms.stamp_keys is not None:
            moment = event.now if at is None else int(at) * 1_000_000
            forged = self._mac_problem(event, moment, data[: parts.start(5)], kid, mac)
        # Where all of it is constant, the lane's stamp is the very one.
        constant = named is None and at is None and signed is None
        key = (head, mode, at is None, constant, forged, event.appended)
        lane = self._heads.get(key)
        if lane is None:
            try:
                stamp = Stamp.parse(data)
            except StampError as error:
                return self.judged(event, self._unstamped(str(error)))
            lane = self._lane(stamp, forged)
            if len(self._heads) < _LANES_MAX:
                self._heads[key] = lane
        if at is not None:
            if not lane.forged:
                event = _at(event, int(at))
        elif constant and self.terms.stamp_keys is None and len(self._lanes) < _LANES_MAX:
            self._lanes[data, event.appended] = lane
        return self.judged(event, lane, data)

    def _parsed(self, event: Seen, data: bytes | None) -> Finding | None:
        """A stamp of a release or an override, or none at all."""
        try:
            stamp = Stamp.parse(data)
        except StampError as error:
            return self.judged(event, self._unstamped(str(error)))
        at = event.now if stamp.at is None else stamp.at * 1_000_000
        kid = mac = None
        if stamp.mac is not None:
            kid, mac = (part.encode() for part in stamp.mac)
        forged = self._mac_problem(event, at, replace(stamp, mac=None).encode(), kid, mac)
        doubtful = False
        named = stamp.ov is not None or stamp.ap is not None
        if named and not forged and not self.history.find(stamp).never:
            forged, doubtful = self._id_problem(event, stamp, mac is not None)
        lane = self._lane(stamp, forged, doubtful)
        if stamp.at is not None and not lane.forged:
            event = _at(event, stamp.at)
        return self.judged(event, lane, data)

    def _mac_problem(
        self, event: Seen, at: int, stamp: bytes, kid: bytes | None, mac: bytes | None
    ) -> str:
        """What is wrong with the mac of `stamp`, which stands before it; empty where nothing is."""
        keys, since = self.terms.stamp_keys, self.terms.mac_since
        if keys is None:
            return ""
        if kid is None or mac is None:
            return unsigned("stamp", since) if since is None or at >= since else ""
        secret = keys.get(kid.decode())
        if secret is None:
            return "the mac was made with an unknown key"
        expected = mac_text(secret, stamp, self._topic_bytes, event.key, event.value)
        return "" if compare_digest(expected.encode(), mac) else "the mac does not fit"

    def _id_problem(self, event: Seen, stamp: Stamp, signed: bool) -> tuple[str, bool]:
        """What is wrong with the grant or approval that `stamp` names; whether that is unknown.

        `signed`: the stamp has a mac; where that was looked at, it was a guard that wrote the id.
        """
        terms = self.terms
        kind, word, name = (
            ("ov", "override", stamp.ov) if stamp.ov is not None else ("ap", "approval", stamp.ap)
        )
        assert name is not None  # else nobody asks
        recorded: Approval | bool = True
        if kind == "ap" and terms.approvals is not None:
            recorded = terms.approvals.of(self.topic, name)
            if isinstance(recorded, Approval):
                if recorded.is_of(event, stamp, masks=self._may_mask(stamp)):
                    return "", recorded.event is None
                return f"approval `{name}` was given to another event", False
        known = None if terms.known_id is None else terms.known_id(kind, name)
        if known is not None:
            return ("", False) if known else (f"{word} `{name}` is not known", False)
        if kind == "ov" and terms.known_id is None:
            return f"override `{name}` is not known", False
        if recorded is True or (signed and terms.stamp_keys is not None):
            return "", True
        return f"approval `{name}` is not known", False

    def _may_mask(self, stamp: Stamp) -> bool:
        """Whether what was released under `stamp` may have been masked on its way."""
        version = self.history.find(stamp).version
        policies = () if version is None else version.bundle.policies
        return version is None or any(rule.masks for each in policies for rule in each.rules)

    def _lane(self, stamp: Stamp, forged: str, doubtful: bool = False) -> Lane:
        found = self.history.find(stamp)
        forged = forged or found.never
        if forged:
            lane = self._unstamped(forged)
            lane.stamp = stamp
            return lane
        version = found.version
        passed = stamp.effect.passes and stamp.ov is None and stamp.ap is None
        return Lane(
            stamp=stamp,
            forged="",
            version=version,
            then=None if version is None else version.table(stamp.mode),
            stage_then=stamp.stage,
            stage_now=self.terms.stage or stamp.stage,
            unverifiable=version is None or doubtful,
            missing=version is None,
            quick=stamp.effect if passed else None,
        )

    def _unstamped(self, forged: str) -> Lane:
        """Events without a stamp to go by: judged as produced, and by today's policy only."""
        stage = self.terms.stage or "produce"
        return Lane(None, forged, None, None, stage, stage, False, False, quick=None)

    def judged(self, event: Seen, lane: Lane, data: bytes | None = None) -> Finding | None:
        """What is wrong with an event on `lane`; `data` is its stamp where that varies."""
        when = event.now if event.timestamp is not None or event.now else self.terms.now
        if when != event.now:
            event = _at(event, when // 1_000_000)
        if not lane.since <= when < lane.until:
            self._enter(lane, when, event.appended)
        pair = lane.pair
        assert pair is not None  # _enter() made it
        if lane.unverifiable:
            self.unverifiable += 1
        if lane.quick is not None and pair.is_clean(event, lane.quick):
            return None
        stamp = lane.stamp if lane.stamp is None or data is None else Stamp.parse(data)
        return self._slowly(event, lane, stamp, pair)

    def _enter(self, lane: Lane, when: int, appended: bool) -> None:
        """Find the pair of plans that holds at the event time `when`."""
        then: Plan | None = None
        since, until = 0, FOREVER
        if lane.then is not None:
            then = lane.then.plan(self.topic, lane.stage_then, when)
            since, until = then.since, then.until
        now = self.today.plan(
            self.topic, lane.stage_now, self.terms.now if self.terms.retroactive else when
        )
        if not self.terms.retroactive:
            since, until = max(since, now.since), min(until, now.until)
        masked, also = lost_to(None if lane.forged else lane.stamp, appended)
        key = (id(then), id(now), masked, also)
        pair = self._pairs.get(key)
        if pair is None:
            if len(self._pairs) >= _PAIRS_MAX:
                self._pairs.clear()
            pair = self._pairs[key] = pair_of(then, now, self.today.bundle, masked, also)
        lane.pair, lane.since, lane.until = pair, since, until

    # ------------------------------------------------------------------ the careful way

    def _slowly(self, event: Seen, lane: Lane, stamp: Stamp | None, pair: Pair) -> Finding | None:
        trusted = stamp is not None and not lane.forged
        lacking = pair.lacking(event)
        outlooks = None if lacking else pair.outlooks(event)
        misrecorded = ""
        agreeing: Sequence[Outlook] | None = outlooks
        if trusted and stamp is not None:
            agreeing, misrecorded = _agreeing(stamp, outlooks)
        if misrecorded:
            agreeing = outlooks
        honest = stamp if trusted and not misrecorded else None
        drifts: set[str | None] | None = (
            None
            if agreeing is None
            else {drift_of(honest, _masks(outlook, pair), outlook.now) for outlook in agreeing}
        )
        same = pair.same and honest is not None and honest.ov is None
        if same and drifts is None and not lacking:
            drifts = {None}  # the same policy on the same event: nothing can have changed
        drift = next(iter(drifts)) if drifts is not None and len(drifts) == 1 else None
        now = pair.now.branch(pair.now.case(event)) if not agreeing else agreeing[0].now
        unsure = lacks(lacking) if lacking else _unsure(drifts, pair, now)
        if lane.forged:
            kind, detail = "forged", lane.forged
        elif misrecorded:
            kind, detail = "misrecorded", misrecorded
        elif stamp is None and event.now >= self._guarded_from:
            kind, detail = "unchecked", "no stamp: something bypassed the guard"
        elif stamp is not None and stamp.ov is not None:
            kind, detail = "overridden", f"passed under override `{stamp.ov}`"
        elif unsure:
            kind, detail = "undecidable", unsure
        elif drift is not None:
            kind, detail = drift, ""
        else:
            return None
        return self._maker.finding(
            event,
            kind=kind,
            drift=drift,
            detail=detail,
            stamped=None if stamp is None else stamp.to_dict(),
            chosen=_chosen(agreeing, now, drift, honest, pair),
            possible=agreeing,
            pair=pair,
            then=lane.version,
            missing=lane.stamp.label if lane.stamp and lane.missing else "",
            lacking=lacking,
        )


def _at(event: Seen, milliseconds: int) -> Seen:
    """The event with another clock reading."""
    return Seen(
        event.topic,
        event.value,
        event.key,
        event.headers,
        event.timestamp,
        milliseconds * 1_000_000,
        event.partition,
        event.offset,
        event.facts,
        event.appended,
    )


def _agreeing(
    stamp: Stamp, outlooks: Sequence[Outlook] | None
) -> tuple[Sequence[Outlook] | None, str]:
    """The outlooks that give what the stamp says; why it is misrecorded where none does."""
    if not stamp.effect.passes and stamp.ov is None and stamp.ap is None:
        return outlooks, f"delivered although its stamp says {stamp.effect}"
    if outlooks is None or all(outlook.then is None for outlook in outlooks):
        return outlooks, ""
    agreeing = [o for o in outlooks if o.then is not None and o.then.effect is stamp.effect]
    if agreeing:
        # Where some way to this stamp would leave the fields as they are, it was one of those.
        return [o for o in agreeing if not _left_plain(o)] or agreeing, ""
    possible = sorted({o.then.effect for o in outlooks if o.then is not None}, key=_rank)
    said = " or ".join(effect.value for effect in possible)
    return outlooks, f"the stamp says {stamp.effect}, {stamp.label} says {said}"


def _left_plain(outlook: Outlook) -> bool:
    """True where a field that this outlook would have masked plainly is not masked."""
    then = outlook.then
    return (
        then is not None
        and bool(then.masks)
        and masks_anew(then.case, then.side.plan, then.masks, then.masks)
    )


def _rank(effect: Effect) -> int:
    return effect.rank


def _masks(outlook: Outlook, pair: Pair) -> tuple[MaskField, ...]:
    return pair.masks if outlook.then is None else outlook.then.masks


def _unsure(drifts: set[str | None] | None, pair: Pair, now: Branch) -> str:
    """Why today's policy cannot be told; empty where it can."""
    if drifts is None or len(drifts) > 1:
        return f"hangs on {', '.join(pair.unknown_names)}"
    if now.undecodable is not None and not pair.same:
        return f"the value cannot be decoded: {now.undecodable}"
    return ""


def _chosen(
    agreeing: Sequence[Outlook] | None,
    now: Branch,
    drift: str | None,
    honest: Stamp | None,
    pair: Pair,
) -> Outlook:
    """The outlook that stands for all: the one with the fewest hits among those of the drift."""
    if not agreeing:
        return Outlook(None, now)
    fitting = [o for o in agreeing if drift_of(honest, _masks(o, pair), o.now) == drift]
    return min(fitting or agreeing, key=lambda o: (len(o.now.hits), -o.now.effect.rank))
