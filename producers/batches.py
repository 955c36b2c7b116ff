"""Many events in one call: what a batch may be made of, and how far one came that was stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from streamwarden.errors import StreamwardenError

__all__ = ["BatchStoppedError", "Given", "read_batch"]

#: One event of a batch: its value, or a mapping of what `produce()` takes.
Given: TypeAlias = str | bytes | Mapping[str, Any]

_NAMES = frozenset({"value", "key", "partition", "timestamp", "headers", "facts"})
_REPORTS = ("on_delivery", "callback")


class BatchStoppedError(StreamwardenError):
    """A batch stopped at an event that raised; the error of that event is the `__cause__`.

    `taken` are what `produce()` gave for the events before it, in their order; the event itself and
    those behind it were not taken. Only PolicyRejected parks its event before it is raised: then
    that event is the last in `taken`.
    """

    code = "SW010"

    def __init__(self, taken: Sequence[Any], count: int, cause: Exception) -> None:
        super().__init__(
            f"{len(taken)} of {count} events were taken, and then: {cause}",
            remedy="see to it, and go on with the others",
        )
        self.taken = tuple(taken)


def read_batch(events: Iterable[Given], *, reports: bool) -> list[dict[str, Any]]:
    """The keywords of `produce()` for each event; `reports` says that it takes `on_delivery`.

    All of them are looked at before the first is sent. Raises TypeError for what is no event: one
    without `value`, which would be a tombstone, or with a misspelt name.
    """
    if isinstance(events, str | bytes | Mapping):
        what = "mapping" if isinstance(events, Mapping) else "value"
        raise TypeError(f"a batch is a list of events, not one {what}")
    found: list[dict[str, Any]] = []
    for number, given in enumerate(events):
        if isinstance(given, str | bytes):
            found.append({"value": given})
            continue
        if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
            raise TypeError(
                f"event {number} of the batch is a str, bytes or a mapping, "
                f"not {type(given).__name__}"
            )
        event: dict[str, Any] = dict(given)
        report = [event.pop(name) for name in _REPORTS if name in event] if reports else []
        if unknown := sorted(set(map(str, event)) - _NAMES):
            names = ", ".join(sorted([*_NAMES, *(_REPORTS[:1] if reports else ())]))
            raise TypeError(f"event {number} of the batch has no `{unknown[0]}`; it takes {names}")
        if "value" not in event:
            raise TypeError(
                f"event {number} of the batch has no `value`; for a tombstone it is None"
            )
        if report:
            event["on_delivery"] = report[0]
        found.append(event)
    return found
