"""The plans of one bundle: compiled at first use per topic and stage, kept for their interval."""

from __future__ import annotations

import gc
import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .bundle import Bundle
from .compiler import RuleInput, compile_rules
from .compiler.framed import FramedValues
from .decision import new_ids
from .decision_sink import DecisionSink
from .documents import STAGES
from .keys import TRIAL_KEYS, KeyRing
from .masking import Masker
from .model import Mode, Path, Policy
from .plan import Plan, PlanRule
from .privacy import Privacy
from .tallies import Ledger

__all__ = ["FOREVER", "PlanTable"]

#: Its own, so that whoever asks about topics and says it anyhow can leave these lines out.
log = logging.getLogger("streamwarden.uncovered")

#: Nanoseconds no clock reaches: the end of an interval without an end.
FOREVER = 2**63 - 1
#: Topics whose plans are kept. A consumer of a wide pattern stays below it; a producer that makes
#: up names must not grow it.
_PLANS_MAX = 4096
#: New objects that take the garbage collector long enough, some ms, to be noticed.
_MANY = 20_000
#: Topics that no policy covers, of which each is told.
_UNCOVERED_TOLD_MAX = 20
_STRICTNESS = ("allow", "check", "reject")


class PlanTable:
    """See the module's first line. Thread-safe; a plan is built beside the ones in use.

    `mode` is the guard's. `detective` adds the policies of stage `reconcile` to every plan. With
    `replay`, masks are computed with `TRIAL_KEYS` where none are given, since only whether they can
    be applied matters. `framed` reads what a schema registry has framed. `excluded` are topics
    that no glob matches. `hidden` says which paths of a topic are sensitive besides those that the
    bundle names. `ledger` keeps count of the plans, and `sink` logs what they decide.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        mode: Mode = Mode.ENFORCE,
        client: Mapping[str, Any] | None = None,
        mask_keys: KeyRing | None = None,
        next_id: Callable[[], str] | None = None,
        detective: bool = False,
        replay: bool = False,
        framed: FramedValues | None = None,
        excluded: Collection[str] = (),
        hidden: Callable[[str], Collection[Path]] | None = None,
        ledger: Ledger | None = None,
        sink: DecisionSink | None = None,
    ) -> None:
        self.bundle = bundle
        self.settings, self.label, self.digest = bundle.settings, bundle.label, bundle.digest
        self.language, self.lists = bundle.language, bundle.lists
        self.mode = mode.weakest(bundle.settings.mode)
        self.client: Mapping[str, Any] = {"client": "", "labels": {}, **(client or {})}
        self.mask_keys = mask_keys or (TRIAL_KEYS if replay else None)
        self.framed = framed
        self.masker = Masker(self.mask_keys, framed)
        self.next_id, self.sink = next_id or new_ids(), sink
        self.detective, self._excluded, self._hidden = detective, excluded, hidden
        self._uncovered_told = 0
        self._ledger = ledger
        self._plans: dict[tuple[str, str], list[Plan]] = {}
        #: By stage and topic the plan that was asked for last: nearly always the next one, too.
        self._latest: dict[str, dict[str, Plan]] = {stage: {} for stage in STAGES}
        self._lock = threading.Lock()
        self._edges = sorted(
            {
                edge
                for policy in bundle.policies
                for edge in (policy.effective_from, policy.effective_until)
                if edge is not None
            }
        )

    def plan(self, topic: str, stage: str, now: int) -> Plan:
        """The plan of `topic` and `stage`, one of STAGES, at the instant `now` (nanoseconds)."""
        plan = self._latest[stage].get(topic)
        if plan is not None and plan.since <= now < plan.until:
            return plan
        with self._lock:
            return self._build(topic, stage, now)

    def built(self) -> list[Plan]:
        """The plans in use, for counters and metrics."""
        with self._lock:
            return [plan for plans in self._plans.values() for plan in plans]

    def _build(self, topic: str, stage: str, now: int) -> Plan:
        present = self._plans.get((topic, stage), [])
        for plan in present:
            if plan.since <= now < plan.until:
                self._latest[stage][topic] = plan
                return plan
        position = bisect_right(self._edges, now)
        since = self._edges[position - 1] if position else 0
        until = self._edges[position] if position < len(self._edges) else FOREVER
        with _no_collections():
            plan = self._compile(topic, stage, since, until, now)
        if len(self._plans) >= _PLANS_MAX and (topic, stage) not in self._plans:
            gone_topic, gone_stage = next(iter(self._plans))
            del self._plans[gone_topic, gone_stage]
            self._latest[gone_stage].pop(gone_topic, None)
            if self._ledger is not None:
                self._ledger.count("dropped/plans/evicted")
        self._plans[topic, stage] = [*present, plan]
        self._latest[stage][topic] = plan
        if self._ledger is not None:
            self._ledger.take_plan(plan)
            if not plan.covered and not present and self.settings.uncovered == "warn":
                self._tell_uncovered(topic)
        return plan

    def _tell_uncovered(self, topic: str) -> None:
        if self._uncovered_told < _UNCOVERED_TOLD_MAX:
            self._uncovered_told += 1
            last = self._uncovered_told == _UNCOVERED_TOLD_MAX
            log.warning(
                "no policy of %s covers the topic `%s`: its events pass, stamped `none`%s",
                *(self.label, topic),
                "; further topics are only counted" if last else "",
            )

    def _compile(self, topic: str, stage: str, since: int, until: int, now: int) -> Plan:
        bundle = self.bundle
        policies = list(bundle.policies_for(topic, stage, now, excluded=self._excluded))
        if self.detective and stage != "reconcile":
            seen = {policy.id for policy in policies}
            policies += [
                policy
                for policy in bundle.policies_for(topic, "reconcile", now, excluded=self._excluded)
                if policy.id not in seen
            ]
        covering = bundle.covering(topic, excluded=self._excluded)
        rules = self._rules(policies)
        tombstones = {policy.id: self._tombstones(policy) for policy in policies}
        formats = bundle.formats(topic)
        privacy = Privacy.of(covering)
        if self._hidden is not None:
            privacy = Privacy([*privacy.paths, *self._hidden(topic)])
        compiled = compile_rules(
            [
                RuleInput(
                    None if planned.rule.condition is None else planned.rule.condition.expr,
                    tombstone=tombstones[planned.policy.id] != "allow",
                )
                for planned in rules
            ],
            topic=topic,
            stage=stage,
            value_format=formats[0],
            key_format=formats[1],
            lists=self.lists,
            client=_client_variable(self.client),
            strict_values=self.settings.strict_values,
            framed=self.framed,
        )
        return Plan(
            self,
            topic=topic,
            stage=stage,
            since=since,
            until=until,
            rules=rules,
            compiled=compiled,
            privacy=privacy,
            formats=formats,
            covered=bool(covering) or self.mode is Mode.OFF,
            tombstone_rejects=bool(rules) and self._refuses_tombstones(policies),
        )

    def _tombstones(self, policy: Policy) -> str:
        asked = (self.settings.tombstones, policy.tombstones or "allow")
        return max(asked, key=_STRICTNESS.index)

    def _refuses_tombstones(self, policies: Iterable[Policy]) -> bool:
        """Whether the bundle does, or a policy that is enforced."""
        return self.settings.tombstones == "reject" or any(
            policy.tombstones == "reject" and policy.mode is Mode.ENFORCE for policy in policies
        )

    def _rules(self, policies: Sequence[Policy]) -> list[PlanRule]:
        planned = [
            PlanRule(rule, policy, mode)
            for policy in policies
            for rule in policy.rules
            if (mode := self.mode.weakest(policy.mode, rule.mode)) is not Mode.OFF
        ]
        places: dict[str, list[int]] = {}
        for position, entry in enumerate(planned):
            places.setdefault(f"{entry.policy.id}/{entry.rule.id}", []).append(position)
        return [
            PlanRule(entry.rule, entry.policy, entry.mode, self._lifts(entry, planned, places))
            for entry in planned
        ]

    def _lifts(
        self, entry: PlanRule, planned: Sequence[PlanRule], places: Mapping[str, list[int]]
    ) -> frozenset[int]:
        """Positions of the rules that `entry` lifts: its own policy's, or those that allow it."""
        found: set[int] = set()
        for target in entry.rule.exempts:
            if "/" in target:
                named = places.get(target, [])
            else:
                own = places.get(f"{entry.policy.id}/{target}", [])
                named = own or [i for i, other in enumerate(planned) if other.rule.id == target]
            found.update(
                position
                for position in named
                if planned[position].policy.id == entry.policy.id
                or entry.policy.owner in planned[position].rule.exemptible_by
            )
        return frozenset(found)


@contextmanager
def _no_collections() -> Generator[None]:
    """Without the garbage collector: a large plan is many small objects that are all alive.

    Looking through them again and again takes as long as making them. Nor are those of a large one
    looked through at once in the end, while nobody decides: they are old from the start, as all
    objects are that were frozen and thawed.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if gc.get_count()[0] > _MANY and not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _client_variable(client: Mapping[str, Any]) -> dict[str, object]:
    """The variable `client` of rules: id and labels, self-declared by the service."""
    return {"id": client["client"], "labels": dict(client["labels"])}
