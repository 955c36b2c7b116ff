"""Cells of CSV are text, also those that look like numbers: comparing them as numbers is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamwarden.errors import PolicyError, Problem
from streamwarden.policy import condition_checks
from streamwarden.policy.bundle import Bundle
from streamwarden.policy.guard import Guard
from streamwarden.policy.loader import check_directories, load_directories
from streamwarden.policy.model import Effect

FILES = {
    "formulary.csv": "drug,max_mg,unit,code\nmorphine,10,mg,007\nfentanyl,0.1,mg,a\n",
    "limits.csv": "500\n20.5\n",
    "codes.csv": "007\n12\n",
    "uneven.csv": "drug,max_mg\nmorphine,10\nfentanyl,n/a\n",
    "good.yaml": "morphine: {max_mg: 10}\nfentanyl: {max_mg: 0.1}\n",
    "quoted.yaml": "DE: '500'\nFR: '400'\n",
}


def write(folder: Path, condition: str) -> None:
    """One rule beside some lists."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    lists = ", ".join(f"{name.partition('.')[0]}: {name}" for name in FILES)
    (folder / "bundle.yaml").write_text(f"bundle: b\nlists: {{{lists}}}\n")
    (folder / "p.yaml").write_text(
        "policy: p\nowner: o\ntopics: [t]\nrules:\n"
        f"  - {{id: r, effect: reject, when: '{condition}'}}\n"
    )


def problems(folder: Path, condition: str) -> list[Problem]:
    """What is wrong with the rule."""
    write(folder, condition)
    return list(check_directories(folder))


YAML = "or keep the list in YAML with the numbers unquoted"


@pytest.mark.parametrize(
    ("condition", "text", "beside"),
    [
        (
            "value.mg > lists.formulary[value.drug].max_mg",
            "lists.formulary[value.drug].max_mg",
            "value.mg",
        ),
        ("lists.formulary.morphine.max_mg <= value.mg", "lists.formulary.morphine.max_mg", ""),
        (
            'value["mg"] >= lists.formulary["fentanyl"]["max_mg"]',
            'lists.formulary["fentanyl"]["max_mg"]',
            "",
        ),
        ("lists.limits.exists(l, value.mg > l)", "l", "value.mg"),
        ("lists.formulary.exists(d, row, value.mg > row.max_mg)", "row.max_mg", "value.mg"),
        ("cel.bind(row, lists.formulary[key], value.mg > row.max_mg)", "row.max_mg", "value.mg"),
        ("value.mg < lists.quoted.DE", "lists.quoted.DE", "value.mg"),
    ],
)
def test_a_number_of_a_list_that_is_text_is_not_ordered(
    tmp_path: Path, condition: str, text: str, beside: str
) -> None:
    """Without a schema too, with what to write instead."""
    (problem,) = problems(tmp_path, condition)

    assert (problem.code, problem.severity) == ("SW123", "error")
    assert f"`{text}` is text, although it looks like a number" in problem.message
    assert problem.remedy.startswith(f"write `double({text})`, {YAML}; or `string(")
    assert beside in problem.remedy


@pytest.mark.parametrize(
    "condition",
    [
        "value.mg * lists.formulary[value.drug].max_mg > 3",
        "lists.formulary[value.drug].max_mg > 3",
        "3.5 == lists.formulary[value.drug].max_mg",
    ],
)
def test_what_was_refused_before_has_the_same_remedy(tmp_path: Path, condition: str) -> None:
    """Computing with such a cell, and comparing it with a number that is written down."""
    (problem,) = problems(tmp_path, condition)

    cell = "lists.formulary[value.drug].max_mg"
    assert (problem.code, problem.remedy) == ("SW123", f"write `double({cell})`, {YAML}")


@pytest.mark.parametrize(
    "condition",
    [
        "value.mg > double(lists.formulary[value.drug].max_mg)",
        "value.mg > lists.good[value.drug].max_mg",
        "string(value.mg) > lists.formulary[value.drug].max_mg",
        # Codes are text, and so is what is not a number in each line.
        "value.unit < lists.formulary[value.drug].unit",
        "value.code < lists.formulary[value.drug].code",
        "lists.codes.exists(c, value.code > c)",
        "value.mg > lists.uneven[value.drug].max_mg",
        "value.code == lists.formulary[value.drug].max_mg",
        "value.mg in lists.limits",
    ],
)
def test_other_comparisons_with_lists_stand(tmp_path: Path, condition: str) -> None:
    """Texts are compared as texts, numbers as numbers."""
    assert problems(tmp_path, condition) == []


@pytest.mark.parametrize(
    ("condition", "name", "near"),
    [
        ("value.mg > double(lists.formulary[value.drug].max_gm)", "max_gm", "max_mg"),
        ('value.code == lists.formulary[value.drug]["kode"]', "kode", "code"),
        ("lists.formulary.exists(d, row, row.unitt == value.unit)", "unitt", "unit"),
        ("value.mg > lists.good.morfine.max_mg", "morfine", "morphine"),
        ("has(lists.quoted.XY)", "XY", ""),
        ('value.mg > lists.good["x"].max_mg', "x", ""),
    ],
)
def test_what_a_list_does_not_have_is_told(
    tmp_path: Path, condition: str, name: str, near: str
) -> None:
    """As a warning, with what was probably meant: the condition would fail on every event."""
    (problem,) = problems(tmp_path, condition)

    assert (problem.code, problem.severity) == ("SW125", "warning")
    assert problem.message == f"nothing in the list is called `{name}`"
    assert problem.remedy == (f"did you mean `{near}`?" if near else "")


@pytest.mark.parametrize(
    "condition",
    [
        "value.code == lists.formulary[value.drug].code",
        "(value.mg > 1 ? lists.formulary[key] : lists.good[key]).max_mg == value.x",
        "value.mg > lists.good[value.drug][value.column]",
        'has(lists.quoted.DE) && lists.formulary["morphine"].unit == "mg"',
    ],
)
def test_what_a_list_has_or_may_have_is_not(tmp_path: Path, condition: str) -> None:
    assert problems(tmp_path, condition) == []


def test_what_was_published_before_stays_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored bundle whose rule compares such a cell is decided by as it was."""
    write(tmp_path, "value.mg > lists.formulary[value.drug].max_mg")
    with monkeypatch.context() as patched:
        patched.setattr(condition_checks, "_FIGURES", re.compile("never"))
        stored = load_directories([tmp_path]).to_json()

    with pytest.raises(PolicyError, match="looks like a number"):
        load_directories([tmp_path])
    bundle = Bundle.from_json(stored)

    decision = Guard(bundle).decide(topic="t", value=b'{"mg": 12, "drug": "morphine"}')
    assert decision.effect is Effect.REJECT
    assert decision.matches[0].error is not None
