"""Every public module says what it offers: `__all__` names what is there, and all of it."""

from __future__ import annotations

import ast
import importlib
from typing import TypeGuard

import pytest

from .test_layout import LAYERS, module_name, python_files

pytestmark = pytest.mark.slow

PUBLIC_FILES = [
    path
    for folder in ["streamwarden", *LAYERS]
    for path in python_files(folder)
    if path.stem == "__init__" or not path.stem.startswith("_")
]

MODULES = {module_name(path): path for path in PUBLIC_FILES}


def defined_names(tree: ast.Module) -> set[str]:
    """The public names that a module makes at its top level; imported ones are not its own.

    Nor is `log`, which every module that logs calls its logger by.
    """
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Assign():
                names |= {t.id for target in node.targets for t in ast.walk(target) if is_name(t)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return {name for name in names if not name.startswith("_") and name != "log"}


def is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


@pytest.mark.parametrize("name", MODULES)
def test_all_names_what_is_there(name: str) -> None:
    """Whatever `__all__` names can be imported."""
    module = importlib.import_module(name)

    assert [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)] == []


@pytest.mark.parametrize("name", MODULES)
def test_all_names_everything_public(name: str) -> None:
    """A name without a leading underscore is in `__all__`; a module with such names has one."""
    tree = ast.parse(MODULES[name].read_text())
    module = importlib.import_module(name)

    assert sorted(defined_names(tree) - set(getattr(module, "__all__", ()))) == []
