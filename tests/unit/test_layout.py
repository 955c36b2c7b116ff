"""The layout's own contract: packages are listed, links are links, layers point one way."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

#: The folders at the top level, lowest layer first, and which of the others each may import.
LAYERS: dict[str, set[str]] = {
    "schemas": set(),
    "policy": {"schemas"},
    "producers": {"schemas", "policy"},
    "consumers": {"schemas", "policy", "producers"},
    "reconciler": {"schemas", "policy", "producers", "consumers"},
}

#: Modules at the root that sit on top of the folders: no folder may import them.
ABOVE_THE_FOLDERS = {"", "cli", "demo", "embedded", "__main__"}

#: Read in one go, a file is a chapter and a function a page; the limits leave some slack over that.
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 80


class Import(NamedTuple):
    """An import as resolved: the importing file, its line, the full name, how it was written."""

    path: Path
    line: int
    target: str
    relative: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.target}"


def python_files(folder: str) -> list[Path]:
    """The Python files of a folder, without those behind its links."""
    files: list[Path] = []
    for path in sorted((ROOT / folder).iterdir()):
        if path.is_symlink() or path.name == "__pycache__":
            continue
        if path.is_dir():
            files += python_files(str(path.relative_to(ROOT)))
        elif path.suffix == ".py":
            files.append(path)
    return files


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file; read once, since many tests look at every file."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def module_name(path: Path) -> str:
    """What a file is imported as."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] != "streamwarden":
        parts = ("streamwarden", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file, late ones and those for type checkers too."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, relative=False)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = [*base, *([node.module] if node.module else [])]
            for alias in node.names:
                name = ".".join([*module, alias.name])
                yield Import(path, node.lineno, name, relative=bool(node.level))


def test_every_folder_with_code_is_a_listed_package() -> None:
    """A package that is missing from the list would be missing from the wheel."""
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"])
    found = {
        ".".join(module_name(path).split(".")[: None if path.name == "__init__.py" else -1])
        for folder in ["streamwarden", *LAYERS]
        for path in python_files(folder)
    }

    assert found == listed


@pytest.mark.parametrize("folder", ["streamwarden", *LAYERS])
def test_every_folder_with_code_has_an_init(folder: str) -> None:
    """Without one, tools disagree about what the folder is."""
    folders = {path.parent for path in python_files(folder)}

    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


@pytest.mark.parametrize("folder", LAYERS)
def test_folders_are_linked_into_the_package(folder: str) -> None:
    """Type checkers and editable installs see `streamwarden.<folder>` through a relative link."""
    link = ROOT / "streamwarden" / folder

    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder


@pytest.mark.parametrize("folder", LAYERS)
def test_imports_follow_the_layers(folder: str) -> None:
    """A folder imports lower folders only, relatively, and no module that is above the folders."""
    wrong: list[str] = []
    for found in (i for path in python_files(folder) for i in imports(path)):
        parts = found.target.split(".")
        top, below = parts[0], parts[1] if len(parts) > 1 else ""
        if top in LAYERS:
            wrong.append(f"{found}: the folders are imported relatively, as parts of streamwarden")
        elif top == "streamwarden" and below in LAYERS:
            if not found.relative:
                wrong.append(f"{found}: write it relatively")
            elif below != folder and below not in LAYERS[folder]:
                wrong.append(f"{found}: {folder} is below {below}")
        elif top == "streamwarden" and (below in ABOVE_THE_FOLDERS or found.relative):
            wrong.append(f"{found}: a folder imports errors, settings and the like, absolutely")

    assert wrong == []


@pytest.mark.parametrize("folder", LAYERS)
def test_modules_at_the_root_do_not_lead_around_the_layers(folder: str) -> None:
    """What a folder imports from the root does not import, in turn, a folder above it."""
    reached: set[str] = set()
    waiting = {i.target for path in python_files(folder) for i in imports(path)}
    wrong: list[str] = []
    while waiting:
        name = waiting.pop().removeprefix("streamwarden.").split(".")[0]
        path = ROOT / "streamwarden" / f"{name}.py"
        if name in reached or not path.exists():
            continue
        reached.add(name)
        for found in imports(path):
            waiting.add(found.target)
            below = [*found.target.split("."), ""][1]
            if below in LAYERS and below != folder and below not in LAYERS[folder]:
                wrong.append(f"{found}, which {folder} reaches")

    assert wrong == []


@pytest.mark.parametrize("folder", ["streamwarden", *LAYERS])
def test_files_and_functions_stay_readable(folder: str) -> None:
    """Files of about 400 lines, functions of about 70."""
    long: list[str] = []
    for path in python_files(folder):
        text = path.read_text()
        name = path.relative_to(ROOT)
        if text.count("\n") > FILE_LINES_MAX:
            long.append(f"{name} has {text.count(chr(10))} lines")
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{name}:{node.lineno} {node.name} has {lines} lines")

    assert long == []
