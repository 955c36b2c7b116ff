"""What a change means for decisions: tightened, loosened, the same, or merely changed.

**Tightened** means: taken by itself, the change lets nothing through that was held or rejected
before, and treats no event more mildly (allow, warn, mask, hold, reject; under the resolution
`approval_first` hold and reject count as equal). **Loosened** is the opposite. Both are said only
where they can be proved; everything else is *changed*. *Same* means that no decision differs:
another reason, another owner, a rule in shadow mode.

Nothing is said of values that cannot be decoded: whether that is noticed depends on what the rules
of a topic read.

The proof is per rule: which outcomes of its condition can go together (`diff_conditions`), and what
each of them does to the event. Exemptions count the other way round: one that fires on more events
loosens. Whatever touches how bytes are read (`topics:` of the bundle, `strict_values`) is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .bundle import Bundle
from .compiler.reads import reads_of
from .diff import Change, compare
from .diff_conditions import ALL, Lists, Outcomes, State, mentions, outcomes
from .model import Approvals, Effect, MaskField, Mode, Path, Policy, Rule

__all__ = ["Meaning", "Verdict", "meanings", "overall"]


class Verdict(StrEnum):
    """What a change does to decisions."""

    SAME = "same"
    TIGHTENED = "tightened"
    LOOSENED = "loosened"
    CHANGED = "changed"

    def joined(self, other: Verdict) -> Verdict:
        """What both together come to."""
        if self is other or other is Verdict.SAME:
            return self
        return other if self is Verdict.SAME else Verdict.CHANGED

    @property
    def opposite(self) -> Verdict:
        """What the change backwards would be."""
        return _OPPOSITE.get(self, self)


_SAME, _TIGHTER, _LOOSER, _OTHER = (
    Verdict.SAME,
    Verdict.TIGHTENED,
    Verdict.LOOSENED,
    Verdict.CHANGED,
)
_OPPOSITE: Final = {_TIGHTER: _LOOSER, _LOOSER: _TIGHTER}
#: Settings whose values have an order, laxest first.
_ORDERED: Final = {
    "mode": ("off", "shadow", "enforce"),
    "undecodable": ("allow", "reject"),
    "tombstones": ("allow", "check", "reject"),
    "resolution": ("approval_first", "strictest"),
}
_DEFAULTS: Final = {
    "mode": "enforce",
    "undecodable": "reject",
    "tombstones": "allow",
    "resolution": "strictest",
    "uncovered": "warn",
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The verdict on one change. `because` are short reasons; empty where there is none to give."""

    change: Change
    verdict: Verdict
    because: tuple[str, ...] = ()


def meanings(before: Bundle | None, after: Bundle) -> tuple[Meaning, ...]:
    """Every change from `before` (None: nothing) to `after`, with what it means."""
    judge = _Judge(before or Bundle.empty(after.name), after)
    return tuple(judge.meaning(change) for change in compare(before, after))


def overall(found: Iterable[Meaning]) -> Verdict:
    """What all changes together come to."""
    verdict = _SAME
    for each in found:
        verdict = verdict.joined(each.verdict)
    return verdict


class _Judge:
    """Knows both bundles."""

    def __init__(self, before: Bundle, after: Bundle) -> None:
        self.before, self.after = before, after
        self.lists = Lists.of(before.lists, after.lists)
        self.old = {policy.id: policy for policy in before.policies}
        self.new = {policy.id: policy for policy in after.policies}
        self.rejects_uncovered = "reject" in (before.settings.uncovered, after.settings.uncovered)

    def meaning(self, change: Change) -> Meaning:
        because: list[str] = []
        if change.subject == "setting":
            verdict = self.setting(change)
        elif change.subject == "list":
            verdict = self.named_list(change.name, because)
        elif change.subject == "policy":
            verdict = self.policy(change.name, because)
        else:
            policy, _, rule = change.name.partition("/")
            verdict = self.rule(policy, rule, because)
        return Meaning(change, verdict, tuple(dict.fromkeys(because)))

    # Settings and lists.

    def setting(self, change: Change) -> Verdict:
        (field,) = change.fields
        name = field.name
        if name in ("guarded_from", "stamp", "bundle"):
            return _SAME
        was, now = (
            _DEFAULTS.get(name) if value is None else value for value in (field.before, field.after)
        )
        if was == now:
            return _SAME
        if name == "uncovered":
            # Warned about or allowed: such events pass either way.
            return _TIGHTER if now == "reject" else _LOOSER if was == "reject" else _SAME
        order = _ORDERED.get(name)
        if order is None or was not in order or now not in order:
            return _OTHER
        if name == "tombstones" and any(map(_lifts, (*self.old.values(), *self.new.values()))):
            return _OTHER  # exemptions are looked at on tombstones too, then
        return _TIGHTER if order.index(str(now)) > order.index(str(was)) else _LOOSER

    def named_list(self, name: str, because: list[str]) -> Verdict:
        """By the rules of both bundles that read it."""
        verdict, readers = _SAME, 0
        for old, was, new, now in self.pairs():
            conditions = [rule.condition for rule in (was, now) if rule.condition is not None]
            read = [mentions(condition.expr) for condition in conditions]
            if all(names is not None and name not in names for names in read):
                continue
            readers += 1
            reads_more = any(names is None or names != frozenset((name,)) for names in read)
            mixed = reads_more and len(self.lists.changed) > 1
            verdict = verdict.joined(_OTHER if mixed else self.compared(old, was, new, now, []))
        because.append(
            "no rule that stays reads it" if readers == 0 else f"read by {readers} of the rules"
        )
        return verdict

    def pairs(self) -> Iterator[tuple[Policy, Rule, Policy, Rule]]:
        for id_, old in self.old.items():
            new = self.new.get(id_)
            rules = {} if new is None else {rule.id: rule for rule in new.rules}
            for was in old.rules:
                now = rules.get(was.id)
                if new is not None and now is not None:
                    yield old, was, new, now

    # Policies: where and when their rules apply.

    def policy(self, name: str, because: list[str]) -> Verdict:
        old, new = self.old.get(name), self.new.get(name)
        if old is None or new is None:
            present = new or old
            assert present is not None
            if self.rejects_uncovered:
                because.append("events on topics without a policy are rejected")
                return _OTHER
            verdict = _SAME
            for rule in present.rules:
                verdict = verdict.joined(self.alone(present, rule))
            if present.tombstones == "reject" and present.mode is Mode.ENFORCE:
                verdict = verdict.joined(_TIGHTER)
            return verdict if old is None else verdict.opposite
        return self.scope(old, new, because)

    def scope(self, old: Policy, new: Policy, because: list[str]) -> Verdict:
        wider = _SAME  # tightened: the rules apply to more events
        for what, found in (
            ("topics", _subset(old.topics, new.topics)),
            ("stages", _subset(old.stages, new.stages)),
            ("dates", _dates(old, new)),
            ("mode", _stronger(old.mode, new.mode)),
            ("tombstones", self.tombstones(old, new)),
            ("park", _parks(old, new)),
        ):
            if found is not _SAME:
                because.append(f"{what} {_SCOPES[what][found]}")
            wider = wider.joined(found)
        if wider is _SAME:
            lifting = old.owner != new.owner and (_lifts(old) or _lifts(new))
            if lifting:
                because.append("the owner says which rules its exemptions may lift")
            return _OTHER if lifting else _SAME
        if self.rejects_uncovered and set(old.topics) != set(new.topics):
            because.append("events on topics without a policy are rejected")
            return _OTHER
        if wider is _OTHER or _lifts(old) or _lifts(new) or self.overlaps(old, new):
            return _OTHER
        return wider

    def tombstones(self, old: Policy, new: Policy) -> Verdict:
        order = _ORDERED["tombstones"]
        was, now = (order.index(policy.tombstones or "allow") for policy in (old, new))
        return _SAME if was == now else _TIGHTER if now > was else _LOOSER

    def overlaps(self, *policies: Policy) -> bool:
        return any(self.shared(rule) for policy in policies for rule in policy.rules)

    # Rules.

    def rule(self, policy: str, name: str, because: list[str]) -> Verdict:
        old, new = self.old.get(policy), self.new.get(policy)
        was = None if old is None else next((r for r in old.rules if r.id == name), None)
        now = None if new is None else next((r for r in new.rules if r.id == name), None)
        if old is not None and was is not None and new is not None and now is not None:
            return self.compared(old, was, new, now, because)
        if new is not None and now is not None:
            return self.alone(new, now)
        assert old is not None
        assert was is not None
        return self.alone(old, was).opposite

    def alone(self, policy: Policy, rule: Rule) -> Verdict:
        """What it means to add the rule."""
        if policy.mode.weakest(rule.mode) is not Mode.ENFORCE:
            return _SAME
        if rule.effect is None:
            return _LOOSER
        return _OTHER if self.shared(rule) else _TIGHTER

    def compared(
        self, old: Policy, was: Rule, new: Policy, now: Rule, because: list[str]
    ) -> Verdict:
        if (was.effect is None) != (now.effect is None):
            return _OTHER
        acts = _exemption if was.effect is None else _effect
        before, after = acts(old, was), acts(new, now)
        possible = ALL
        try:
            possible = outcomes(
                None if was.condition is None else was.condition.expr,
                None if now.condition is None else now.condition.expr,
                self.lists,
            )
        except RecursionError:
            because.append("the conditions are nested too deeply to be compared")
        verdict = _SAME
        for state, other in possible:
            verdict = verdict.joined(_milder_or_stricter(before[state], after[other]))
        because += _reasons(was, now, possible)
        if _reads_value(was) != _reads_value(now) and not (
            self.checks_tombstones(self.before, old) and self.checks_tombstones(self.after, new)
        ):
            because.append("on tombstones, rules that read the value are not looked at")
            verdict = _OTHER
        if was.effect is not None:
            lifters = _subset(was.exemptible_by, now.exemptible_by).opposite
            if lifters is not _SAME:
                because.append(
                    f"may be lifted by {'others' if lifters is _OTHER else _MORE[lifters]}"
                )
            verdict = verdict.joined(lifters)
            if verdict is not _SAME and (self.shared(was) or self.shared(now)):
                because.append("other rules mask the same fields")
                return _OTHER
        return verdict

    @staticmethod
    def checks_tombstones(bundle: Bundle, policy: Policy) -> bool:
        return {bundle.settings.tombstones, policy.tombstones} & {"check", "reject"} != set()

    def shared(self, rule: Rule) -> bool:
        """Whether another rule masks what this one masks.

        The stricter mask is applied then, and may succeed where the other one could not be applied
        and the event was rejected for that.
        """
        paths = [mask.path for mask in rule.masks]
        return bool(paths) and any(
            _overlap(path, mask.path)
            for bundle in (self.before, self.after)
            for policy in bundle.policies
            for other in policy.rules
            if (other.policy, other.id) != (rule.policy, rule.id)
            for mask in other.masks
            for path in paths
        )


_SCOPES: Final[Mapping[str, Mapping[Verdict, str]]] = {
    "topics": {_TIGHTER: "widened", _LOOSER: "narrowed", _OTHER: "moved"},
    "stages": {_TIGHTER: "widened", _LOOSER: "narrowed", _OTHER: "moved"},
    "dates": {_TIGHTER: "widened", _LOOSER: "narrowed", _OTHER: "moved"},
    "mode": {_TIGHTER: "stronger", _LOOSER: "weaker"},
    "tombstones": {_TIGHTER: "stricter", _LOOSER: "laxer"},
    "park": {_TIGHTER: "lets keys wait", _LOOSER: "lets no key wait"},
}
_MORE: Final = {_TIGHTER: "fewer", _LOOSER: "more"}


def _parks(old: Policy, new: Policy) -> Verdict:
    return _SAME if old.park == new.park else _TIGHTER if new.park == "key" else _LOOSER


def _lifts(policy: Policy) -> bool:
    return any(rule.effect is None for rule in policy.rules)


def _subset(old: Sequence[str], new: Sequence[str]) -> Verdict:
    was, now = set(old), set(new)
    if was == now:
        return _SAME
    return _TIGHTER if was < now else _LOOSER if was > now else _OTHER


def _dates(old: Policy, new: Policy) -> Verdict:
    earliest, latest = -1, 2**63
    was, now = (
        (
            earliest if policy.effective_from is None else policy.effective_from,
            latest if policy.effective_until is None else policy.effective_until,
        )
        for policy in (old, new)
    )
    if was == now:
        return _SAME
    if now[0] <= was[0] and now[1] >= was[1]:
        return _TIGHTER
    return _LOOSER if now[0] >= was[0] and now[1] <= was[1] else _OTHER


def _stronger(old: Mode, new: Mode) -> Verdict:
    was, now = old is Mode.ENFORCE, new is Mode.ENFORCE
    return _SAME if was == now else _TIGHTER if now else _LOOSER


def _reads_value(rule: Rule) -> bool:
    return reads_of(None if rule.condition is None else rule.condition.expr).reads_value


# -------------------------------------------------------------------- outcomes


@dataclass(frozen=True, slots=True)
class _Act:
    """What a rule does to an event: a rank, and what is compared among acts of equal rank."""

    rank: int
    masks: frozenset[tuple[Path, str]] = frozenset()
    approvals: Approvals | None = None
    lifted: frozenset[str] = frozenset()


_Acts = Mapping[State, _Act]


def _effect(policy: Policy, rule: Rule) -> _Acts:
    assert rule.effect is not None
    nothing = _Act(0)
    if policy.mode.weakest(rule.mode) is not Mode.ENFORCE:
        return {"T": nothing, "F": nothing, "E": nothing}
    failed = {"fire": rule.effect.value, "skip": ""}.get(rule.on_error, rule.on_error)
    return {
        "T": _act(rule, rule.effect),
        "F": nothing,
        "E": _act(rule, Effect(failed)) if failed else nothing,
    }


def _act(rule: Rule, effect: Effect) -> _Act:
    return _Act(
        effect.rank,
        frozenset(map(_mask, rule.masks)) if effect is Effect.MASK else frozenset(),
        (rule.approvals or Approvals()) if effect is Effect.HOLD else None,
    )


def _mask(mask: MaskField) -> tuple[Path, str]:
    return mask.path, mask.how


def _exemption(policy: Policy, rule: Rule) -> _Acts:
    nothing = _Act(0)
    if policy.mode.weakest(rule.mode) is not Mode.ENFORCE:
        return {"T": nothing, "F": nothing, "E": nothing}
    return {"T": _Act(0, lifted=frozenset(rule.exempts)), "F": nothing, "E": nothing}


def _milder_or_stricter(old: _Act, new: _Act) -> Verdict:
    if old.rank != new.rank:
        return _TIGHTER if new.rank > old.rank else _LOOSER
    return (
        _by_size(old.lifted, new.lifted)
        .opposite.joined(_masked(old.masks, new.masks))
        .joined(_agreed(old.approvals, new.approvals))
    )


def _masked(old: frozenset[tuple[Path, str]], new: frozenset[tuple[Path, str]]) -> Verdict:
    """More masks are stricter, unless one takes away what another one could not be applied to."""
    found = _by_size(old, new)
    paths = [path for path, _ in old | new]
    tangled = any(_overlap(one, other) for at, one in enumerate(paths) for other in paths[at + 1 :])
    return _OTHER if found is not _SAME and tangled else found


def _by_size(old: frozenset[object], new: frozenset[object]) -> Verdict:
    if old == new:
        return _SAME
    return _TIGHTER if old < new else _LOOSER if old > new else _OTHER


def _agreed(old: Approvals | None, new: Approvals | None) -> Verdict:
    if old == new or old is None or new is None:
        return _SAME
    if set(old.roles) != set(new.roles):
        return _OTHER
    return _SAME if old.need == new.need else _TIGHTER if new.need > old.need else _LOOSER


def _overlap(one: Path, other: Path) -> bool:
    return all(a == b or a is None or b is None for a, b in zip(one, other, strict=False))


def _reasons(was: Rule, now: Rule, possible: Outcomes) -> Iterator[str]:
    yield from _matching(was, now, possible)
    if was.effect != now.effect and was.effect is not None and now.effect is not None:
        yield f"{was.effect.value} became {now.effect.value}"
    if was.mode is not now.mode:
        yield f"{was.mode.value} became {now.mode.value}"
    if was.on_error != now.on_error:
        yield f"on an error {was.on_error} became {now.on_error}"
    if was.masks != now.masks:
        yield "other masks"
    if was.approvals != now.approvals:
        yield "other approvals"
    if set(was.exempts) != set(now.exempts):
        yield "lifts other rules"


def _matching(was: Rule, now: Rule, possible: Outcomes) -> Iterator[str]:
    """Whether it fires on more or fewer events; an error fires too, where the rules say so."""
    more = any(not _fires(was, a) and _fires(now, b) for a, b in possible)
    fewer = any(_fires(was, a) and not _fires(now, b) for a, b in possible)
    if more and fewer:
        yield "may fire on other events"
    elif more or fewer:
        yield f"fires on {'more' if more else 'fewer'} events"


def _fires(rule: Rule, state: State) -> bool:
    return state == "T" or (state == "E" and rule.effect is not None and rule.on_error != "skip")
