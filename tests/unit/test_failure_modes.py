"""Every failure that is documented is tested, by the tests that the page names."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "failure-modes.md"
_TOLD, _, _TESTED = PAGE.read_text().partition("## Where this is tested")


def test_every_row_has_a_test() -> None:
    """Rows of the last table begin as those that they are about."""
    failures, tested = _first_cells(_TOLD), tuple(_first_cells(_TESTED))

    untested = [each for each in failures if not each.startswith(tested)]

    assert len(failures) > 25
    assert untested == []


def test_the_tests_it_names_exist() -> None:
    """Under that name, in that file."""
    named = [
        piece.split("::")
        for line in _TESTED.splitlines()
        for piece in line.split("`")
        if "::" in piece
    ]

    gone = [f"{file}::{test}" for file, test in named if test not in _tests_in(TESTS / file)]

    assert len(named) > 25
    assert gone == []


def _first_cells(text: str) -> list[str]:
    """Of all tables; a row whose first cell is empty goes on with the row before."""
    rows = [line.removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    cells = [row.partition(" | ")[0] for row in rows if not row.startswith("|")]
    return [cell for cell in cells if cell not in ("failure", "what is found", "---")]


def _tests_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
