"""What is wrong with the paths of masks and of `sensitive`: they would hide nothing.

A mask takes names of records and maps, and `[]` or a position of lists; anything else it passes by.
A path of `sensitive` may go into maps and records with `[]` too, as loops over them do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from .cel import Environment, check
from .cel.ast import NOWHERE, Ident, Select
from .cel.problems import CelProblem
from .cel.types import DYN, Type, alternatives, either
from .documents import WrittenPolicy
from .fields import Reader
from .model import MaskField, Path
from .nodes import ListNode, MapNode, Node, ScalarNode
from .paths import PathError, format_path, parse_path
from .rule_documents import WrittenRule

__all__ = ["check_mask_paths", "check_sensitive", "place_of_mask"]

#: Stands for what a path has led to so far; no variable, and no record, can be called so.
_SO_FAR: Final = "@"
_HIDES_NOTHING: Final = "a path that no event has hides nothing"


def check_mask_paths(
    reader: Reader, rule: WrittenRule, env: Environment, by: str = "", severity: str | None = None
) -> None:
    """Adds the problem of every path of a mask that the schema does not have.

    `by` begins the messages; `severity` takes the place of their own.
    """
    for mask in rule.rule.masks:
        problem = _problem(("value", *mask.path), env, masked=True)
        if problem is not None:
            place = place_of_mask(rule, mask)
            _tell(reader, place, problem, f"{by}a path of the mask: ", severity)


def check_sensitive(
    policy: WrittenPolicy,
    env: Environment,
    by: str = "",
    severity: str | None = None,
    *,
    variable: str | None = None,
) -> None:
    """The same for `sensitive` of a policy; with `variable` only for paths that begin with it."""
    for place, path in _sensitive(policy):
        if variable is not None and path[0] != variable:
            continue
        problem = _problem(path, env, masked=False)
        if problem is not None:
            _tell(policy.reader, place, problem, f"{by}a path of `sensitive`: ", severity)


def place_of_mask(rule: WrittenRule, mask: MaskField) -> Node:
    """Where the field of a mask is written."""
    listed = rule.node.get("mask")
    for item in listed.items if isinstance(listed, ListNode) else ():
        field = item.get("field") if isinstance(item, MapNode) else None
        if isinstance(field, ScalarNode) and field.text == mask.text:
            return field
    return listed or rule.node


def _sensitive(policy: WrittenPolicy) -> Iterator[tuple[Node, Path]]:
    """Each path with where it is written; those that are malformed have been told."""
    listed = policy.node.get("sensitive")
    known = frozenset(policy.policy.sensitive)
    for item in listed.items if isinstance(listed, ListNode) else ():
        if not isinstance(item, ScalarNode):
            continue
        try:
            path = parse_path(item.text, each=True)
        except PathError:
            continue
        path = ("value", *path[1:]) if path[0] == "message" else path
        if path in known:
            yield item, path


def _tell(
    reader: Reader, place: Node, problem: CelProblem, what: str, severity: str | None
) -> None:
    reader.problem(
        place,
        problem.code,
        f"{what}{problem.message}",
        remedy=problem.remedy or _HIDES_NOTHING,
        severity=severity or problem.severity,
    )


# ------------------------------------------------------------------------ types


def _problem(path: Path, env: Environment, *, masked: bool) -> CelProblem | None:
    """The first segment that leads nowhere; None where each leads somewhere in some event."""
    root = str(path[0])
    found = env.variables.get(root, DYN)  # A stage may lack some.
    for at, segment in enumerate(path[1:], start=1):
        if found.kind == "dyn":
            return None
        if isinstance(segment, str):
            problem, found = _member(holder := found, root if at == 1 else _SO_FAR, segment, env)
            if problem is not None:
                return replace(problem, remedy=problem.remedy or _remedy(path, at, holder))
        elif (inner := _elements(found, segment, masked=masked)) is None:
            return _no_list(path, at, found)
        else:
            found = inner
    return None


def _member(
    holder: Type, name: str, member: str, env: Environment
) -> tuple[CelProblem | None, Type]:
    """What a condition would be told of the member, and its type."""
    inside = replace(env, variables={name: holder}, expect_bool=False, noting=False)
    checked = check(Select(Ident(name), member), inside)
    return next(iter(checked.problems), None), checked.type


def _elements(holder: Type, segment: int | None, *, masked: bool) -> Type | None:
    """The type of the elements; None where nothing that the value can be has any."""
    found: list[Type] = []
    for each in alternatives(holder):
        if each.kind == "dyn":
            return DYN
        if each.kind == "list":
            found.append(each.params[0])
        elif each.kind == "map" and segment is None and not masked:
            found.append(each.params[1])
        elif each.kind == "record" and segment is None and not masked:
            found.append(DYN)
    return either(found) if found else None


def _remedy(path: Path, at: int, holder: Type) -> str:
    """What to write where a name stands behind what has no names."""
    kinds = {each.kind for each in alternatives(holder)}
    if "list" in kinds and not kinds & {"record", "map"}:
        return f"for every element write `{format_path((*path[:at], None, *path[at:]))}`"
    if kinds & {"record", "map"}:
        return ""
    return f"end the path at `{format_path(path[:at])}`"


def _no_list(path: Path, at: int, holder: Type) -> CelProblem:
    before, bracket = format_path(path[:at]), "[]" if path[at] is None else f"[{path[at]}]"
    kinds = {each.kind for each in alternatives(holder)}
    remedy = f"end the path at `{before}`"
    if "record" in kinds:
        remedy = f"write `{format_path((*path[:at], *path[at + 1 :]))}`"
    elif "map" in kinds:
        remedy = "name the entry, or the whole map" if at + 1 == len(path) else "name the entry"
    message = f"`{before}` is no list, so that nothing is at `{bracket}`"
    return CelProblem("SW123", message, NOWHERE, remedy)
