"""What can only be checked with the whole bundle at hand: names across documents, and conditions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

from .case_documents import WrittenCases
from .cel.types import DYN, Type
from .condition_checks import ValueTypes, bounds_of, check_conditions, environment
from .documents import TOMBSTONES, WrittenPolicy
from .model import BundleSettings, Path, Policy
from .nodes import ListNode, Node, ScalarNode
from .path_checks import check_mask_paths, check_sensitive, place_of_mask
from .problems import closest, quoted
from .reason_checks import check_reason
from .rule_documents import UNNAMED, WrittenRule
from .schema_types import SchemaTypes

__all__ = ["MaskProblem", "check_policies", "subjects_of_masks"]

#: Why values of a subject cannot take a mask, by path and kind; None where they can.
MaskProblem: TypeAlias = Callable[[str, Path, str], str | None]


def check_policies(
    policies: Sequence[WrittenPolicy],
    settings: BundleSettings,
    lists: Mapping[str, object],
    cases: Iterable[WrittenCases] = (),
    value_types: ValueTypes | None = None,
    mask_problem: MaskProblem | None = None,
    *,
    bounded: bool = True,
) -> list[WrittenPolicy]:
    """Adds every problem of the bundle to its documents; the policies whose ids are unique.

    `lists` may hold None for a list that could not be read. Without `bounded` nothing is said
    about cost, paths that lead nowhere, and texts that look like numbers: what was published once
    stays readable.
    """
    unique = _unique(policies)
    rules: dict[str, list[tuple[WrittenPolicy, WrittenRule]]] = {}
    for policy in unique:
        for rule in policy.rules:
            if rule.rule.id == UNNAMED:
                continue
            rules.setdefault(rule.rule.id, []).append((policy, rule))
            rules.setdefault(f"{policy.policy.id}/{rule.rule.id}", []).append((policy, rule))
    owners = {policy.policy.owner for policy in unique}
    for policy in unique:
        _check_tombstones(policy, settings)
        value = _value_type(policy, value_types)
        env = environment(policy.policy.stages, lists, value, figures=bounded)
        bounds = bounds_of(env) if bounded else None
        if bounded:
            check_sensitive(policy, env)
        for rule in policy.rules:
            if mask_problem is not None:
                _check_masks(policy, rule, mask_problem)
            _check_exempts(policy, rule, rules)
            _check_exemptible_by(policy, rule, owners)
            check_conditions(policy, rule, env, bounds)
            if bounded:
                check_reason(policy.reader, rule, env)
                check_mask_paths(policy.reader, rule, env)
    for written_cases in cases:
        _check_cases(written_cases, unique, rules)
    return unique


def _unique(policies: Sequence[WrittenPolicy]) -> list[WrittenPolicy]:
    first: dict[str, WrittenPolicy] = {}
    unnamed: list[WrittenPolicy] = []
    for policy in policies:
        if policy.policy.id == UNNAMED:
            unnamed.append(policy)
            continue
        before = first.setdefault(policy.policy.id, policy)
        if before is not policy:
            policy.reader.problem(
                policy.node.get("policy") or policy.node,
                "SW154",
                f"the policy id {quoted(policy.policy.id)} is that of {before.policy.file} too",
                remedy="give each policy of a bundle an id of its own",
            )
    return [*first.values(), *unnamed]


def _check_tombstones(policy: WrittenPolicy, settings: BundleSettings) -> None:
    wanted = policy.policy.tombstones
    if wanted is None or TOMBSTONES.index(wanted) >= TOMBSTONES.index(settings.tombstones):
        return
    policy.reader.problem(
        policy.node.get("tombstones") or policy.node,
        "SW158",
        f"`tombstones: {wanted}` is laxer than the bundle's `{settings.tombstones}`",
        remedy="a policy may only be stricter than its bundle; remove the key",
    )


# ------------------------------------------------------------------ exemptions


def _check_exempts(
    policy: WrittenPolicy,
    rule: WrittenRule,
    rules: Mapping[str, list[tuple[WrittenPolicy, WrittenRule]]],
) -> None:
    places = _elements(rule.node.get("exempts"))
    for target in rule.rule.exempts:
        node = places.get(target, rule.node)
        found = rules.get(target, [])
        own = [pair for pair in found if pair[0] is policy]
        chosen = own or found
        if not chosen:
            if policy.reader.problems.drops("error"):
                continue  # finding the nearest of all rules takes long
            policy.reader.problem(
                node,
                "SW155",
                f"there is no rule {quoted(target)} to exempt from",
                remedy=closest(target, rules) or "name rules by id, or by `policy/rule`",
            )
        elif len(chosen) > 1:
            names = ", ".join(f"`{p.policy.id}/{r.rule.id}`" for p, r in chosen[:4])
            policy.reader.problem(
                node,
                "SW156",
                f"several policies have a rule {quoted(target)}",
                remedy=f"write one of {names}",
            )
        else:
            _check_target(policy, rule, node, target, chosen[0])


def _check_target(
    policy: WrittenPolicy,
    rule: WrittenRule,
    node: Node,
    target: str,
    found: tuple[WrittenPolicy, WrittenRule],
) -> None:
    other, lifted = found
    if lifted is rule:
        message, remedy = "a rule cannot exempt from itself", "name the rules that it lifts"
    elif lifted.rule.effect is None and lifted.rule.exempts:
        message = f"{quoted(target)} is an exemption itself, and cannot be lifted"
        remedy = "narrow the condition of that exemption instead"
    elif UNNAMED in (policy.policy.owner, other.policy.owner):
        return
    elif other is not policy and policy.policy.owner not in lifted.rule.exemptible_by:
        policy.reader.problem(
            node,
            "SW157",
            f"{quoted(target)} belongs to {quoted(other.policy.owner)}, which does not let "
            f"{quoted(policy.policy.owner)} lift it",
            remedy=f"its owner may add `exemptible_by: [{policy.policy.owner}]` to that rule",
        )
        return
    else:
        return
    policy.reader.problem(node, "SW155", message, remedy=remedy)


def _check_exemptible_by(policy: WrittenPolicy, rule: WrittenRule, owners: Collection[str]) -> None:
    places = _elements(rule.node.get("exemptible_by"))
    for owner in rule.rule.exemptible_by:
        if owner in owners or UNNAMED in owners:
            continue
        policy.reader.problem(
            places.get(owner, rule.node),
            "SW167",
            f"no policy of this bundle is owned by {quoted(owner)}",
            remedy=closest(owner, owners),
            severity="warning",
        )


def _elements(node: Node | None) -> dict[str, Node]:
    """The elements of a list by what they say."""
    items = node.items if isinstance(node, ListNode) else ()
    return {item.text: item for item in items if isinstance(item, ScalarNode)}


# --------------------------------------------------------------------- schemas


def _value_type(policy: WrittenPolicy, value_types: ValueTypes | None) -> Type:
    """The type of the value by the schema that the policy names; DYN where nothing is known."""
    subject = policy.policy.schema
    if subject is None or value_types is None:
        return DYN
    type_ = value_types(subject)
    if type_ is None:
        policy.reader.problem(
            policy.node.get("schema") or policy.node,
            "SW170",
            f"there is no schema {quoted(subject)}",
            remedy=(value_types.remedy(subject) if isinstance(value_types, SchemaTypes) else "")
            or "name a subject of the schemas that are given, or remove the key",
        )
    return type_ or DYN


def _check_masks(policy: WrittenPolicy, rule: WrittenRule, mask_problem: MaskProblem) -> None:
    """By the schema that the policy names, and by those of its topics."""
    subjects = subjects_of_masks(policy.policy)
    for mask in rule.rule.masks:
        for subject in subjects:
            problem = mask_problem(subject, mask.path, mask.how)
            if problem is not None:
                instead = "use `redact`, or change"
                if mask.how == "redact":
                    instead = "refuse such events with `effect: hold` or `reject`, or change"
                policy.reader.problem(
                    place_of_mask(rule, mask),
                    "SW171",
                    f"{quoted(mask.text)} cannot be masked with `{mask.how}`: {problem}",
                    remedy=f"{instead} the schema {quoted(subject)}",
                )
                break


def subjects_of_masks(policy: Policy) -> list[str]:
    """The schemas whose values the masks of a policy change: its own, and those of its topics."""
    named = [] if policy.schema is None else [policy.schema]
    return list(dict.fromkeys([*named, *(f"{topic}-value" for topic in policy.topics)]))


# ----------------------------------------------------------------------- tests


def _check_cases(
    cases: WrittenCases,
    policies: Sequence[WrittenPolicy],
    rules: Mapping[str, list[tuple[WrittenPolicy, WrittenRule]]],
) -> None:
    reader = cases.reader
    known = [policy.policy.id for policy in policies if policy.policy.id != UNNAMED]
    if cases.policy not in known:
        reader.problem(
            cases.node.get("tests") or cases.node,
            "SW165",
            f"there is no policy {quoted(cases.policy)} to test",
            remedy=closest(cases.policy, known),
        )
        return
    for node in _expected_rules(cases):
        if node.text not in rules:
            reader.problem(
                node,
                "SW165",
                f"there is no rule {quoted(node.text)}",
                remedy=closest(node.text, rules),
            )


def _expected_rules(cases: WrittenCases) -> Iterable[ScalarNode]:
    """The rule names under `expect:` of each case."""
    entries = cases.node.get("cases")
    for case in entries.items if isinstance(entries, ListNode) else ():
        expect = case.get("expect") if not isinstance(case, (ListNode, ScalarNode)) else None
        if expect is None or isinstance(expect, (ListNode, ScalarNode)):
            continue
        for key in ("rules", "exempted", "errors", "shadow"):
            named = expect.get(key)
            for item in named.items if isinstance(named, ListNode) else ():
                if isinstance(item, ScalarNode):
                    yield item
