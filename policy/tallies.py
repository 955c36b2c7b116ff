"""What the guards of this process have counted: the ground of metrics, which never goes backwards.

Counting costs an event one addition, without a lock: each plan adds to a tally of its own, each
guard to its `counters`. The ledger keeps hold of those, and takes them into its sums when their
plan or guard is gone: by then nobody adds to them any more.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .model import Effect

if TYPE_CHECKING:
    from .guard import Guard
    from .plan import Plan, PlanRule

__all__ = ["LEDGER", "OTHER", "Ledger", "Sums", "Tally"]

#: Topics, bundles and rules that are told apart in sums; a producer that makes up names must not
#: grow them.
_TOPICS_MAX = 500
_RULES_MAX = 10_000
#: What all further ones are called together.
OTHER = "other"
_UNSEEN = (OTHER, OTHER)
#: What a bundle can say about an event in the place of a rule, whatever its settings; known before
#: it is said, as rules are before they fire.
_SAID = ("tombstone", "uncovered", "undecodable", "unmaskable")


class Tally:
    """Plain counters of one plan.

    Threads may share it: CPython does not switch between the load and the store of one increment.
    `clear` counts the events on which nothing fired, `other` all others by effect. `said` counts
    what stood in the place of a rule, such as `undecodable`, by its id.
    """

    __slots__ = ("clear", "covered", "errors", "matches", "other", "said", "undecodable")

    def __init__(self, rules: int, *, covered: bool = True) -> None:
        self.clear = 0
        self.other: defaultdict[Effect, int] = defaultdict(int)
        self.undecodable = 0
        self.matches = [0] * rules
        self.errors = [0] * rules
        self.said: defaultdict[str, int] = defaultdict(int)
        self.covered = covered


@dataclass(slots=True)
class Sums:
    """Sums over plans and guards, with the labels of the metrics.

    `decisions` by topic, stage and effect; `matches` by policy, rule and mode; `errors` by policy
    and rule; `uncovered` by topic; `counters` by name, as guards have them.
    """

    decisions: dict[tuple[str, str, str], int] = field(
        default_factory=lambda: defaultdict[tuple[str, str, str], int](int)
    )
    matches: dict[tuple[str, str, str], int] = field(
        default_factory=lambda: defaultdict[tuple[str, str, str], int](int)
    )
    errors: dict[tuple[str, str], int] = field(
        default_factory=lambda: defaultdict[tuple[str, str], int](int)
    )
    uncovered: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    counters: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))

    def copy(self) -> Sums:
        """The same sums, to add to."""
        return Sums(
            self.decisions.copy(),
            self.matches.copy(),
            self.errors.copy(),
            self.uncovered.copy(),
            self.counters.copy(),
        )

    def add_counters(self, counters: Mapping[str, int]) -> None:
        """Add what a guard has counted by name."""
        for name, count in list(counters.items()):
            self.counters[name] += count


@dataclass(frozen=True, slots=True)
class _Kept:
    """A tally with its labels; `effect` is that of clear events.

    `said` are bundle and mode of what stands in the place of a rule: the decision log calls it so.
    """

    plan: weakref.ref[Plan]
    tally: Tally
    topic: str
    stage: str
    effect: str
    rules: tuple[tuple[str, str, str], ...]
    said: tuple[str, str]

    def add_to(self, sums: Sums) -> None:
        tally, place = self.tally, (self.topic, self.stage)
        sums.decisions[*place, self.effect] += tally.clear
        others = list(tally.other.items())
        for effect, count in others:
            sums.decisions[*place, effect.value] += count
        if not tally.covered:
            sums.uncovered[self.topic] += tally.clear + sum(count for _, count in others)
        if not others:
            return  # nothing fired
        for labels, count, errors in zip(self.rules, tally.matches, tally.errors, strict=True):
            if count:
                sums.matches[labels] += count
                sums.errors[labels[0], labels[1]] += errors
        bundle, mode = self.said
        for rule, count in list(tally.said.items()):
            sums.matches[bundle, rule, mode] += count


class Ledger:
    """See the module's first lines. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._sums = Sums()
        self._plans: dict[int, _Kept] = {}
        self._counters: dict[int, Mapping[str, int]] = {}
        # What is gone is only noted when it goes: that may be in the middle of anything.
        self._gone: deque[int] = deque()
        self._guards: weakref.WeakSet[Guard] = weakref.WeakSet()
        self._topics: set[str] = set()
        self._rules: set[tuple[str, str, str]] = set()
        self._sayers: set[tuple[str, str]] = set()

    def guards(self) -> list[Guard]:
        """The guards that are alive."""
        with self._lock:
            return list(self._guards)

    def take_guard(self, guard: Guard) -> None:
        """Keep count of a guard from now on."""
        self.take_counters(guard, guard.counters)
        with self._lock:
            self._guards.add(guard)

    def take_counters(self, owner: object, counters: Mapping[str, int]) -> None:
        """Keep count of what `owner` counts by name, from now on."""
        number = next(self._numbers)
        with self._lock:
            self._fold()
            self._counters[number] = counters
        weakref.finalize(owner, self._gone.append, number).atexit = False

    def take_plan(self, plan: Plan) -> None:
        """Keep count of a plan from now on."""
        number = next(self._numbers)
        gone = self._gone

        def note(_reference: object) -> None:
            gone.append(number)

        with self._lock:
            self._fold()
            self._plans[number] = _Kept(
                weakref.ref(plan, note),
                plan.tally,
                self._topic(plan.topic),
                plan.stage,
                plan.all_clear.effect.value,
                self._labels(plan.rules),
                self._said(plan),
            )

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter that is no guard's own."""
        with self._lock:
            self._sums.counters[name] += by

    def sums(self) -> Sums:
        """What was counted so far."""
        with self._lock:
            self._fold()
            sums = self._sums.copy()
            for kept in self._plans.values():
                kept.add_to(sums)
            for counters in self._counters.values():
                sums.add_counters(counters)
            for labels in self._rules:
                sums.matches[labels] += 0  # a rule that never fired is known all the same
                sums.errors[labels[0], labels[1]] += 0
            for bundle, mode in self._sayers:
                for rule in _SAID:
                    sums.matches[bundle, rule, mode] += 0
        return sums

    def plans(self, most: int, choose: Callable[[Sequence[int], int], list[int]]) -> list[Plan]:
        """Up to `most` of the plans in use, by `choose` (as `random.sample`)."""
        with self._lock:
            numbers: Sequence[int] = tuple(self._plans)
            if len(numbers) > most:
                numbers = choose(numbers, most)
            found = [self._plans[number].plan() for number in numbers]
        return [plan for plan in found if plan is not None]

    def topic(self, name: str) -> str:
        """The label of a topic."""
        return name if name in self._topics else OTHER

    def _topic(self, name: str) -> str:
        if name in self._topics:
            return name
        if len(self._topics) >= _TOPICS_MAX:
            self._sums.counters["dropped/metrics/topics"] += 1
            return OTHER
        self._topics.add(name)
        return name

    def _labels(self, rules: Sequence[PlanRule]) -> tuple[tuple[str, str, str], ...]:
        labels: list[tuple[str, str, str]] = []
        for planned in rules:
            label = (planned.policy.id, planned.rule.id, planned.mode.value)
            if label not in self._rules:
                if len(self._rules) >= _RULES_MAX:
                    self._sums.counters["dropped/metrics/rules"] += 1
                    label = (*_UNSEEN, label[2])
                else:
                    self._rules.add(label)
            labels.append(label)
        return tuple(labels)

    def _said(self, plan: Plan) -> tuple[str, str]:
        """Bundle and mode of what the bundle itself says about an event of this plan."""
        bundle, mode = plan.settings.name, plan.mode.value
        if (bundle, mode) not in self._sayers:
            if len(self._sayers) >= _TOPICS_MAX:
                self._sums.counters["dropped/metrics/rules"] += 1
                return OTHER, mode
            self._sayers.add((bundle, mode))
        return bundle, mode

    def _fold(self) -> None:
        """Take in what is gone."""
        while self._gone:
            number = self._gone.popleft()
            kept = self._plans.pop(number, None)
            if kept is not None:
                kept.add_to(self._sums)
            counters = self._counters.pop(number, None)
            if counters is not None:
                self._sums.add_counters(counters)

    def after_fork(self) -> None:
        """In a child: whoever held the lock is not there."""
        self._lock = threading.Lock()


#: That of this process.
LEDGER = Ledger()


def _after_fork_in_child() -> None:
    LEDGER.after_fork()


_register: Callable[..., Any] | None = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_after_fork_in_child)
