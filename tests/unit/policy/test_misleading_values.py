"""Values that are not what they look like are told: numbers with a leading zero, dates without quotes."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamwarden.errors import Problem
from streamwarden.policy.cel import check, parse
from streamwarden.policy.condition_checks import environment
from streamwarden.policy.loader import check_directories, load_directories

ENVIRONMENT = environment(("produce",), {})


def problems(folder: Path, when: str, **files: str) -> list[Problem]:
    """What is said of a rule with this `when`, and of other files."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n"
        f"  - id: r\n    effect: reject\n    when: {when}\n"
    )
    return list(check_directories(folder))


@pytest.mark.parametrize(
    ("written", "number"),
    [("0123", "123"), ("007", "7"), ("00", "0"), ("-012", "-12"), ("+08", "8")],
)
def test_a_number_with_a_leading_zero_is_told(tmp_path: Path, written: str, number: str) -> None:
    """Where it stands, with the quotes that make a code of it; the bundle is loaded all the same."""
    (found,) = problems(tmp_path, f"[{{field: value.c, operator: equals, value: {written}}}]")

    assert (found.code, found.severity) == ("SW119", "warning")
    assert (found.location.line, found.location.column) == (7, 54)
    assert found.message == f"`{written}` without quotes is the number `{number}`"
    assert found.remedy == f"quote it where it is a code, `'{written}'`, or leave out the zero"
    assert load_directories([tmp_path]).policies


@pytest.mark.parametrize("written", ['"0123"', "'007'", "0", "10", "0.5", "0x1F", "a01", "-0"])
def test_other_values_are_not(tmp_path: Path, written: str) -> None:
    """Texts in quotes, and numbers that begin as numbers do."""
    assert problems(tmp_path, f"[{{field: value.c, operator: equals, value: {written}}}]") == []


def test_codes_in_lists_and_cases_are_told_too(tmp_path: Path) -> None:
    """A list of nothing but codes is told by its first ones, and refuses no bundle."""
    found = problems(
        tmp_path,
        "value.c in lists.codes",
        codes="".join(f"- 0{code}\n" for code in range(100, 3000)),
        bundle="bundle: b\nlists: {codes: codes.yaml}\n",
        cases="tests: p\ncases:\n  - {topic: t, value: {c: 0123}, expect: {effect: allow}}\n",
    )

    assert {problem.severity for problem in found} == {"warning"}
    told = [Path(problem.location.file).name for problem in found if problem.code == "SW119"]
    assert (told.count("codes.yaml"), told.count("cases.yaml")) == (10, 1)


@pytest.mark.parametrize(
    ("condition", "date", "comes_to"),
    [
        ("value.d == 2026-01-01", "2026-01-01", 2024),
        ("value.a > 5 && !(2025-12-31 >= value.d)", "2025-12-31", 1982),
        ("value.days.exists(d, d < 2026-08-09)", "2026-08-09", 2009),
    ],
)
def test_a_date_without_quotes_is_told(condition: str, date: str, comes_to: int) -> None:
    """With a time and a text to write in its place, where it stands."""
    (found,) = check(parse(condition), ENVIRONMENT).problems

    assert (found.code, found.severity) == ("SW134", "warning")
    assert found.message == f"`{date}` without quotes is a subtraction, and comes to {comes_to}"
    assert (
        found.remedy
        == f'write `timestamp("{date}T00:00:00Z")` for a time, or `"{date}"` for a text'
    )
    assert condition[found.span.start : found.span.end] == date


@pytest.mark.parametrize(
    "condition",
    [
        "value.n == 2026 - 01 - 01",
        "value.n == 2026-13-01",
        "value.n == 2026-01-32",
        "value.n == 2026-1-1",
        "value.n == 2026-(01-01)",
        "value.n-10-12 > 3",
        "value.n == 2026u-01u-01u || value.n == 2026-01",
        'value.d == "2026-01-01" && timestamp == timestamp("2026-01-01T00:00:00Z")',
    ],
)
def test_other_subtractions_are_not(condition: str) -> None:
    """Only what is written as people write dates."""
    found = check(parse(condition), ENVIRONMENT).problems

    assert [problem.code for problem in found if problem.code == "SW134"] == []
