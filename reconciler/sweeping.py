"""Compiled rules over a whole batch: the positions of the events on which any of them says anything.

Where rules read values alone, one object shows them one value after the other.
"""

from __future__ import annotations

from typing import cast

from ..policy.plan import Plan
from ..policy.showing import Showing
from ..schemas.event import Event
from .batch import Batch

__all__ = ["Sweep"]


class Sweep:
    """One plan's rules over batches. Not thread-safe."""

    __slots__ = ("_by_value", "_run", "_showing")

    def __init__(self, plan: Plan) -> None:
        self._run = plan.compiled.run
        self._by_value = plan.by_value
        self._showing = Showing()

    def fired(self, batch: Batch) -> list[int]:
        """Positions of events on which a rule fires or fails, that are tombstones or do not decode.

        Raises UnavailableError where the schema of one cannot be had now.
        """
        run, found = self._run, list[int]()
        if not self._by_value:
            for at, event in enumerate(batch):
                if run(event) or event.value is None:
                    found.append(at)
            return found
        showing = self._showing
        shown = cast("Event", showing)
        for at, value in enumerate(batch.values):
            showing.value = value
            if run(shown) or value is None:
                found.append(at)
        return found
