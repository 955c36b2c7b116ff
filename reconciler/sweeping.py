"""Compiled rules over a whole batch: the positions of the events on which any of them says anything.

On most events of a history no rule does, and to know that takes no event: where rules read values
alone, one object shows them one value after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from ..policy.plan import Plan
from ..schemas.event import Event, Headers
from .batch import Batch

__all__ = ["Sweep"]

#: Variables for which nothing but the value of an event is asked.
_OF_VALUES: Final = frozenset({"value", "message", "topic", "stage", "client", "lists"})


class _Showing:
    """As much of an event as rules on values look at; the value changes from one to the next."""

    __slots__ = ("value",)

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int | None = None
    now: int = 0
    partition: int | None = None
    offset: int | None = None
    facts: Mapping[str, object] | None = None


class Sweep:
    """One plan's rules over batches. Not thread-safe."""

    __slots__ = ("_by_value", "_run", "_showing")

    def __init__(self, plan: Plan) -> None:
        self._run = plan.compiled.run
        self._by_value = plan.framed is None and plan.compiled.reads.variables <= _OF_VALUES
        self._showing = _Showing()

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
