"""Which paths are sensitive on a topic, and how values are shown where people may see them."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from .cel import CelType, Duration, Optional, Timestamp, compile_exact, parse
from .cel.ast import Expr, Ident, Index, Literal, Select
from .model import Path, Policy

__all__ = ["HIDDEN", "Privacy", "path_of", "show", "show_text"]

HIDDEN = "***"
#: A value in a trail is there to be recognised, not to be archived.
_TEXT_MAX_CHARS = 200
_ITEMS_MAX = 20
_DEPTH_MAX = 6


class Privacy:
    """The sensitive paths of one topic: those that any mask or `sensitive` of its policies names.

    A path is hidden when it lies on, above or below a sensitive one, since a whole shows its
    parts. Paths start with the variable: `("value", "card_number")`.
    """

    __slots__ = ("paths",)

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = frozenset(paths)

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> Privacy:
        """The sensitive paths of every policy on a topic, firing or not."""
        paths: set[Path] = set()
        for policy in policies:
            paths.update(policy.sensitive)
            for rule in policy.rules:
                paths.update(("value", *mask.path) for mask in rule.masks)
        return cls(paths)

    def hides(self, path: Path) -> bool:
        """True where `path` overlaps a sensitive one."""
        return any(_overlap(path, secret) for secret in self.paths)

    def shown(self, value: object, path: Path) -> Any:
        """`value` for JSON, bounded; hidden where `path` is sensitive."""
        return HIDDEN if self.hides(path) else show(value)

    def shown_map(self, values: Mapping[str, object], path: Path) -> dict[str, Any]:
        """Each member of `values` shown or hidden by its own path."""
        return {name: self.shown(value, (*path, name)) for name, value in values.items()}


def _overlap(one: Path, other: Path) -> bool:
    return all(a == b or a is None or b is None for a, b in zip(one, other, strict=False))


def path_of(node: Expr) -> Path | None:
    """The path that a chain of selections reads, first segment the variable; None for others.

    A computed index counts as any element or member (None); `message` is `value`.
    """
    segments: list[str | int | None] = []
    while True:
        if isinstance(node, Select):
            segments.append(node.field)
            node = node.operand
        elif isinstance(node, Index):
            index = node.index.value if isinstance(node.index, Literal) else None
            segments.append(index if isinstance(index, (str, int)) else None)
            node = node.operand
        elif isinstance(node, Ident):
            name = node.name.lstrip(".")
            segments.append("value" if name == "message" else name)
            return tuple(reversed(segments))
        else:
            return None


def show(value: object, depth: int = 0) -> Any:
    """`value` for JSON: bounded in length, items and depth; what JSON lacks as text."""
    if type(value) is str:  # first, being the most frequent
        return value if len(value) <= _TEXT_MAX_CHARS else value[: _TEXT_MAX_CHARS - 1] + "…"
    if value is None or isinstance(value, (bool, int, float)):
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, str):
        return value if len(value) <= _TEXT_MAX_CHARS else value[: _TEXT_MAX_CHARS - 1] + "…"
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value[:_TEXT_MAX_CHARS]).decode()}
    if isinstance(value, Mapping):
        return _show_map(cast("Mapping[object, object]", value), depth)
    if isinstance(value, (list, tuple)):
        items = list(cast("Sequence[object]", value))
        if depth >= _DEPTH_MAX:
            return "…"
        shown = [show(item, depth + 1) for item in items[:_ITEMS_MAX]]
        return shown if len(items) <= _ITEMS_MAX else [*shown, "…"]
    if isinstance(value, Optional):
        return show(value.value, depth) if value.present else None
    if isinstance(value, (Timestamp, Duration)):
        text = compile_exact(parse("string(x)"))({"x": value})
        return text if isinstance(text, str) else "?"
    if isinstance(value, (decimal.Decimal, dt.datetime, dt.date)):
        return str(value)
    return value.name if isinstance(value, CelType) else "?"


def _show_map(value: Mapping[object, object], depth: int) -> Any:
    if depth >= _DEPTH_MAX:
        return "…"
    members = {
        str(show(key, depth + 1)): show(item, depth + 1)
        for key, item in list(value.items())[:_ITEMS_MAX]
    }
    if len(value) > _ITEMS_MAX:
        members["…"] = "…"
    return members


def show_text(value: object) -> str:
    """`value` inside a sentence: text as it is, the rest as JSON; control characters escaped."""
    if type(value) is int:
        return str(value)
    shown = show(value)
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    text = text[:_TEXT_MAX_CHARS]
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
