"""The rules of a bundle as lint looks at them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..documents import WrittenPolicy
from ..model import Policy, Rule
from ..nodes import Node
from ..rule_documents import WrittenRule
from .formulas import All, Formula, formula_of
from .scopes import is_enforced

__all__ = ["Subject", "subjects_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A rule with its policy, where they are written, and its condition as a formula."""

    written: WrittenPolicy
    written_rule: WrittenRule
    formula: Formula

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self.written.policy

    @property
    def rule(self) -> Rule:
        """The rule."""
        return self.written_rule.rule

    @property
    def enforced(self) -> bool:
        """Whether it counts."""
        return is_enforced(self.policy, self.rule)

    @property
    def name(self) -> str:
        """The policy and the rule, as messages and exemptions name it."""
        return f"{self.policy.id}/{self.rule.id}"

    def warn(
        self,
        code: str,
        message: str,
        *,
        key: str = "",
        place: Node | int | None = None,
        remedy: str,
    ) -> None:
        """Add a warning at `place`, else at the entry `key` of the rule, else at its id."""
        node = self.written_rule.node
        named = node.get(key) if key else None
        if named is None and key == "when":
            named = node.get("where")
        found = named or node.get("id") or node
        self.written.reader.problem(
            found if place is None else place, code, message, remedy=remedy, severity="warning"
        )


def subjects_of(policies: Iterable[WrittenPolicy]) -> list[Subject]:
    """All rules; one without a condition always fires."""
    subjects: list[Subject] = []
    for policy in policies:
        for rule in policy.rules:
            condition = rule.rule.condition
            formula = All(()) if condition is None else formula_of(condition.expr)
            subjects.append(Subject(policy, rule, formula))
    return subjects
