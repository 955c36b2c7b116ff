"""Why offsets of a log hold no record, as far as it can be told from outside.

Where cleanup compacts, a second reading that also sees aborted records tells those apart; what is
missing there too was compacted, or is a control record (commit and abort markers are shown to
nobody). Elsewhere inside a log nothing but transactions leaves holes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from .clients import admin_config
from .reading import Gap, Reader
from .slices import Slice

__all__ = ["Holes", "compacts"]


def compacts(config: Mapping[str, Any], topic: str, *, timeout_s: float = 10.0) -> bool | None:
    """Whether the cleanup of `topic` compacts; None when the brokers do not say."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    try:
        admin = AdminClient(admin_config(config))
        known = admin.list_topics(topic, timeout=timeout_s)
        if known.controller_id not in known.brokers:
            return None  # the request would wait for a controller that this cluster does not have
        describe = cast("Callable[..., dict[Any, Future[Any]]]", admin.describe_configs)
        (future,) = describe([resource], request_timeout=timeout_s).values()
        policy: str | None = future.result(timeout_s)["cleanup.policy"].value
    except (KafkaException, KeyError, TimeoutError):
        return None
    return "compact" in (policy or "")


class Holes:
    """Says for the holes of a slice what they are."""

    def __init__(
        self,
        compacts: Callable[[str], bool | None],
        reader: Callable[[], Reader],
    ) -> None:
        self._ask = compacts
        self._connect = reader
        self._compacts: dict[str, bool | None] = {}
        self._reader: Reader | None = None

    def reasons(self, piece: Slice, gaps: Sequence[Gap]) -> list[Gap]:
        """`gaps` with every hole named `transaction` or `compacted`."""
        holes = [gap for gap in gaps if gap.reason == "hole"]
        if not holes:
            return list(gaps)
        if piece.topic not in self._compacts:
            self._compacts[piece.topic] = self._ask(piece.topic)
        if not self._compacts[piece.topic]:
            return [_named(gap, "transaction") for gap in gaps]
        aborted = self._aborted(piece, holes)
        named: list[Gap] = []
        for gap in gaps:
            named += _split(gap, aborted) if gap.reason == "hole" else [gap]
        return named

    def close(self) -> None:
        """Leave the brokers."""
        if self._reader is not None:
            self._reader.close()

    def _aborted(self, piece: Slice, holes: Sequence[Gap]) -> set[int]:
        """The offsets in `holes` that hold records of aborted transactions."""
        if self._reader is None:
            self._reader = self._connect()
        span = replace(piece, first=holes[0].first, end=holes[-1].end)
        empty = {offset for hole in holes for offset in range(hole.first, hole.end)}
        return {
            seen.offset
            for seen in self._reader.read(span)
            if seen.offset is not None and seen.offset in empty
        }


def _named(gap: Gap, reason: str) -> Gap:
    return Gap(gap.first, gap.end, reason) if gap.reason == "hole" else gap


def _split(hole: Gap, aborted: set[int]) -> list[Gap]:
    """Runs of aborted and of compacted offsets, in order."""
    runs: list[Gap] = []
    for offset in range(hole.first, hole.end):
        reason = "transaction" if offset in aborted else "compacted"
        if runs and runs[-1].reason == reason:
            runs[-1] = Gap(runs[-1].first, offset + 1, reason)
        else:
            runs.append(Gap(offset, offset + 1, reason))
    return runs
