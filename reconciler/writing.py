"""Today's decision as findings show it: reproducible, and honest about what hangs on unknowns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..policy.bundle import Bundle
from ..policy.decision import Decision
from ..policy.model import Effect
from ..policy.privacy import HIDDEN, show_text
from ..policy.stamp import STAMP_HEADER
from .blame import Blame, blame_of
from .changes import change_between
from .findings import DRIFT, OF_VERSIONS, WOULD_CHANGE, Because, Finding, named_rules
from .history import Version
from .pairs import Pair
from .possibilities import Outlook
from .seen import Seen

__all__ = ["FindingMaker", "current"]

#: Distinct differences between two outcomes whose words are kept.
_CHANGES_MAX = 4096
#: What is shown of stamps that no guard wrote, and of how many.
_CARRIED_MAX_BYTES = 120
_CARRIED_MAX = 2
_WARN = Effect.WARN.rank


class FindingMaker:
    """Turns verdicts into findings against `today`; says once what changed, however often asked."""

    def __init__(self, today: Bundle) -> None:
        self._today = today
        self._changes: dict[tuple[object, ...], str] = {}

    def finding(
        self,
        event: Seen,
        *,
        kind: str,
        drift: str | None,
        detail: str,
        stamped: Mapping[str, Any] | None,
        chosen: Outlook,
        possible: Sequence[Outlook] | None,
        pair: Pair,
        then: Version | None,
        missing: str,
        lacking: str = "",
    ) -> Finding:
        """The finding on the record `event`.

        `chosen` stands for all `possible` decisions (None: too many to try); `missing` is the
        label of a version that is not at hand, `lacking` the id of a schema: then no rule is known
        to be behind it.
        """
        assert event.partition is not None  # read from a log
        assert event.offset is not None
        now = chosen.now.decision
        then_decision = None if chosen.then is None else chosen.then.decision
        blame = blame_of(chosen, possible, pair, kind=kind, hangs=_hangs(kind, detail, now))
        if lacking:
            blame = replace(blame, entries=(), unknown=())
        because = blame.because
        change = ""
        if kind in OF_VERSIONS:
            change = f"{missing} is not at hand" if missing else ""
            change = change or self._change(then_decision, now, then, blame)
            if kind in DRIFT and not because and blame.unknown:
                detail = f"one of {', '.join(_names(blame.unknown))} fires"
        effects = None if possible is None else {outlook.now.effect for outlook in possible}
        unknown = pair.now.open.keys()
        place = f"{event.topic}/{event.partition}/{event.offset}"
        return Finding(
            kind=kind,
            topic=event.topic,
            partition=event.partition,
            offset=event.offset,
            timestamp=event.timestamp,
            stamped=stamped,
            drift=drift,
            rules=named_rules(kind, drift, _names(because), _names(blame.unknown)),
            change=change,
            detail=detail,
            current=lambda: current(now, place, effects, unknown),
            because=because,
            lacking=lacking,
            unknown=blame.unknown,
            told=lambda said: _told(blame, now, said),
            carried=_carried(event) if kind == "forged" and stamped is None else None,
        )

    def _change(
        self, before: Decision | None, now: Decision, then: Version | None, blame: Blame
    ) -> str:
        if then is None or before is None or max(before.effect.rank, now.effect.rank) <= _WARN:
            return ""
        unsure = (blame.unsure_then, blame.unsure_now)
        key = (id(before.plan), id(now.plan), before.outcome, now.outcome, unsure)
        known = self._changes.get(key)
        if known is None:
            if len(self._changes) >= _CHANGES_MAX:
                self._changes.clear()
            known = change_between(before, now, then.bundle, self._today, unsure)
            self._changes[key] = known
        return known


def _hangs(kind: str, detail: str, now: Decision) -> bool:
    """True where it is not known which decision it was, and not because of the bytes."""
    if kind == WOULD_CHANGE:
        return bool(detail)
    return kind == "undecidable" and now.undecodable is None


def _names(found: Iterable[Because]) -> tuple[str, ...]:
    return tuple(f"{each.policy}/{each.rule}" for each in found)


def _told(blame: Blame, now: Decision, said: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules behind a finding with their reasons; `said` is today's decision as JSON.

    Where a former version gives the reason, what today's policies call sensitive must not show.
    """
    if not blame.entries:
        return []
    refused = blame.decision
    shown = refused is now or refused.plan.privacy.paths >= now.plan.privacy.paths
    matches = said["matches"] if refused is now else [each.to_dict() for each in refused.matches]
    entries = refused.outcome.entries
    deciding = {id(entry) for entry in blame.entries}
    return [
        {
            "policy": match["policy"],
            "rule": match["rule"],
            "effect": match["effect"],
            "reason": match["reason"] if shown else HIDDEN,
            "severity": match["severity"],
            "owner": match["owner"],
            "class": match["class"],
        }
        for entry, match in zip(entries, matches, strict=True)
        if id(entry) in deciding
    ]


def current(
    decision: Decision,
    place: str,
    effects: Collection[Effect] | None,
    unknown_rules: Collection[int],
) -> dict[str, Any]:
    """`decision` on the record at `place` as JSON has it.

    `effects` are all that are possible, None where they could not be tried: with more than one,
    `effect` is null and `possible` lists them. Matches of `unknown_rules` come without a trail,
    which could only show what was not there to see. The id is the place of the record: a replay
    draws none.
    """
    said = decision.to_dict()
    said["id"] = place
    if effects is None or len(effects) > 1:
        said["effect"] = None
        if effects is not None:
            said["possible"] = [effect.value for effect in Effect if effect in effects]
    if unknown_rules:
        for entry, match in zip(decision.outcome.entries, said["matches"], strict=True):
            if isinstance(entry.rule, int) and entry.rule in unknown_rules:
                match["why"], match["error"], match["unknown"] = None, None, True
    return said


def _carried(event: Seen) -> str:
    """What an event carries in the place of a stamp, which nobody vouches for."""
    carried = [value or b"" for name, value in event.headers if name == STAMP_HEADER]
    return " and ".join(
        show_text(value[:_CARRIED_MAX_BYTES].decode("utf-8", "backslashreplace"))
        for value in carried[:_CARRIED_MAX]
    )
