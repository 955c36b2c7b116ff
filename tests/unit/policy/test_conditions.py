"""Conditions in all their forms, checked where they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .document_cases import check_case, load_cases


@pytest.mark.parametrize("case", load_cases("conditions"), ids=lambda case: str(case["note"]))
def test_case(case: dict[str, Any], tmp_path: Path) -> None:
    """The case's note."""
    check_case(tmp_path, case)
