"""Which rules are ever looked at together: topics, stages and times of their policies."""

from __future__ import annotations

from ..model import BundleSettings, Mode, Policy, Rule
from ..topics import fits_template, matches_glob

__all__ = ["contains", "is_enforced", "meets", "topics_meet"]


def meets(one: Policy, other: Policy) -> str:
    """Why no event is judged by both policies; empty where there may be one."""
    if not {*one.stages} & {*other.stages}:
        return "they have no stage in common"
    if not topics_meet(one, other):
        return "they have no topic in common"
    for first, second in ((one, other), (other, one)):
        until, since = first.effective_until, second.effective_from
        if until is not None and since is not None and until <= since:
            return "they are not effective at the same time"
    return ""


def topics_meet(one: Policy, other: Policy) -> bool:
    """Whether a topic may be named by both."""
    return any(_patterns_meet(a, b) for a in one.topics for b in other.topics)


def _patterns_meet(one: str, other: str) -> bool:
    if one == other or ("*" in one and "*" in other):
        return True
    return ("*" in one and matches_glob(one, other)) or ("*" in other and matches_glob(other, one))


def contains(outer: Policy, inner: Policy, settings: BundleSettings) -> bool:
    """Whether `outer` judges every event that `inner` judges."""
    if outer is inner:
        return True
    if not {*inner.stages} <= {*outer.stages} or outer.tombstones != inner.tombstones:
        return False
    since, until = outer.effective_from, outer.effective_until
    if since is not None and (inner.effective_from is None or inner.effective_from < since):
        return False
    if until is not None and (inner.effective_until is None or until < inner.effective_until):
        return False
    return all(_named(topic, outer, settings) for topic in inner.topics)


def _named(topic: str, policy: Policy, settings: BundleSettings) -> bool:
    if topic in policy.topics:
        return True
    if "*" in topic:
        return "*" in policy.topics
    # A glob never names a parking topic, an exact name does.
    parking = any(fits_template(each, topic) for each in settings.parking)
    globs = (pattern for pattern in policy.topics if "*" in pattern)
    return not parking and any(matches_glob(glob, topic) for glob in globs)


def is_enforced(policy: Policy, rule: Rule) -> bool:
    """Whether the rule counts, as far as its policy and itself say."""
    return policy.mode.weakest(rule.mode) is Mode.ENFORCE
