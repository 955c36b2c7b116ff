"""The table of problem codes is complete, and has nothing that no code gives."""

from __future__ import annotations

import re
from pathlib import Path

from streamwarden.policy.cel.problems import PROBLEM_CODES as LANGUAGE_CODES
from streamwarden.policy.problem_codes import PROBLEM_CODES

POLICY = Path(__file__).parents[3] / "policy"


def test_every_code_in_use_is_explained() -> None:
    """`policy explain-code` has an answer for whatever a message shows."""
    used = {
        code
        for path in POLICY.rglob("*.py")
        if path.name not in ("problem_codes.py", "problems.py")
        for code in re.findall(r'"(SW1\d\d)"', path.read_text())
    }

    assert used - PROBLEM_CODES.keys() == set()
    # SW100 is the exception itself, SW118 stands beside the collection of problems; the language
    # and the stores keep codes of their own.
    own = PROBLEM_CODES.keys() - LANGUAGE_CODES.keys()
    idle = {code for code in own - used if "SW100" <= code < "SW190"}
    assert idle == {"SW100", "SW118"}


def test_every_error_of_the_library_is_explained() -> None:
    """Those whose code is no problem of documents, too."""
    errors = {
        code
        for folder in ("streamwarden", "schemas", "policy", "producers", "consumers", "reconciler")
        for path in (POLICY.parent / folder).rglob("*.py")
        for code in re.findall(r'^    code = "(SW\d{3})"', path.read_text(), re.MULTILINE)
    }

    assert errors - PROBLEM_CODES.keys() == {"SW000"}  # the base, which nobody raises


def test_titles_and_explanations_are_there() -> None:
    """Titles are words in lower case but for names; explanations are sentences."""
    for code, (title, explanation) in PROBLEM_CODES.items():
        assert title, code
        assert not title.endswith("."), code
        assert explanation.endswith("."), code
