"""What people will miss later: reasons, severities, anchors of patterns, facts of a replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..cel.ast import Call, Literal, walk
from ..compiler.reads import reads_of
from ..conditions import Part
from ..documents import WrittenPolicy
from ..model import Mode
from ..problems import quoted
from .anchors import Anchors, anchors_of
from .subjects import Subject

__all__ = [
    "ended_policies",
    "missing_words",
    "overdue_reviews",
    "replay_gaps",
    "unanchored_patterns",
]

#: What history does not carry, and how a rule could do without.
_NOT_KEPT: Final = {
    "facts": "publish what the rule needs with the event, as a field or header",
    "client": "ask for a header or field that the event carries",
    "stamp": "ask for a header or field that the event carries",
}
#: Rules that one warning names.
_NAMED: Final = 5


def missing_words(subjects: Iterable[Subject]) -> None:
    """Warn of the rules without a reason or severity, once a policy.

    Exemptions need none, and those that are off say nothing to anybody.
    """
    said = [each for each in subjects if each.rule.effect is not None and _is_on(each)]
    _tell_once(
        [each for each in said if not each.rule.reason],
        "SW172",
        "gives no reason",
        "give no reason",
        remedy="say in `reason:` what people are to read; `{value.amount}` fills in a field",
    )
    _tell_once(
        [each for each in said if each.rule.severity is None],
        "SW173",
        "has no severity",
        "have no severity",
        remedy="add `severity:`, one of critical, high, medium, low, info",
    )


def _is_on(subject: Subject) -> bool:
    return subject.rule.mode is not Mode.OFF


def _tell_once(found: Sequence[Subject], code: str, one: str, many: str, *, remedy: str) -> None:
    """One warning for all rules of a policy, at the first of them."""
    by_policy: dict[int, list[Subject]] = {}
    for subject in found:
        by_policy.setdefault(id(subject.written), []).append(subject)
    for subjects in by_policy.values():
        names = ", ".join(quoted(each.rule.id) for each in subjects[:_NAMED])
        more = f" and {len(subjects) - _NAMED} more" if len(subjects) > _NAMED else ""
        what = (
            f"the rule {names} {one}" if len(subjects) == 1 else f"the rules {names}{more} {many}"
        )
        subjects[0].warn(code, what, remedy=remedy)


def overdue_reviews(policies: Iterable[WrittenPolicy], today: str) -> None:
    """Warn of policies whose review was due before `today` (`2026-03-01`); nothing else changes."""
    for written in policies:
        if written.policy.is_overdue(today):
            what = f"the review of policy {quoted(written.policy.id)} was due by {written.policy.review_by}"
            _warn_at(
                written,
                "review",
                "SW174",
                what,
                "look at it again, and write the next day into `review`",
            )


def ended_policies(policies: Iterable[WrittenPolicy], today: str) -> None:
    """Warn of policies that were in force until before `today` (`2026-03-01`), and judge nothing."""
    for written in policies:
        if written.policy.has_ended(today):
            what = f"the policy {quoted(written.policy.id)} has ended, and judges nothing any more"
            _warn_at(
                written,
                "effective",
                "SW175",
                what,
                "move `until` in `effective`, or remove the policy",
            )


def _warn_at(written: WrittenPolicy, key: str, code: str, message: str, remedy: str) -> None:
    place = written.node.get(key) or written.node
    written.reader.problem(place, code, message, remedy=remedy, severity="warning")


def replay_gaps(subjects: Iterable[Subject]) -> None:
    """Warn about rules that ask for what a replay does not know."""
    for subject in subjects:
        condition = subject.rule.condition
        if condition is None or not {*subject.policy.stages} - {"consume"}:
            continue  # Consume decisions are not replayed.
        read = reads_of(condition.expr).variables
        for variable in sorted(read & _NOT_KEPT.keys()):
            subject.warn(
                "SW185",
                f"a replay has no `{variable}`, so that events may be undecidable",
                key="when" if subject.written_rule.when is not None else "require",
                remedy=_NOT_KEPT[variable],
            )


def unanchored_patterns(subjects: Iterable[Subject]) -> None:
    """Warn about patterns that match in the middle of a text, perhaps without meaning to."""
    for subject in subjects:
        for condition in (subject.written_rule.when, subject.written_rule.require):
            for part in () if condition is None else condition.parts:
                for node in walk(part.expr):
                    if isinstance(node, Call) and node.function == "matches":
                        _pattern(subject, part, node)


def _pattern(subject: Subject, part: Part, node: Call) -> None:
    literal = node.args[-1]
    if not isinstance(literal, Literal) or not isinstance(literal.value, str):
        return
    anchors = anchors_of(literal.value)
    problem = _loose(literal.value, anchors)
    if problem:
        place = part.index(subject.written.reader, literal.span.start)
        subject.warn("SW186", problem, place=place, remedy=_anchored(anchors))


def _loose(pattern: str, anchors: Anchors) -> str:
    """What a pattern lets through that it may not mean to; empty where it is anchored."""
    if anchors.fixed or not anchors.bare:
        return ""
    if anchors.lines:
        signs = " and ".join(map(quoted, anchors.lines))
        verb = "stands for a line" if len(anchors.lines) == 1 else "stand for lines"
        return f"in the pattern {quoted(pattern)} {signs} {verb} of the text, because of `(?m)`"
    if anchors.some:
        signs = " and ".join(map(quoted, anchors.some))
        verb = "belongs" if len(anchors.some) == 1 else "belong"
        return f"in the pattern {quoted(pattern)} {signs} {verb} to some of the alternatives only"
    return f"the pattern {quoted(pattern)} matches anywhere in the text"


def _anchored(anchors: Anchors) -> str:
    written = f"{anchors.flags}^(?:{anchors.bare})$"
    return f"write {quoted(written)} for the whole text, or `.*` where any text may stand"
