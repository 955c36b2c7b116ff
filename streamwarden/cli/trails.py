"""Decisions as trees on a terminal: what was decided, by which rules, and from which values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rich.text import Text
from rich.tree import Tree

from ..policy.decision import Decision
from ..policy.model import MaskField
from ..policy.paths import format_path
from .output import counted, escaped

__all__ = ["add_masks", "decision_tree", "effect_style", "masks_json"]

_STYLES = {
    "allow": "green",
    "none": "dim",
    "warn": "yellow",
    "mask": "cyan",
    "hold": "magenta",
    "reject": "bold red",
    "exempt": "blue",
}

_Json = Mapping[str, Any]


def effect_style(effect: str) -> str:
    """The colour of an effect."""
    return _STYLES.get(effect, "")


def decision_tree(decision: _Json, *, unfired: Iterable[_Json] = ()) -> Tree:
    """A decision in its JSON form as a tree; `unfired` are matches of rules that did not fire."""
    effect = str(decision["effect"])
    title = Text().append(effect, effect_style(effect))
    event = cast("_Json", decision["event"])
    title.append(
        escaped(
            f"  {event['topic']} at stage {decision['stage']}, "
            f"by {decision['bundle']} ({str(decision['digest'])[:12]})"
        )
    )
    if decision.get("mode") not in (None, "enforce"):
        title.append(f", mode {decision['mode']}", "yellow")
    tree = Tree(title)
    matches = cast("Sequence[_Json]", decision["matches"])
    if "undecodable" in decision and all(match["rule"] != "undecodable" for match in matches):
        tree.add(Text(escaped(f"the value cannot be decoded: {decision['undecodable']}")))
    stopped = {"hold": "held", "reject": "rejected"}.get(effect, "")
    for match in matches:
        _add_match(tree, match, fired=True, stopped=stopped)
    for match in unfired:
        _add_match(tree, match, fired=False)
    # What the bundle itself says about an event belongs to nobody's policy.
    fired = sum(bool(match["owner"]) for match in matches)
    rules = int(decision["evaluated"])
    apply = "applies" if rules == 1 else "apply"
    tree.add(Text(f"{counted(rules, 'rule')} {apply}, {fired:,} fired", "dim"))
    return tree


def add_masks(matches: Iterable[dict[str, Any]], decision: Decision) -> None:
    """Add to each match of a rule with masks which fields it masks and how, for `decision_tree`."""
    masks = {(each.policy.id, each.rule.id): each.rule.masks for each in decision.plan.rules}
    for match in matches:
        if masked := masks.get((match["policy"], match["rule"])):
            match["masks"] = masks_json(masked)


def masks_json(masks: Iterable[MaskField]) -> list[dict[str, str]]:
    """Fields and how they are masked, as JSON has them; nothing of their values."""
    return [{"field": format_path(("value", *mask.path)), "how": mask.how} for mask in masks]


def _add_match(tree: Tree, match: _Json, *, fired: bool, stopped: str = "") -> None:
    effect = str(match["effect"]) if fired else "—"
    shown = Text().append(f"{effect}  ", effect_style(effect))
    shown.append(escaped(f"{match['policy']}/{match['rule']}"), "bold" if fired else "dim")
    beside = [str(match[name]) for name in ("severity", "owner") if match.get(name)]
    if fired and beside:
        shown.append(escaped(f" ({', '.join(beside)})"), "dim")
    if not fired:
        shown.append(" did not fire", "dim")
    elif match["mode"] != "enforce":
        shown.append(f" in {match['mode']} mode, not acted on", "yellow")
    if match.get("exempted_by"):
        shown.append(escaped(f" lifted by {match['exempted_by']}"), "blue")
    branch = tree.add(shown)
    reason, error = str(match["reason"]), match.get("error")
    told = fired and bool(error) and str(error) in reason
    if fired:
        branch.add(Text(escaped(reason), "red" if told else ""))
    if error and not told:
        branch.add(Text(escaped(f"could not be evaluated: {error}"), "red"))
    why = match.get("why")
    if why is not None:
        _add_step(branch, why)
    if match.get("masks"):
        masks = cast("Sequence[_Json]", match["masks"])
        named = ", ".join(f"{mask['field']}: {mask['how']}" for mask in masks)
        idle = f" (the event is {stopped}, and not masked)" if fired and stopped else ""
        branch.add(Text(escaped(f"masks {named}"), "cyan" if fired else "dim").append(idle, "dim"))
    if fired and match.get("remediation"):
        branch.add(Text(escaped(f"→ {match['remediation']}"), "italic"))


def _add_step(tree: Tree, step: _Json) -> None:
    parts = cast("Sequence[_Json]", step.get("parts", ()))
    if "result" not in step:  # a field that an operand reads
        shown = Text(escaped(str(step.get("path") or step["expr"])))
        shown.append(f" = {_value(step)}", "bold")
    elif isinstance(step["result"], bool):
        mark, style = ("✓", "green") if step["result"] else ("✗", "red")
        shown = Text().append(f"{mark} ", style)
        shown.append(escaped(str(step["expr"])))
    else:
        shown = Text(escaped(str(step["expr"])))
        shown.append(f" = {_value({**step, 'value': step['result']})}", "bold")
    if "element" in step:
        shown.append(f"  at {escaped(json.dumps(step['element'], ensure_ascii=False))}", "dim")
    branch = tree.add(shown)
    for part in parts:
        _add_step(branch, part)
    if step.get("cut"):
        branch.add(Text("… and more", "dim"))


def _value(step: _Json) -> str:
    if "error" in step:
        return escaped(f"? ({step['error']})")
    return escaped(json.dumps(step.get("value"), ensure_ascii=False))
