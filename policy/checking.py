"""What can only be checked with the whole bundle at hand: names across documents, and conditions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from .case_documents import WrittenCases
from .cel.ast import Expr, Has, Ident, Index, Literal, Select, walk
from .conditions import Part
from .documents import TOMBSTONES, WrittenPolicy
from .model import BundleSettings
from .nodes import ListNode, Node, ScalarNode
from .problems import closest, quoted
from .rule_documents import WrittenRule

__all__ = ["check_policies"]

_ONLY_IN_KAFKA = frozenset(("partition", "offset"))


def check_policies(
    policies: Sequence[WrittenPolicy],
    settings: BundleSettings,
    lists: Collection[str],
    cases: Iterable[WrittenCases] = (),
) -> list[WrittenPolicy]:
    """Adds every problem of the bundle to its documents; the policies whose ids are unique."""
    unique = _unique(policies)
    rules: dict[str, list[tuple[WrittenPolicy, WrittenRule]]] = {}
    for policy in unique:
        for rule in policy.rules:
            rules.setdefault(rule.rule.id, []).append((policy, rule))
            rules.setdefault(f"{policy.policy.id}/{rule.rule.id}", []).append((policy, rule))
    owners = {policy.policy.owner for policy in unique}
    for policy in unique:
        _check_tombstones(policy, settings)
        for rule in policy.rules:
            _check_exempts(policy, rule, rules)
            _check_exemptible_by(policy, rule, owners)
            for written in (rule.when, rule.require):
                for part in () if written is None else written.parts:
                    _check_part(policy, part, lists)
    for written_cases in cases:
        _check_cases(written_cases, unique, rules)
    return unique


def _unique(policies: Sequence[WrittenPolicy]) -> list[WrittenPolicy]:
    first: dict[str, WrittenPolicy] = {}
    for policy in policies:
        before = first.setdefault(policy.policy.id, policy)
        if before is not policy:
            policy.reader.problem(
                policy.node.get("policy") or policy.node,
                "SW154",
                f"the policy id {quoted(policy.policy.id)} is that of {before.policy.file} too",
                remedy="give each policy of a bundle an id of its own",
            )
    return list(first.values())


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
    for target in rule.rule.exempts:
        node = _element(rule.node.get("exempts"), target) or rule.node
        found = rules.get(target, [])
        own = [pair for pair in found if pair[0] is policy]
        chosen = own or found
        if not chosen:
            policy.reader.problem(
                node,
                "SW155",
                f"there is no rule {quoted(target)} to exempt from",
                remedy=closest(target, rules) or "name rules by id, or by `policy/rule`",
            )
            continue
        if len(chosen) > 1:
            names = ", ".join(f"`{p.policy.id}/{r.rule.id}`" for p, r in chosen[:4])
            policy.reader.problem(
                node,
                "SW156",
                f"several policies have a rule {quoted(target)}",
                remedy=f"write one of {names}",
            )
            continue
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
    for owner in rule.rule.exemptible_by:
        if owner in owners:
            continue
        policy.reader.problem(
            _element(rule.node.get("exemptible_by"), owner) or rule.node,
            "SW167",
            f"no policy of this bundle is owned by {quoted(owner)}",
            remedy=closest(owner, owners),
            severity="warning",
        )


def _element(node: Node | None, text: str) -> Node | None:
    """The element of a list that says `text`."""
    if not isinstance(node, ListNode):
        return None
    return next(
        (item for item in node.items if isinstance(item, ScalarNode) and item.text == text), None
    )


# ------------------------------------------------------------------ conditions


def _check_part(policy: WrittenPolicy, part: Part, lists: Collection[str]) -> None:
    reader = policy.reader
    produced = "produce" in policy.policy.stages
    for node in walk(part.expr):
        if isinstance(node, Ident) and produced and node.name.lstrip(".") in _ONLY_IN_KAFKA:
            reader.problem(
                part.index(reader, node.span.start),
                "SW166",
                f"`{node.name}` is not known at stage `produce`, where this policy applies too",
                remedy="say `stages: [consume]` in the policy, or leave it out",
            )
        name = _list_name(node)
        if name is not None and name not in lists:
            reader.problem(
                part.index(reader, node.span.start),
                "SW163",
                f"there is no list {quoted(name)}",
                remedy=closest(name, lists)
                or "name its file under `lists:` of the bundle document",
            )


def _list_name(node: Expr) -> str | None:
    """The name of the list that `node` reads, where it says one."""
    if not isinstance(node, (Select, Index, Has)):
        return None
    if not (isinstance(node.operand, Ident) and node.operand.name.lstrip(".") == "lists"):
        return None
    if not isinstance(node, Index):
        return node.field
    if isinstance(node.index, Literal) and isinstance(node.index.value, str):
        return node.index.value
    return None


# ----------------------------------------------------------------------- tests


def _check_cases(
    cases: WrittenCases,
    policies: Sequence[WrittenPolicy],
    rules: Mapping[str, list[tuple[WrittenPolicy, WrittenRule]]],
) -> None:
    reader = cases.reader
    known = [policy.policy.id for policy in policies]
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
        for key in ("rules", "exempted", "errors"):
            named = expect.get(key)
            for item in named.items if isinstance(named, ListNode) else ():
                if isinstance(item, ScalarNode):
                    yield item
