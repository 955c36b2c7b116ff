"""All advice on a bundle, as warnings beside its problems."""

from __future__ import annotations

from collections.abc import Collection

from ..problems import quoted
from ..written import Adviser, Written
from .coverage import topic_schemas, uncovered_topics
from .firing import (
    exemption_targets,
    idle_exemptions,
    lifted_rules,
    never_firing,
    shadow_exemptions,
)
from .habits import (
    ended_policies,
    missing_words,
    overdue_reviews,
    replay_gaps,
    unanchored_patterns,
)
from .masked import masked_reads
from .shadowing import COMPARISONS_MAX, Idle, idle_rules
from .subjects import subjects_of

__all__ = ["adviser"]


def adviser(topics: Collection[str] = (), today: str = "") -> Adviser:
    """What gives all advice; `topics` are names that policies should cover.

    Reviews that were due, and policies that ended, before `today` (`2026-03-01`) are told.
    """

    def advise(written: Written) -> None:
        subjects = subjects_of(written.policies)
        pairs = exemption_targets(subjects)
        missing_words(subjects)
        overdue_reviews(written.policies, today)
        ended_policies(written.policies, today)
        never_firing(subjects)
        idle, skipped = idle_rules(subjects, written.settings, lifted_rules(pairs))
        for each in idle:
            _tell_idle(each)
        if skipped:
            subjects[0].warn(
                "SW188",
                f"{skipped:,} pairs of rules were not compared with each other",
                remedy=f"at most {COMPARISONS_MAX:,} are; check directories one by one",
            )
        shadow_exemptions(subjects, written.settings.mode)
        idle_exemptions(pairs)
        masked_reads(subjects)
        replay_gaps(subjects)
        unanchored_patterns(subjects)
        uncovered_topics(written, topics)
        topic_schemas(written, subjects)

    return advise


def _tell_idle(idle: Idle) -> None:
    by, effect = quoted(idle.by.name), idle.by.rule.effect
    if idle.stricter:
        idle.rule.warn(
            "SW180",
            f"the rule never decides: whenever it fires, {by} does too, and has the stronger effect",
            remedy="narrow that rule's condition, or remove this one",
        )
        return
    idle.rule.warn(
        "SW181",
        f"the rule changes no decision: whenever it fires, {by} does too, with the effect "
        f"`{effect}` as well",
        remedy="remove one of them, or give this one another severity or effect",
    )
