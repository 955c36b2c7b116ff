"""`bundle:` documents to settings, and how those of several directories become one.

Every key may be said by several directories as long as they say the same; `lists`, `topics` and
`guarded_from` are joined by name. `bundle:` without a value leaves the name to another directory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final, cast

from .documents import TOMBSTONES, comments_in_text, valid_topic
from .fields import BUNDLE_NAME, Fields, Reader
from .model import BundleSettings, Mode, TopicFormat
from .nodes import MapNode, Node, ScalarNode, data_of, kind_of
from .paths import NAME
from .problems import Problems, quoted
from .yaml_reader import Document

__all__ = [
    "NOT_KEPT",
    "ListReference",
    "WrittenBundle",
    "compose",
    "folder_name",
    "read_bundle_document",
]

_FORMATS: Final = ("auto", "json", "avro", "text", "bytes")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "mode": (Mode.ENFORCE.value, Mode.SHADOW.value),
    "resolution": ("strictest", "approval_first"),
    "undecodable": ("reject", "allow"),
    "tombstones": TOMBSTONES,
    "uncovered": ("warn", "allow", "reject"),
    "stamp": ("packed", "expanded"),
}
_FORMAT: Final = re.compile("|".join(_FORMATS))
_KEYS: Final = (
    *("bundle", *_CHOICES, "strict_values", "guarded_from", "quarantine", "held", "waiting"),
    *("lists", "ignore", "topics"),
)
#: Joined by name; the others have to agree as a whole.
_JOINED: Final = ("topics", "guarded_from")
#: What the loader uses up: neither decides anything by itself, so neither is part of the digest.
NOT_KEPT: Final = frozenset(("bundle", "lists", "ignore"))
_TEMPLATE: Final = re.compile(r"[A-Za-z0-9._-]*(?:\{topic\}[A-Za-z0-9._-]*)?")
_KEYWORDS: Final = frozenset(("in", "true", "false", "null"))


@dataclass(frozen=True, slots=True)
class ListReference:
    """One entry of `lists:`: a name, and a file relative to the directory; none where it says none."""

    name: str
    path: str
    node: Node
    reader: Reader


@dataclass(slots=True)
class WrittenBundle:
    """A bundle document. `given` are keywords of BundleSettings; `written` is what was said."""

    reader: Reader
    node: MapNode
    name: str | None = None
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    written: dict[str, object] = field(default_factory=dict[str, object])
    lists: tuple[ListReference, ...] = ()
    ignore: tuple[str, ...] = ()


def read_bundle_document(document: Document, problems: Problems) -> WrittenBundle:
    """The bundle document, as far as it is in order."""
    reader = Reader(document.source, problems)
    node = document.root
    assert isinstance(node, MapNode)
    fields = Fields(reader, node, "a bundle document", _KEYS, {"name": "bundle", "list": "lists"})
    bundle = WrittenBundle(reader, node)
    name_node = fields.get("bundle")
    if name_node is not None and not (
        isinstance(name_node, ScalarNode) and name_node.value is None
    ):
        bundle.name = reader.name(name_node, "`bundle`", BUNDLE_NAME)
    for key, choices in _CHOICES.items():
        value = fields.choice(key, choices)
        if value is not None:
            bundle.given[key] = Mode(value) if key == "mode" else value
    for key in ("quarantine", "held", "waiting"):
        template = _template(reader, fields, key)
        if template is not None:
            bundle.given[key] = template
    strict = fields.flag("strict_values")
    if strict is not None:
        bundle.given["strict_values"] = strict
    if "topics" in fields:
        bundle.given["topics"] = _formats(reader, fields)
    if "guarded_from" in fields:
        bundle.given["guarded_from"] = _guarded_from(reader, fields)
    bundle.lists = _lists(reader, fields)
    bundle.ignore = tuple(_ignore(reader, fields))
    comments_in_text(reader, node)
    bundle.written = {
        key.text: data_of(value)
        for key, value in node.entries
        if key.text in fields and key.text not in NOT_KEPT
    }
    return bundle


def _template(reader: Reader, fields: Fields, key: str) -> str | None:
    node = fields.get(key)
    text = fields.text(key)
    if node is None or text is None:
        return None
    if _TEMPLATE.fullmatch(text) and text != "{topic}" and 0 < len(text) <= 249:
        return text
    reader.problem(
        node,
        "SW164",
        f"`{key}` cannot be {quoted(text)}",
        remedy=f"write a topic name with `{{topic}}` in it, such as `{key}.{{topic}}`",
    )
    return None


def _formats(reader: Reader, fields: Fields) -> tuple[TopicFormat, ...]:
    node = fields.get("topics")
    mapping = None if node is None else reader.mapping(node, "`topics`")
    if mapping is None:
        return ()
    formats: list[TopicFormat] = []
    for key, value in mapping.entries:
        inner = reader.mapping(
            value, f"the format of {quoted(key.text)}", "{value: json}", alone=_FORMAT
        )
        if inner is None or not valid_topic(reader, key, key.text):
            continue
        chosen = Fields(reader, inner, "the format of a topic", ("value", "key"))
        formats.append(
            TopicFormat(
                key.text,
                chosen.choice("value", _FORMATS) or "auto",
                chosen.choice("key", _FORMATS) or "auto",
            )
        )
    return tuple(formats)


def _guarded_from(reader: Reader, fields: Fields) -> dict[str, int]:
    node = fields.get("guarded_from")
    mapping = None if node is None else reader.mapping(node, "`guarded_from`")
    guarded: dict[str, int] = {}
    for key, value in () if mapping is None else mapping.entries:
        if not valid_topic(reader, key, key.text):
            continue
        instant = reader.time(value, f"the date of {quoted(key.text)}")
        if instant is not None:
            guarded[key.text] = instant
    return guarded


def _lists(reader: Reader, fields: Fields) -> tuple[ListReference, ...]:
    node = fields.get("lists")
    mapping = None if node is None else reader.mapping(node, "`lists`")
    found: list[ListReference] = []
    for key, value in () if mapping is None else mapping.entries:
        if not NAME.fullmatch(key.text) or key.text in _KEYWORDS:
            reader.problem(
                key,
                "SW144",
                f"a list cannot be named {quoted(key.text)}",
                remedy="use letters, digits and `_`, so that conditions can say `lists.name`",
            )
            continue
        if isinstance(value, ScalarNode):
            path = reader.text(value, f"the file of {quoted(key.text)}")
        else:
            path = None
            reader.problem(
                value,
                "SW142",
                f"the list {quoted(key.text)} stands in a file, which is named here",
                remedy=f"put it in a file and name that, for example `lists/{key.text}.yaml`",
            )
        written = "" if path is None else str(PurePosixPath(path))
        found.append(ListReference(key.text, written, value, reader))
    return tuple(found)


def _ignore(reader: Reader, fields: Fields) -> list[str]:
    node = fields.get("ignore")
    patterns: list[str] = []
    for item in () if node is None else reader.items(node, "`ignore`"):
        pattern = reader.text(item, "a pattern of `ignore`")
        if pattern is None:
            continue
        parts = pattern.rstrip("/").split("/")
        if "" in parts or ".." in parts or "." in parts or "\\" in pattern:
            reader.problem(
                item,
                "SW168",
                f"{quoted(pattern)} is no pattern relative to the directory",
                remedy='write names between slashes, such as `"drafts/**"`',
            )
        else:
            patterns.append(pattern)
    return patterns


# ----------------------------------------------------------------- composition


def compose(
    bundles: Sequence[WrittenBundle], fallback: str
) -> tuple[BundleSettings, dict[str, object]]:
    """The settings of all bundle documents and what they say together.

    `fallback` is the name where none of them gives one. Contradictions are problems.
    """
    name: str | None = None
    given: dict[str, Any] = {}
    written: dict[str, object] = {}
    for bundle in bundles:
        if bundle.name is not None:
            if name is not None and name != bundle.name:
                _contradicts(bundle, "bundle", name)
            name = name or bundle.name
        for key, value in bundle.written.items():
            if key in _JOINED and key in written:
                _join(bundle, key, value, written, given)
            elif key in written:
                if written[key] != value:
                    _contradicts(bundle, key, written[key])
            else:
                written[key] = value
                if key in bundle.given:
                    given[key] = bundle.given[key]
    settings = BundleSettings(name=name or fallback, **given)
    if settings.quarantine == settings.held and bundles:
        bundles[-1].reader.problem(
            bundles[-1].node,
            "SW164",
            "`quarantine` and `held` name the same topic",
            remedy="give them different names: they differ in retention and in who may release",
        )
    if settings.waiting in (settings.quarantine, settings.held) and bundles:
        bundles[-1].reader.problem(
            bundles[-1].node,
            "SW164",
            "`waiting` names a topic of parked events",
            remedy="give it a name of its own: it is compacted, which would drop events",
        )
    return settings, written


def _join(
    bundle: WrittenBundle,
    key: str,
    value: object,
    written: dict[str, object],
    given: dict[str, Any],
) -> None:
    """Adds the entries of a mapping that an earlier document began."""
    if not isinstance(value, Mapping) or not isinstance(written[key], Mapping):
        return
    said, before = cast("dict[str, object]", value), cast("dict[str, object]", written[key])
    for name, entry in said.items():
        if name in before and before[name] != entry:
            _contradicts(bundle, key, f"{name}: {before[name]}")
    written[key] = {**said, **before}
    mine, earlier = bundle.given.get(key), given.get(key)
    if key == "topics":
        patterns = {known.pattern for known in earlier or ()}
        given[key] = (*(earlier or ()), *(f for f in mine or () if f.pattern not in patterns))
    else:
        given[key] = {**(mine or {}), **(earlier or {})}


def _contradicts(bundle: WrittenBundle, key: str, before: object) -> None:
    node = bundle.node.get(key) or bundle.node
    shown = data_of(node) if isinstance(node, ScalarNode) else kind_of(node)
    bundle.reader.problem(
        node,
        "SW159",
        f"`{key}` is {quoted(shown)} here, and {quoted(before)} in another directory",
        remedy="say it in one of them, or the same in both",
    )


def folder_name(folder: str) -> str:
    """A bundle name from the name of a folder: lower case, other signs than `._-` as `-`."""
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.lower()).strip("._-")
    return name or "policies"
