"""The cases of the CEL specification, and those of the project."""

from __future__ import annotations

import pytest

from .expectations import default_cases, expected_failures, surprises
from .own_cases import OwnCase, own_cases, run_own
from .runner import load, run_all


def test_specification() -> None:
    """Every case of the public suite passes, but for those listed with a reason."""
    path = default_cases()
    if path is None:
        pytest.skip(
            "the specification's cases are not beside the repository: set STREAMWARDEN_SHARED"
        )
    outcomes = run_all(load(path))

    surprising = surprises(outcomes, expected_failures())

    assert surprising == []
    assert [outcome.name for outcome in outcomes if outcome.core and not outcome.passed] == []


@pytest.mark.parametrize("case", list(own_cases()), ids=lambda case: case.name)
def test_own_cases(case: OwnCase) -> None:
    """What the project promises beyond the specification holds."""
    assert run_own(case) == ""
