"""Values shown to compiled rules one after the other, without an event around each.

On most events no rule says anything, and where rules read values alone, to know that takes no event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..schemas.event import Headers
    from .compiler import Compiled

__all__ = ["Showing", "reads_values_alone"]

#: Variables for which nothing but the value of an event is asked.
_OF_VALUES: Final = frozenset({"value", "message", "topic", "stage", "client", "lists"})


class Showing:
    """As much of an event as rules on values look at; whoever shows it changes the value."""

    __slots__ = ("value",)

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int | None = None
    now: int = 0
    partition: int | None = None
    offset: int | None = None
    facts: Mapping[str, object] | None = None


def reads_values_alone(compiled: Compiled) -> bool:
    """Whether a Showing can stand for any event, as long as no registry frames the values."""
    return compiled.reads.variables <= _OF_VALUES
