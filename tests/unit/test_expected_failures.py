"""The list of conformance cases that fail is kept true by the cases themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance import __main__ as command
from tests.conformance.expectations import expected_failures, surprises
from tests.conformance.runner import Outcome

NOTHING: list[str] = []


def case(name: str, expr: str, needs: list[str]) -> dict[str, object]:
    """A case of the public suite's form that expects true."""
    return {
        "file": "f", "section": "s", "name": name, "expr": expr, "needs": needs, "bindings": {},
        "expected": {"value": {"t": "bool", "v": True}}, "core": True,
    }  # fmt: skip


def test_a_listed_case_that_passes_is_a_surprise() -> None:
    """And so is one that fails without being listed."""
    reasons = {"f/s/a": "for a reason", "needs:wkt": "for another"}
    outcomes = [
        Outcome("f/s/a", "f", True, "true", ""),
        Outcome("f/s/b", "f", True, "true", "", ("wkt",)),
        Outcome("f/s/c", "f", True, "true", "wrong"),
        Outcome("f/s/d", "f", True, "true", "wrong", ("wkt",)),
        Outcome("f/s/e", "f", True, "true", ""),
    ]

    found = surprises(outcomes, reasons)

    assert [line.split(" ")[0] for line in found] == ["f/s/a", "f/s/b", "f/s/c"]


def test_every_listed_failure_has_a_reason() -> None:
    """A sentence, not just a name."""
    assert all(len(reason) > 20 for reason in expected_failures().values())


@pytest.mark.parametrize(
    ("cases", "closing", "status"),
    [
        ([("a", "1 < 2", NOTHING)], "1 passed, 0 failed", 0),
        ([("a", "1 > 2", NOTHING)], "0 passed, 1 failed", 1),
        ([("a", "1 > 2", ["wkt"])], "0 passed, 1 failed", 0),
        ([("a", "1 < 2", ["wkt"])], "1 passed, 0 failed", 1),
    ],
)
def test_the_command_fails_where_the_list_is_wrong(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cases: list[tuple[str, str, list[str]]],
    closing: str,
    status: int,
) -> None:
    """Any file of that form can be run; the last line counts."""
    file = tmp_path / "cases.json"
    file.write_text(json.dumps([case(*each) for each in cases]))

    assert command.main([str(file)]) == status
    assert capsys.readouterr().out.splitlines()[-1] == closing
    assert command.main([str(file), "--json"]) == status
    assert json.loads(capsys.readouterr().out)["passed"] == int(closing[0])


def test_cases_that_cannot_be_run_fail_and_the_others_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a case leaves out is empty; what it cannot do without fails that case alone."""
    good = {"name": "short", "expr": "1 + 1", "expected": {"value": {"t": "int", "v": "2"}}}
    cases = [
        good,
        {**good, "name": "odd", "bindings": {"x": {"t": "quux"}}},
        {"file": "f", "section": "s", "name": "none\ud800", "expected": {"error": "any"}},
        {**good, "name": "endless", "expr": "(" * 5000 + "1" + ")" * 5000},
        {"expr": "x", "bindings": None, "expected": {"error": "any"}},
        {**good, "needs": 5},
    ]
    file = tmp_path / "cases.json"
    file.write_text("\ufeff" + json.dumps(cases), encoding="utf-8")

    assert command.main([str(file)]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "odd: cannot be run: ValueError: there is no type of values `quux`"
    assert lines[1] == "f/s/none\\ud800: cannot be run: KeyError: 'expr'"
    assert lines[2].startswith("endless: got CelError(code='syntax'")
    assert lines[3:] == ["3 passed, 3 failed"]


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00", "[" * 100_000])
def test_a_file_without_cases_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """In a line, with another status than that of failures."""
    file = tmp_path / "cases.json"
    file.write_text(content)

    with pytest.raises(SystemExit) as stopped:
        command.main([str(file)])

    assert stopped.value.code == 2
    assert "cannot be read" in capsys.readouterr().err
