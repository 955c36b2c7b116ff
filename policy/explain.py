"""The why-trail: the rules that fired, evaluated once more, step by step.

Nothing here runs for an event that passes untouched. Values derived from sensitive paths show as
`***`; only the results of conditions pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import structs

from ..schemas.event import Event
from .cel import CelError, trace, unparse
from .cel.ast import (
    And,
    Call,
    Comprehension,
    Conditional,
    Expr,
    Has,
    Ident,
    Index,
    Not,
    Or,
    Select,
    walk,
)
from .compiler import Undecodable, activation
from .match import Match
from .model import Path, Policy, ReasonPart, Rule
from .privacy import HIDDEN, Privacy, path_of, show_text
from .privacy import show as show_value

if TYPE_CHECKING:
    from .cel import Evidence
    from .decision import Decision
    from .plan import Entry, Plan

__all__ = ["explain_matches", "explain_rules", "path_text"]

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
        found = activation(
            attempt,
            stage=plan.stage,
            client=plan.client,
            lists=plan.lists,
            key_format=plan.key_format,
            value_format=plan.value_format,
        )
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
    why, error = _why(rule, plan.privacy, known)
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


def _why(
    rule: Rule, privacy: Privacy, known: Mapping[str, object]
) -> tuple[dict[str, Any] | None, str | None]:
    if rule.condition is None:
        return {"expr": "true", "result": True, "parts": []}, None
    evidence = trace(rule.condition.expr, known)
    steps = iter(range(_STEPS_MAX))
    error = evidence.value.message if isinstance(evidence.value, CelError) else None
    return _step(evidence, privacy, steps), error


def _step(evidence: Evidence, privacy: Privacy, steps: Iterator[int]) -> dict[str, Any]:
    """One condition with its parts: sub-conditions, or the fields that it reads."""
    node = evidence.expr
    step: dict[str, Any] = {"expr": _short(unparse(node))}
    value = evidence.value
    path = path_of(node)
    if isinstance(node, Has):
        step["path"] = path_text((*(path_of(node.operand) or ("?",)), node.field))
        parts_of: tuple[Evidence, ...] = ()
    else:
        parts_of = () if path is not None else tuple(evidence.children)
    if isinstance(value, CelError):
        step["result"] = None
        step["error"] = value.message
    elif path is not None:
        step["path"] = path_text(path)
        step["result"] = privacy.shown(value, path)
    elif isinstance(value, bool):
        step["result"] = value
    else:
        step["result"] = HIDDEN if privacy.taints(node) else show_value(value)
    parts: list[dict[str, Any]] = []
    for child in parts_of:
        if next(steps, None) is None:
            step["cut"] = True
            break
        if _is_condition(child.expr) or isinstance(node, (And, Or, Not, Conditional)):
            parts.append(_step(child, privacy, steps))
        else:
            parts.extend(_reads(child, privacy))
    step["parts"] = parts
    return step


def _is_condition(node: Expr) -> bool:
    if isinstance(node, Call):
        return node.function in {"==", "!=", "<", "<=", ">", ">=", "in"}
    return isinstance(node, (And, Or, Not, Conditional, Has, Comprehension))


def _reads(evidence: Evidence, privacy: Privacy) -> list[dict[str, Any]]:
    """The fields that an operand reads, each with its value; computed operands come first."""
    node = evidence.expr
    path = path_of(node)
    if path is not None and isinstance(node, (Select, Index, Ident)):
        part: dict[str, Any] = {"expr": _short(unparse(node)), "path": path_text(path)}
        if isinstance(evidence.value, CelError):
            part["value"] = None
            part["error"] = evidence.value.message
        else:
            part["value"] = privacy.shown(evidence.value, path)
        return [part]
    if not any(isinstance(below, Ident) for below in walk(node)):
        return []  # a constant explains itself
    found = [part for child in evidence.children for part in _reads(child, privacy)]
    if isinstance(evidence.value, CelError):
        own: dict[str, Any] = {"expr": _short(unparse(node)), "value": None}
        own["error"] = evidence.value.message
    else:
        own = {
            "expr": _short(unparse(node)),
            "value": HIDDEN if privacy.taints(node) else show_value(evidence.value),
        }
    return [own, *found]


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
            whole = whole.get(segment, _MISSING)
        elif isinstance(whole, list) and isinstance(segment, int) and -1 < segment < len(whole):
            whole = whole[segment]
        else:
            return _MISSING
    return whole


def _short(text: str) -> str:
    return text if len(text) <= _EXPR_MAX_CHARS else text[: _EXPR_MAX_CHARS - 1] + "…"
