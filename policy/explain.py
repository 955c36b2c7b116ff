"""The why-trail: the rules that fired, evaluated once more, step by step.

Nothing here runs for an event that passes untouched. Values derived from sensitive paths show as
`***`; only the results of conditions pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from msgspec import structs

from ..schemas.event import Event
from .cel import CelError, Program, compile_exact, unparse
from .cel.ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Not,
    Or,
    Select,
    children,
    walk,
)
from .compiler import Undecodable
from .match import Match
from .model import Path, Policy, ReasonPart, Rule
from .privacy import HIDDEN, Privacy, path_of, show_text
from .privacy import show as show_value

if TYPE_CHECKING:
    from .decision import Decision
    from .plan import Entry, Plan

__all__ = ["Trail", "explain_matches", "explain_rules", "path_text"]

#: A trail is read by people: past this many steps it is cut, and says so.
_STEPS_MAX = 120
_REASON_MAX_CHARS = 300
_EXPR_MAX_CHARS = 300
_MISSING = object()


def explain_matches(decision: Decision) -> tuple[Match, ...]:
    """Every hit of `decision` as a match with its evidence."""
    entries = decision.outcome.entries
    if not entries:
        return ()
    plan, event = decision.plan, decision.event
    known = _known(plan, event)
    return tuple(_match(plan, entry, known) for entry in entries)


def explain_rules(decision: Decision) -> tuple[Match, ...]:
    """Every rule of the plan with its evidence; one that did not fire has the effect `none`."""
    plan = decision.plan
    fired = {entry.rule: entry for entry in decision.outcome.entries if isinstance(entry.rule, int)}
    known = _known(plan, decision.event)
    return tuple(
        _match(plan, fired[index], known)
        if index in fired
        else _rule_match(plan, index, known, effect="none")
        for index in range(len(plan.rules))
    )


def _known(plan: Plan, event: Event) -> Mapping[str, object]:
    """Every variable of the event; all but the value where that does not decode."""
    for attempt in (event, structs.replace(event, value=None)):
        found = plan.compiled.activation(attempt)
        if not isinstance(found, Undecodable):
            break
    else:
        return {}  # not even the key decodes
    if attempt is event:
        return found
    return {name: found[name] for name in found if name not in ("value", "message")}


def _match(plan: Plan, entry: Entry, known: Mapping[str, object]) -> Match:
    if not isinstance(entry.rule, int):
        said = entry.rule
        return Match(
            policy=plan.settings.name,
            rule=said.id,
            effect=entry.effect,
            mode=entry.mode,
            exempted_by=entry.exempted_by,
            reason=said.reason,
            severity="high",
            remediation=said.remediation,
            owner="",
            class_="platform",
            error=None,
            why=None,
        )
    return _rule_match(
        plan,
        entry.rule,
        known,
        effect=entry.effect,
        errored=entry.errored,
        exempted_by=entry.exempted_by,
    )


def _rule_match(
    plan: Plan,
    index: int,
    known: Mapping[str, object],
    *,
    effect: str,
    errored: bool = False,
    exempted_by: str | None = None,
) -> Match:
    planned = plan.rules[index]
    rule, policy = planned.rule, planned.policy
    trail = plan.trails.get(index)
    if trail is None:
        trail = plan.trails[index] = Trail(rule, plan.privacy)
    why, error = trail.evidence(known)
    if errored and error is None:
        error = "the condition could not be evaluated"
    return Match(
        policy=policy.id,
        rule=rule.id,
        effect=effect,
        mode=planned.mode,
        exempted_by=exempted_by,
        reason=_reason(rule, policy, plan.privacy, known),
        severity=rule.severity,
        remediation=rule.remediation,
        owner=policy.owner,
        class_=policy.class_,
        error=error if errored else None,
        why=why,
    )


class Trail:
    """How one rule is explained: its sub-conditions and the fields they read, prepared once.

    Thread-safe: nothing changes after it is made.
    """

    __slots__ = ("_step",)

    def __init__(self, rule: Rule, privacy: Privacy) -> None:
        steps = iter(range(_STEPS_MAX))
        condition = rule.condition
        self._step = None if condition is None else _condition(condition.expr, privacy, steps)

    def evidence(self, known: Mapping[str, object]) -> tuple[dict[str, Any], str | None]:
        """The why-trail under these variables, and the error of the whole condition."""
        if self._step is None:
            return {"expr": "true", "result": True, "parts": []}, None
        why = self._step.evidence(known)
        return why, why.get("error")


@dataclass(frozen=True, slots=True)
class _Step:
    """One line of a trail. `key` is `result` for conditions, `value` for what they read.

    A `hidden` value is never shown, one that is `derived` from a sensitive path if it is a boolean.
    """

    text: str
    key: str
    program: Program
    path: str | None
    hidden: bool
    parts: tuple[_Step, ...] | None
    cut: bool = False
    derived: bool = False

    def evidence(self, known: Mapping[str, object]) -> dict[str, Any]:
        """The line with its value, and those below it."""
        line: dict[str, Any] = {"expr": self.text}
        if self.path is not None:
            line["path"] = self.path
        value = self.program(known)
        if isinstance(value, CelError):
            line[self.key] = None
            line["error"] = value.message
        elif self.hidden or (self.derived and not isinstance(value, bool)):
            line[self.key] = HIDDEN
        else:
            line[self.key] = show_value(value)
        if self.parts is not None:
            line["parts"] = [part.evidence(known) for part in self.parts]
        if self.cut:
            line["cut"] = True
        return line


def _condition(node: Expr, privacy: Privacy, steps: Iterator[int]) -> _Step:
    """A condition with its parts: sub-conditions, or the fields that it reads."""
    path = path_of(Select(node.operand, node.field) if isinstance(node, Has) else node)
    parts: list[_Step] = []
    cut = False
    for child in () if path is not None else _evaluated(node):
        if next(steps, None) is None:
            cut = True
            break
        if _is_condition(child) or isinstance(node, (And, Or, Not, Conditional)):
            parts.append(_condition(child, privacy, steps))
        else:
            parts.extend(_reads(child, privacy))
    # Whether a field is there is a boolean.
    derived = not isinstance(node, Has) and privacy.taints(node)
    hidden = derived and (path is not None or not _is_condition(node))
    return _Step(
        _short(unparse(node)),
        "result",
        compile_exact(node),
        None if path is None else path_text(path),
        hidden,
        tuple(parts),
        cut,
        derived,
    )


def _evaluated(node: Expr) -> tuple[Expr, ...]:
    """The parts that have one value: all but the body of a comprehension."""
    return (node.range,) if isinstance(node, Comprehension) else children(node)


def _is_condition(node: Expr) -> bool:
    if isinstance(node, Call):
        return node.function in _COMPARISONS or node.function in _PREDICATES
    if isinstance(node, Comprehension):
        return node.macro in ("all", "exists", "exists_one")
    return isinstance(node, (And, Or, Not, Conditional, Has))


_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_PREDICATES = frozenset({"matches", "startsWith", "endsWith", "contains"})


def _reads(node: Expr, privacy: Privacy) -> list[_Step]:
    """The fields that an operand reads, each with its value; computed operands come first."""
    if not any(isinstance(below, Ident) for below in walk(node)):
        return []  # a constant explains itself
    path = path_of(node)
    own = _Step(
        _short(unparse(node)),
        "value",
        compile_exact(node),
        None if path is None else path_text(path),
        privacy.taints(node),
        None,
    )
    if path is not None:
        return [own]
    return [own, *(part for child in _evaluated(node) for part in _reads(child, privacy))]


def path_text(path: Path) -> str:
    """A path as people write it: `value.items[0].price`, `headers["odd-name"]`."""
    text = str(path[0])
    for segment in path[1:]:
        if segment is None:
            text += "[]"
        elif isinstance(segment, int):
            text += f"[{segment}]"
        elif segment.isidentifier():
            text += f".{segment}"
        else:
            text += f'["{segment}"]'
    return text


def _reason(rule: Rule, policy: Policy, privacy: Privacy, known: Mapping[str, object]) -> str:
    if rule.reason:
        text = "".join(_filled(part, privacy, known) for part in rule.reason)
    elif rule.condition is not None:
        text = rule.condition.text
    else:
        text = f"every event of {', '.join(policy.topics)}"
    text = " ".join(text.split())
    return text if len(text) <= _REASON_MAX_CHARS else text[: _REASON_MAX_CHARS - 1] + "…"


def _filled(part: ReasonPart, privacy: Privacy, known: Mapping[str, object]) -> str:
    if part.path is None:
        return part.text
    path: Path = ("value", *part.path[1:]) if part.path[0] == "message" else part.path
    found = _at(known, path)
    if found is _MISSING:
        return "?"
    return HIDDEN if privacy.hides(path) else show_text(found)


def _at(whole: object, path: Path) -> object:
    """What stands at `path` in decoded data, or _MISSING."""
    for segment in path:
        if isinstance(whole, Mapping):
            whole = cast("Mapping[object, object]", whole).get(segment, _MISSING)
            continue
        items = cast("list[object]", whole) if isinstance(whole, list) else []
        if not isinstance(segment, int) or not -1 < segment < len(items):
            return _MISSING
        whole = items[segment]
    return whole


def _short(text: str) -> str:
    return text if len(text) <= _EXPR_MAX_CHARS else text[: _EXPR_MAX_CHARS - 1] + "…"
