"""For the tests of services: what a guard decides, asserted with the why-trail, and a fake guard.

    policies = PolicyAssertions(Guard.from_directory("policies/"), topic="payments")
    policies.assert_held({"amount": 61250.5, "country": "DE"}, rule="over-limit")

    guard = FakeGuard()                      # lets everything pass
    guard.answer("reject", when="value.amount > 10")

With pytest, the fixtures `streamwarden_policies` and `streamwarden_fake_guard` give both.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from streamwarden.errors import ConfigurationError
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.decision import Decision
from streamwarden.policy.documents import read_policy
from streamwarden.policy.explain import explain_rules
from streamwarden.policy.guard import Guard
from streamwarden.policy.match import Match
from streamwarden.policy.model import BundleSettings, Effect, Policy
from streamwarden.policy.nodes import Source, nodes_of
from streamwarden.policy.problems import Problems, closest
from streamwarden.policy.testing import unlike, value_writer
from streamwarden.policy.yaml_reader import Document

__all__ = ["FakeGuard", "PolicyAssertions", "explained"]

#: pytest leaves the frames of this module out of what it prints: their arguments are events as they
#: are, where the trail below them shows `***`.
__tracebackhide__ = True

#: Decisions that a fake guard keeps; a test that looks at more of them counts something else.
_DECISIONS_MAX: Final = 10_000
_UNSET: Final = object()


class PolicyAssertions:
    """Says what `guard` decides on an event, and fails with the reason where it is something else.

    An event is its value: bytes or text as they are, None for a tombstone, anything else as JSON,
    or in Avro where the guard has a schema for the subject `TOPIC-value`. `topic` is where an
    event goes that names none. The other keywords are those of `Guard.decide`: key, headers,
    timestamp, stage, partition, offset, facts.
    """

    def __init__(self, guard: Guard, *, topic: str | None = None) -> None:
        self.guard = guard
        self.topic = topic

    def decide(self, value: object, *, topic: str | None = None, **event: Any) -> Decision:
        """The decision of the guard."""
        topic = topic or self.topic
        if topic is None:
            raise ConfigurationError(
                "the event has no topic", remedy="give `topic=`, here or when this is made"
            )
        return self.guard.decide(
            topic=topic, value=self._bytes(value, topic, event.get("stage", "produce")), **event
        )

    def assert_allowed(self, value: object, **event: Any) -> Decision:
        """The event passes, and no rule that counts fired."""
        return self._expect(Effect.ALLOW, value, _Wanted(), event)

    def assert_passes(self, value: object, **event: Any) -> Decision:
        """The event passes, if need be with a warning or masked."""
        decision = self.decide(value, **event)
        if not decision.passes:
            _fail("the event should pass", decision)
        return decision

    def assert_warned(
        self,
        value: object,
        *,
        rule: str | None = None,
        reason: str | None = None,
        errors: Sequence[str] | None = None,
        **event: Any,
    ) -> Decision:
        """The event passes with a warning. See `assert_rejected`."""
        return self._expect(Effect.WARN, value, _Wanted(rule, reason, errors), event)

    def assert_masked(
        self,
        value: object,
        *,
        rule: str | None = None,
        reason: str | None = None,
        errors: Sequence[str] | None = None,
        masked: object = _UNSET,
        **event: Any,
    ) -> Decision:
        """The event passes masked; `masked` is the whole value after masks. See `assert_rejected`."""
        decision = self._expect(Effect.MASK, value, _Wanted(rule, reason, errors), event)
        if masked is not _UNSET:
            wanted = self._bytes(masked, decision.event.topic, decision.stage)
            found = decision.event.value if decision.masked_value is None else decision.masked_value
            if (other := _other_value(wanted, found)) is not None:
                _fail(f"the masked value should be {masked!r}; {other}", decision)
        return decision

    def assert_held(
        self,
        value: object,
        *,
        rule: str | None = None,
        reason: str | None = None,
        errors: Sequence[str] | None = None,
        **event: Any,
    ) -> Decision:
        """The event is held for people. See `assert_rejected`."""
        return self._expect(Effect.HOLD, value, _Wanted(rule, reason, errors), event)

    def assert_rejected(
        self,
        value: object,
        *,
        rule: str | None = None,
        reason: str | None = None,
        errors: Sequence[str] | None = None,
        **event: Any,
    ) -> Decision:
        """The event is rejected.

        `rule` (an id, or `policy/rule`) is one that counts, with just this effect; `reason` is part
        of a reason. `errors` are the rules that could not be evaluated, exactly these; without it,
        one that failed, on a typo in the event say, is not enough. Gives the decision, and raises
        AssertionError with the why-trail.
        """
        return self._expect(Effect.REJECT, value, _Wanted(rule, reason, errors), event)

    def _expect(
        self, effect: Effect, value: object, wanted: _Wanted, event: Mapping[str, Any]
    ) -> Decision:
        decision = self.decide(value, **event)
        rule, reason = wanted.rule, wanted.reason
        by = "" if rule is None else f" by `{rule}`"
        said = f"the effect should be {effect.value}{by}"
        if decision.effect is not effect:
            _fail(said, decision, rule)
        if effect is Effect.ALLOW:
            return decision
        counted = [match for match in decision.matches if match.counts]
        causes = [match for match in counted if match.effect == effect.value]
        if rule is not None:
            causes = [match for match in causes if _named(match, rule)]
            if not causes:
                _fail(said, decision, rule)
        if reason is not None and not any(reason in match.reason for match in counted):
            _fail(f"a reason should contain {reason!r}", decision, rule)
        if wanted.errors is not None:
            _expect_errors(wanted.errors, decision, rule)
        elif causes and all(match.error is not None for match in causes):
            names = [f"{match.policy}/{match.rule}" for match in causes]
            _fail(
                f"{said}, but that comes only from what could not be evaluated; mend the event, or"
                f" say `errors={names!r}` where that is meant",
                decision,
                rule,
            )
        return decision

    def _bytes(self, value: object, topic: str, stage: str) -> bytes | None:
        if value is None or isinstance(value, bytes):
            return value
        if isinstance(value, str):
            return value.encode()
        plan = self.guard.plan(topic, stage, self.guard.now())
        return value_writer(topic, plan.value_format, self.guard.framed)(value)


class _Wanted(NamedTuple):
    """What else there is to be in a decision."""

    rule: str | None = None
    reason: str | None = None
    errors: Sequence[str] | None = None


def _expect_errors(errors: Sequence[str], decision: Decision, rule: str | None) -> None:
    """The rules that could not be evaluated are exactly these, in any order."""
    if isinstance(errors, str):
        raise ConfigurationError(
            f"`errors={errors!r}` is no list of rules", remedy=f"write `errors=[{errors!r}]`"
        )
    failed = [match for match in decision.matches if match.error is not None]
    if len(errors) != len(failed) or not all(
        any(_named(match, name) for name in errors) for match in failed
    ):
        named = ", ".join(f"`{match.policy}/{match.rule}`" for match in failed) or "none"
        _fail(
            f"these should be the rules that could not be evaluated: {list(errors)!r}; they are"
            f" {named}",
            decision,
            rule,
        )


def _other_value(wanted: bytes | None, found: bytes | None) -> str | None:
    """How a value differs from the one that is wanted; equal JSON does not."""
    if wanted == found:
        return None
    try:
        return unlike(json.loads(wanted or b""), json.loads(found or b""))
    except ValueError:
        return f"it is {found!r}"


def _named(match: Match, rule: str) -> bool:
    return rule in (match.rule, f"{match.policy}/{match.rule}")


def _fail(wanted: str, decision: Decision, rule: str | None = None) -> NoReturn:
    raise AssertionError(f"{wanted}\n{explained(decision, rule)}")


# ------------------------------------------------------------------ explanation


def explained(decision: Decision, rule: str | None = None) -> str:
    """A decision with its why-trail, for people; `rule` is shown also where it did not fire.

    Sensitive values show as `***`.
    """
    event = decision.event
    version = f"{decision.bundle}, {decision.digest[:12]}; topic {event.topic}, {decision.stage}"
    lines = [f"the effect is {decision.effect.value} ({version})"]
    if decision.mode.value != "enforce":
        lines.append(f"the mode is {decision.mode.value}, so that nothing is held or rejected")
    if decision.undecodable is not None:
        lines.append(f"the value cannot be decoded: {decision.undecodable}")
    for match in decision.matches:
        lines += _match_lines(match, fired=True)
    if rule is not None and not any(_named(match, rule) for match in decision.matches):
        others = [match for match in explain_rules(decision) if _named(match, rule)]
        for match in others:
            lines += _match_lines(match, fired=False)
        if not others:
            known = ", ".join(planned.rule.id for planned in decision.plan.rules) or "none"
            lines.append(f"no rule `{rule}` applies here; there are {known}")
    return "\n".join(lines)


def _match_lines(match: Match, *, fired: bool) -> list[str]:
    said = match.effect if fired else "did not fire"
    if match.exempted_by is not None:
        said += f", lifted by {match.exempted_by}"
    if match.mode.value != "enforce":
        said += f", {match.mode.value}"
    reason = f": {match.reason}" if fired and match.reason else ""
    error = f" (error: {match.error})" if match.error else ""
    lines = [f"  {match.policy}/{match.rule} ({said}){reason}{error}"]
    return lines if match.why is None else [*lines, *_steps(match.why, 4)]


def _steps(step: Mapping[str, Any], indent: int) -> list[str]:
    value = step["result"] if "result" in step else step.get("value")
    shown = f"error, {step['error']}" if "error" in step else json.dumps(value, ensure_ascii=False)
    at = f" at {json.dumps(step['element'], ensure_ascii=False)}" if "element" in step else ""
    lines = [f"{' ' * indent}{step['expr']}{at}: {shown}"]
    for part in step.get("parts") or ():
        lines += _steps(part, indent + 2)
    return lines


# -------------------------------------------------------------------- fake guard


class FakeGuard(Guard):
    """A guard that needs no policies: everything passes until `answer` says otherwise.

    It is a whole guard, with conditions in CEL, masks, stamps and parking, to be given to
    producers and consumers; `decisions` are those it made, oldest first, at most 10,000, in
    the place of a decision log. It never stops for a flood of refused events, unless told so
    (`flood="stop"`).
    """

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("flood", "warn")
        self._answers: list[dict[str, object]] = []
        self.decisions: deque[Decision] = deque(maxlen=_DECISIONS_MAX)
        super().__init__(_answering([]), decision_log=_Remembered(self.decisions), **settings)

    def answer(
        self,
        effect: str | Effect,
        *,
        topic: str = "*",
        when: str | None = None,
        rule: str | None = None,
        reason: str = "the fake guard was told so",
        mask: Mapping[str, str] | None = None,
    ) -> None:
        """From now on give events of `topic` (a glob) for which `when` holds this effect.

        `mask` is from field to mask, such as `{"value.card": "last4"}`. Answers add up as rules do:
        the strictest counts. Raises PolicyError for a malformed condition.
        """
        number = len(self._answers) + 1
        effects = [each.value for each in Effect]
        if effect not in effects:
            listed = f"use one of {', '.join(effects)}"
            raise ConfigurationError(
                f"`{effect}` is no effect", remedy=closest(str(effect), effects) or listed
            )
        effect = Effect(effect).value
        answer: dict[str, object] = {"id": rule or f"answer-{number}", "effect": effect}
        answer["reason"] = reason.replace("{", "{{").replace("}", "}}")
        if when is not None:
            answer["when"] = when
        if mask is not None:
            answer["mask"] = [{"field": field, "with": how} for field, how in mask.items()]
        document: dict[str, object] = {
            "policy": f"fake-{number}",
            "owner": "tests",
            "topics": [topic],
            "stages": ["produce", "consume", "reconcile"],
            "rules": [answer],
        }
        self.swap(_answering([*self._answers, document]))
        self._answers.append(document)

    def reset(self) -> None:
        """Let everything pass again, and forget the decisions."""
        self._answers.clear()
        self.decisions.clear()
        self.swap(_answering([]))


class _Remembered:
    """A decision log in memory, of every decision."""

    takes_clear = True
    topics: tuple[str, ...] = ()

    def __init__(self, decisions: deque[Decision]) -> None:
        self._decisions = decisions

    def take(self, decision: Decision) -> None:
        self._decisions.append(decision)

    def wait_for_room(self, timeout_s: float) -> bool:
        return timeout_s >= 0

    def flush(self, timeout_s: float) -> bool:
        return timeout_s >= 0

    def close(self, timeout_s: float = 0.0) -> None:
        """Nothing is open."""


def _answering(documents: list[dict[str, object]]) -> Bundle:
    covering: dict[str, object] = {
        "policy": "fake",
        "owner": "tests",
        "topics": ["*"],
        "stages": ["produce", "consume", "reconcile"],
        "rules": [{"id": "nothing", "when": False, "effect": "warn"}],
    }
    policies = [(_policy(document), document) for document in (covering, *documents)]
    settings = BundleSettings(name="fake", undecodable="allow")
    return Bundle.make(settings, policies, written={"undecodable": "allow"})


def _policy(document: dict[str, object]) -> Policy:
    problems = Problems()
    written = read_policy(Document(Source("answer", ""), nodes_of(document)), problems)
    problems.raise_errors()
    return written.policy
