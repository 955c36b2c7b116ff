"""Cases of documents and the problems in them, as YAML under cases/.

A case has a `note` and one of `rules` (put below a head of four lines, in `policy.yaml`), `policy`
(the whole of `policy.yaml`) or `files` (a mapping). `problems` lists all of them in order, each
`{at: "FILE:LINE:COLUMN", code}` (FILE may be left out where it is `policy.yaml`) and whichever of
message, remedy, corrected and severity the case is about. A corrected line is put in its place,
and must then be free of that problem.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from streamwarden.errors import Problem
from streamwarden.policy.loader import check_directories

__all__ = ["HEAD", "check_case", "load_cases", "write_files"]

HEAD = "policy: p\nowner: o\ntopics: [t]\nrules:\n"


def load_cases(name: str) -> list[dict[str, Any]]:
    """The cases of cases/`name`.yaml; notes are unique."""
    library: Any = YAML(typ="safe", pure=True)
    cases: list[dict[str, Any]] = library.load(
        (Path(__file__).parent / "cases" / f"{name}.yaml").read_text()
    )
    notes = [case["note"] for case in cases]
    assert sorted(set(notes)) == sorted(notes)
    return cases


def write_files(directory: Path, case: dict[str, Any]) -> None:
    """Writes the files of a case into `directory`."""
    files: dict[str, str] = dict(case.get("files", {}))
    if "policy" in case:
        files["policy.yaml"] = case["policy"]
    if "rules" in case:
        lines = str(case["rules"]).split("\n")
        files["policy.yaml"] = HEAD + "\n".join(f"  {line}" if line else "" for line in lines)
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def check_case(directory: Path, case: dict[str, Any]) -> None:
    """Asserts that the problems of a case are exactly those expected."""
    write_files(directory, case)

    problems = check_directories(directory)

    found = [shown(problem, directory, expected) for problem, expected in pairs(problems, case)]
    assert found == [normal(expected) for expected in case.get("problems", [])]
    for problem in problems:
        if problem.corrected is not None:
            assert_corrected(problem)


def pairs(problems: list[Problem], case: dict[str, Any]) -> list[tuple[Problem, dict[str, Any]]]:
    """Each problem with the expectation beside it, as far as there is one."""
    expected: list[dict[str, Any]] = case.get("problems", [])
    return [
        (problem, expected[position] if position < len(expected) else {})
        for position, problem in enumerate(problems)
    ]


def normal(expected: dict[str, Any]) -> dict[str, Any]:
    """An expectation with its file."""
    at: str = expected["at"]
    return {**expected, "at": at if at.count(":") == 2 else f"policy.yaml:{at}"}


def shown(problem: Problem, directory: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """The parts of a problem that its expectation is about."""
    at = str(problem.location).replace(f"{directory}:", ".:").removeprefix(f"{directory}/")
    parts = {
        key: getattr(problem, key) and getattr(problem, key).replace(f"{directory}/", "")
        for key in expected
        if key not in ("at", "code")
    }
    return {**parts, "at": at, "code": problem.code}


def assert_corrected(problem: Problem) -> None:
    """The corrected line, put into the file, no longer has the problem."""
    path = Path(problem.location.file)
    before = path.read_text(encoding="utf-8")
    lines = before.split("\n")
    assert problem.corrected is not None
    lines[problem.location.line - 1] = problem.corrected
    replaced = re.search(r"in place of lines (\d+)-(\d+)", problem.remedy)
    if replaced is not None:
        lines[int(replaced[1]) : int(replaced[2])] = []
    path.write_text("\n".join(lines), encoding="utf-8")

    again = check_directories(path.parent)

    path.write_text(before, encoding="utf-8")
    here = [p for p in again if p.location.line == problem.location.line]
    assert [p for p in here if p.code == problem.code and p.location == problem.location] == []
    assert [p for p in here if p.code in ("SW104", "SW105", "SW106")] == []
