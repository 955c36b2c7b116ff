"""Rules that never fire, and exemptions that lift nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..model import Mode, Rule
from ..problems import quoted
from ..topics import matches_glob
from .claims import excludes, never_true
from .formulas import All, Atom, Formula, atoms, formula_of, one_of
from .scopes import meets
from .subjects import Subject

__all__ = [
    "exemption_targets",
    "idle_exemptions",
    "lifted_rules",
    "never_firing",
    "shadow_exemptions",
]


def never_firing(subjects: Iterable[Subject]) -> None:
    """Warn about conditions that no event makes true."""
    for subject in subjects:
        known = _known(subject)
        if not never_true(subject.formula, known):
            continue
        fails = subject.rule.effect is not None and subject.rule.on_error != "skip"
        certain = any(excludes(atom, subject.formula) for atom in known) or _is_false(subject)
        end = ", so that the rule never fires"
        if fails and not certain:
            end = ": the rule fires only where it cannot be evaluated"
        key, what, remedy = _why_never(subject, known)
        subject.warn("SW182", f"{what}{end}", key=key, remedy=f"{remedy}, or remove the rule")


def _why_never(subject: Subject, known: Sequence[Atom]) -> tuple[str, str, str]:
    """Which of `when` and `require` to look at, what is wrong with it, and what to change."""
    when, require = subject.rule.when, subject.rule.require
    condition = subject.formula if when is None or require is None else formula_of(when.expr)
    kept = None if require is None else formula_of(require.expr, positive=False)
    if kept is None or (when is not None and never_true(condition, known)):
        return "when", "no event makes the condition true", _change(subject, condition, known)
    if never_true(kept, known):
        remedy = _change(subject, kept, known, kept=True)
        return "require", "no event breaks `require`", remedy
    what = "where `when` is true, no event breaks `require`"
    return "require", what, "change one of the two"


def _change(
    subject: Subject, formula: Formula, known: Sequence[Atom], *, kept: bool = False
) -> str:
    """What to change in a formula that is true for no event; with `kept`, in what it denies."""
    policy = subject.policy
    if not never_true(formula):
        if never_true(formula, known[:1]):
            return f"the policy's `stages` are {', '.join(policy.stages)}: change one of the two"
        return f"the policy's `topics` are {', '.join(policy.topics)}: change one of the two"
    parts = formula.parts if isinstance(formula, All) else (formula,)
    if any(never_true(part) for part in parts):
        which = "it is" if len(parts) == 1 else "one of its parts is"
        truth = "true" if kept else "false"
        return f"{which} {truth} whatever the event holds: change it"
    if kept:
        return "no event breaks all of its parts: change one"
    return "two of its parts exclude each other: change one"


def _is_false(subject: Subject) -> bool:
    parts = subject.formula.parts if isinstance(subject.formula, All) else (subject.formula,)
    return any(isinstance(part, Atom) and part.asks == "false" for part in parts)


def _known(subject: Subject) -> list[Atom]:
    """What holds for every event that the rule sees: its stage, and its topic where one is asked."""
    policy = subject.policy
    known = [one_of("stage", policy.stages)]
    asked = [
        str(value)
        for atom in atoms(subject.formula)
        if atom.subject == "topic" and atom.has_test
        for value in atom.values
        if isinstance(value, str)
    ]
    exact = all("*" not in topic for topic in policy.topics)
    if exact:
        known.append(one_of("topic", policy.topics))
    elif asked:
        outside = [
            topic
            for topic in asked
            if not any(matches_glob(pattern, topic) for pattern in policy.topics)
        ]
        known += [one_of("topic", (topic,)).negated() for topic in outside]
    return known


# ------------------------------------------------------------------ exemptions


def exemption_targets(subjects: Sequence[Subject]) -> list[tuple[Subject, str, Subject]]:
    """Each exemption with the rule that it lifts, and how it names it."""
    by_name: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_name.setdefault(subject.rule.id, []).append(subject)
        by_name.setdefault(subject.name, []).append(subject)
    return [
        (subject, name, target)
        for subject in subjects
        for name in subject.rule.exempts
        for target in [_target(subject, by_name.get(name, []))]
        if target is not None
    ]


def _target(subject: Subject, found: Sequence[Subject]) -> Subject | None:
    """The rule of the same policy before that of another one."""
    own = [each for each in found if each.policy is subject.policy]
    chosen = own or found
    return chosen[0] if chosen else None


def shadow_exemptions(subjects: Iterable[Subject], bundle: Mode) -> None:
    """Warn about exemptions in shadow mode, which lift nothing at all; once where the bundle is."""
    for subject in subjects:
        own, policy = subject.rule.mode, subject.policy.mode
        mode = bundle.weakest(policy, own)
        if subject.rule.effect is not None or mode is not Mode.SHADOW:
            continue  # One that is off is off on purpose.
        which = "bundle" if bundle is mode else "policy" if policy is mode else "exemption"
        subject.warn(
            "SW184",
            f"the {which} is in shadow mode, in which exemptions lift nothing: the rules that "
            + ("they" if bundle is mode else "it")
            + " would lift fire on",
            key="mode" if which == "exemption" else "exempts",
            remedy="take out `mode: shadow` where these events are to be let through",
        )
        if bundle is mode:
            return


def idle_exemptions(pairs: Iterable[tuple[Subject, str, Subject]]) -> None:
    """Warn about exemptions that lift nothing of a rule that they name."""
    for subject, name, target in pairs:
        if not subject.enforced:
            continue  # Those in shadow mode are told already.
        why = _lifts_nothing(subject, target)
        if why:
            subject.warn(
                "SW184",
                f"this lifts nothing of {quoted(name)}: {why}",
                key="exempts",
                remedy="change the condition, or take the rule out of `exempts`",
            )


def _lifts_nothing(subject: Subject, target: Subject) -> str:
    modes: Mapping[Mode, str] = {Mode.OFF: "that rule is off"}
    mode = target.policy.mode.weakest(target.rule.mode)
    if mode in modes:
        return modes[mode]
    apart = meets(subject.policy, target.policy)
    if apart:
        return apart
    if excludes(subject.formula, target.formula):
        return "where this fires, that rule never does"
    return ""


def lifted_rules(pairs: Iterable[tuple[Subject, str, Subject]]) -> list[Rule]:
    """The rules that some exemption names."""
    return [target.rule for _, _, target in pairs]
