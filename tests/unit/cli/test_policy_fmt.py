"""`policy fmt` changes the layout of documents and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from streamwarden.policy.loader import load_directories

from .conftest import Run

UGLY = "policy:   b\nowner: o\ntopics: [ t ]\nrules:\n- {id: r, effect: warn}  \n"


def test_documents_are_laid_out_in_place(run: Run, policies: Path) -> None:
    """Tables and other files stay; rights stay; the digest stays."""
    file, other = policies / "b.yaml", policies / "other.yaml"
    file.write_text(UGLY)
    file.chmod(0o640)
    other.write_text("a:    1\n")
    (policies / "bundle.yaml").write_text(
        (policies / "bundle.yaml").read_text() + "ignore: [other.yaml]\n"
    )
    digest = load_directories([policies]).digest

    result = run("policy", "fmt", policies)

    assert result.exit_code == 0
    assert file.read_text() == (
        "policy: b\nowner: o\ntopics: [t]\nrules:\n  - {id: r, effect: warn}\n"
    )
    assert file.stat().st_mode & 0o777 == 0o640
    assert other.read_text() == "a:    1\n"
    assert load_directories([policies]).digest == digest
    assert run("policy", "fmt", "--check", policies).exit_code == 0
    assert sorted(path.name for path in policies.iterdir()) == [
        *("b.yaml", "bundle.yaml", "limits.yaml", "other.yaml", "sanctioned.csv")
    ]


def test_check_shows_what_would_change(run: Run, policies: Path) -> None:
    """And changes nothing."""
    (policies / "b.yaml").write_text(UGLY)

    result = run("policy", "fmt", "--check", policies / "b.yaml")
    said = json.loads(run("policy", "fmt", "--check", "--json", policies / "b.yaml").stdout)

    assert result.exit_code == 2
    assert "-policy:   b\n+policy: b\n" in result.stdout.replace("-owner: o\n", "")
    assert said == {
        "documents": 1,
        "changed": [str(policies / "b.yaml")],
        "failed": [],
        "check": True,
    }
    assert (policies / "b.yaml").read_text() == UGLY


def test_what_cannot_be_read_stays_and_is_status_1(run: Run, policies: Path) -> None:
    """The others are laid out all the same."""
    (policies / "a.yaml").write_text("policy: [\n")
    (policies / "b.yaml").write_text(UGLY)

    result = run("policy", "fmt", policies)

    assert result.exit_code == 1
    assert "a.yaml:" in result.stderr
    assert (policies / "a.yaml").read_text() == "policy: [\n"
    assert (policies / "b.yaml").read_text() != UGLY


def test_standard_input_goes_to_standard_output(run: Run) -> None:
    """For editors."""
    result = run("policy", "fmt", "-", stdin=UGLY.encode())

    assert result.stdout.startswith("policy: b\nowner: o\n")
    assert run("policy", "fmt", "--check", "-", stdin=UGLY.encode()).exit_code == 2
    assert run("policy", "fmt", "-", "x").exit_code == 1
