"""Policies as sentences that a compliance officer reads, as CEL, and as the documents they were.

over-limit (high): holds an event when amount is greater than 50,000 and country is not one of
("US", "CA"), until 2 people agree, from senior-adjuster.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from .bundle import Bundle
from .canonical import from_portable
from .english import field_in_words, in_words, joined
from .model import BundleSettings, Condition, MaskField, Mode, Policy, ReasonPart, Rule
from .paths import format_path

__all__ = [
    "PolicyWords",
    "RuleWords",
    "as_cel",
    "as_documents",
    "bundle_in_sentences",
    "in_sentences",
]

_ACTS = {"warn": "warns about", "mask": "masks", "hold": "holds", "reject": "rejects"}
_STAGES = {
    "produce": "when events are published",
    "consume": "when they are consumed",
    "reconcile": "when history is reconciled",
}
#: In brackets behind its field, so that none is read as if it were about the next field too.
_MASKS = {
    "last4": "{} (all but the last four characters)",
    "hash": "{} (by a keyed hash)",
    "redact": "{} (by ***)",
    "drop": "{} (by leaving it out)",
}
_TOMBSTONES = {
    "check": "Rules are checked on tombstones too.",
    "reject": "Tombstones are rejected.",
}


@dataclass(frozen=True, slots=True)
class RuleWords:
    """One rule: its name with severity, what it does, and what else there is to say."""

    id: str
    severity: str | None
    sentence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyWords:
    """One policy: its name, its title, what it is about, and its rules."""

    id: str
    title: str | None
    scope: tuple[str, ...]
    rules: tuple[RuleWords, ...]


def bundle_in_sentences(settings: BundleSettings) -> tuple[str, ...]:
    """What a bundle says beside its policies, where it is not what goes without saying."""
    said: list[str] = []
    if settings.mode is Mode.OFF:
        said.append("The bundle is switched off: no rule is evaluated.")
    elif settings.mode is Mode.SHADOW:
        said.append("The bundle is in shadow mode: rules are evaluated and recorded, not acted on.")
    if settings.resolution == "approval_first":
        said.append("What one rule holds and another rejects is held.")
    if settings.undecodable == "allow":
        said.append("Values that cannot be read pass.")
    if settings.uncovered == "reject":
        said.append("Events of topics that no policy covers are rejected.")
    if settings.tombstones in _TOMBSTONES:
        said.append(_TOMBSTONES[settings.tombstones])
    return tuple(said)


def in_sentences(policy: Policy, today: str) -> PolicyWords:
    """`policy` in words; `today` (`2026-03-01`) says whether its review is overdue."""
    return PolicyWords(
        policy.id,
        policy.title,
        tuple(_scope(policy, today)),
        tuple(_rule(rule) for rule in policy.rules),
    )


def _scope(policy: Policy, today: str) -> list[str]:
    kind = f", a {policy.class_} policy" if policy.class_ else ""
    topics = joined(policy.topics)
    noun = "topic" if len(policy.topics) == 1 else "topics"
    stages = joined([_STAGES[stage] for stage in policy.stages])
    said = [
        f"Owned by {policy.owner}{kind}.",
        f"Applies to {noun} {topics}, {stages}.",
    ]
    if policy.mode is not Mode.ENFORCE:
        said.append(_mode(policy.mode, "Is"))
    since, until = _date(policy.effective_from), _date(policy.effective_until)
    if since or until:
        ends = [f"from {since}" if since else "", f"until {until} (exclusive)" if until else ""]
        over = " ENDED." if policy.has_ended(today) else ""
        said.append(f"In force {' '.join(filter(None, ends))}.{over}")
    if policy.review_by is not None:
        overdue = " OVERDUE." if policy.is_overdue(today) else ""
        said.append(f"To be reviewed by {policy.review_by}.{overdue}")
    if policy.sensitive:
        hidden = joined([field_in_words(path) for path in policy.sensitive])
        said.append(f"Never shows {hidden}.")
    if policy.tombstones in _TOMBSTONES:
        said.append(_TOMBSTONES[policy.tombstones])
    if policy.park == "key":
        said.append("Later events of a refused event's key wait behind it when they are consumed.")
    if policy.schema is not None:
        said.append(f"Written for schema {policy.schema}.")
    return said


def _mode(mode: Mode, verb: str) -> str:
    if mode is Mode.OFF:
        return f"{verb} switched off."
    return f"{verb} in shadow mode: evaluated and recorded, not acted on."


def _rule(rule: Rule) -> RuleWords:
    when, unless = _clause(rule.when), _clause(rule.require)
    when, unless = "" if when == "always" else when, "" if unless == "never" else unless
    # No event is like that, so that the rest of the rule does not matter.
    idle = when == "never" or unless == "always"
    rest = "" if idle else _when(when, unless)
    if rule.effect is None:
        act = f"lifts the rule{'s' if len(rule.exempts) > 1 else ''} {joined(rule.exempts)}"
        sentence = f"{act}{rest or ('' if idle else ' for every event')}"
    elif rule.effect.value == "mask":
        act = f"masks {joined([_mask(mask) for mask in rule.masks])}"
        sentence = f"{act}{rest or ('' if idle else ' always')}"
    else:
        every = "an event" if when or idle else "every event"
        sentence = f"{_ACTS[rule.effect.value]} {every}{rest}{'' if idle else _approvals(rule)}"
    sentence = f"{'never ' if idle else ''}{sentence}."
    return RuleWords(rule.id, rule.severity, sentence, tuple(_notes(rule)))


def _clause(condition: Condition | None) -> str:
    return "" if condition is None else in_words(condition.expr)


def _when(when: str, unless: str) -> str:
    if when and unless:
        return f" when {when}, unless {unless}"
    return f" when {when}" if when else f" unless {unless}" if unless else ""


def _mask(mask: MaskField) -> str:
    return _MASKS[mask.how].format(field_in_words(("value", *mask.path)))


def _approvals(rule: Rule) -> str:
    if rule.effect is None or rule.effect.value != "hold":
        return ""
    need = 1 if rule.approvals is None else rule.approvals.need
    people = "one person agrees" if need == 1 else f"{need} people agree"
    roles = () if rule.approvals is None else rule.approvals.roles
    among = f", from {joined(roles, 'or')}" if roles else ""
    return f", until {people}{among}"


def _notes(rule: Rule) -> list[str]:
    notes: list[str] = []
    if rule.mode is not Mode.ENFORCE:
        notes.append(_mode(rule.mode, "It is"))
    if rule.reason:
        notes.append(f"Reason given: {''.join(map(_reason, rule.reason))}")
    if rule.remediation is not None:
        notes.append(f"What to do: {rule.remediation}")
    if rule.on_error == "skip":
        notes.append("Where it cannot be decided, the rule does not count.")
    elif rule.on_error != "fire":
        act = {"warn": "is warned about", "mask": "is masked", "hold": "is held"}.get(
            rule.on_error, "is rejected"
        )
        notes.append(f"Where it cannot be decided, the event {act}.")
    if rule.exemptible_by:
        notes.append(f"May be lifted by policies of {joined(rule.exemptible_by)}.")
    return notes


def _reason(part: ReasonPart) -> str:
    return part.text if part.path is None else f"{{{format_path(part.path)}}}"


def _date(ns: int | None) -> str:
    if ns is None:
        return ""
    at = dt.datetime.fromtimestamp(ns // 1_000_000_000, dt.UTC)
    midnight = not (at.hour or at.minute or at.second)
    return at.strftime("%Y-%m-%d" if midnight else "%Y-%m-%d %H:%M:%S UTC")


def as_cel(rule: Rule) -> list[tuple[str, str]]:
    """The conditions of `rule` as CEL, also those that were written in another form."""
    return [
        (name, condition.text)
        for name, condition in (("when", rule.when), ("require", rule.require))
        if condition is not None
    ]


def as_documents(bundle: Bundle) -> Mapping[str, object]:
    """What was written: name, digest, settings, policy documents and lists."""
    documents = bundle.documents
    return {
        "bundle": bundle.label,
        "digest": bundle.digest,
        "settings": from_portable(documents["settings"]),
        "policies": from_portable(documents["policies"]),
        "lists": from_portable(documents["lists"]),
    }
