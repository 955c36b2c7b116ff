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
from .model import Path, Policy, Rule
from .privacy import HIDDEN, Privacy, path_of, show_text
from .privacy import show as show_value

if TYPE_CHECKING:
    from .decision import Decision
    from .plan import Entry, Plan, PlanRule

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
    plan = decision.plan
    trails = [
        _trail(plan, entry.rule) if isinstance(entry.rule, int) else None for entry in entries
    ]
    names = frozenset[str]().union(*(trail.names for trail in trails if trail is not None))
    known = _known(plan, decision.event, names)
    return tuple(
        _said(plan, entry) if trail is None else trail.match(known, entry)
        for entry, trail in zip(entries, trails, strict=True)
    )


def explain_rules(decision: Decision) -> tuple[Match, ...]:
    """Every rule of the plan with its evidence; one that did not fire has the effect `none`."""
    plan = decision.plan
    fired = {entry.rule: entry for entry in decision.outcome.entries if isinstance(entry.rule, int)}
    known = _known(plan, decision.event)
    return tuple(
        _trail(plan, index).match(known, fired.get(index)) for index in range(len(plan.rules))
    )


def _trail(plan: Plan, index: int) -> Trail:
    trail = plan.trails.get(index)
    if trail is None:
        trail = plan.trails[index] = Trail(plan.rules[index], plan.privacy)
    return trail


def _known(plan: Plan, event: Event, only: frozenset[str] | None = None) -> Mapping[str, object]:
    """The variables of the event, or `only` these; all but the value where that does not decode."""
    for attempt in (event, structs.replace(event, value=None)):
        found = plan.compiled.activation(attempt, only=only)
        if not isinstance(found, Undecodable):
            break
    else:
        return {}  # not even the key decodes
    if attempt is event:
        return found
    return {name: found[name] for name in found if name not in ("value", "message")}


def _said(plan: Plan, entry: Entry) -> Match:
    """What the bundle itself says, as a match."""
    said = entry.rule
    assert not isinstance(said, int)
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


class Trail:
    """How one rule of a plan is explained: its parts and what they read, prepared once.

    `names` are the variables that it reads. Thread-safe: nothing changes after it is made.
    """

    __slots__ = ("_mode", "_policy", "_reason", "_rule", "_step", "names")

    def __init__(self, planned: PlanRule, privacy: Privacy) -> None:
        rule = planned.rule
        self._rule, self._policy, self._mode = rule, planned.policy, planned.mode
        steps = iter(range(_STEPS_MAX))
        condition = rule.condition
        self._step = None if condition is None else _condition(condition.expr, privacy, steps)
        self._reason = _Reason(rule, planned.policy, privacy)
        self.names = self._reason.names
        if condition is not None:
            self.names |= {
                node.name.lstrip(".") for node in walk(condition.expr) if isinstance(node, Ident)
            }

    def match(self, known: Mapping[str, object], entry: Entry | None) -> Match:
        """The rule with its evidence under these variables; `entry` is None where it did not hit."""
        why: dict[str, Any] = {"expr": "true", "result": True, "parts": []}
        error: str | None = None
        if self._step is not None:
            why = self._step.evidence(known)
            error = why.get("error")
        errored = entry is not None and entry.errored
        if errored and error is None:
            error = "the condition could not be evaluated"
        rule, policy = self._rule, self._policy
        return Match(
            policy=policy.id,
            rule=rule.id,
            effect="none" if entry is None else entry.effect,
            mode=self._mode,
            exempted_by=None if entry is None else entry.exempted_by,
            reason=self._reason.text(known),
            severity=rule.severity,
            remediation=rule.remediation,
            owner=policy.owner,
            class_=policy.class_,
            error=error if errored else None,
            why=why,
        )


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


class _Reason:
    """The reason of a rule: its text, with the values that it names filled in."""

    __slots__ = ("_parts", "names")

    def __init__(self, rule: Rule, policy: Policy, privacy: Privacy) -> None:
        parts: list[str | tuple[Path, bool]] = []
        for part in rule.reason:
            path = part.path
            if path is None:
                parts.append(part.text)
                continue
            if path[0] == "message":
                path = ("value", *path[1:])
            parts.append((path, privacy.hides(path)))
        if not parts and rule.condition is not None:
            parts.append(rule.condition.text)
        elif not parts:
            parts.append(f"every event of {', '.join(policy.topics)}")
        self._parts = tuple(parts)
        self.names = frozenset(str(part[0][0]) for part in parts if not isinstance(part, str))

    def text(self, known: Mapping[str, object]) -> str:
        """One bounded line."""
        filled = [part if isinstance(part, str) else _filled(*part, known) for part in self._parts]
        text = " ".join("".join(filled).split())
        return text if len(text) <= _REASON_MAX_CHARS else text[: _REASON_MAX_CHARS - 1] + "…"


def _filled(path: Path, hidden: bool, known: Mapping[str, object]) -> str:
    found = _at(known, path)
    if found is _MISSING:
        return "?"
    return HIDDEN if hidden else show_text(found)


def _at(whole: object, path: Path) -> object:
    """What stands at `path` in decoded data, or _MISSING."""
    for segment in path:
        if isinstance(whole, dict):
            whole = cast("dict[object, object]", whole).get(segment, _MISSING)
            continue
        items = cast("list[object]", whole) if isinstance(whole, list) else []
        if not isinstance(segment, int) or not -1 < segment < len(items):
            return _MISSING
        whole = items[segment]
    return whole


def _short(text: str) -> str:
    return text if len(text) <= _EXPR_MAX_CHARS else text[: _EXPR_MAX_CHARS - 1] + "…"
