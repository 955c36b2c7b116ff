"""How the rules of a topic are evaluated, as a table and as JSON: `policy explain --plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from streamwarden.errors import ConfigurationError

from ..policy.compiler.describe import RulePlan
from ..policy.guard import Guard
from ..policy.plan import Plan, PlanRule
from .decide import STAGES
from .output import Output, counted, escaped

__all__ = ["PlanView", "plans_json", "plans_of", "print_plans"]

_WORDS = {"indexed": "indexed", "inline": "on every event", "constant": "constant"}


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan of one topic and stage, and how each of its rules is evaluated."""

    plan: Plan
    rules: tuple[tuple[PlanRule, RulePlan], ...]

    @property
    def reads(self) -> list[str]:
        """The places that rules read, as rules name them."""
        reads = self.plan.compiled.reads
        return sorted(
            variable + "".join("[]" if each is None else f".{each}" for each in path)
            for variable, path in reads.whole | reads.present
        )


def plans_of(guard: Guard, topic: str | None, stage: str | None) -> list[PlanView]:
    """The plans of `topic` and `stage`, or of all that the policies name, now.

    Raises ConfigurationError where there is none.
    """
    bundle, now = guard.bundle, guard.now()
    topics = [topic] if topic is not None else _topics(guard)
    plans = [
        guard.plan(each, at, now)
        for each in topics
        for at in (STAGES if stage is None else (stage,))
        if bundle.policies_for(each, at, now)
    ]
    if not plans:
        asked = "no policy" if topic is None else f"no policy of `{topic}`"
        raise ConfigurationError(
            f"{asked} applies {'now' if stage is None else f'at stage {stage} now'}",
            remedy="see `topics:`, `stages:` and the effective dates of the policies",
        )
    return [
        PlanView(plan, tuple(zip(plan.rules, plan.compiled.describe(), strict=True)))
        for plan in plans
    ]


def _topics(guard: Guard) -> list[str]:
    """The topics that policies name; a glob names none."""
    named = {topic for policy in guard.bundle.policies for topic in policy.topics}
    topics = sorted(topic for topic in named if "*" not in topic)
    if not topics:
        raise ConfigurationError(
            "the policies name topics only by glob", remedy="say --topic TOPIC"
        )
    return topics


def plans_json(views: Sequence[PlanView]) -> list[dict[str, Any]]:
    """Of each plan what it reads and how each rule is evaluated."""
    return [
        {
            "topic": view.plan.topic,
            "stage": view.plan.stage,
            "reads": view.reads,
            "rules": [
                {
                    "policy": planned.policy.id,
                    "rule": planned.rule.id,
                    "how": told.how,
                    "access": told.access,
                    "lookups": told.lookups,
                    "rest": told.rest,
                    "exact": told.exact,
                    "why": told.why,
                }
                for planned, told in view.rules
            ],
        }
        for view in views
    ]


def print_plans(views: Sequence[PlanView], output: Output) -> None:
    """A table for each plan: what each rule waits behind, and what is tried then."""
    for number, view in enumerate(views):
        if number:
            output.print("")
        output.print(Text(escaped(_title(view)), "bold"), Text(escaped(_reads(view)), "dim"))
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("rule", "evaluated", "waits for", "then", "looked up, or why not"):
            table.add_column(heading, overflow="fold")
        for planned, told in view.rules:
            waits = " or ".join(told.access)
            notes = [*told.lookups] if told.why is None else [told.why]
            if told.exact and told.how == "indexed":
                notes.append("exactly: " + ", ".join(told.exact))
            table.add_row(
                Text(escaped(f"{planned.policy.id}/{planned.rule.id}")),
                Text(_WORDS[told.how], "yellow" if told.how == "inline" else ""),
                Text(escaped(waits)),
                Text(escaped(" && ".join(told.rest))),
                Text(escaped("; ".join(notes))),
            )
        output.print(table)


def _title(view: PlanView) -> str:
    """`payments at stage produce: 5 rules, 4 indexed, 1 on every event`."""
    parts = [counted(len(view.rules), "rule")]
    for how, words in _WORDS.items():
        count = sum(told.how == how for _, told in view.rules)
        if count:
            parts.append(f"{count:,} {words}")
    exactly = sum(bool(told.exact) for _, told in view.rules)
    if exactly:
        parts.append(f"{exactly:,} with the exact evaluator")
    return f"{view.plan.topic} at stage {view.plan.stage}: {', '.join(parts)}"


def _reads(view: PlanView) -> str:
    if not view.reads:
        return "reads nothing of an event"
    read = "reads " + ", ".join(view.reads)
    if not view.plan.compiled.reads.reads_value:
        read += "; the value is not decoded"
    return read
