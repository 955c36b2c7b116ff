"""Why rules fired: for those that did, evidence is gathered once more, step by step.

Nothing here runs for an event that passes untouched. `explain_matches` gives objects for programs;
`write_matches` the same as JSON, at a fraction of the cost, since all that no event changes is
prepared. Sensitive values show as `***` in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from msgspec import structs

from ..schemas.event import Event
from .cel.ast import Ident, walk
from .compiler import Undecodable
from .evidence import Filled, steps_of
from .json_text import json_bytes
from .match import Match
from .model import Path, Policy, Rule
from .privacy import HIDDEN, Privacy, show_text
from .secret_ranges import with_secret_ranges

if TYPE_CHECKING:
    from .decision import Decision
    from .plan import Entry, Plan, PlanRule

__all__ = ["Trail", "WrittenMatches", "explain_matches", "explain_rules", "write_matches"]

_REASON_MAX_CHARS = 300
#: A reason line in a callback, a log or a header stays within this.
_REASONS_MAX_CHARS = 400
_MISSING = object()
_NOT_EVALUATED = "the condition could not be evaluated"
#: What a rule that failed says in the place of its reason, which nobody knows to be true.
_FAILED = "the rule could not be evaluated"


class WrittenMatches(NamedTuple):
    """The matches of a decision as JSON, how many they are, the remediation, the reasons in a line."""

    matches: bytes
    matched: int
    remediation: bytes
    reasons: str


def explain_matches(decision: Decision) -> tuple[Match, ...]:
    """Every hit of `decision` as a match with its evidence."""
    trails = _trails(decision)
    known = _known_to(decision, trails)
    return tuple(
        _said(decision.plan, entry) if trail is None else trail.match(known, entry)
        for entry, trail in zip(decision.outcome.entries, trails, strict=True)
    )


def write_matches(decision: Decision) -> WrittenMatches:
    """What `explain_matches` says, written down."""
    entries = decision.outcome.entries
    trails = _trails(decision)
    known = _known_to(decision, trails)
    if len(entries) == 1:  # the most frequent by far
        text, line, remedy = _written(decision.plan, entries[0], trails[0], known)
        counts = entries[0].counts
        return WrittenMatches(text, 1, remedy if counts else b"", _bounded(line) if counts else "")
    matches: list[bytes] = []
    remediation: dict[bytes, None] = {}
    reasons: list[tuple[bool, str]] = []
    for entry, trail in zip(entries, trails, strict=True):
        text, line, remedy = _written(decision.plan, entry, trail, known)
        matches.append(text)
        if entry.counts:
            reasons.append((entry.effect == decision.effect, line))
            if remedy:
                remediation[remedy] = None
    lines = [line for wins, line in reasons if wins] or [line for _, line in reasons]
    joined = _bounded(", ".join(lines))
    return WrittenMatches(b",".join(matches), len(matches), b",".join(remediation), joined)


def _written(
    plan: Plan, entry: Entry, trail: Trail | None, known: Mapping[str, object]
) -> tuple[bytes, str, bytes]:
    """One match as JSON, its reason with its name, its remediation as JSON."""
    if trail is not None:
        text, reason = trail.write(known, entry)
        return text, f"{trail.named}: {reason}", trail.remediation
    said = _said(plan, entry)
    line = f"{said.policy}/{said.rule}: {said.reason}"
    return json_bytes(said.to_dict()), line, json_bytes(said.remediation)


def _bounded(line: str) -> str:
    return line if len(line) <= _REASONS_MAX_CHARS else line[: _REASONS_MAX_CHARS - 1] + "…"


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


def _trails(decision: Decision) -> list[Trail | None]:
    """How each hit is explained; None for what the bundle itself says."""
    plan = decision.plan
    return [
        _trail(plan, entry.rule) if isinstance(entry.rule, int) else None
        for entry in decision.outcome.entries
    ]


def _known_to(decision: Decision, trails: list[Trail | None]) -> Mapping[str, object]:
    """The variables that `trails` read."""
    read = [trail.names for trail in trails if trail is not None]
    names = read[0].union(*read[1:]) if read else frozenset[str]()
    return _known(decision.plan, decision.event, names) if names else {}


def _known(plan: Plan, event: Event, only: frozenset[str] | None = None) -> Mapping[str, object]:
    """The variables of the event, or `only` these; all but the value where that does not decode."""
    found = plan.compiled.activation(event, only=only)
    if not isinstance(found, Undecodable):
        return found
    found = plan.compiled.activation(structs.replace(event, value=None), only=only)
    if isinstance(found, Undecodable):
        return {}  # not even the key decodes
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

    `names` are the variables that it reads. Thread-safe: only prepared templates are added.
    """

    __slots__ = (
        "_mode",
        "_policy",
        "_reason",
        "_reason_json",
        "_rule",
        "_step",
        "_templates",
        "named",
        "names",
        "remediation",
    )

    def __init__(self, planned: PlanRule, privacy: Privacy) -> None:
        rule = planned.rule
        self._rule, self._policy, self._mode = rule, planned.policy, planned.mode
        condition = rule.condition
        if condition is not None:  # The reason stands beside the trail, and hides what that does.
            privacy = with_secret_ranges(condition.expr, privacy)
        self._step = None if condition is None else steps_of(condition.expr, privacy)
        self._reason = _Reason(rule, planned.policy, privacy)
        #: None where events change it.
        self._reason_json = None if self._reason.names else json_bytes(self._reason.text({}))
        self._templates: dict[bool, tuple[bytes, tuple[Filled, ...]]] = {}
        #: Policy and rule, and the remediation as JSON (nothing where there is none).
        self.named = f"{planned.policy.id}/{rule.id}"
        self.remediation = json_bytes(rule.remediation) if rule.remediation else b""
        self.names = self._reason.names
        if condition is not None:
            self.names |= {
                node.name.lstrip(".") for node in walk(condition.expr) if isinstance(node, Ident)
            }

    def match(self, known: Mapping[str, object], entry: Entry | None) -> Match:
        """The rule with its evidence under these variables; `entry` is None where it did not hit."""
        errored = entry is not None and entry.errored
        why: dict[str, Any] = {"expr": "true", "result": True, "parts": []}
        if self._step is not None:
            fired = True if entry is not None and not errored else None
            why = self._step.evidence(known, fired)
        rule, policy = self._rule, self._policy
        error = why.get("error") if errored else None
        return Match(
            policy=policy.id,
            rule=rule.id,
            effect="none" if entry is None else entry.effect,
            mode=self._mode,
            exempted_by=None if entry is None else entry.exempted_by,
            reason=_failed(error) if errored else self._reason.text(known),
            severity=rule.severity,
            remediation=rule.remediation,
            owner=policy.owner,
            class_=policy.class_,
            error=error or _NOT_EVALUATED if errored else None,
            why=why,
        )

    def write(self, known: Mapping[str, object], entry: Entry) -> tuple[bytes, str]:
        """The match of `entry` as JSON, and its reason."""
        prepared = self._templates.get(entry.errored)
        if prepared is None:
            prepared = self._templates[entry.errored] = self._template(entry)
        template, open_steps = prepared
        error = b"null"
        if entry.errored:
            said = None if self._step is None else self._step.error(known)
            error = json_bytes(said or _NOT_EVALUATED)
            reason = _failed(said)
            reason_json = json_bytes(reason)
        else:
            reason = self._reason.text(known)
            reason_json = self._reason_json or json_bytes(reason)
        lifted = b"null" if entry.exempted_by is None else json_bytes(entry.exempted_by)
        fills = [step.fill(known) for step in open_steps]
        return template % (lifted, reason_json, error, *fills), reason

    def _template(self, entry: Entry) -> tuple[bytes, tuple[Filled, ...]]:
        """The match as JSON with `%b` for what events change, and the steps that fill it last.

        What a rule does depends on nothing but whether it failed.
        """
        open_steps: list[Filled] = []
        why = b'{"expr":"true","result":true,"parts":[]}'
        if self._step is not None:
            why = self._step.template(None if entry.errored else True, open_steps)
        said = self.match({}, entry).to_dict()
        fields = {name: json_bytes(value).replace(b"%", b"%%") for name, value in said.items()}
        fields |= dict.fromkeys(("exempted_by", "reason", "error"), b"%b")
        fields["why"] = why
        text = b",".join(b'"%b":%b' % (name.encode(), data) for name, data in fields.items())
        return b"{" + text + b"}", tuple(open_steps)


class _Reason:
    """The reason of a rule: its text, with the values that it names filled in."""

    __slots__ = ("_constant", "_parts", "names")

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
        self._constant = None if self.names else self._filled({})

    def text(self, known: Mapping[str, object]) -> str:
        """One bounded line."""
        return self._filled(known) if self._constant is None else self._constant

    def _filled(self, known: Mapping[str, object]) -> str:
        filled = [part if isinstance(part, str) else _filled(*part, known) for part in self._parts]
        return _one_line("".join(filled))


def _failed(error: str | None) -> str:
    """The reason of a rule that failed; errors hold nothing of the event."""
    return _one_line(f"{_FAILED}: {error}" if error else _FAILED)


def _one_line(text: str) -> str:
    text = " ".join(text.split())
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
