"""A bundle with where everything in it is written, for who advises rather than decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .bundle_documents import WrittenBundle
from .condition_checks import ValueTypes
from .documents import WrittenPolicy
from .model import BundleSettings
from .problems import Problems

__all__ = ["Adviser", "Written"]


@dataclass(frozen=True, slots=True)
class Written:
    """Documents that hold. `root` is the first of the directories."""

    policies: Sequence[WrittenPolicy]
    settings: BundleSettings
    bundles: Sequence[WrittenBundle]
    lists: Mapping[str, object]
    value_types: ValueTypes | None
    problems: Problems
    root: str


#: What looks at documents that hold, and may add warnings to their problems.
Adviser: TypeAlias = Callable[[Written], None]
