"""`policy:` documents to policies, every problem in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from .fields import Fields, Reader
from .model import Mode, Path, Policy
from .nodes import ListNode, MapNode, Node, ScalarNode, data_of
from .problems import Problems, quoted
from .rule_documents import MODES, UNNAMED, WrittenRule, read_path, read_rule
from .yaml_reader import Document

__all__ = [
    "STAGES",
    "TOMBSTONES",
    "WrittenPolicy",
    "comments_in_text",
    "read_policy",
    "valid_topic",
]

STAGES: Final = ("produce", "consume", "reconcile")
#: Laxest first.
TOMBSTONES: Final = ("allow", "check", "reject")
_PARK: Final = ("event", "key")
_CLASSES: Final = ("platform", "edge", "domain", "data")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._*-]{1,249}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]+(?:Z|[-+][0-9:]+))?")
_KEYS: Final = (
    *("policy", "title", "owner", "class", "topics", "stages", "schema", "effective", "review"),
    *("sensitive", "mode", "tombstones", "park", "rules"),
)
_CONFUSED: Final = {
    **dict.fromkeys(("topic", "applies_to", "scope"), "topics"),
    **dict.fromkeys(("stage", "at"), "stages"),
    **dict.fromkeys(("team", "owners"), "owner"),
    **dict.fromkeys(("name", "id"), "policy"),
    **dict.fromkeys(("description", "summary"), "title"),
    **dict.fromkeys(("rule", "policies"), "rules"),
    **dict.fromkeys(("valid", "valid_from", "from", "until"), "effective"),
    **dict.fromkeys(("pii", "secret"), "sensitive"),
}
#: Keys whose unquoted text may have lost its end to a comment without anybody noticing.
_FREE_TEXT: Final = frozenset(("title", "reason", "remediation", "note"))
_LOOKS_LIKE_TEXT: Final = re.compile(r"[ ]+#[\w{]")
_A_RULE: Final = "write a rule, `- {id: …, when: …, effect: …}`, or remove the whole document"


@dataclass(frozen=True, slots=True)
class WrittenPolicy:
    """A policy with where it is written. `written` is the document as data."""

    policy: Policy
    reader: Reader
    node: MapNode
    rules: tuple[WrittenRule, ...]
    written: dict[str, object]


def read_policy(document: Document, problems: Problems) -> WrittenPolicy:
    """The policy in `document`, as far as it can be read, with the problems added.

    One without a name or owner of its own says `UNNAMED`, so that the rest of it is checked too.
    """
    reader = Reader(document.source, problems)
    node = document.root
    assert isinstance(node, MapNode)
    fields = Fields(reader, node, "a policy", _KEYS, _CONFUSED)
    fields.require("policy", "owner", "topics", "rules")
    name_node = fields.get("policy")
    name = None if name_node is None else reader.name(name_node, "`policy`")
    owner_node = fields.get("owner")
    owner = None if owner_node is None else reader.text(owner_node, "`owner`")
    rules = _rules(reader, fields, name or UNNAMED)
    since, until = _effective(reader, fields)
    mode = fields.choice("mode", MODES)
    stages = _stages(reader, fields)
    policy = Policy(
        id=name or UNNAMED,
        owner=owner or UNNAMED,
        topics=_topics(reader, fields),
        stages=stages,
        rules=tuple(written.rule for written in rules),
        title=fields.text("title"),
        class_=fields.choice("class", _CLASSES),
        schema=fields.text("schema"),
        effective_from=since,
        effective_until=until,
        review_by=_review(reader, fields),
        sensitive=_sensitive(reader, fields),
        mode=Mode(mode or "enforce"),
        tombstones=fields.choice("tombstones", TOMBSTONES),
        park=_park(reader, fields, stages),
        file=document.source.file,
    )
    comments_in_text(reader, node)
    data = data_of(node)
    return WrittenPolicy(policy, reader, node, rules, cast("dict[str, object]", data))


def _rules(reader: Reader, fields: Fields, policy: str) -> tuple[WrittenRule, ...]:
    node = fields.get("rules")
    if node is None:
        return ()
    rules: list[WrittenRule] = []
    first: dict[str, MapNode] = {}
    for item in reader.items(node, "`rules`", needed=_A_RULE):
        rule = read_rule(reader, item, policy)
        if rule is None:
            continue
        if rule.rule.id == UNNAMED:
            rules.append(rule)
            continue
        before = first.setdefault(rule.rule.id, rule.node)
        if before is not rule.node:
            line = reader.source.location(before.start).line
            reader.problem(
                rule.node.get("id") or rule.node,
                "SW153",
                f"the rule id {quoted(rule.rule.id)} was given before, on line {line}",
                remedy="give each rule of a policy an id of its own",
            )
            continue
        rules.append(rule)
    return tuple(rules)


def valid_topic(reader: Reader, node: Node, text: str) -> bool:
    """True for a Kafka topic name or a glob of one; a problem otherwise."""
    if _TOPIC.fullmatch(text) and text not in (".", ".."):
        return True
    reader.problem(
        node,
        "SW145",
        f"a topic cannot be {quoted(text)}",
        remedy="topics have letters, digits, `.`, `_` and `-`, at most 249; `*` stands for any",
    )
    return False


def _topics(reader: Reader, fields: Fields) -> tuple[str, ...]:
    node = fields.get("topics")
    names = fields.names("topics", needed="name a topic, or a glob such as `payments.*`")
    if node is None or not isinstance(node, ListNode):
        return ()
    items = {item.text: item for item in node.items if isinstance(item, ScalarNode)}
    return tuple(name for name in names if valid_topic(reader, items[name], name))


def _stages(reader: Reader, fields: Fields) -> tuple[str, ...]:
    node = fields.get("stages")
    if node is None:
        return ("produce", "consume")
    chosen: list[str] = []
    for item in reader.items(node, "`stages`"):
        stage = reader.choice(item, "a stage", STAGES)
        if stage in chosen:
            reader.problem(item, "SW142", f"`{stage}` stands twice in `stages`")
        elif stage is not None:
            chosen.append(stage)
    return tuple(stage for stage in STAGES if stage in chosen)


def _effective(reader: Reader, fields: Fields) -> tuple[int | None, int | None]:
    node = fields.get("effective")
    example = "{from: 2026-03-01, until: 2027-03-01}"
    if node is None:
        return None, None
    mapping = reader.mapping(node, "`effective`", example, alone=_TIME)
    if mapping is None:
        return None, None
    inner = Fields(
        reader,
        mapping,
        "`effective`",
        ("from", "until"),
        {"since": "from", "start": "from", "to": "until", "end": "until"},
    )
    since_node, until_node = inner.get("from"), inner.get("until")
    since = None if since_node is None else reader.time(since_node, "`from`")
    until = None if until_node is None else reader.time(until_node, "`until`")
    if since_node is None and until_node is None:
        reader.problem(mapping, "SW146", "`effective` is empty", remedy="say `from` or `until`")
    if since is not None and until is not None and until_node is not None and since >= until:
        reader.problem(
            until_node,
            "SW146",
            "`until` is not after `from`, so that the policy would never apply",
            remedy="`from` is inclusive, `until` exclusive",
        )
    return since, until


def _review(reader: Reader, fields: Fields) -> str | None:
    node = fields.get("review")
    if node is None:
        return None
    mapping = reader.mapping(node, "`review`", "{by: 2026-03-01}", alone=_TIME)
    if mapping is None:
        return None
    inner = Fields(reader, mapping, "`review`", ("by",), {"date": "by", "on": "by"})
    inner.require("by")
    by = inner.get("by")
    if by is None or reader.time(by, "`by`") is None or not isinstance(by, ScalarNode):
        return None
    return by.text


def _park(reader: Reader, fields: Fields, stages: Sequence[str]) -> str:
    chosen = fields.choice("park", _PARK) or "event"
    node = fields.get("park")
    if chosen == "key" and node is not None and "consume" not in stages:
        reader.problem(
            node,
            "SW150",
            "`park: key` has no meaning here: only a consumer lets events of a key wait",
            remedy="remove `park`, or add `consume` to `stages`",
        )
    return chosen


def _sensitive(reader: Reader, fields: Fields) -> tuple[Path, ...]:
    node = fields.get("sensitive")
    if node is None:
        return ()
    found = [
        read_path(reader, item, "an element of `sensitive`")
        for item in reader.items(node, "`sensitive`")
    ]
    return tuple(dict.fromkeys(path for path in found if path is not None))


def comments_in_text(reader: Reader, root: Node) -> None:
    """Warns where an unquoted free text is followed by what looks like its own words."""
    stack: list[Node] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, ListNode):
            stack.extend(node.items)
        if not isinstance(node, MapNode):
            continue
        for key, value in node.entries:
            stack.append(value)
            if key.text not in _FREE_TEXT or not isinstance(value, ScalarNode) or value.style:
                continue
            match = _LOOKS_LIKE_TEXT.match(reader.source.text, value.end)
            if match is not None:
                reader.problem(
                    match.end() - 2,
                    "SW169",
                    f"the text of `{key.text}` ends here, since ` #` starts a comment",
                    remedy="quote the text, or leave a space after `#`",
                    severity="warning",
                )
