"""Statements for generated functions, from templates and values.

A template is source text of this package; what comes from outside (names and constants of a schema)
enters as `ast` nodes only, never as text.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from types import CodeType
from typing import Any, TypeAlias

__all__ = ["Part", "compile_functions", "constant", "fill", "name"]

#: A str renames a variable; statements replace a line that is the placeholder alone.
Part: TypeAlias = str | ast.expr | list[ast.stmt]


def name(identifier: str) -> ast.Name:
    """A variable that is read."""
    return ast.Name(identifier, ast.Load())


def constant(value: bool | float | str | bytes | None) -> ast.Constant:
    """A value written into the code."""
    return ast.Constant(value)


def fill(template: str, /, **parts: Part) -> list[ast.stmt]:
    """The statements of `template` with its placeholders replaced by `parts`."""
    return _statements(_parsed(template), parts)


def compile_functions(functions: list[ast.stmt], namespace: dict[str, Any], label: str) -> None:
    """Run the definitions of `functions` in `namespace`."""
    module = ast.fix_missing_locations(ast.Module(functions, []))
    code: CodeType = compile(module, f"<{label}>", "exec")
    exec(code, namespace)  # noqa: S102 — built from nodes, see the module's first lines


@lru_cache(maxsize=256)  # a template is a constant of some module: there are some dozens
def _parsed(template: str) -> tuple[ast.stmt, ...]:
    return tuple(ast.parse(template).body)


def _statements(body: tuple[ast.stmt, ...], parts: Mapping[str, Part]) -> list[ast.stmt]:
    made: list[ast.stmt] = []
    for statement in body:
        part = None
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Name):
            part = parts.get(statement.value.id)
        if isinstance(part, list):
            made += part
        else:
            made.append(_copied(statement, parts))
    return made


def _copied(node: Any, parts: Mapping[str, Part]) -> Any:
    """A copy of `node`. Recursion is bounded by the depth of the templates."""
    if isinstance(node, ast.Name):
        part = parts.get(node.id)
        if isinstance(part, str):
            return ast.Name(part, node.ctx)
        return node if part is None else part
    made = type(node)()
    for key, value in ast.iter_fields(node):
        if isinstance(value, list):
            setattr(made, key, _list(value, parts))
        elif isinstance(value, ast.AST):
            setattr(made, key, _copied(value, parts))
        else:
            setattr(made, key, value)
    if isinstance(made, ast.FunctionDef):
        named = parts.get(made.name)
        made.name = named if isinstance(named, str) else made.name
    return made


def _list(items: Any, parts: Mapping[str, Part]) -> list[Any]:
    if items and isinstance(items[0], ast.stmt):
        return _statements(tuple(items), parts) or [ast.Pass()]
    return [_copied(item, parts) for item in items]
