"""The verdict on one parked record: refused or waiting then, and today?

The decision header stands in the stamp's place. Parked records are unmasked, and the decision
keeps the client and the facts, so little is unknown of them. Records without origin headers, or of
topics that are not part of the run, are none of this run's business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from ..policy.cel import Unknown
from ..policy.compiler.activation import variable
from ..policy.parking import (
    DECISION_HEADER,
    DECISION_MAC_HEADER,
    Parked,
    decision_is_signed,
    origin_headers,
    parse_parked,
)
from ..policy.plan_table import PlanTable
from ..policy.stamp import Stamp, StampError
from ..producers.parking import POINTER_HEADER
from ..producers.reviews import is_review
from .batch import Batch, Swept
from .findings import Finding
from .history import Found, History
from .judge import Terms
from .lacking import lacks
from .pairs import Pair, pair_of
from .possibilities import Outlook
from .seen import Seen
from .words import unsigned
from .writing import FindingMaker

__all__ = ["ParkedJudge", "given_by", "was_undecodable"]

_PAIRS_MAX = 256
#: As facts are logged: hidden, cut, and what JSON lacks as text.
_NOT_SAID = frozenset({"***", "?", "NaN"})
_CUT, _TEXT_MAX_CHARS = "…", 200


class ParkedJudge:
    """Judges records of one parking topic; see the module's first lines.

    `origins` are the topics of the run; None takes every one.
    """

    def __init__(
        self, origins: Collection[str] | None, history: History, today: PlanTable, terms: Terms
    ) -> None:
        self._origins, self._history, self.today, self.terms = origins, history, today, terms
        self._pairs: dict[tuple[int, int], Pair] = {}
        self._maker = FindingMaker(today.bundle)
        #: Records whose version is not at hand, and records that are not part of the run.
        self.unverifiable = 0
        self.skipped = 0

    def sweep(self, _batch: Batch, /) -> Swept | None:
        """See `Judging.sweep`: every decision is one of its own."""
        return None

    def takes(self, record: Seen) -> bool:
        """See `Judging.takes`."""
        return self._parked(record) is not None

    def _parked(self, record: Seen) -> Parked | None:
        parked = None if is_review(record.headers) else parse_parked(record.headers)
        other = self._origins is not None and parked and parked.origin_topic not in self._origins
        return None if other else parked

    def finding(self, record: Seen) -> Finding | None:
        """What is to be told about one parked record, or None."""
        parked = self._parked(record)
        if parked is None:
            self.skipped += 1
            return None
        decisions = [value for name, value in record.headers if name == DECISION_HEADER]
        pointer = any(name == POINTER_HEADER for name, _ in record.headers)
        if not decisions or pointer:  # parked by somebody else's tool, or not all of it is here
            return None
        stamp = _stamp_of(parked)
        found = Found() if stamp is None else self._history.find(stamp)
        forged = found.never
        if len(decisions) > 1:
            forged = "the decision is there twice"
        elif stamp is None:
            forged = "the decision is malformed"
        forged = forged or self._mac_problem(record, parked, stamp)
        when = record.now if stamp is None or stamp.at is None else stamp.at * 1_000_000
        event = _original(record, parked, when)
        return self.judged(record, event, parked, stamp, found, forged)

    def _mac_problem(self, record: Seen, parked: Parked, stamp: Stamp | None) -> str:
        keys, since = self.terms.stamp_keys, self.terms.mac_since
        if keys is None:
            return ""
        if all(name != DECISION_MAC_HEADER for name, _ in record.headers):
            at = record.now if stamp is None or stamp.at is None else stamp.at * 1_000_000
            return unsigned("decision", since) if since is None or at >= since else ""
        signed = decision_is_signed(
            record.headers, keys, parked.origin_topic, record.key, record.value
        )
        return "" if signed else "the mac of the decision does not fit"

    def judged(
        self,
        record: Seen,
        event: Seen,
        parked: Parked,
        stamp: Stamp | None,
        found: Found,
        forged: str,
    ) -> Finding | None:
        """What is to be told about `record`, which holds `event` as it was when it was parked."""
        version = None if forged else found.version
        if not forged and version is None:
            self.unverifiable += 1
        pair = self._pair(event, None if forged else stamp, found)
        lacking = pair.lacking(event)
        outlooks = None if lacking else pair.outlooks(event, given_by(event, parked))
        now = pair.now.branch(pair.now.case(event))
        agreeing: Sequence[Outlook] | None = outlooks
        kind = detail = ""
        if forged:
            kind, detail = "forged", forged
        elif parked.kind in ("handler", "waiting") or stamp is None or stamp.effect.passes:
            return None
        elif version is not None and outlooks is not None:
            agreeing = [o for o in outlooks if o.then is not None and o.then.effect is stamp.effect]
            if not agreeing:
                kind = "misrecorded"
                detail = f"the decision says {stamp.effect}, {stamp.label} does not"
                agreeing = outlooks
        if not kind:
            undecodable = was_undecodable(parked) if lacking else now.undecodable is not None
            kind, detail = self._fine_today(record, agreeing, pair, undecodable, lacking)
        if not kind:
            return None
        fitting = [o for o in agreeing or () if o.now.effect.passes]
        chosen = next(iter(fitting or agreeing or ()), Outlook(None, now))
        return self._maker.finding(
            record,
            kind=kind,
            drift=None,
            detail=detail,
            stamped=None if stamp is None else {**stamp.to_dict(), "kind": parked.kind},
            chosen=chosen,
            possible=agreeing,
            pair=pair,
            then=version,
            missing=stamp.label if stamp is not None and version is None and not forged else "",
            lacking=lacking,
        )

    def _fine_today(
        self,
        record: Seen,
        agreeing: Sequence[Outlook] | None,
        pair: Pair,
        undecodable: bool,
        lacking: str,
    ) -> tuple[str, str]:
        """Kind and detail of a record that today's policy would, or may, let through."""
        if undecodable or pair.same or not pair.now.plan.covered:
            return "", ""  # what no policy judges is not fine
        verdicts = None if agreeing is None else {o.now.effect.passes for o in agreeing}
        if verdicts == {False}:
            return "", ""
        assert record.partition is not None
        assert record.offset is not None
        if self.terms.is_settled(record.topic, record.partition, record.offset):
            return "", ""
        if verdicts == {True}:
            return "now-allowed", ""
        if lacking:
            return "undecidable", lacks(lacking)
        return "undecidable", f"hangs on {', '.join(pair.unknown_names)}"

    def _pair(self, event: Seen, stamp: Stamp | None, found: Found) -> Pair:
        stage = "produce" if stamp is None else stamp.stage
        then = None
        if stamp is not None and found.version is not None:
            then = found.version.table(stamp.mode).plan(event.topic, stage, event.now)
        now = self.today.plan(
            event.topic,
            self.terms.stage or stage,
            self.terms.now if self.terms.retroactive else event.now,
        )
        key = (id(then), id(now))
        pair = self._pairs.get(key)
        if pair is None:
            if len(self._pairs) >= _PAIRS_MAX:
                self._pairs.clear()
            pair = self._pairs[key] = pair_of(then, now, self.today.bundle, False, ())
        return pair


def _stamp_of(parked: Parked) -> Stamp | None:
    """The stamp that the recorded decision amounts to; None where it is malformed."""
    said = parked.decision
    if said is None or not isinstance(said.get("digest"), str):
        return None
    mode = f";mode={said['mode']}" if said.get("mode") in ("shadow", "off") else ""
    text = (
        f"1;{said.get('bundle')};{said['digest'][:12]};{said.get('effect')};{said.get('stage')}"
        f";id={said.get('id')};at={said.get('at')}{mode}"
    )
    try:
        return Stamp.parse(text.encode("ascii", "replace"))
    except StampError:
        return None


def _original(record: Seen, parked: Parked, now: int) -> Seen:
    """The event as the guard had it when it parked it."""
    decision = parked.decision or {}
    facts = decision.get("facts")
    kept = cast("Mapping[str, object]", facts) if isinstance(facts, dict) else None
    timestamp = record.timestamp if parked.origin_timestamp is None else parked.origin_timestamp
    return Seen(
        parked.origin_topic,
        record.value,
        record.key,
        origin_headers(record.headers),
        timestamp,
        now,
        parked.origin_partition,
        parked.origin_offset,
        kept,
    )


def was_undecodable(parked: Parked) -> bool:
    """Whether the bundle refused the value because it could not be decoded."""
    decision = parked.decision or {}
    name = str(decision.get("bundle")).rpartition("@")[0]
    matches: Any = decision.get("matches")
    if not isinstance(matches, list):
        return False
    said = [
        cast("Mapping[str, object]", match)
        for match in cast("list[object]", matches)
        if isinstance(match, dict)
    ]
    return any(each.get("policy") == name and each.get("rule") == "undecodable" for each in said)


def given_by(event: Seen, parked: Parked) -> dict[str, object]:
    """What the decision kept of the things that are unknown otherwise."""
    given: dict[str, object] = {"stamp": variable("stamp", event)}
    decision = parked.decision or {}
    guard: Any = decision.get("guard")
    if isinstance(guard, dict) and isinstance(cast("dict[str, Any]", guard).get("labels"), dict):
        kept = cast("dict[str, Any]", guard)
        given["client"] = {"id": kept.get("client", ""), "labels": kept["labels"]}
    if event.facts is not None and _CUT not in event.facts:
        given["facts"] = {
            name: value if _whole(value) else Unknown(frozenset({("facts", name)}))
            for name, value in event.facts.items()
        }
    return given


def _whole(value: object) -> bool:
    """True where a logged value surely is the value itself; a text like a number or a time is not."""
    if value is None or isinstance(value, (bool, int, float)):
        return True
    if not isinstance(value, str) or value in _NOT_SAID or len(value) >= _TEXT_MAX_CHARS:
        return False
    return value[:1] not in tuple("0123456789+-")
