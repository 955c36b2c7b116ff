"""What is wrong with the paths in the braces of a reason: they would read `?` on every event."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from .cel import Environment, check
from .conditions import path_expr
from .fields import Reader
from .model import Path
from .nodes import ScalarNode
from .positions import index_of
from .rule_documents import WrittenRule

__all__ = ["check_reason"]

#: What a literal brace is written as may stand before one that opens a path.
_OPENS: Final = r"(?<!\{)(?:\{\{)*\{\s*"


def check_reason(reader: Reader, rule: WrittenRule, env: Environment, prefix: str = "") -> None:
    """Adds a warning for every path that the schema or the lists do not have."""
    node = rule.node.get("reason")
    if not isinstance(node, ScalarNode):
        return
    env = replace(env, expect_bool=False, noting=False)
    for offset, path in _places(rule, node.text):
        for problem in check(path_expr(path), env).problems:
            reader.problem(
                index_of(reader.source, node, offset),
                problem.code,
                f"{prefix}a path of the reason: {problem.message}",
                remedy=problem.remedy or "what is not there reads `?`",
                severity="warning",
            )


def _places(rule: WrittenRule, text: str) -> Iterator[tuple[int, Path]]:
    """Each path, and where it is written in the text of the reason."""
    at = 0
    for part in rule.rule.reason:
        if part.path is not None:
            match = re.compile(_OPENS + re.escape(part.text)).search(text, at)
            start = at if match is None else match.end() - len(part.text)
            yield start, part.path
            at = start + len(part.text)
