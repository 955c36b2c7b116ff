"""Which cases are known to fail, and why; and where the specification's cases are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ruamel.yaml import YAML

from .runner import Outcome

_FOLDER = Path(__file__).parent
_REPOSITORY = _FOLDER.parents[1]


def default_cases() -> Path | None:
    """The specification's cases; None where they are not at hand."""
    shared = os.environ.get("STREAMWARDEN_SHARED") or _REPOSITORY.parent / "shared"
    path = Path(shared) / "conformance" / "cel" / "cases.json"
    return path if path.exists() else None


def expected_failures() -> Mapping[str, str]:
    """Name → reason. `needs:X` stands for every case that says that it needs X."""
    listed: dict[str, str] | None = YAML(typ="safe").load(_FOLDER / "expected_failures.yaml")
    return listed or {}


def surprises(outcomes: Iterable[Outcome], reasons: Mapping[str, str]) -> list[str]:
    """What is not as listed: failures that are not, and passes that are listed as failures."""
    lines: list[str] = []
    for outcome in outcomes:
        names = (outcome.name, *(f"needs:{need}" for need in outcome.needs))
        listed = any(name in reasons for name in names)
        if not outcome.passed and not listed:
            lines.append(f"{outcome.name} failed: {outcome.problem}")
        elif outcome.passed and listed:
            lines.append(f"{outcome.name} passes: take it from expected_failures.yaml")
    return lines
