"""What changed between two versions that makes an event come out differently."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import cast

import msgspec

from ..policy.bundle import Bundle
from ..policy.cel import unparse
from ..policy.cel.ast import Expr, Literal, children
from ..policy.compiler.reads import reads_of
from ..policy.decision import Decision
from ..policy.model import Mode, Policy, Rule
from ..policy.plan import Entry, Plan, PlanRule, SyntheticRule

__all__ = ["change_between", "deciding_rules"]

_DIFFERENCES_MAX = 3
_TEXT_MAX_CHARS = 100
_RULES_MAX = 5
#: Entries of a list that are named; of more it is told how many.
_ENTRIES_MAX = 2


def deciding_rules(decision: Decision) -> list[Entry]:
    """The hits that made the effect of `decision`."""
    return [
        entry
        for entry in decision.outcome.entries
        if entry.exempted_by is None
        and entry.mode.value == "enforce"
        and entry.effect == decision.effect.value
    ]


def change_between(
    then: Decision | None,
    now: Decision,
    old: Bundle | None,
    new: Bundle,
    unsure: tuple[Collection[int], Collection[int]] = ((), ()),
) -> str:
    """The difference in a few words, `over-limit: 50000 → 10000`; empty where none is found.

    `then` is what the stamped version decided, None where it is not at hand. `unsure` are rules of
    the one and the other plan of which it is not known whether they fire: they are left out.
    """
    if then is None or old is None:
        return ""
    told: list[str] = []
    strict = now.effect.rank >= then.effect.rank
    deciding, other = (now, then) if strict else (then, now)
    left_out = unsure[1] if strict else unsure[0]
    surely = [entry for entry in deciding_rules(deciding) if entry.rule not in left_out]
    for entry in surely[:_RULES_MAX]:
        if isinstance(entry.rule, SyntheticRule):
            told += _setting_change(entry.rule.id, then.plan, now.plan, old, new)
            continue
        planned = deciding.plan.rules[entry.rule]
        mate = _find(other.plan, planned)
        before, after = (mate, planned) if strict else (planned, mate)
        hit = _hit(other, planned, unsure[0] if strict else unsure[1])
        found = _rule_change(before, after, then.plan, now.plan, old, new, fired=hit is not None)
        if not found or (hit is not None and hit.exempted_by):
            found = [*_lifting_change(planned, then, now, old, new), *found]
        told += found
    return "; ".join(dict.fromkeys(told)) or _settings_change(old, new)


def _hit(decision: Decision, like: PlanRule, unsure: Collection[int]) -> Entry | None:
    """The hit of the same rule in another decision; None where it surely or perhaps has none."""
    for entry in decision.outcome.entries:
        if isinstance(entry.rule, SyntheticRule) or entry.rule in unsure:
            continue
        if _is_same(decision.plan.rules[entry.rule], like):
            return entry
    return None


def _is_same(one: PlanRule, other: PlanRule) -> bool:
    return (one.policy.id, one.rule.id) == (other.policy.id, other.rule.id)


def _find(plan: Plan, like: PlanRule) -> PlanRule | None:
    for planned in plan.rules:
        if _is_same(planned, like):
            return planned
    return None


def _rule_change(
    before: PlanRule | None,
    after: PlanRule | None,
    then: Plan,
    now: Plan,
    old: Bundle,
    new: Bundle,
    *,
    fired: bool = False,
) -> list[str]:
    """What differs in a rule. `fired`: it did in both versions, so that its conditions do not count."""
    guard = _guard_change(then, now, old)
    if before is None or after is None:
        if guard and then.mode is Mode.OFF:
            return guard
        present = before or after
        assert present is not None  # one of the two was found
        if before is None and then.stage != now.stage:
            return [f"{present.rule.id}: judged at stage {now.stage}, not {then.stage}"]
        return [_appearance(present, old, new, now.stage, appeared=before is None)]
    name, one, two = after.rule.id, before.rule, after.rule
    told: list[str] = []
    if one.effect is not two.effect:
        told.append(f"{name}: {_word(one.effect)} → {_word(two.effect)}")
    if guard:
        told += guard
    elif before.mode is not after.mode:
        told.append(f"{name}: mode {before.mode.value} → {after.mode.value}")
    told += (f"{name}: {pair}" for pair in _conditions(one, two) if not fired)
    if one.on_error != two.on_error:
        told.append(f"{name}: on_error {one.on_error} → {two.on_error}")
    masks = (_masks(one), _masks(two))
    if masks[0] != masks[1]:
        told.append(f"{name}: masks {masks[0] or 'nothing'} → {masks[1] or 'nothing'}")
    told += (f"{name}: {change}" for change in _lists(two, then, now) if not fired)
    return told


def _guard_change(then: Plan, now: Plan, old: Bundle) -> list[str]:
    """That a guard ran in a weaker mode than its bundle."""
    if then.mode in (old.settings.mode, now.mode):
        return []
    return [f"guard: mode {then.mode.value} → {now.mode.value}"]


def _word(value: object) -> str:
    return "exempt" if value is None else str(value)


def _masks(rule: Rule) -> str:
    return ", ".join(f"{mask.text} {mask.how}" for mask in rule.masks)


def _appearance(planned: PlanRule, old: Bundle, new: Bundle, stage: str, *, appeared: bool) -> str:
    """Why a rule is in one plan and not in the other."""
    name = planned.rule.id
    absent_from = old if appeared else new
    policy = next((p for p in absent_from.policies if p.id == planned.policy.id), None)
    if policy is None or all(rule.id != name for rule in policy.rules):
        return f"{name}: {'added' if appeared else 'removed'}"
    before, after = (policy, planned.policy) if appeared else (planned.policy, policy)
    moved = _scope_change(before, after)
    if moved:
        return moved
    if stage not in planned.policy.stages and "reconcile" in planned.policy.stages:
        return f"{name}: checked by the reconciler only"
    if before.effective_from is not None or before.effective_until is not None:
        return f"{after.id}: effective {_period(after)}"
    return f"{name}: {'in force now' if appeared else 'no longer in force'}"


def _scope_change(before: Policy, after: Policy) -> str:
    """What differs in when and where a policy applies; empty where nothing does."""
    if (before.effective_from, before.effective_until) != (
        after.effective_from,
        after.effective_until,
    ):
        return f"{after.id}: effective {_period(before)} → {_period(after)}"
    if before.stages != after.stages:
        return f"{after.id}: stages {', '.join(before.stages)} → {', '.join(after.stages)}"
    if before.topics != after.topics:
        return f"{after.id}: topics {', '.join(before.topics)} → {', '.join(after.topics)}"
    return ""


def _period(policy: Policy) -> str:
    since, until = policy.effective_from, policy.effective_until
    if since is None and until is None:
        return "always"
    return " ".join(
        f"{word} {dt.datetime.fromtimestamp(edge / 1e9, dt.UTC).date().isoformat()}"
        for word, edge in (("from", since), ("until", until))
        if edge is not None
    )


def _conditions(one: Rule, two: Rule) -> list[str]:
    before = None if one.condition is None else one.condition.expr
    after = None if two.condition is None else two.condition.expr
    if before is None or after is None:
        if before is after:
            return []
        return [f"{_short(before)} → {_short(after)}"]
    pairs = list(_differences(before, after))
    if len(pairs) > _DIFFERENCES_MAX:
        return [f"{_short(before)} → {_short(after)}"]
    return [f"{_short(old)} → {_short(new)}" for old, new in pairs]


def _differences(one: Expr, two: Expr) -> Iterator[tuple[Expr, Expr]]:
    """The smallest parts in which two conditions differ, in the order written."""
    parts_one, parts_two = children(one), children(two)
    if type(one) is not type(two) or len(parts_one) != len(parts_two) or not parts_one:
        if not _alike(one, two):
            yield one, two
        return
    if _own(one) != _own(two):
        yield one, two
        return
    for part_one, part_two in zip(parts_one, parts_two, strict=True):
        yield from _differences(part_one, part_two)


def _alike(one: Expr, two: Expr) -> bool:
    if isinstance(one, Literal) and isinstance(two, Literal):
        return type(one.value) is type(two.value) and one.value == two.value
    return unparse(one) == unparse(two)


def _own(node: Expr) -> Sequence[object]:
    """What a node says itself, without its parts and its place in the text."""
    own: list[object] = [getattr(node, field.name) for field in fields(node)]
    return [value for value in own if type(value) in (str, bool, frozenset) or _names(value)]


def _names(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(item, str) for item in cast("tuple[object, ...]", value)
    )


def _short(expr: Expr | None) -> str:
    return _cut("always" if expr is None else unparse(expr))


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX_CHARS else text[: _TEXT_MAX_CHARS - 1] + "…"


def _lists(rule: Rule, then: Plan, now: Plan) -> Iterator[str]:
    """How the lists differ that a rule reads: the entries where they are few, else how many.

    What is looked up for a sensitive field may be what stands in it, and is not told.
    """
    if rule.condition is None:
        return
    old, new = then.lists, now.lists
    reads = reads_of(rule.condition.expr)
    paths = reads.paths("lists")
    names = {path[0] for path in paths if path} if all(paths) else {*old, *new}
    read = [(variable, *path) for variable, path in reads.whole | reads.present]
    secret = any(plan.privacy.hides(path) for plan in (then, now) for path in read)
    for name in sorted(str(name) for name in names):
        before, after = _members(old.get(name)), _members(new.get(name))
        if before == after:
            continue
        hidden = secret or any(plan.privacy.hides(("lists", name)) for plan in (then, now))
        moved = [("+", after - before), ("-", before - after)]
        told = [_moved(sign, entries, hidden=hidden) for sign, entries in moved if entries]
        yield f"list {name} {' '.join(told)}"


def _moved(sign: str, entries: set[str], *, hidden: bool) -> str:
    """`+"KP", +"IR"` for two entries that may be told, `+3` for more."""
    if hidden or len(entries) > _ENTRIES_MAX:
        return f"{sign}{len(entries)}"
    return ", ".join(f"{sign}{_cut(entry)}" for entry in sorted(entries))


def _members(content: object) -> set[str]:
    if isinstance(content, Mapping):
        entries = cast("Mapping[object, object]", content)
        return {f"{_entry(name)}: {_entry(entries[name])}" for name in entries}
    if isinstance(content, Iterable):
        return {_entry(item) for item in cast("Iterable[object]", content)}
    return set()


def _entry(value: object) -> str:
    """An entry of a list as policies write it."""
    return msgspec.json.encode(value, enc_hook=repr).decode()


def _lifting_change(
    planned: PlanRule, then: Decision, now: Decision, old: Bundle, new: Bundle
) -> list[str]:
    """A rule that is the same in both versions: what lifted it in one and not in the other."""
    for decision in (then, now):
        for entry in decision.outcome.entries:
            if not isinstance(entry.rule, int) or entry.exempted_by is None:
                continue
            hit = decision.plan.rules[entry.rule]
            if not _is_same(hit, planned):
                continue
            lifter = next(
                rule
                for rule in decision.plan.rules
                if f"{rule.policy.id}/{rule.rule.id}" == entry.exempted_by
            )
            mate = _find((now if decision is then else then).plan, lifter)
            pair = (lifter, mate) if decision is then else (mate, lifter)
            lifts = "no longer lifted by" if decision is then else "lifted by"
            return _rule_change(pair[0], pair[1], then.plan, now.plan, old, new) or [
                f"{planned.rule.id}: {lifts} {lifter.rule.id}"
            ]
    return []


def _setting_change(name: str, then: Plan, now: Plan, old: Bundle, new: Bundle) -> list[str]:
    """What differs in what the bundles, and for tombstones their policies, say themselves."""
    if name != "tombstone":
        return _settings(name, old, new)
    told = _settings("tombstones", old, new)
    before, after = _refusing(then), _refusing(now)
    for policy in sorted(before.keys() ^ after.keys()):
        appeared = policy in after
        absent_from = old if appeared else new
        present = after[policy] if appeared else before[policy]
        mate = next((each for each in absent_from.policies if each.id == policy), None)
        if mate is None:
            told.append(f"{policy}: {'added' if appeared else 'removed'}, with tombstones: reject")
            continue
        one, two = (mate, present) if appeared else (present, mate)
        asked = (one.tombstones or "allow", two.tombstones or "allow")
        if asked[0] != asked[1]:
            told.append(f"{policy}: tombstones {asked[0]} → {asked[1]}")
        elif one.mode is not two.mode:
            told.append(f"{policy}: mode {one.mode.value} → {two.mode.value}")
        else:
            standing = "in force now" if appeared else "no longer in force"
            told.append(_scope_change(one, two) or f"{policy}: {standing}")
    return told


def _refusing(plan: Plan) -> dict[str, Policy]:
    """The enforced policies of a plan that refuse tombstones themselves."""
    return {
        planned.policy.id: planned.policy
        for planned in plan.rules
        if planned.policy.tombstones == "reject" and planned.policy.mode is Mode.ENFORCE
    }


def _settings(name: str, old: Bundle, new: Bundle) -> list[str]:
    before, after = getattr(old.settings, name, None), getattr(new.settings, name, None)
    return [] if before == after else [f"{name}: {before} → {after}"]


def _settings_change(old: Bundle, new: Bundle) -> str:
    told: list[str] = []
    for name in ("mode", "resolution", "undecodable", "tombstones", "uncovered"):
        told += _settings(name, old, new)
    return "; ".join(told)
