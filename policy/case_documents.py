"""`tests:` documents to cases; what runs them is not here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .documents import STAGES, comments_in_text
from .fields import Fields, Reader
from .model import Effect
from .nodes import ListNode, MapNode, Node, ScalarNode, data_of
from .problems import Problems, quoted
from .yaml_reader import DOCUMENT_MAX_BYTES, Document

__all__ = ["Case", "Expectation", "WrittenCases", "read_cases"]

_EFFECTS: Final = tuple(effect.value for effect in Effect)
_WORD: Final = re.compile("|".join(_EFFECTS))
_KEYS: Final = (
    *("note", "topic", "stage", "value", "key", "headers", "timestamp", "now", "partition"),
    *("offset", "facts", "client", "labels", "expect"),
)
_EXPECTED: Final = ("effect", "rules", "exempted", "errors", "shadow", "reason", "value")
_CONFUSED: Final = {
    **dict.fromkeys(("name", "description", "title"), "note"),
    **dict.fromkeys(("event", "input", "message", "payload"), "value"),
    **dict.fromkeys(("expected", "want", "result", "then"), "expect"),
}
#: Keys and headers are data: as long as a document may be.
_DATA_MAX_CHARS: Final = DOCUMENT_MAX_BYTES
_INT_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a case expects; None is not looked at.

    `rules` are the rules that count (ids, or `policy/rule`), in any order and no others; `exempted`
    those that were lifted; `errors` those that could not be evaluated; `shadow` those that fired in
    shadow mode; `reason` is part of the reason of a rule that counts; `value` the value after masks.
    """

    effect: Effect
    rules: tuple[str, ...] | None = None
    exempted: tuple[str, ...] | None = None
    errors: tuple[str, ...] | None = None
    shadow: tuple[str, ...] | None = None
    reason: str | None = None
    value: object = None
    has_value: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One event and what should come of it. Times are nanoseconds; no `value` is a tombstone."""

    policy: str
    note: str
    topic: str
    stage: str
    expect: Expectation
    value: object = None
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    timestamp: int | None = None
    now: int | None = None
    partition: int | None = None
    offset: int | None = None
    facts: Mapping[str, object] = field(default_factory=dict[str, object])
    client: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class WrittenCases:
    """The cases of one document, with where it is written."""

    policy: str
    cases: tuple[Case, ...]
    reader: Reader
    node: MapNode


def read_cases(document: Document, problems: Problems) -> WrittenCases | None:
    """The cases in `document`, or None with the problems added."""
    reader = Reader(document.source, problems)
    node = document.root
    assert isinstance(node, MapNode)
    fields = Fields(reader, node, "a tests document", ("tests", "cases"), {"case": "cases"})
    complete = fields.require("tests", "cases")
    name_node, cases_node = fields.get("tests"), fields.get("cases")
    name = None if name_node is None else reader.name(name_node, "`tests`")
    cases: list[Case] = []
    needed = "write a case, `- {topic: …, value: …, expect: …}`, or remove the whole document"
    listed = () if cases_node is None else reader.items(cases_node, "`cases`", needed=needed)
    for number, item in enumerate(listed, start=1):
        case = _case(reader, item, name or "?", number)
        if case is not None:
            cases.append(case)
    comments_in_text(reader, node)
    if not complete or name is None:
        return None
    return WrittenCases(name, tuple(cases), reader, node)


def _case(reader: Reader, node: Node, policy: str, number: int) -> Case | None:
    mapping = reader.mapping(node, "a case")
    if mapping is None:
        return None
    fields = Fields(reader, mapping, "a case", _KEYS, _CONFUSED)
    complete = fields.require("topic", "expect")
    expect_node = fields.get("expect")
    expect = None if expect_node is None else _expectation(reader, expect_node)
    key_node, value_node = fields.get("key"), fields.get("value")
    case_key = None
    if key_node is not None and not (isinstance(key_node, ScalarNode) and key_node.value is None):
        case_key = reader.text(key_node, "`key`", _DATA_MAX_CHARS)
    place = reader.source.location(mapping.start)
    topic = fields.text("topic")
    case = None
    if expect is not None:
        case = Case(
            policy=policy,
            note=fields.text("note") or f"case {number}",
            topic=topic or "?",
            stage=fields.choice("stage", STAGES) or "produce",
            expect=expect,
            value=None if value_node is None else data_of(value_node),
            key=case_key,
            headers=_texts(reader, fields, "headers"),
            timestamp=_time(reader, fields, "timestamp"),
            now=_time(reader, fields, "now"),
            partition=fields.whole("partition", 0, 2**31 - 1),
            offset=fields.whole("offset", 0, _INT_MAX),
            facts=_members(reader, fields, "facts"),
            client=fields.text("client"),
            labels=_texts(reader, fields, "labels"),
            file=place.file,
            line=place.line,
        )
    return case if complete and topic is not None else None


def _expectation(reader: Reader, node: Node) -> Expectation | None:
    mapping = reader.mapping(node, "`expect`", "{effect: reject}", alone=_WORD)
    if mapping is None:
        return None
    fields = Fields(reader, mapping, "`expect`", _EXPECTED)
    if not fields.require("effect"):
        return None
    effect = fields.choice("effect", _EFFECTS)
    value = fields.get("value")
    if effect is None:
        return None
    return Expectation(
        Effect(effect),
        rules=_rules(reader, fields, "rules"),
        exempted=_rules(reader, fields, "exempted"),
        errors=_rules(reader, fields, "errors"),
        shadow=_rules(reader, fields, "shadow"),
        reason=fields.text("reason"),
        value=None if value is None else data_of(value),
        has_value=value is not None,
    )


def _rules(reader: Reader, fields: Fields, key: str) -> tuple[str, ...] | None:
    node = fields.get(key)
    if node is None:
        return None
    if isinstance(node, ListNode) and not node.items:
        return ()
    return reader.names(node, f"`{key}`")


def _time(reader: Reader, fields: Fields, key: str) -> int | None:
    node = fields.get(key)
    return None if node is None else reader.time(node, f"`{key}`")


def _members(reader: Reader, fields: Fields, key: str) -> dict[str, object]:
    node = fields.get(key)
    mapping = None if node is None else reader.mapping(node, f"`{key}`")
    return {} if mapping is None else {k.text: data_of(v) for k, v in mapping.entries}


def _texts(reader: Reader, fields: Fields, key: str) -> dict[str, str]:
    node = fields.get(key)
    mapping = None if node is None else reader.mapping(node, f"`{key}`")
    found: dict[str, str] = {}
    for name, value in () if mapping is None else mapping.entries:
        text = reader.text(value, f"{quoted(name.text)} of `{key}`", _DATA_MAX_CHARS)
        if text is not None:
            found[name.text] = text
    return found
