"""What may not be shown: every path that any version involved in a run hides.

An event was written under one version and is judged by another, perhaps by one from before a field
became sensitive, or by a candidate that forgot it. What one of them hides is hidden in all that a
run writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..policy.bundle import Bundle
from ..policy.model import Path
from ..policy.privacy import Privacy
from ..policy.topics import matches_glob

__all__ = ["Secrets", "secrets_of"]


@dataclass(frozen=True, slots=True)
class Secrets:
    """Sensitive paths by the patterns of topics that they hold for."""

    paths: tuple[tuple[tuple[str, ...], frozenset[Path]], ...] = ()

    def of(self, topic: str) -> frozenset[Path]:
        """The paths that are sensitive on `topic`, first segment the variable."""
        return frozenset(
            path
            for patterns, paths in self.paths
            if any(matches_glob(pattern, topic) for pattern in patterns)
            for path in paths
        )


def secrets_of(bundles: Iterable[Bundle]) -> Secrets:
    """What any of `bundles` calls sensitive or masks."""
    found = {
        (tuple(policy.topics), Privacy.of([policy]).paths): None
        for bundle in bundles
        for policy in bundle.policies
    }
    return Secrets(tuple(each for each in found if each[1]))
