"""One entry of `rules:` to a `Rule`: condition, effect, masks, exemptions, reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from .conditions import WrittenCondition, combine, read_condition
from .fields import Fields, Reader
from .model import Approvals, Effect, MaskField, Mode, Path, ReasonPart, Rule
from .nodes import MapNode, Node, ScalarNode
from .paths import VARIABLES, PathError, parse_path
from .positions import index_of
from .problems import closest, quoted

__all__ = ["MODES", "UNNAMED", "WrittenRule", "read_path", "read_rule"]

#: Stands for a name that is missing or malformed, which is an error; no name can be this.
UNNAMED: Final = "?"
MODES: Final = tuple(mode.value for mode in Mode)
_EFFECTS: Final = ("warn", "mask", "hold", "reject")
_ON_ERROR: Final = ("fire", "skip", *_EFFECTS)
_SEVERITIES: Final = ("critical", "high", "medium", "low", "info")
#: Strictest first.
_MASKS: Final = ("drop", "redact", "hash", "last4")
#: What follows a path where a format or an expression was meant.
_OF_EXPRESSIONS: Final = frozenset(":!+*/%|?<>=&(, \t")
_APPROVALS_MAX: Final = 20  # more people than ever agree on one event
_WHOLE: Final = re.compile(r"[1-9][0-9]?")
_KEYS: Final = (
    *("id", "when", "where", "require", "effect", "exempts", "mode", "on_error", "mask"),
    *("approvals", "reason", "severity", "remediation", "exemptible_by"),
)
_CONFUSED: Final = {
    **dict.fromkeys(("if", "condition", "match", "expression", "expr", "rule"), "when"),
    **dict.fromkeys(("must", "assert", "ensure", "requires"), "require"),
    **dict.fromkeys(("action", "then", "outcome", "decision"), "effect"),
    **dict.fromkeys(("message", "description", "because"), "reason"),
    **dict.fromkeys(("masks", "masking", "redact"), "mask"),
    **dict.fromkeys(("exempt", "except", "exemptions"), "exempts"),
    **dict.fromkeys(("name", "rule_id"), "id"),
    **dict.fromkeys(("remedy", "help", "fix"), "remediation"),
    **dict.fromkeys(("approval", "approvers"), "approvals"),
    **dict.fromkeys(("onerror", "on_failure"), "on_error"),
}


_CONFUSED_EFFECTS: Final = {
    **dict.fromkeys(("deny", "block", "refuse", "quarantine", "dlq", "drop"), "reject"),
    **dict.fromkeys(("review", "wait", "pend", "approve", "suspend"), "hold"),
    **dict.fromkeys(("redact", "hash", "tokenize"), "mask"),
    **dict.fromkeys(("alert", "log", "audit", "notify"), "warn"),
}


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """A rule with where it is written, for the checks that need the whole bundle."""

    rule: Rule
    node: MapNode
    when: WrittenCondition | None
    require: WrittenCondition | None


def read_rule(reader: Reader, node: Node, policy: str) -> WrittenRule | None:
    """The rule at `node`, with the problems added; None where it is no rule at all.

    One without an id of its own has `UNNAMED`, so that the rest of it is checked too.
    """
    mapping = reader.mapping(node, "a rule", "{id: large, when: value.amount > 100, effect: hold}")
    if mapping is None:
        return None
    fields = Fields(reader, mapping, "a rule", _KEYS, _CONFUSED)
    id_node = fields.get("id")
    rule_id = None if id_node is None else reader.name(id_node, "`id`")
    fields.require("id")
    when, require = _conditions(reader, fields)
    effect = _effect(reader, fields)
    on_error = fields.choice("on_error", _ON_ERROR, {"ignore": "skip", "pass": "skip"}) or "fire"
    mode = fields.choice("mode", MODES)
    rule = Rule(
        id=rule_id or UNNAMED,
        policy=policy,
        effect=effect,
        condition=combine(reader, mapping, when, require),
        when=None if when is None else when.condition,
        require=None if require is None else require.condition,
        mode=Mode(mode or "enforce"),
        on_error=on_error,
        masks=_masks(reader, fields, effect, on_error),
        exempts=fields.names("exempts"),
        exemptible_by=fields.names("exemptible_by"),
        reason=_reason(reader, fields),
        severity=fields.choice("severity", _SEVERITIES),
        remediation=fields.text("remediation"),
        approvals=_approvals(reader, fields, effect, on_error),
    )
    _exemption_only(reader, fields)
    return WrittenRule(rule, mapping, when, require)


def _conditions(
    reader: Reader, fields: Fields
) -> tuple[WrittenCondition | None, WrittenCondition | None]:
    when_node, where = fields.get("when"), fields.get("where")
    if where is not None and when_node is not None:
        reader.problem(
            where,
            "SW150",
            "`where` is another name for `when`, and both are here",
            remedy="keep one of them",
        )
    elif where is not None and isinstance(where, ScalarNode) and isinstance(where.value, str):
        reader.problem(
            where,
            "SW142",
            "`where` takes a list of structured conditions, and this is a text",
            remedy="write `when:` for CEL text",
        )
        where = None
    chosen, key = (when_node, "when") if when_node is not None else (where, "where")
    when = None if chosen is None else read_condition(reader, chosen, key)
    require_node = fields.get("require")
    require = None if require_node is None else read_condition(reader, require_node, "require")
    return when, require


def _effect(reader: Reader, fields: Fields) -> Effect | None:
    node, exempts = fields.get("effect"), fields.get("exempts")
    if node is None:
        if exempts is None:
            reader.problem(
                fields.node,
                "SW149",
                "the rule has neither `effect` nor `exempts`",
                remedy=f"add `effect:`, one of {', '.join(_EFFECTS)}",
            )
        return None
    if exempts is not None:
        reader.problem(
            exempts,
            "SW149",
            "the rule has both `effect` and `exempts`",
            remedy="make two rules of it: a rule that lifts others has no effect of its own",
        )
    text = reader.text(node, "`effect`")
    if text in ("allow", "none"):
        reader.problem(
            node,
            "SW143",
            f"`effect` cannot be `{text}`: an event that no rule refuses is allowed",
            remedy="to lift other rules name them under `exempts:`",
        )
        return None
    if text is None:
        return None
    chosen = reader.choice(node, "`effect`", _EFFECTS, _CONFUSED_EFFECTS)
    return None if chosen is None else Effect(chosen)


def _exemption_only(reader: Reader, fields: Fields) -> None:
    """Keys that mean nothing on a rule that lifts others."""
    if "exempts" not in fields or "effect" in fields:
        return
    why = {
        "on_error": "an exemption that cannot be evaluated lifts nothing",
        "exemptible_by": "an exemption is not lifted by others",
    }
    for key, reason in why.items():
        node = fields.get(key)
        if node is not None:
            reader.problem(
                node, "SW150", f"`{key}` has no meaning here: {reason}", remedy=f"remove `{key}`"
            )


def _approvals(
    reader: Reader, fields: Fields, effect: Effect | None, on_error: str
) -> Approvals | None:
    node = fields.get("approvals")
    if node is None:
        return None
    if effect is not Effect.HOLD and on_error != "hold":
        reader.problem(
            node,
            "SW150",
            "`approvals` has no meaning here: only held events wait for people",
            remedy="remove `approvals`, or say `effect: hold`",
        )
    mapping = reader.mapping(node, "`approvals`", "{need: 2, from: [limits-desk]}", alone=_WHOLE)
    if mapping is None:
        return None
    inner = Fields(
        reader, mapping, "`approvals`", ("need", "from"), {"roles": "from", "count": "need"}
    )
    return Approvals(inner.whole("need", 1, _APPROVALS_MAX) or 1, inner.names("from"))


# ----------------------------------------------------------------------- masks


def _masks(
    reader: Reader, fields: Fields, effect: Effect | None, on_error: str
) -> tuple[MaskField, ...]:
    node = fields.get("mask")
    masking = effect is Effect.MASK or on_error == "mask"
    if node is None:
        if masking:
            reader.problem(
                fields.get("effect") or fields.node,
                "SW148",
                "the rule masks, and does not say what",
                remedy="add `mask: [{field: value.…, with: redact}]`",
            )
        return ()
    if not masking and "effect" in fields and effect is not None:
        reader.problem(
            node,
            "SW148",
            f"`mask` has no meaning here: the effect is `{effect.value}`",
            remedy="give the mask a rule of its own, with `effect: mask`",
        )
    elif not masking and "exempts" in fields:
        reader.problem(
            node, "SW148", "`mask` has no meaning on an exemption", remedy="remove `mask`"
        )
    needed = "name what it masks, `[{field: value.…, with: redact}]`" if masking else ""
    found = [_mask(reader, item) for item in reader.items(node, "`mask`", needed=needed)]
    return tuple(mask for mask in found if mask is not None)


def _mask(reader: Reader, node: Node) -> MaskField | None:
    mapping = reader.mapping(node, "an element of `mask`", "{field: value.card, with: redact}")
    if mapping is None:
        return None
    fields = Fields(
        reader,
        mapping,
        "a mask",
        ("field", "with"),
        {"path": "field", "how": "with", "mask": "with", "type": "with"},
    )
    if not fields.require("field", "with"):
        return None
    how = fields.choice("with", _MASKS)
    field = fields.get("field")
    path = None if field is None else read_path(reader, field, "`field`", masked=True)
    if how is None or path is None or not isinstance(field, ScalarNode):
        return None
    if how == "drop" and isinstance(path[-1], int):
        reader.problem(
            field,
            "SW148",
            f"`drop` at {quoted(field.text)} would take another element each time it is applied, "
            "since those behind it move up",
            remedy="use `redact`, or drop every element with `[]`",
        )
        return None
    return MaskField(path[1:], how, field.text)


def read_path(reader: Reader, node: Node, what: str, *, masked: bool = False) -> Path | None:
    """A path with `[]`; `message` becomes `value`. `masked`: only what lies under `value`."""
    text = reader.text(node, what)
    if text is None or not isinstance(node, ScalarNode):
        return None
    try:
        path = parse_path(text, each=True)
    except PathError as error:
        reader.problem(
            index_of(reader.source, node, error.offset),
            "SW147",
            f"{quoted(text)} is no path: {error.message}",
            remedy=error.remedy,
        )
        return None
    variable = str(path[0])
    if masked and (variable != "value" or len(path) < 2):
        instead = {
            "message": f"write `value{text[7:]}`",
            "value": "to park the whole event use `effect: reject` or `hold`",
        }
        reader.problem(
            node,
            "SW148",
            f"masks name fields under `value`, not {quoted(text)}"
            + (" itself" if text in ("value", "message") else ""),
            remedy=instead.get(
                variable,
                "name it under `sensitive:` to keep it out of trails and reports"
                if variable in VARIABLES
                else f"write `value.{text}`",
            ),
        )
        return None
    if variable in VARIABLES:
        return ("value", *path[1:]) if variable == "message" else path
    reader.problem(
        node,
        "SW147",
        f"{quoted(text)} does not begin with a variable",
        remedy=closest(variable, VARIABLES) or f"write `value.{text}` for a field of the value",
    )
    return None


# --------------------------------------------------------------------- reasons


def _reason(reader: Reader, fields: Fields) -> tuple[ReasonPart, ...]:
    node = fields.get("reason")
    text = fields.text("reason")
    if text is None or not isinstance(node, ScalarNode):
        return ()
    parts: list[ReasonPart] = []
    literal: list[str] = []
    at = 0
    while at < len(text):
        if text[at] not in "{}":
            literal.append(text[at])
            at += 1
            continue
        if text[at : at + 2] in ("{{", "}}"):
            literal.append(text[at])
            at += 2
            continue
        end = text.find("}", at) if text[at] == "{" else -1
        if end < 0:
            reader.problem(
                index_of(reader.source, node, at),
                "SW151",
                f"a `{text[at]}` without its other half in a reason",
                remedy=f"close the path, or write `{text[at] * 2}` for the character itself",
            )
            return ()
        path = _reason_path(reader, node, text[at + 1 : end], at + 1)
        if path is not None:
            if literal:
                parts.append(ReasonPart("".join(literal)))
                literal = []
            parts.append(ReasonPart(text[at + 1 : end].strip(), path))
        at = end + 1
    if literal:
        parts.append(ReasonPart("".join(literal)))
    return tuple(parts)


def _reason_path(reader: Reader, node: ScalarNode, written: str, offset: int) -> Path | None:
    stripped = written.strip()
    try:
        path = parse_path(stripped)
    except PathError as error:
        message = f"{quoted(written)} is no path: {error.message}"
        remedy = error.remedy or "a reason takes paths; literal braces are written twice"
        if stripped[error.offset : error.offset + 1] in _OF_EXPRESSIONS:
            message = f"{quoted(written)} is no path, and only paths stand in braces"
            before = stripped[: error.offset]
            named = before.partition(".")[0] in VARIABLES
            remedy = f"write `{{{before}}}`" if named else "write a path, such as `{value.amount}`"
        reader.problem(
            index_of(reader.source, node, offset),
            "SW151",
            message,
            remedy=remedy,
        )
        return None
    if path[0] in VARIABLES:
        return ("value", *path[1:]) if path[0] == "message" else path
    reader.problem(
        index_of(reader.source, node, offset),
        "SW151",
        f"{quoted(written)} does not begin with a variable",
        remedy=closest(str(path[0]), VARIABLES) or f"write `{{value.{stripped}}}`",
    )
    return None
