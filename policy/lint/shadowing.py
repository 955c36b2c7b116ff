"""Rules that another rule makes idle: whenever they fire, it fires too, and is as strict.

Comparing each rule with each other one would take the square of their number. Instead every rule is
filed under the atoms that have to stand in whatever it covers, and a rule is compared with those
filed under its own atoms alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..model import BundleSettings, Effect, Rule
from .claims import covers
from .formulas import All, Atom, Either, Formula
from .scopes import contains
from .subjects import Subject

__all__ = ["COMPARISONS_MAX", "Idle", "idle_rules"]

#: Some seconds of comparing. What lies beyond is not looked at, and that is told.
COMPARISONS_MAX: Final = 200_000
_LISTED_MAX: Final = 50
#: What every rule has: the key of one that always fires.
_ALWAYS: Final = "always"


@dataclass(frozen=True, slots=True)
class Idle:
    """A rule that decides nothing because of `by`; `stricter`: which wins, else says the same."""

    rule: Subject
    by: Subject
    stricter: bool


def idle_rules(
    subjects: Sequence[Subject], settings: BundleSettings, lifted: Iterable[Rule]
) -> tuple[list[Idle], int]:
    """Rules that another one makes idle, each once, and how many comparisons were left out.

    Rules that are `lifted` by an exemption cover nothing, since they may not count.
    """
    candidates = [each for each in subjects if each.rule.effect is not None and each.enforced]
    barred = {id(rule) for rule in lifted}
    usual = Counter(key for each in candidates for key in _offered(each.formula))
    filed: dict[str, list[int]] = {}
    for position, each in enumerate(candidates):
        if id(each.rule) not in barred and each.rule.on_error != "skip":
            for key in _needed(each.formula, usual):
                filed.setdefault(key, []).append(position)
    found: list[Idle] = []
    left = COMPARISONS_MAX
    skipped = 0
    for position, narrow in enumerate(candidates):
        near = {other for key in _offered(narrow.formula) for other in filed.get(key, ())}
        for other in sorted(near - {position}):
            if not left:
                skipped += 1
                continue
            left -= 1
            idle = _idle(narrow, candidates[other], settings, first=position < other)
            if idle is not None:
                found.append(idle)
                break
    return found, skipped


def _idle(narrow: Subject, wide: Subject, settings: BundleSettings, *, first: bool) -> Idle | None:
    order = _ranks(settings)
    power = max(order[effect] for effect in _effects(narrow.rule))
    least = min(order[effect] for effect in _effects(wide.rule))
    if least < power or not contains(wide.policy, narrow.policy, settings):
        return None
    if Effect.MASK in _effects(narrow.rule) and not _masks_as_much(wide.rule, narrow.rule):
        return None
    stricter = least > power
    if stricter and not _parks(wide.rule):
        return None  # A warning beside a mask is still one.
    if not stricter and not _says_as_much(wide.rule, narrow.rule):
        return None
    if not covers(narrow.formula, wide.formula):
        return None
    if not stricter and first and covers(wide.formula, narrow.formula):
        return None  # Of two that say the same, the later one is told.
    return Idle(narrow, wide, stricter)


def _ranks(settings: BundleSettings) -> dict[Effect, int]:
    ranks = {effect: effect.rank for effect in Effect}
    if settings.resolution == "approval_first":
        ranks[Effect.HOLD], ranks[Effect.REJECT] = ranks[Effect.REJECT], ranks[Effect.HOLD]
    return ranks


def _effects(rule: Rule) -> set[Effect]:
    """What the rule can do where it fires: its effect, and that of an error."""
    effects = {rule.effect or Effect.NONE}
    if rule.on_error not in ("fire", "skip"):
        effects.add(Effect(rule.on_error))
    return effects


def _parks(rule: Rule) -> bool:
    return _effects(rule) <= {Effect.HOLD, Effect.REJECT}


def _masks_as_much(wide: Rule, narrow: Rule) -> bool:
    if Effect.MASK not in _effects(wide):
        return False
    masked = {(mask.path, mask.how) for mask in wide.masks}
    return all((mask.path, mask.how) in masked for mask in narrow.masks)


def _says_as_much(wide: Rule, narrow: Rule) -> bool:
    """Whether people and approvals see no difference: another severity is a reason for a rule."""
    return wide.severity == narrow.severity and wide.approvals == narrow.approvals


# ------------------------------------------------------------------------- keys


def _keys(atom: Atom) -> list[str]:
    """Under what an atom looks for those that cover it."""
    keys = [atom.text]
    if atom.has_test:
        keys.append(f"about {atom.subject}")
    if atom.listed:
        keys += [_value_key(atom, value) for value in atom.values[:_LISTED_MAX]]
    return keys


def _offered(formula: Formula) -> set[str]:
    """The keys under which a rule looks for those that cover it."""
    if isinstance(formula, Atom):
        return {_ALWAYS, *_keys(formula)}
    if isinstance(formula, All):
        return {_ALWAYS}.union(*map(_offered, formula.parts))
    return _offered(formula.parts[0])  # What covers a disjunction covers each part of it.


def _needed(formula: Formula, usual: Counter[str]) -> set[str]:
    """The keys of which a rule has at least one if this one covers it."""
    if isinstance(formula, Either):
        return set[str]().union(*(_needed(part, usual) for part in formula.parts))
    if isinstance(formula, All):
        every = [_needed(part, usual) for part in formula.parts]
        return min(every, key=lambda keys: sum(usual[key] for key in keys), default={_ALWAYS})
    if formula.asks == "true":
        return {_ALWAYS}
    if not formula.has_test:
        return {formula.text}
    if formula.listed:
        return {formula.text, *(_value_key(formula, value) for value in formula.values)}
    return {formula.text, f"about {formula.subject}"}


def _value_key(atom: Atom, value: object) -> str:
    return f"{atom.subject} is {value!r}"
