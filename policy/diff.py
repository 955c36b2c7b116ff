"""What differs between two bundles: settings, lists, policies and rules, as they were written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from .bundle import Bundle
from .canonical import canonical_json, from_portable, portable

__all__ = ["Change", "Field", "compare"]

_Kind: TypeAlias = Literal["added", "removed", "changed"]
_Members: TypeAlias = Mapping[str, object]

#: Stored documents have their keys in the order of the alphabet; people read them in this one.
_READING_ORDER = (
    *("title", "owner", "class", "topics", "stages", "schema", "effective", "review", "sensitive"),
    *("when", "where", "require", "effect", "exempts", "mode", "on_error", "mask", "approvals"),
    *("reason", "severity", "remediation", "exemptible_by", "tombstones", "park"),
)
_ORDER = {name: position for position, name in enumerate(_READING_ORDER)}


@dataclass(frozen=True, slots=True)
class Field:
    """One key with what it said before and what it says after; None where it said nothing."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was added, removed or changed.

    `subject` is setting, list, policy or rule; `name` is `policy/rule` for a rule. `fields` are
    the keys of a changed one that differ, and all keys of an added or removed rule.
    """

    kind: _Kind
    subject: Literal["setting", "list", "policy", "rule"]
    name: str
    fields: tuple[Field, ...] = ()


def compare(before: Bundle | None, after: Bundle) -> tuple[Change, ...]:
    """What it takes from `before` (None: nothing) to `after`, in the order of reading."""
    old, new = _content(before), _content(after)
    changes: list[Change] = []
    if before is not None and before.name != after.name:
        changes.append(
            Change("changed", "setting", "bundle", (Field("bundle", before.name, after.name),))
        )
    for kind, name, was, now in _pairs(_mapping(old, "settings"), _mapping(new, "settings")):
        changes.append(Change(kind, "setting", name, (Field(name, was, now),)))
    for kind, name, was, now in _pairs(_mapping(old, "lists"), _mapping(new, "lists")):
        changes.append(Change(kind, "list", name, tuple(_entries(was, now))))
    policies = _by_key(old.get("policies"), "policy"), _by_key(new.get("policies"), "policy")
    for kind, name, was, now in _pairs(*policies):
        changes += _policy(kind, name, was, now)
    return tuple(changes)


def _content(bundle: Bundle | None) -> _Members:
    return {} if bundle is None else cast("_Members", from_portable(dict(bundle.documents)))


def _mapping(content: _Members, name: str) -> _Members:
    return cast("_Members", content.get(name) or {})


def _by_key(documents: object, key: str) -> _Members:
    listed = cast("Sequence[_Members]", documents or ())
    return {str(document[key]): document for document in listed}


def _pairs(old: _Members, new: _Members) -> Iterator[tuple[_Kind, str, object, object]]:
    """What is not the same in both: removed and changed in the old order, then added."""
    for name, was in old.items():
        if name not in new:
            yield "removed", name, was, None
        elif not _same(was, new[name]):
            yield "changed", name, was, new[name]
    for name, now in new.items():
        if name not in old:
            yield "added", name, None, now


def _same(one: object, other: object) -> bool:
    """Equality as digests have it: true is not 1, 1 is not 1.0, the order of keys is nothing."""
    return _text(one) == _text(other)


def _policy(kind: _Kind, name: str, was: object, now: object) -> Iterator[Change]:
    old, new = cast("_Members", was or {}), cast("_Members", now or {})
    fields = tuple(_fields(old, new, without=("policy", "rules")))
    rules = _by_key(old.get("rules"), "id"), _by_key(new.get("rules"), "id")
    changed = [
        Change(each, "rule", f"{name}/{rule}", tuple(_fields(_members(a), _members(b), ("id",))))
        for each, rule, a, b in _pairs(*rules)
    ]
    if kind != "changed" or fields or not changed:
        if kind == "changed" and not fields:
            fields = (Field("rules", list(rules[0]), list(rules[1])),)  # in another order
        yield Change(kind, "policy", name, fields)
    yield from changed


def _members(value: object) -> _Members:
    return cast("_Members", value or {})


def _fields(old: _Members, new: _Members, without: Sequence[str]) -> list[Field]:
    fields = [Field(name, was, now) for _, name, was, now in _pairs(old, new)]
    kept = (field for field in fields if field.name not in without)
    return sorted(kept, key=lambda field: (_ORDER.get(field.name, len(_ORDER)), field.name))


def _entries(was: object, now: object) -> Iterator[Field]:
    """Entries of a list that went and came; of a table its keys, and those with other values."""
    old, new = _keyed(was), _keyed(now)
    gone = [entry for key, (entry, _) in old.items() if key not in new]
    come = [entry for key, (entry, _) in new.items() if key not in old]
    if gone or come:
        yield Field("entries", gone, come)
    other = [key for key, (_, held) in old.items() if key in new and not _same(held, new[key][1])]
    for key in other:
        yield Field(str(old[key][0]), old[key][1], new[key][1])
    if not (gone or come or other):
        yield Field("order", "another", "another")


def _keyed(value: object) -> dict[bytes, tuple[object, object]]:
    """Each entry of a list, or key of a table with its value, by its canonical text."""
    if isinstance(value, Mapping):
        table = cast("_Members", value)
        return {_text(key): (key, held) for key, held in table.items()}
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return {_text(entry): (entry, None) for entry in entries}


def _text(value: object) -> bytes:
    return canonical_json(portable(value))
