"""What is known of the rules behind findings: whose they are, how severe, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..policy.bundle import Bundle
from ..policy.show import in_sentences
from .breakdown import Counts, add_count

__all__ = ["Catalogue", "catalogue_of", "counted_by", "rule_names"]

#: `policy/rule` to what is known of the rule; see `catalogue_of`.
Catalogue = Mapping[str, Mapping[str, Any]]


#: What a bundle says itself, in the place of a rule.
_SETTINGS: Final = {
    "undecodable": "rejects an event whose bytes cannot be read, as the bundle says for all topics.",
    "tombstone": "rejects an event without a value, as the bundle or a policy of the topic says.",
    "uncovered": "rejects an event of a topic that no policy covers, as the bundle says.",
    "unmaskable": "rejects an event with a field that has to be masked and cannot be.",
}


def rule_names(joined: str) -> list[str]:
    """The names in `policy/rule, policy/other`; none in an empty text."""
    return [name for name in joined.split(", ") if name]


def catalogue_of(bundles: Iterable[Bundle], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Each of `names` as the first of `bundles` that has it says; in order, the unknown left out.

    What a bundle says itself is named by the bundle and the setting, and has no owner.

    Keys: policy, rule, title, owner, class, severity, effect, sentence, remediation, bundle.
    """
    wanted, found = set(names), dict[str, dict[str, Any]]()
    for bundle in bundles:
        if wanted <= found.keys():
            break
        for policy in bundle.policies:
            for rule in policy.rules:
                name = f"{policy.id}/{rule.id}"
                if name not in wanted or name in found:
                    continue
                words = next(said for said in in_sentences(policy, "").rules if said.id == rule.id)
                found[name] = {
                    "policy": policy.id,
                    "rule": rule.id,
                    "title": policy.title,
                    "owner": policy.owner,
                    "class": policy.class_,
                    "severity": rule.severity,
                    "effect": None if rule.effect is None else rule.effect.value,
                    "sentence": words.sentence,
                    "remediation": rule.remediation,
                    "bundle": bundle.label,
                }
        for rule_id in _SETTINGS:
            name = f"{bundle.name}/{rule_id}"
            if name in wanted and name not in found:
                found[name] = _setting(bundle, rule_id)
    return {name: found[name] for name in sorted(found)}


def _setting(bundle: Bundle, name: str) -> dict[str, Any]:
    """What is known of a decision that `bundle` makes in the place of a rule."""
    return {
        "policy": bundle.name,
        "rule": name,
        "title": None,
        "owner": "",
        "class": "platform",
        "severity": "high",
        "effect": "reject",
        "sentence": _SETTINGS[name],
        "remediation": None,
        "bundle": bundle.label,
    }


def counted_by(rules: Counts, of: Callable[[str], str | None]) -> dict[str, dict[str, int]]:
    """Findings by what `of` says of their rules: an event counts once for each that it has."""
    counted: dict[str, dict[str, int]] = {}
    for joined, row in rules.items():
        for group in sorted({of(name) or "" for name in rule_names(joined)}):
            for kind, number in row.items():
                add_count(counted, group, kind, number)
    return {name: counted[name] for name in sorted(counted)}
