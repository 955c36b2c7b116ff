"""Rules that judge at consume what a mask has changed at produce, and masks that leave a fact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..cel.ast import Call, Has, Index, Literal, Select, walk
from ..checking import MaskProblem, subjects_of_masks
from ..compiler.reads import reads_of
from ..model import Condition, Effect, MaskField, Path, Rule
from ..path_checks import place_of_mask
from ..privacy import path_of
from ..problems import quoted
from ..written import Adviser, Written
from .scopes import topics_meet
from .subjects import Subject, subjects_of

__all__ = ["mask_zeros", "masked_reads"]


def mask_zeros(zero_left: MaskProblem) -> Adviser:
    """What warns of masks that leave a number or a time, by what `zero_left` says of schemas."""

    def advise(written: Written) -> None:
        for subject in subjects_of(written.policies):
            for mask in subject.rule.masks:
                _leaves(subject, mask, zero_left)

    return advise


def _leaves(subject: Subject, mask: MaskField, zero_left: MaskProblem) -> None:
    for schema in subjects_of_masks(subject.policy):
        zero = zero_left(schema, mask.path, mask.how)
        if zero is not None:
            subject.warn(
                "SW189",
                f"`{mask.how}` of {quoted(mask.text)} leaves {zero}, which reads like a value of "
                "the event",
                place=place_of_mask(subject.written_rule, mask),
                remedy=f"let the field be null in the schema {quoted(schema)}: null is left then",
            )
            return


def masked_reads(subjects: Sequence[Subject]) -> None:
    """Warn once a rule and field; a rule that masks the field itself is no surprise."""
    masks: dict[str | int | None, list[tuple[Subject, MaskField]]] = {}
    for subject in subjects:
        if "produce" in subject.policy.stages and subject.enforced and _masks(subject.rule):
            for mask in subject.rule.masks:
                masks.setdefault(mask.path[0], []).append((subject, mask))
    if not masks:
        return
    for subject in subjects:
        if "consume" in subject.policy.stages and subject.rule.condition is not None:
            _reads_masked(subject, masks)


def _masks(rule: Rule) -> bool:
    return rule.effect is Effect.MASK or rule.on_error == "mask"


def _reads_masked(
    subject: Subject, masks: dict[str | int | None, list[tuple[Subject, MaskField]]]
) -> None:
    condition = subject.rule.condition
    reads = reads_of(None if condition is None else condition.expr)
    own = {mask.path for mask in subject.rule.masks}
    told: set[str] = set()
    for path, asked in _paths(reads.whole, asked=False) + _paths(reads.present, asked=True):
        for other, mask in masks.get(path[0], ()):
            if other is subject or mask.path in own or mask.text in told:
                continue
            if asked and _stays(path, mask):
                continue
            if len(mask.path) > len(path) and _not_entered(condition, path):
                continue  # A mask within it leaves it what it is.
            if _meet(path, mask.path) and topics_meet(subject.policy, other.policy):
                told.add(mask.text)
                _warn(subject, other, mask)


def _warn(subject: Subject, other: Subject, mask: MaskField) -> None:
    left = "it is gone" if mask.how == "drop" else f"what `{mask.how}` has left of it is"
    once = "produce" in subject.policy.stages
    subject.warn(
        "SW183",
        f"at consume {quoted(mask.text)} may have been masked by {quoted(other.name)} before: "
        + (f"{left} judged" if mask.how != "drop" else left),
        key="when" if subject.written_rule.when is not None else "require",
        remedy="give the rule a policy with `stages: [produce]`"
        if once
        else "judge it at produce, or mask at consume",
    )


def _paths(places: Iterable[tuple[str, Path]], *, asked: bool) -> list[tuple[Path, bool]]:
    return [
        (path, asked) for variable, path in sorted(places, key=repr) if variable == "value" and path
    ]


def _stays(path: Path, mask: MaskField) -> bool:
    """Whether what is only asked for is still there: all but what goes itself, or what holds it."""
    if len(mask.path) == len(path):
        return mask.how != "drop"
    return len(mask.path) > len(path)


def _not_entered(condition: Condition | None, path: Path) -> bool:
    """Whether a condition asks of a part what type it has, or whether it is null, and no more."""
    nodes = [] if condition is None else list(walk(condition.expr))
    outside = {id(arg) for n in nodes if isinstance(n, Call) and _asks_outside(n) for arg in n.args}
    entered = {id(n.operand) for n in nodes if isinstance(n, (Select, Index, Has))}
    found = {id(n) for n in nodes if path_of(n) == ("value", *path)} - entered
    return bool(found) and found <= outside


def _asks_outside(node: Call) -> bool:
    if node.target is not None:
        return False
    if node.function in ("==", "!="):
        return any(isinstance(arg, Literal) and arg.value is None for arg in node.args)
    return node.function == "type" and len(node.args) == 1


def _meet(one: Path, other: Path) -> bool:
    """Whether one path leads to the other, or to a part of it."""
    return all(
        a == b or a is None or b is None or isinstance(a, int) or isinstance(b, int)
        for a, b in zip(one, other, strict=False)
    )
