"""Rules and events for the compiler's tests, made with few words."""

from __future__ import annotations

from typing import Any

from streamwarden.policy.cel import parse
from streamwarden.policy.compiler import Compiled, RuleInput, Undecodable, compile_rules
from streamwarden.schemas.event import Event

__all__ = ["NOW", "compiled", "event", "hits"]

NOW = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def compiled(*conditions: str | None, tombstone: bool = False, **options: Any) -> Compiled:
    """The conditions as rules of a plan."""
    rules = [RuleInput(None if text is None else parse(text), tombstone) for text in conditions]
    known: dict[str, Any] = {
        "topic": "payments",
        "stage": "produce",
        "value_format": "auto",
        "key_format": "auto",
        "lists": {},
        "client": {},
    }
    return compile_rules(rules, **{**known, **options})


def event(value: bytes | None = b"{}", **fields: Any) -> Event:
    """An event of the topic `payments`."""
    known: dict[str, Any] = {
        "topic": "payments",
        "key": None,
        "headers": [],
        "timestamp": None,
        "now": NOW,
    }
    return Event(value=value, **{**known, **fields})


def hits(condition: str, value: bytes | None = b"{}", **fields: Any) -> object:
    """True, False or "error" for one condition; a string starting with "undecodable" if so."""
    options = {name: fields.pop(name) for name in [*fields] if name in _OPTIONS}
    found = compiled(condition, **options).run(event(value, **fields))
    if isinstance(found, Undecodable):
        return "undecodable"
    verdicts: dict[tuple[int, ...], object] = {(): False, (0,): True, (-1,): "error"}
    return verdicts[found]


_OPTIONS = {
    *("stage", "value_format", "key_format", "lists", "client", "strict_values", "framed"),
    "tombstone",
}
