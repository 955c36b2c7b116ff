"""Which rules surely fire, where some hang on what is unknown of an event."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

__all__ = ["Firing"]


class Firing(NamedTuple):
    """Rules by their positions that say more than a warning, over all worlds of one decision.

    Those that decide and those that count (are not lifted), in all of the worlds and in any.
    """

    decide: frozenset[int]
    may_decide: frozenset[int]
    fire: frozenset[int]
    may_fire: frozenset[int]

    def or_else(self, other: Firing) -> Firing:
        """The worlds of both."""
        return Firing(
            self.decide & other.decide,
            self.may_decide | other.may_decide,
            self.fire & other.fire,
            self.may_fire | other.may_fire,
        )

    @classmethod
    def of(cls, firings: Iterable[Firing]) -> Firing:
        """The worlds of all `firings`, of which there is one at least."""
        return reduce(Firing.or_else, firings)
